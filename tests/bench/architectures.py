"""Every architecture and every training technique beside the default, with one budget, as the device runs them.

    make bench-architectures DATA=folder [SEEDS=3] [STEPS=200] [ONLY=attention] [JOBS=1]

Horizon 24 on ETTh1 and Tetouan (all files of both families). Each row trains the same number of optimizer steps; seeds
are averaged, with the spread beside. Errors are those of the device's path: int8 weights in litert, one reading at a
time, state carried from the first one on. Ridge (in the same graph, before training) and seasonal naive stand beside.
Training is given no row of the part that is scored. What was measured is kept in build/bench/cache by setting, recipe,
data and code, so that a run that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import runpy
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq_train import scores
from edgeseq_train.peers import make_panel
from edgeseq_train.peers.naive import seasonal_naive_peer
from edgeseq_train.recipe import Recipe
from tests.bench import datasets, kept
from tests.bench.forecast import ONE_THREAD
from tests.bench.settings import OWN_CELL, Setting, default_cell, settings

FAMILIES = ("ett", "tetouan")
HORIZON = 24
CACHE = Path("build/bench/cache")
NAIVE, RIDGE = "seasonal naive", "ridge, before training"
CODE = (
    "edgeseq/core/**/*.py",
    "train/edgeseq_train/*.py",
    "tests/bench/architectures.py",
    "tests/bench/measured.py",
)
Row = dict[str, Any]


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--seeds", default=3, show_default=True)
@click.option("--steps", default=200, show_default=True, help="Optimizer steps of every row.")
@click.option("--only", default="", help="Parts of names of settings, comma-separated.")
@click.option("--jobs", default=1, show_default=True, help="Processes, one thread each.")
@click.option(
    "-o", "--output", default=Path("build/bench/architectures.json"), type=click.Path(path_type=Path)
)
def bench(data: Path, seeds: int, steps: int, only: str, jobs: int, output: Path) -> None:
    """Run all settings on both data sets."""
    os.environ |= dict.fromkeys(ONE_THREAD, "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    runpy.run_path(OWN_CELL)
    wanted = [part.strip().lower() for part in only.split(",") if part.strip()]
    chosen = [
        s for s in settings() if not wanted or s.name == "default" or any(w in s.name.lower() for w in wanted)
    ]
    console = Console(width=140)
    present = [name for name, _ in datasets.find(data) if name.split("/")[0] in FAMILIES]
    if not present:
        raise click.UsageError(f"{data} holds none of {', '.join(FAMILIES)}")
    tasks = [(name, s, seed) for seed in range(seeds) for s in chosen for name in present]
    runs = list(run_all(data, tasks, steps, jobs, console))
    rows = [
        row(name, s, [r for d, n, _, r in runs if (d, n) == (name, s.name)])
        for name in present
        for s in chosen
    ]
    rows += [beside(data, name) for name in present]
    rows += [ridge_row(name, [r for d, n, _, r in runs if (d, n) == (name, "default")]) for name in present]
    for name in present:
        console.print(table(name, [r for r in rows if r["data"] == name]))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(
        json.dumps({"steps": steps, "seeds": seeds, "rows": rows, "figures": figures(rows)}, indent=1)
    )
    console.print(f"wrote {output}", highlight=False)


# --- running ------------------------------------------------------------------------------------------------------


def run_all(
    data: Path, tasks: Sequence[tuple[str, Setting, int]], steps: int, jobs: int, console: Console
) -> Iterator[tuple[str, str, int, Row]]:
    """Measure all tasks, or read what was measured before; the peers of a run come seed by seed."""
    code = digest_of_code()
    waiting: list[Task] = []
    for name, setting, seed in tasks:
        recipe = recipe_of(setting, seed, steps)
        path = CACHE / f"architecture-{_key(code, name, recipe)}.json"
        if path.exists():
            yield name, setting.name, seed, json.loads(path.read_text())
        else:
            waiting.append(Task(data, name, setting.name, seed, recipe, path))
    # A process for each: TensorFlow keeps what it compiled.
    with get_context("spawn").Pool(jobs, maxtasksperchild=1) as pool:
        for count, (task, found) in enumerate(pool.imap_unordered(measured, waiting), start=1):
            told = f"{count}/{len(waiting)}  {task.name}  {task.setting}  seed {task.seed}"
            console.print(f"{told}: MASE {found['mase']}", highlight=False)
            yield task.name, task.setting, task.seed, found


class Task(NamedTuple):
    """One run."""

    data: Path
    name: str
    setting: str
    seed: int
    recipe: Recipe
    path: Path
    """Where what was measured is kept."""


def recipe_of(setting: Setting, seed: int, steps: int) -> Recipe:
    """Resolve a setting: every row has the same number of steps."""
    plain = Recipe(seed=seed)
    if not default_cell(plain):
        raise click.UsageError("the default recipe has another cell than the settings think")
    training = msgspec.structs.replace(plain.training, steps=steps, patience=steps)
    return setting.change(msgspec.structs.replace(plain, training=training))


def measured(task: Task) -> tuple[Task, Row]:
    """Train and measure one recipe, and keep what was found."""
    with hushed(lambda _: True):
        from tests.bench.measured import measure  # TensorFlow, which chats while it is imported

        runpy.run_path(OWN_CELL)
        found = measure(dict(datasets.find(task.data))[task.name](), task.recipe, HORIZON)
    task.path.parent.mkdir(parents=True, exist_ok=True)
    part = task.path.with_suffix(".part")
    part.write_text(json.dumps(found))
    part.rename(task.path)
    return task, found


def digest_of_code() -> str:
    """Digest all that a measurement depends on beside its recipe."""
    root = Path(__file__).parents[2]
    texts = sorted(p for pattern in CODE for p in root.glob(pattern))
    return hashlib.sha256(b"".join(p.read_bytes() for p in texts)).hexdigest()


def _key(code: str, name: str, recipe: Recipe) -> str:
    text = f"{code} {name} {msgspec.json.encode(recipe).decode()}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]


# --- rows ---------------------------------------------------------------------------------------------------------


def row(data: str, setting: Setting, found: Sequence[Row]) -> Row:
    """Average the seeds of one setting; the spread is highest minus lowest."""
    made: Row = {"data": data, "setting": setting.name, "group": setting.group, "note": setting.note}
    for h in ("1", "24"):
        errors = [f["mase"][h] for f in found]
        made |= {
            f"mase_{h}": float(np.mean(errors)),
            f"spread_{h}": float(np.ptp(errors)),
            f"seeds_{h}": errors,
        }
    for cost in ("parameters", "model_bytes", "state_bytes"):
        made[cost] = found[0][cost]
    made["train_cpu_s"] = float(np.mean([f["train_cpu_s"] for f in found]))
    made["us_per_reading"] = float(np.median([f["us_per_reading"] for f in found]))
    made["gained"] = sum(f["recurrent"] for f in found)
    return made


def beside(data: Path, name: str) -> Row:
    """Score seasonal naive on the same origins."""
    d = dict(datasets.find(data))[name]()
    panel = make_panel(d.targets, d.covariates, d.train, d.validation, d.season)
    origins = slice(d.validation - 1, d.test - 1)
    forecast = kept.forecast(seasonal_naive_peer(), panel, origins, HORIZON, None).forecast
    assert forecast is not None
    y = scores.targets(panel.z, origins, HORIZON)
    return peer_row(
        name, NAIVE, {str(h): scores.point(forecast, y, panel.season_error, h).mase for h in (1, HORIZON)}
    )


def ridge_row(name: str, found: Sequence[Row]) -> Row:
    """Take the error of ridge as it stands in the default's graph."""
    return peer_row(name, RIDGE, found[0]["ridge_mase"])


def peer_row(data: str, name: str, mase: dict[str, float]) -> Row:
    """Make the row of a forecaster without seeds."""
    return {
        "data": data,
        "setting": name,
        "group": "peer",
        "note": "",
        "mase_1": mase["1"],
        "mase_24": mase["24"],
    }


def figures(rows: Sequence[Row]) -> Row:
    """Flatten rows into named numbers: error at 24 and its ratio to the default, and who beats seasonal naive."""
    made: Row = {}
    for r in rows:
        same = {other["setting"]: other for other in rows if other["data"] == r["data"]}
        key = f"{r['data'].split('/')[0]}_{r['setting']}".replace(" ", "_")
        made[f"{key}_mase_24"] = r["mase_24"]
        made[f"{key}_mase_1"] = r["mase_1"]
        if r["group"] != "peer":
            made[f"{key}_ratio_to_default_24"] = r["mase_24"] / same["default"]["mase_24"]
            made[f"{key}_train_ratio"] = r["train_cpu_s"] / same["default"]["train_cpu_s"]
            made[f"{key}_beats_seasonal_naive"] = float(r["mase_24"] < same[NAIVE]["mase_24"])
    return made


def table(name: str, rows: Sequence[Row]) -> Table:
    """Lay one data set out."""
    t = Table(title=name, title_justify="left")
    t.add_column("setting", no_wrap=True)
    errors = ("MASE\n1", "± seeds", "MASE\n1-24", "± seeds")
    costs = ("parameters", "int8\nkB", "state\nbytes", "µs per\nreading", "training\n× default")
    for column in (*errors, *costs):
        t.add_column(column, justify="right")
    default = next(r for r in rows if r["setting"] == "default")
    for group in ("architecture", "technique", "peer"):
        t.add_section()
        for r in (r for r in rows if r["group"] == group):
            cells = [f"{r[k]:.4f}" if k in r else "" for k in ("mase_1", "spread_1", "mase_24", "spread_24")]
            if group == "peer":
                t.add_row(r["setting"], *cells)
                continue
            t.add_row(
                r["setting"], *cells, str(r["parameters"]), f"{r['model_bytes'] / 1000:.0f}", str(r["state_bytes"]),
                f"{r['us_per_reading']:.0f}", f"{r['train_cpu_s'] / default['train_cpu_s']:.2f}",
            )  # fmt: skip
    return t


if __name__ == "__main__":
    bench()
