"""The parts of the bench: which clients, at which brokers, under which load, and what figures follow."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.stream.clients import GENERATOR_CORE, Client, edgeseq, fake_broker, on_core, peer, script
from tests.bench.stream.rounds import median_ratio, row, take_turns
from tests.bench.stream.warm import Warm


class Setup(NamedTuple):
    """What all parts share."""

    warm: Warm
    scratch: Path
    rounds: int
    seconds: float
    hold_s: float
    """How long 10,000 readings/s are held."""


class Found(NamedTuple):
    """What a part gave."""

    rows: list[dict[str, Any]]
    figures: dict[str, float]


def echo(setup: Setup) -> Found:
    """Run edgeseq beside a bare paho echo, the broker being ours, and ask how fast the generator itself could be."""
    found = Found([], {})
    with on_core(GENERATOR_CORE):
        for qos in (0, 1):
            with ExitStack() as running:
                daemon, bare = beside_echo(setup, running, qos)
                own = running.enter_context(fake_broker())
                mirror = running.enter_context(peer(own, "bytes returned", script(own, "mirror", 0), 0))
                ours, theirs, most = take_turns([daemon, bare, mirror], setup.rounds, setup.seconds)
                checked = compare(setup.warm, daemon)
            found.rows.append(row("echo", daemon.name, qos, ours, **checked))
            found.rows.append(row("echo", bare.name, qos, theirs))
            found.rows.append(row("echo", mirror.name, 0, most))
            found.figures[f"ratio_echo_qos{qos}"] = median_ratio(ours, theirs)
            found.figures[f"cpu_ratio_echo_qos{qos}"] = 1 / median_ratio(ours, theirs, "cpu_us")
            found.figures[f"cpu_us_per_reading_qos{qos}"] = found.rows[-3]["cpu_us"]
    return found


def beside_echo(setup: Setup, running: ExitStack, qos: int) -> list[Client]:
    """Start edgeseq and a bare paho echo, each at a fake broker of its own."""
    ours, theirs = running.enter_context(fake_broker()), running.enter_context(fake_broker())
    daemon = running.enter_context(edgeseq(ours, setup.warm, setup.scratch / "node", qos))
    return [daemon, running.enter_context(peer(theirs, "paho echo", script(theirs, "echo", qos), qos))]


def compare(warm: Warm, daemon: Client) -> dict[str, int]:
    """Compare the sampled forecasts received with a replay of the same readings: how many, and how many differ."""
    sampled = daemon.ends.sampled
    expected = warm.expected(daemon.ends.next)
    return {
        "compared": len(sampled),
        "differing": sum(expected[key] != found for key, found in sampled.items()),
    }
