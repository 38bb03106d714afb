"""How fast the daemon is, beside peers in the same run: make bench-stream.

Parts: `echo` and `broker` (throughput, QoS 0 and 1, through a fake and a real broker), `peers` (other ways to forecast
from MQTT), `latency` (at offered rates). Results go to build/bench/stream.json; parts that did not run keep theirs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from tests.bench.stream import parts, plot
from tests.bench.stream.broker_part import broker
from tests.bench.stream.latency_part import latency
from tests.bench.stream.peers_part import peers
from tests.bench.stream.warm import Warm

OUTPUT = Path("build/bench/stream.json")
SCRATCH = Path("build/bench/stream")
QUIET = 0.5
"""Load (1 min) of a machine that does nothing else."""
PARTS: dict[str, Callable[[parts.Setup], parts.Found]] = {
    "echo": parts.echo,
    "broker": broker,
    "peers": peers,
    "latency": latency,
}
COLUMNS = {
    "client": "client", "qos": "QoS", "offered": "offered/s", "readings_per_s": "results/s", "p50_ms": "p50 ms",
    "p99_ms": "p99 ms", "cpu_us": "CPU µs", "generator_us": "generator µs", "broker_us": "broker µs",
    "rss_mb": "RSS MB", "sent": "sent", "lost": "lost", "duplicated": "dup", "reordered": "reord",
    "differing": "differ",
}  # fmt: skip


@click.command()
@click.option("--rounds", default=5, help="of each client, interleaved")
@click.option("--seconds", default=4.0, help="of each round")
@click.option("--hold", default=60.0, help="seconds for which 10,000 readings/s are offered")
@click.option("--only", default=",".join(PARTS), help="parts, with commas between them")
def bench(rounds: int, seconds: float, hold: float, only: str) -> None:
    """Measure, print, and write the figures."""
    console = Console(width=150)
    kept = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {"rows": [], "figures": {}}
    rows, figures = kept["rows"], kept["figures"]
    scratch = SCRATCH.absolute()
    scratch.mkdir(parents=True, exist_ok=True)
    busy = os.getloadavg()[0]
    if busy > QUIET:
        console.print(
            f"[red]other work runs here (load {busy:.1f}): of these figures, only µs are to be trusted[/red]"
        )
    setup = parts.Setup(Warm(scratch / "warm"), scratch, rounds, seconds, hold)
    for name in only.split(","):
        found = PARTS[name](setup)
        rows = [row for row in rows if row["part"] != name] + found.rows
        figures |= {key: round(value, 4) for key, value in found.figures.items()} | faults(rows)
        machine = {"cores": os.cpu_count(), "load_before": busy}
        OUTPUT.write_text(json.dumps({**machine, "figures": figures, "rows": rows}, indent=1))
        console.print(table(name, found.rows))
        for key in found.figures:
            console.print(f"{key:28} {figures[key]}")
    if any(row["part"] == "latency" for row in rows):
        plot.draw(rows, OUTPUT.with_suffix(".png"))
    console.print(OUTPUT)


def faults(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Sum up over all of edgeseq's rows what went wrong; and the most memory it took."""
    ours = [row for row in rows if row["client"] == "edgeseq"]
    names = ("lost", "duplicated", "reordered", "compared", "differing")
    return {
        **{name: sum(row.get(name, 0) for row in ours) for name in names},
        "rss_mb": max(r["rss_mb"] for r in ours),
    }


def table(name: str, rows: list[dict[str, Any]]) -> Table:
    """Lay the rows of a part out."""
    made = Table(title=name)
    for title in COLUMNS.values():
        made.add_column(title, justify="right")
    for row in rows:
        made.add_row(*(_cell(row.get(key)) for key in COLUMNS))
        if why := row.get("not_available"):
            made.add_row(f"not available: {why}")
    return made


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return "" if value is None else str(value)
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    bench()
