"""Forecast error on recordings as the device makes it, beside what a statistician would ship.

    make bench-forecast DATA=folder [SEEDS=3] [ONLY=etth1,tetouan] [JOBS=2] [ARGS="--validation --no-cache"]

One model per data set and seed forecasts 96 steps and serves all horizons. It steps through the whole recording, one
reading at a time, state carried from the first one, in the device's runtime with int8 weights; training is given no
row of the part that is scored. Errors are over every origin whose targets lie within that part. Peers are fitted once.

--validation scores the validation part and never looks at the test part: for choosing settings.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
from rich.console import Console

from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq_train import scores
from edgeseq_train.peers import PEERS, make_panel
from edgeseq_train.recipe_files import read_recipe
from tests.bench import cells, datasets, kept

HORIZON = max(cells.HORIZONS)
CACHE = Path("build/bench/cache")
WIDTH = 140
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


class Options(NamedTuple):
    """What a run is asked for."""

    data: Path
    seeds: int
    validation: bool
    cache: bool
    covariates: bool | None
    recipe: Path | None


class Result(NamedTuple):
    """What a data set gives."""

    rows: list[cells.Row]
    cells: list[cells.Row]
    quantized: list[cells.Row]


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--seeds", default=3, show_default=True, help="Of the model, where it counts; 0: peers only.")
@click.option("--only", default="", help="Parts of names of data sets, comma-separated.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Processes, one thread each.")
@click.option("--validation", is_flag=True, help="Score the validation part; leave the test part alone.")
@click.option("--cache/--no-cache", default=True, help="Keep peers' forecasts in build/bench/cache.")
@click.option(
    "--covariates/--no-covariates",
    default=None,
    help="Give the model what stands beside the targets; unsaid: in the families where it pays on validation.",
)
@click.option("--recipe", type=click.Path(path_type=Path), help="Another recipe than the default.")
@click.option("-o", "--output", default=Path("build/bench/forecast.json"), type=click.Path(path_type=Path))
def bench(only: str, jobs: int, output: Path, **options: Any) -> None:
    """Run all data sets found; exit 1 if the run is invalid."""
    asked, console, begun = Options(**options), Console(width=WIDTH), time.monotonic()
    wanted = [part.strip().lower() for part in only.split(",") if part.strip()]
    names = [n for n, _ in datasets.find(asked.data) if not wanted or any(w in n.lower() for w in wanted)]
    if not names:
        raise click.UsageError(f"{asked.data} holds no data set" + (f" called {only}" if only else ""))
    whole = Result([], [], [])
    for name, result in run_all(names, asked, jobs):
        console.print(cells.table(name, result.rows, result.cells))
        for column, part in zip(whole, result, strict=True):
            column.extend(part)
    figures = cells.figures(*whole) | {"wall_s": round(time.monotonic() - begun, 1)}
    if asked.validation:
        figures["valid"] = None  # what is known is known of the test part
    output.parent.mkdir(parents=True, exist_ok=True)
    told = {k: str(v) for k, v in asked._asdict().items() if k != "data"}
    output.write_text(json.dumps({"asked": told, **whole._asdict(), "figures": figures}, indent=1))
    console.print(figures, highlight=False)
    sys.exit(1 if figures["valid"] == 0 else 0)


def run_all(names: list[str], asked: Options, jobs: int) -> Iterator[tuple[str, Result]]:
    """Run data sets in processes of one thread each, in the order they finish."""
    os.environ |= dict.fromkeys(ONE_THREAD, "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        running = {pool.submit(run, name, asked): name for name in names}
        for done in as_completed(running):
            yield running[done], done.result()


def run(name: str, asked: Options) -> Result:
    """Fit the peers and the model's seeds on one data set and score them."""
    with hushed(lambda _: True):
        from tests.bench import model  # TensorFlow, which chats while it is imported
    d = dict(datasets.find(asked.data))[name]()
    end, train, validation = d.test, d.train, d.validation
    start = validation
    if asked.validation:
        d, start, end = datasets.cut(d, validation), train, validation
    panel = make_panel(d.targets, d.covariates, train, validation, d.season)
    origins = slice(start - 1, end - 1)
    y = scores.targets(panel.z, origins, HORIZON)
    rows, forecasts = [], {}
    for peer in PEERS:
        made, cost = kept.forecast(peer, panel, origins, HORIZON, CACHE if asked.cache else None)
        if made is None:
            rows.append({"data": name, "forecaster": peer.name, "seed": None, **cost})
            continue
        forecasts[peer.name] = made
        rows.append(cells.row(name, peer.name, None, made, y, panel, cost))
    recipe, ours = read_recipe(asked.recipe), []
    for seed in range(asked.seeds if d.counts else min(asked.seeds, 1)):
        rolled = model.forecast(
            d,
            panel,
            origins,
            HORIZON,
            msgspec.structs.replace(recipe, seed=seed),
            covariates=d.covariates_pay if asked.covariates is None else asked.covariates,
        )
        ours.append(rolled.medians["int8_weights"])
        rows.append(cells.row(name, cells.MODEL, seed, ours[-1], y, panel, rolled.cost))
        alone = rolled.medians["int8_weights alone"]
        rows.append(cells.row(name, cells.ALONE, seed, alone, y, panel, {}))
        rows.append(cells.row(name, cells.EXACT, seed, rolled.medians["float32"], y, panel, {}))
    compared = cells.cells(name, forecasts, ours, y, panel, counts=d.counts)
    return Result(rows, compared, [cells.quantization(name, rows, end)] if ours else [])


if __name__ == "__main__":
    bench()
