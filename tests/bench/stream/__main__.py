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

from tests.bench.stream import parts
from tests.bench.stream.clients import GENERATOR_CORE, on_core
from tests.bench.stream.warm import Warm

OUTPUT = Path("build/bench/stream.json")
SCRATCH = Path("build/bench/stream")
PARTS: dict[str, Callable[[parts.Setup], parts.Found]] = {
    "echo": parts.echo,
}
COLUMNS = {
    "client": "client", "qos": "QoS", "offered": "offered/s", "readings_per_s": "results/s", "p50_ms": "p50 ms",
    "p99_ms": "p99 ms", "cpu_us": "CPU µs", "generator_us": "generator µs", "rss_mb": "RSS MB", "sent": "sent",
    "lost": "lost", "duplicated": "dup", "reordered": "reord", "differing": "differ",
}  # fmt: skip


@click.command()
@click.option("--rounds", default=5, help="of each client, interleaved")
@click.option("--seconds", default=4.0, help="of each round")
@click.option("--only", default=",".join(PARTS), help="parts, with commas between them")
def bench(rounds: int, seconds: float, only: str) -> None:
    """Measure, print, and write the figures."""
    console = Console(width=150)
    kept = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {"rows": [], "figures": {}}
    rows, figures = kept["rows"], kept["figures"]
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with on_core(GENERATOR_CORE):
        setup = parts.Setup(Warm(SCRATCH.absolute() / "warm"), SCRATCH.absolute(), rounds, seconds)
        for name in only.split(","):
            found = PARTS[name](setup)
            rows = [row for row in rows if row["part"] != name] + found.rows
            figures |= found.figures
            console.print(table(name, found.rows))
            OUTPUT.write_text(
                json.dumps({"cores": os.cpu_count(), "figures": figures, "rows": rows}, indent=1)
            )
            console.print({key: found.figures[key] for key in found.figures})
    console.print(OUTPUT)


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
