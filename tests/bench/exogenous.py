"""What inputs beside the past are worth: weather of the past, weather known for the future, the calendar.

    make bench-exogenous DATA=folder [SEEDS=3] [ONLY=taxi]

Each recording is read, trained and bundled as `edgeseq train` does it, with and without each kind of input; nothing
else differs. Errors are those of the test part (the last fifth), one reading at a time in the device's runtime with
int8 weights. MASE is the mean over targets of MAE / training mean of |x_t - x_{t-day}|.

Weather that is known for the future is the weather measured later: no forecast is so good, so its figures are an upper
bound of what a weather forecast brings. Recordings of power and air are hourly, of taxis half-hourly; the horizon is a
day.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq.core.types import Aggregate
from edgeseq_train import exogenous, recording
from edgeseq_train.parts import Recording
from edgeseq_train.recipe import CalendarRecipe, Recipe, TrainingRecipe

MODEL = "model int8_weights"
STEPS = 300
NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Subject:
    """A recording, and the inputs that are tried on it."""

    name: str
    file: str
    every: str
    period_s: int
    aggregate: Aggregate
    time_zone: str
    """Of the recording's clock."""
    targets: tuple[str, ...]
    weather: tuple[str, ...]
    holidays: str
    """Of the calendar; empty: none is tried."""

    @property
    def horizon(self) -> int:
        """Steps of a day."""
        return 86_400 // self.period_s


SUBJECTS = (
    Subject(
        "air", "beijing_pm25/pollution.csv", "1h", 3600, "last", "Asia/Shanghai", ("pm2.5",),
        ("DEWP", "TEMP", "PRES", "Iws", "Is", "Ir"), "",
    ),
    # Its clock is never set, though Morocco's was that year.
    Subject(
        "power", "tetouan/tetouan_power.csv", "1h", 3600, "mean", "+00:00", ("Zone1", "Zone2", "Zone3"),
        ("Temperature", "Humidity", "Wind Speed", "general diffuse flows", "diffuse flows"), "MA",
    ),
    Subject(
        "taxi", "nab/realKnownCause/nyc_taxi.csv", "30m", 1800, "last", "America/New_York", ("value",), (), "US",
    ),
)  # fmt: skip


def arms(subject: Subject) -> Iterator[tuple[str, Recipe]]:
    """List what is given to the model beside the targets' past."""
    plain = Recipe(
        every=subject.every, horizon="1d", aggregate=subject.aggregate, training=TrainingRecipe(steps=STEPS)
    )
    yield NOTHING, plain
    calendar = None
    if subject.holidays:
        calendar = CalendarRecipe(time_zone=subject.time_zone, holidays=subject.holidays)
        yield "calendar", msgspec.structs.replace(plain, calendar=calendar)
    if subject.weather:
        yield "past weather", msgspec.structs.replace(plain, covariates=subject.weather)
        known = msgspec.structs.replace(plain, known=subject.weather)
        yield "known weather", known
        if calendar:
            yield "known weather and calendar", msgspec.structs.replace(known, calendar=calendar)


def read(folder: Path, subject: Subject, recipe: Recipe) -> Recording:
    """Read a recording as `edgeseq train` does, but always all of it: all inputs are tried on the same steps."""
    whole = recording.read(
        folder / subject.file, subject.period_s * 10**9, subject.aggregate, time_zone=subject.time_zone,
        columns=(*subject.targets, *subject.weather), multichannel=True,
    )  # fmt: skip
    names = (*subject.targets, *recipe.covariates, *recipe.known)
    picked = whole.values[:, :, [whole.channels.index(name) for name in names]]
    if exogenous.needs_channels(recipe):
        taken = dataclasses.replace(whole, values=picked, names=names, units=(), channels=names)
    else:
        streams = np.moveaxis(picked, 2, 1)
        taken = dataclasses.replace(whole, values=streams, names=names, units=(), channels=())
    return exogenous.arrange(taken, recipe)


def measure(taken: Recording, horizon: int, recipe: Recipe) -> dict[str, Any]:
    """Train one seed and read its row, and the peers', in the bundle's own table."""
    from edgeseq_train.fit import fit
    from edgeseq_train.produce import produce

    begun = time.process_time()
    fitted = fit(taken, horizon, recipe, lambda *_: None, lambda _: None)
    train_cpu_s = time.process_time() - begun
    manifest, _, _ = produce(taken, fitted, recipe, "bench", lambda _: None)
    mase = {row["forecaster"]: row["mase"] for row in manifest.training["table"]}
    return {
        "mase": mase[MODEL], "peers": {k: v for k, v in mase.items() if not k.startswith("model")},
        "coverage": next(r["coverage"] for r in manifest.training["table"] if r["forecaster"] == MODEL),
        "parameters": fitted.summary["parameters"], "recurrent": fitted.summary["recurrent"],
        "train_cpu_s": round(train_cpu_s, 1),
    }  # fmt: skip


def figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Mean MASE by subject, input and leads, its spread, and its ratio to that without the input, seed by seed."""
    made: dict[str, float] = {}
    for name, arm in dict.fromkeys((r["subject"], r["inputs"]) for r in rows):
        own = [r for r in rows if (r["subject"], r["inputs"]) == (name, arm)]
        without = {r["seed"]: r for r in rows if (r["subject"], r["inputs"]) == (name, NOTHING)}
        for lead in own[0]["mase"]:
            key = f"{name}_{arm.replace(' ', '_')}_{lead}"
            values = [r["mase"][lead] for r in own]
            ratios = [r["mase"][lead] / without[r["seed"]]["mase"][lead] for r in own]
            made |= {
                f"mase_{key}": float(np.mean(values)), f"mase_spread_{key}": float(np.ptp(values)),
                f"ratio_{key}": float(np.mean(ratios)), f"worst_ratio_{key}": max(ratios),
            }  # fmt: skip
    return made


def table(rows: list[dict[str, Any]]) -> Table:
    """Lay out what was found; the ratio is to the same seed without the input."""
    t = Table(title="MASE on the test part, mean over seeds (spread)", title_justify="left")
    for column in (
        "recording",
        "inputs",
        "lead 1",
        "ratio",
        "1 to a day",
        "ratio",
        "parameters",
        "training CPU s",
    ):
        t.add_column(column, justify="left" if column in ("recording", "inputs") else "right")
    f = figures(rows)
    for name, arm in dict.fromkeys((r["subject"], r["inputs"]) for r in rows):
        own = [r for r in rows if (r["subject"], r["inputs"]) == (name, arm)]
        cells = []
        for lead in own[0]["mase"]:
            key = f"{name}_{arm.replace(' ', '_')}_{lead}"
            cells += [f"{f[f'mase_{key}']:.4f} ({f[f'mase_spread_{key}']:.4f})", f"{f[f'ratio_{key}']:.3f}"]
        t.add_row(
            name, arm, *cells, str(own[0]["parameters"]), f"{np.mean([r['train_cpu_s'] for r in own]):.0f}"
        )
    return t


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--seeds", default=3, show_default=True)
@click.option("--only", default="", help="Recordings, comma-separated: air, power, taxi.")
@click.option("-o", "--output", default=Path("build/bench/exogenous.json"), type=click.Path(path_type=Path))
def bench(data: Path, seeds: int, only: str, output: Path) -> None:
    """Run all recordings with and without each kind of input."""
    console, rows = Console(width=130), []
    with hushed(lambda _: True):
        import edgeseq_train.produce  # noqa: F401  TensorFlow chats while it is imported
    for subject in SUBJECTS:
        if only and subject.name not in only.split(","):
            continue
        for arm, recipe in arms(subject):
            taken = read(data, subject, recipe)
            for seed in range(seeds):
                row = measure(taken, subject.horizon, msgspec.structs.replace(recipe, seed=seed))
                rows.append({"subject": subject.name, "inputs": arm, "seed": seed, **row})
                console.print(f"{subject.name}, {arm}, seed {seed}: {row['mase']}", highlight=False)
                output.parent.mkdir(parents=True, exist_ok=True)
                output.write_text(json.dumps({"figures": figures(rows), "rows": rows}, indent=1))
    console.print(table(rows))


if __name__ == "__main__":
    bench()
