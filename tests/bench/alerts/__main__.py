"""Alerts on recordings: how much is found, how it is called, and how often without a cause.

    make bench-alerts DATA=folder [ONLY=nab,skab,…]

ONLY: nab, nab_bundle, skab, injected, injected_again, first_week, limit_ahead, coverage, switch, budget.

Scores are taken from what `edgeseq.replay` publishes with the thresholds as shipped, on any folder laid out like NAB's
and SKAB's and the others of the benches. Tables, build/bench/alerts.json and alerts.html; parts that did not run keep
what they had found.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from edgeseq import __version__
from tests.bench.alerts.page import page
from tests.bench.alerts.parts import Album, Found, Picture

PARTS = (
    "nab", "nab_bundle", "skab", "injected", "injected_again",
    "first_week", "limit_ahead", "coverage", "switch", "budget",
)  # fmt: skip
"""Modules of this folder with `run(data)`, or `run(data, album)` where they draw; both give rows and figures."""
OUTPUT = Path("build/bench/alerts.json")
PAGE = Path("build/bench/alerts.html")
ALBUMS = Path("build/bench/alerts")
WIDTH = 170


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--only", default="", help="Parts, with commas between them.")
def bench(data: Path, only: str) -> None:
    """Run the parts; exit 1 if an injected fault is not where it was."""
    wanted = [part.strip() for part in only.split(",") if part.strip()] or list(PARTS)
    unknown = sorted(set(wanted) - set(PARTS))
    if unknown:
        raise click.UsageError(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    console = Console(width=WIDTH)
    kept = (
        json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {"rows": [], "figures_of": {}}
    )
    for part in wanted:
        begun, album = time.process_time(), Album()
        found = run_part(part, data, album)
        _print(console, part, found)
        kept["rows"] = [r for r in kept["rows"] if r["part"] != part] + found.rows
        kept["figures_of"][part] = found.figures | {f"{part}_cpu_s": round(time.process_time() - begun, 1)}
        _keep(kept, part, album)
    moved = kept["figures"].get("injected_faults_moved")
    raise SystemExit(1 if moved else 0)


def run_part(part: str, data: Path, album: Album) -> Found:
    """Run one part; one whose module is not there says so."""
    name = f"tests.bench.alerts.{part}"
    if importlib.util.find_spec(name) is None:
        return Found([{"part": part, "not_available": f"there is no {name}"}], {})
    run = importlib.import_module(name).run
    rows, figures = run(data, album) if "album" in inspect.signature(run).parameters else run(data)
    return Found([row | {"part": part} for row in rows], figures)


def _keep(kept: dict[str, Any], part: str, album: Album) -> None:
    """Write what is known so far; a part that fails takes nothing of the others along."""
    kept["version"] = __version__
    kept["figures"] = {k: v for part in kept["figures_of"].values() for k, v in part.items()}
    ALBUMS.mkdir(parents=True, exist_ok=True)
    (ALBUMS / f"{part}.album.json").write_text(
        json.dumps([asdict(p) for p in album.pictures]), encoding="utf-8"
    )
    OUTPUT.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    pictures = [p for name in PARTS for p in _pictures(ALBUMS / f"{name}.album.json")]
    PAGE.write_text(page(kept["rows"], kept["figures"], pictures), encoding="utf-8")


def _pictures(path: Path) -> list[Picture]:
    return [Picture.read(p) for p in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


def _print(console: Console, part: str, found: Found) -> None:
    """Print rows with the same columns as one table."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in found.rows:
        groups.setdefault(tuple(k for k in row if k != "part"), []).append(row)
    for columns, rows in groups.items():
        table = Table(*columns, title=part, title_justify="left")
        for row in rows:
            table.add_row(*("" if row[c] is None else str(row[c]) for c in columns))
        console.print(table)
    console.print(found.figures, highlight=False)


if __name__ == "__main__":
    bench()
