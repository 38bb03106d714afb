"""What a flood does to a node, and whether its memory grows: make bench-flood.

A node with 1,000 streams, as it is shipped (QoS 1, journal), hears in turn: its own readings at 1,000/s; the same
beside 9,000/s of 100,000 topics that its rule matches and that it has no room for; ten times its own load; its own
readings again. Its account at the end must tell every one of them. Then it runs on at 1,000/s, and the slope of its
memory is fitted. Results go to build/bench/flood.json.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from tests.bench.stream import packets
from tests.bench.stream.__main__ import table
from tests.bench.stream.clients import GENERATOR_CORE, Client, edgeseq, fake_broker, on_core
from tests.bench.stream.connection import Closed
from tests.bench.stream.drive import Load
from tests.bench.stream.readings import STREAMS
from tests.bench.stream.rounds import Round, measure, row
from tests.bench.stream.warm import Warm
from tests.support.broker import PATIENCE_S

OUTPUT = Path("build/bench/flood.json")
SCRATCH = Path("build/bench/flood")
RATED = 1000
CROWD = 9
MIN_CROWD_S = 12.0
"""So long it takes until each of the 100,000 topics was heard."""
PIECE_S = 20.0
MIN_SAMPLES = 12
"""Of the memory, before a line is fitted to their second half."""
SOAK_ROUND_S = 10


@click.command()
@click.option("--seconds", default=300.0, help="of the flood, and of ten times the load")
@click.option("--soak", default=30.0, help="minutes at the rated load; 0: none")
def bench(seconds: float, soak: float) -> None:
    """Flood, soak, print, and write the figures."""
    console, scratch = Console(width=150), SCRATCH.absolute()
    scratch.mkdir(parents=True, exist_ok=True)
    warm = Warm(scratch / "warm")
    with on_core(GENERATOR_CORE), fake_broker() as place, edgeseq(place, warm, scratch / "node", 1) as daemon:
        rows, figures = flood(daemon, seconds)
        memory = list(sampled_memory(daemon, 60 * soak))
        figures |= slope(memory) if len(memory) >= MIN_SAMPLES else {}
        figures["rss_mb"] = daemon.peak_mb()
        sent = (
            daemon.ends.next
            - warm.next
            + CROWD * next(r["sent"] for r in rows if r["client"] == "beside strangers")
        )
        health = last_health(daemon)
    told = (
        health["applied"]
        + health["late"]
        + health["duplicate"]
        + sum(health["rejected"].values())
        + health["shed"]
    )
    figures |= {"sent": sent, "received": health["received"], "accounted": told}
    figures["accounting_exact"] = int(sent == health["received"] == told)
    OUTPUT.write_text(
        json.dumps({"figures": figures, "health": health, "rows": rows, "memory": memory}, indent=1)
    )
    console.print(table("flood", rows))
    for key, value in figures.items():
        console.print(f"{key:28} {value}")
    console.print(health)
    console.print(OUTPUT)


def flood(daemon: Client, duration_s: float) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Measure the known streams before, beside strangers, at ten times their load, and after."""
    rated = Load(0, RATED)
    loads = {
        "before": (rated, min(60.0, duration_s)),
        "beside strangers": (rated._replace(crowd=CROWD), max(duration_s, MIN_CROWD_S)),
        "ten times the load": (rated._replace(rate=10 * RATED), duration_s),
        "after": (rated, min(60.0, duration_s)),
    }
    found = {name: pieces(daemon, load, whole_s) for name, (load, whole_s) in loads.items()}
    rows = [row("flood", name, 1, rounds, offered=loads[name][0].rate) for name, rounds in found.items()]
    base, *others = (r["p99_ms"] for r in rows)
    names = ("p99_ratio_strangers", "p99_ratio_tenfold", "p99_ratio_after")
    return rows, {name: round(p99 / base, 3) for name, p99 in zip(names, others, strict=True)}


def pieces(daemon: Client, load: Load, duration_s: float) -> list[Round]:
    """Measure a long time piece by piece: what is sent is written before."""
    count = max(1, round(duration_s / PIECE_S))
    steps = max(1, round(duration_s / count * (load.rate or RATED) / STREAMS))
    return [measure(daemon, load._replace(readings=steps * STREAMS), []) for _ in range(count)]


def sampled_memory(daemon: Client, duration_s: float) -> Iterator[tuple[float, float]]:
    """Load a node as rated, and give now and then the seconds since the beginning and its memory (MB)."""
    start_s = time.monotonic()
    while time.monotonic() - start_s < duration_s:
        measure(daemon, Load(SOAK_ROUND_S * STREAMS, RATED), [])
        yield time.monotonic() - start_s, daemon.rss_mb()


def slope(memory: list[tuple[float, float]]) -> dict[str, float]:
    """Fit a line to the second half of the samples: MB/h, and the half-width of its 95 % interval."""
    t, mb = np.array(memory[len(memory) // 2 :]).T
    hours = (t - t.mean()) / 3600
    fitted = float(hours @ mb / (hours @ hours))
    rest = mb - mb.mean() - fitted * hours
    error = float(np.sqrt(rest @ rest / max(1, len(t) - 2) / (hours @ hours)))
    return {
        "soak_mb_per_hour": round(fitted, 3), "soak_mb_per_hour_95": round(1.96 * error, 3),
        "soak_minutes": round(memory[-1][0] / 60, 1), "soak_grown_mb": round(memory[-1][1] - memory[0][1], 3),
    }  # fmt: skip


def last_health(daemon: Client) -> dict[str, Any]:
    """End the node, and read from what it says at the end how it fared."""
    daemon.process.send_signal(signal.SIGTERM)
    connection, payload = daemon.ends.sink, b"{}"
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        try:
            buffer, published = connection.receive()
        except Closed:
            break
        for each in published:
            message = packets.published(buffer, each, connection.version)
            payload = message.payload if message.topic.endswith(b"bridge/health") else payload
        connection.flush()
        time.sleep(0.01)
    daemon.process.wait(PATIENCE_S)
    told: dict[str, Any] = json.loads(payload)
    return told


if __name__ == "__main__":
    bench()
