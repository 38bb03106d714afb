"""Interleaved rounds: each client in turn, again and again, so that what else the machine does hits all alike."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tests.bench.stream.clients import Client
from tests.bench.stream.drive import Load, drive
from tests.bench.stream.readings import STREAMS

PROBE = Load(STREAMS)


@dataclass(frozen=True)
class Round:
    """What one round of one client gave."""

    sent: int
    readings_per_s: float
    p50_ms: float
    p99_ms: float
    growth_p50: float
    """Median latency of the last third of the results, over that of the first third."""
    cpu_us: float
    """Of the client, for each result."""
    generator_us: float
    """Of the generator, for each result."""
    lost: int
    duplicated: int
    reordered: int
    unasked: int
    rss_mb: float


def measure(client: Client, load: Load, others: Sequence[Client]) -> Round:
    """Drive a client once."""
    idle = [c for other in others if other is not client for c in other.ends.connections]
    cpu_s = client.cpu_s()
    tally, generator_s = drive(client.ends, load, idle)
    cpu_s = client.cpu_s() - cpu_s
    if not tally.received:
        instead = f"{tally.unasked} results of other readings, and {dict(tally.others)}"
        raise RuntimeError(f"{client.name} gave no result for {tally.sent} readings, but {instead}")
    count = tally.received
    lasted_s = tally.last_s - tally.sent_s[0]
    latencies = tally.latencies_ms()
    third = len(latencies) // 3
    return Round(
        sent=tally.sent,
        readings_per_s=count / lasted_s,
        p50_ms=float(np.percentile(latencies, 50)),
        p99_ms=float(np.percentile(latencies, 99)),
        growth_p50=float(np.median(latencies[-third:]) / np.median(latencies[:third])),
        cpu_us=1e6 * cpu_s / count,
        generator_us=1e6 * generator_s / count,
        lost=tally.lost,
        duplicated=tally.duplicated,
        reordered=tally.reordered,
        unasked=tally.unasked,
        rss_mb=client.rss_mb(),
    )


def take_turns(
    clients: Sequence[Client], rounds: int, load_s: float, rate: float | None = None
) -> list[list[Round]]:
    """Give each client `rounds` rounds of some seconds, one after the other; per client its rounds.

    Without a rate, a first round of each, which does not count, tells how many readings it manages in that time.
    """
    speeds = [rate or measure(client, PROBE, clients).readings_per_s for client in clients]
    loads = [load_of(speed, load_s)._replace(rate=rate) for speed in speeds]
    found: list[list[Round]] = [[] for _ in clients]
    for _ in range(rounds):
        for client, load, into in zip(clients, loads, found, strict=True):
            into.append(measure(client, load, clients))
    return found


def load_of(readings_per_s: float, duration_s: float) -> Load:
    """Load a client for about so long: whole steps of all streams."""
    return Load(STREAMS * max(1, round(readings_per_s * duration_s / STREAMS)))


def row(part: str, client: str, qos: int, rounds: Sequence[Round], **more: Any) -> dict[str, Any]:
    """Put rounds together: medians, and sums of what went wrong."""
    medians = {
        name: round(statistics.median(getattr(r, name) for r in rounds), 3)
        for name in ("readings_per_s", "p50_ms", "p99_ms", "growth_p50", "cpu_us", "generator_us", "rss_mb")
    }
    sums = {
        name: sum(getattr(r, name) for r in rounds)
        for name in ("sent", "lost", "duplicated", "reordered", "unasked")
    }
    return {
        "part": part, "client": client, "qos": qos, **more, **medians, **sums, "rounds": [asdict(r) for r in rounds]
    }  # fmt: skip


def median_ratio(rounds: Sequence[Round], peers: Sequence[Round], name: str = "readings_per_s") -> float:
    """Give the median, over the rounds, of ours over the peer's in the same round."""
    return statistics.median(
        float(getattr(a, name) / getattr(b, name)) for a, b in zip(rounds, peers, strict=True)
    )
