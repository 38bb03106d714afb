"""Fill stretches that are hidden in the test part: the error of `edgeseq impute` beside the best simple method.

    make bench-impute DATA=folder        # reads folder/ett/ETTh1.csv and folder/beijing_pm25/pollution.csv

Stretches of 1, 6, 24 and 72 hours, in one channel at a time and in all at once; several seeds. The network and what
fills which gap are trained and chosen on the training and validation part (ETTh1: 8640 and 2880 hours, PM2.5: 60 and
20 %); the test part is only filled. Of ETTh1 all channels count alike; of the other recording only PM2.5, the weather
is seen beside it. All through the device's runtime with int8 weights.

A ratio is the error (MAE) over that of the simple method that is best in this very cell of the test part, which nobody
could have known before. `used` is what the command would fill with, chosen on validation.

With --forecast also: does a forecaster of PM2.5 gain from training on the filled recording?
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
from rich.console import Console

from edgeseq.core.types import F64
from edgeseq_train.impute import choosing, fitting, results
from edgeseq_train.impute.filling import NETWORK
from edgeseq_train.impute.network import numpy_passes
from edgeseq_train.impute.runtime import open_passes
from edgeseq_train.impute.settings import TrainingPlan
from edgeseq_train.impute.trials import Trials, measure

HOUR_NS = 3600 * 10**9
LENGTHS = (1, 6, 24, 72)
SCENES = {"one channel": 0.0, "all channels": 1.0}
WEATHER = ("pm2.5", "DEWP", "TEMP", "PRES", "Iws")


def main() -> None:
    """Run the command line."""
    bench()


@click.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path, exists=True), help="Folder of recordings."
)
@click.option("--seeds", default=3)
@click.option("--steps", default=TrainingPlan().steps, help="Most steps of training.")
@click.option("--cell", default="gru", help="gru, lstm or rnn.")
@click.option("--forecast", is_flag=True, help="Also train forecasters with and without filled gaps.")
@click.option("-o", "--output", default=Path("build/bench/impute.json"), type=click.Path(path_type=Path))
def bench(data: Path, seeds: int, steps: int, cell: str, output: Path, *, forecast: bool) -> None:
    """Measure on both recordings with several seeds."""
    console = Console(width=120)
    rows: list[dict[str, Any]] = []
    forecasts: list[dict[str, Any]] = []
    for name, (values, names, counted, train, validation) in _recordings(data).items():
        for seed in range(seeds):
            how = TrainingPlan(cell=cell, steps=steps, seed=seed)  # type: ignore[arg-type]  # checked by the cell's name
            fitted, seconds = _fit(values, names, train, validation, how)
            rows += _rows(name, values, fitted, counted, validation, seed)
            console.print(
                f"{name}, seed {seed}: {seconds:.0f} s, {fitted.summary}", highlight=False, soft_wrap=True
            )
            if forecast and name == "PM2.5":
                forecasts += _forecasts(values, fitted, train, seed)
    result = {"rows": rows, "forecasts": forecasts, "figures": figures(rows)}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1))
    for row in [*rows, *forecasts]:
        console.print(row, highlight=False, soft_wrap=True)
    console.print(result["figures"], highlight=False, soft_wrap=True)


def _recordings(data: Path) -> dict[str, tuple[F64, tuple[str, ...], tuple[int, ...], int, int]]:
    """Read values (T, S), names, the channels that count, and the ends of training and validation part."""
    ett = pl.read_csv(data / "ett" / "ETTh1.csv").drop("date")[:14400]
    air = pl.read_csv(data / "beijing_pm25" / "pollution.csv", null_values=["NA"], infer_schema_length=None)
    pm = air.select(WEATHER).cast(pl.Float64).to_numpy()
    return {
        "ETTh1": (ett.to_numpy().astype(float), tuple(ett.columns), tuple(range(7)), 8640, 11520),
        "PM2.5": (pm, WEATHER, (0,), round(0.6 * len(pm)), round(0.8 * len(pm))),
    }


def _fit(
    values: F64, names: tuple[str, ...], train: int, validation: int, how: TrainingPlan
) -> tuple[fitting.Fitted, float]:
    """Train on what comes before the test part."""
    begun = time.monotonic()
    steps = np.arange(validation)
    roles = {"train": steps < train, "validation": steps >= train}
    fitted = fitting.fit(values[:validation], names, HOUR_NS, how, longest=max(LENGTHS), roles=roles)
    return fitted, time.monotonic() - begun


def _rows(
    name: str, values: F64, fitted: fitting.Fitted, counted: tuple[int, ...], validation: int, seed: int
) -> list[dict[str, Any]]:
    """Measure one imputer on all cells of the test part."""
    frame, allowed = fitted.imputer.frame, np.arange(len(values)) >= validation
    exact = open_passes(fitted.models["float32"], frame.spec)
    oracle = numpy_passes(frame.spec, fitted.weights)
    rows = []
    for scene, together in SCENES.items():
        for length in LENGTHS:

            def trials(passes: Any, length: int = length, together: float = together) -> Trials:
                rng = np.random.default_rng(1000 + seed)
                return measure(frame, passes, values, allowed, [(length, length)], rng, together)

            row = {"recording": name, "scene": scene, "length": length, "seed": seed}
            shipped = trials(fitted.passes)
            float32 = trials(exact).estimates.values[NETWORK]
            difference: dict[str, Any] = {"float32_network": _error(float32, shipped, counted)}
            if length == 1:  # the oracle is slow
                far = np.abs(trials(oracle).estimates.values[NETWORK] - float32)
                difference["oracle_difference"] = float(
                    (far / np.array(frame.unit)[shipped.estimates.channel]).max()
                )
            rows.append({**row, **_cell(shipped, fitted.imputer.choice, counted), **difference})
    return rows


def _error(values: F64, trials: Trials, counted: tuple[int, ...]) -> list[float]:
    """Mean absolute error of each channel that counts."""
    off = np.abs(values - trials.truth)
    return [float(np.nanmean(off[trials.estimates.channel == c])) for c in counted]


def _cell(trials: Trials, choice: choosing.Choice, counted: tuple[int, ...]) -> dict[str, Any]:
    value, lower, upper, _ = choosing.apply(choice, trials.estimates)
    mae = {m: _error(v, trials, counted) for m, v in trials.estimates.values.items()}
    used = _error(value, trials, counted)
    best = [min((errors[k], m) for m, errors in mae.items() if m != NETWORK) for k in range(len(counted))]
    which = np.isin(trials.estimates.channel, counted)
    inside = ((lower <= trials.truth) & (trials.truth <= upper))[which]
    return {
        "stretches": len(np.unique(trials.stretches[which])),
        "best_simple": sorted({m for _, m in best}),
        "network_ratio": _geomean([a / b for a, (b, _) in zip(mae[NETWORK], best, strict=True)]),
        "used_ratio": _geomean([a / b for a, (b, _) in zip(used, best, strict=True)]),
        "coverage": float(inside.mean()),
        "mae": mae,
    }


def _geomean(ratios: list[float]) -> float:
    return float(np.exp(np.mean(np.log(ratios))))


def figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Sum up: geometric means over cells and seeds, the spread of the seeds, the worst cell of the means."""
    found: dict[str, float] = {}
    for kind in ("network", "used"):
        ratio = f"{kind}_ratio"
        found[f"geomean_{ratio}"] = _geomean([r[ratio] for r in rows])
        seeds = sorted({r["seed"] for r in rows})
        found[f"spread_{ratio}"] = float(
            np.std([_geomean([r[ratio] for r in rows if r["seed"] == s]) for s in seeds])
        )
        cells: dict[tuple[str, str, int], list[float]] = {}
        for r in rows:
            cells.setdefault((r["recording"], r["scene"], r["length"]), []).append(r[ratio])
        found[f"worst_cell_{ratio}"] = max(_geomean(c) for c in cells.values())
        for (recording, scene, length), ratios in cells.items():
            found[f"{recording}_{scene.replace(' ', '_')}_{length}_{ratio}"] = _geomean(ratios)
    lost = [a / b for r in rows for a, b in zip(r["mae"][NETWORK], r["float32_network"], strict=True)]
    found["int8_weights_loss_percent"] = 100 * (_geomean(lost) - 1)
    found["oracle_difference"] = max(r["oracle_difference"] for r in rows if "oracle_difference" in r)
    found["coverage_min"] = min(r["coverage"] for r in rows)
    found["coverage_mean"] = float(np.mean([r["coverage"] for r in rows]))
    return found


def _forecasts(values: F64, fitted: fitting.Fitted, train: int, seed: int) -> list[dict[str, Any]]:
    """Train forecasters of PM2.5 on the training part with gaps and with filled ones; test on readings only."""
    from edgeseq_train.fit import fit
    from edgeseq_train.parts import Recording
    from edgeseq_train.produce import produce
    from edgeseq_train.recipe import Recipe

    filled = results.fill(fitted.imputer, fitted.passes, values[:train]).values
    rows = []
    for kind, first in (("with gaps", values[:train]), ("filled", filled)):
        column = np.concatenate([first, values[train:]])[:, :1, None]
        recipe = Recipe(name="pm", every="1h", horizon="24h", seed=seed)
        taken = Recording(column, ("pm2.5",), HOUR_NS)
        trained = fit(taken, 24, recipe, lambda *_: None, lambda _: None)
        manifest = produce(taken, trained, recipe, "pm", lambda _: None)[0]
        variant = manifest.variant(manifest.default_variant)
        rows.append({"training": kind, "seed": seed, "mase": variant.mase, "pinball": variant.loss})
    return rows


if __name__ == "__main__":
    main()
