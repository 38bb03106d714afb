"""The parts of the bench: which clients, at which brokers, under which load, and what figures follow."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.stream.clients import Client, edgeseq, fake_broker, peer
from tests.bench.stream.rounds import median_ratio, row, take_turns
from tests.bench.stream.warm import Warm


class Setup(NamedTuple):
    """What all parts share."""

    warm: Warm
    scratch: Path
    rounds: int
    seconds: float


class Found(NamedTuple):
    """What a part gave."""

    rows: list[dict[str, Any]]
    figures: dict[str, float]


def echo(setup: Setup) -> Found:
    """Run edgeseq beside a bare paho echo, the broker being ours."""
    found = Found([], {})
    for qos in (0, 1):
        with ExitStack() as running:
            daemon = running.enter_context(
                edgeseq(running.enter_context(fake_broker()), setup.warm, setup.scratch / "node", qos)
            )
            bare = running.enter_context(peer(running.enter_context(fake_broker()), "echo", qos))
            ours, theirs = take_turns([daemon, bare], setup.rounds, setup.seconds)
            compared, differing = compare(setup.warm, daemon)
        found.rows.append(row("echo", "edgeseq", qos, ours, compared=compared, differing=differing))
        found.rows.append(row("echo", "paho echo", qos, theirs))
        found.figures[f"ratio_echo_qos{qos}"] = median_ratio(ours, theirs)
        found.figures[f"cpu_us_per_reading_qos{qos}"] = found.rows[-2]["cpu_us"]
        found.figures[f"cpu_ratio_echo_qos{qos}"] = 1 / median_ratio(ours, theirs, "cpu_us")
    for name in ("lost", "duplicated", "reordered", "differing"):
        found.figures[name] = sum(r.get(name, 0) for r in found.rows if r["client"] == "edgeseq")
    found.figures["rss_mb"] = max(r["rss_mb"] for r in found.rows if r["client"] == "edgeseq")
    return found


def compare(warm: Warm, daemon: Client) -> tuple[int, int]:
    """Compare the sampled forecasts received with a replay of the same readings: how many, and how many differ."""
    sampled = daemon.ends.sampled
    expected = warm.expected(daemon.ends.next)
    return len(sampled), sum(expected[key] != payload for key, payload in sampled.items())
