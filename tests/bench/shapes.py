"""The shapes a recurrent network comes in, each on a data set, in the device's runtime, beside what is simpler.

    make bench-shapes DATA=folder [SEEDS=3] [ONLY=occupancy,oil]

one-to-one    the present values only (--memoryless): a control of what memory earns
many-to-one   the readings so far → a class: who is in a room, from CO2 and light
many-to-many  one estimate per reading of what no sensor tells: oil temperature from six loads, PM2.5 from the weather
one-to-many   one origin, then H steps on its own output, against a head that says all leads at once: a sine, and ETTh1

Everything is chosen on the training and validation parts; test parts are rolled through once per seed, one reading at a
time from a cold start, with int8 weights. The unequal many-to-many (encoder-decoder) is a row of the other benches.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from tests.bench.shapes_rows import SERIES, SETS, estimator_rows, figures, free_run_rows

WIDTH = 140
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
COLUMNS = {
    "data": "test set", "shape": "shape", "by": "by", "seed": "seed", "accuracy": "accuracy",
    "balanced_accuracy": "balanced", "f1": "F1", "log_loss": "log loss", "brier": "Brier", "mae": "MAE", "rmse": "RMSE",
    "coverage": "coverage", "1": "lead 1", "6": "6", "24": "24", "48": "48", "96": "96", "recurrent": "network ships",
}  # fmt: skip
Job = Callable[[], list[dict[str, Any]]]


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--seeds", default=3, show_default=True)
@click.option("--only", default="", help="Parts of names of jobs, comma-separated.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Processes, one thread each.")
@click.option("-o", "--output", default=Path("build/bench/shapes.json"), type=click.Path(path_type=Path))
def bench(data: Path, seeds: int, only: str, jobs: int, output: Path) -> None:
    """Run all shapes; print a table for each data set and write rows and figures."""
    console, begun = Console(width=WIDTH), time.monotonic()
    wanted = [part.strip() for part in only.split(",") if part.strip()]
    named = {n: job for n, job in all_jobs(data, seeds).items() if not wanted or any(w in n for w in wanted)}
    rows: list[dict[str, Any]] = []
    for name, made in run_all(named, jobs):
        console.print(table(name, made))
        rows += made
    told = figures(rows) | {"wall_s": round(time.monotonic() - begun, 1)}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"seeds": seeds, "rows": rows, "figures": told}, indent=1))
    console.print(told, highlight=False)


def all_jobs(data: Path, seeds: int) -> dict[str, Job]:
    """Name all jobs: each data set with each seed, and the peers once."""
    named: dict[str, Job] = {}
    for seed in range(seeds):
        for name in SETS:
            named[f"{name} {seed}"] = partial(estimator_rows, name, data, seed)
        for name in SERIES:
            named[f"{name} free run {seed}"] = partial(free_run_rows, name, data, seed)
    return named


def run_all(named: Mapping[str, Job], jobs: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Run jobs in processes of one thread each, in the order they finish."""
    os.environ |= dict.fromkeys(ONE_THREAD, "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        running = {pool.submit(job): name for name, job in named.items()}
        for done in as_completed(running):
            yield running[done], done.result()


def table(name: str, rows: list[dict[str, Any]]) -> Table:
    """Lay out the rows of a job."""
    shown = [key for key in COLUMNS if any(key in row for row in rows)]
    laid = Table(title=name, title_justify="left")
    for key in shown:
        laid.add_column(COLUMNS[key], justify="right" if key not in ("data", "shape", "by") else "left")
    for row in rows:
        laid.add_row(*(_cell(row.get(key, "")) for key in shown))
    return laid


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    bench()
