"""ETTh1, forecast 24 hours ahead as the device does: the error of edgeseq beside ridge and the seasonal naive forecast.

    make bench-etth1 DATA=folder        # reads folder/ett/ETTh1.csv

Seven channels as seven streams of one model, and as one stream of seven channels; three seeds each. 8640 / 2880 / 2880
hours of training, validation and test. The default variant steps through all readings, one at a time, state carried
from the first one, in the device's runtime. MASE = mean over channels of MAE / training mean of |x_t - x_{t-24}|.

The run counts only if ridge on 96 lags and the seasonal naive forecast, computed in it, give the figures known for
this protocol within 1 %.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from edgeseq.core import features
from edgeseq.core.types import F64
from edgeseq_train import evaluate, prepare, recording, ridge
from edgeseq_train.fit import fit
from edgeseq_train.parts import Recording, split_rows
from edgeseq_train.produce import produce
from edgeseq_train.recipe import FrontRecipe, Recipe, SplitRecipe
from edgeseq_train.report import comparison

HOUR_NS = 3600 * 10**9
H, DAY = 24, 24
LAGS = np.arange(96)[::-1]
SPLIT = SplitRecipe(train=8640, validation=2880, test=2880)
KNOWN = {"ridge 96": 0.842, "seasonal naive 24": 0.937}
GOAL = 0.86


def main() -> None:
    """Run the command line."""
    bench()


@click.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path, exists=True), help="Folder with ett/ETTh1.csv."
)
@click.option("--seeds", default=3)
@click.option("-o", "--output", default=Path("build/bench/etth1.json"), type=click.Path(path_type=Path))
def bench(data: Path, seeds: int, output: Path) -> None:
    """Run both layouts with several seeds; exit 1 if the run is invalid or misses the goal."""
    console = Console(width=120)
    data = data / "ett" / "ETTh1.csv"
    if not data.exists():
        raise click.UsageError(f"{data} is not there; DATA is a folder that holds ett/ETTh1.csv")
    references = reference(recording.read(data, HOUR_NS, "last"))
    rows: list[dict[str, Any]] = []
    for layout, multichannel in (("streams", False), ("channels", True)):
        for seed in range(seeds):
            rows.append(run(data, layout, seed, multichannel=multichannel, console=console))
            console.print(rows[-1], highlight=False, soft_wrap=True)
    result = summarise(rows, references)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"rows": rows, "figures": result}, indent=1))
    console.print(result, highlight=False, soft_wrap=True)
    sys.exit(0 if result["valid"] == result["passed"] == 1 else 1)


def run(data: Path, layout: str, seed: int, *, multichannel: bool, console: Console) -> dict[str, Any]:
    """Train one model and measure its default variant."""
    begun = time.monotonic()
    recipe = Recipe(
        name="etth1", every="1h", horizon="24h", seed=seed, multichannel=multichannel, split=SPLIT,
        front=FrontRecipe(seasons=(DAY,)),
    )  # fmt: skip
    taken = recording.read(data, HOUR_NS, "last", multichannel=multichannel)
    fitted = fit(taken, H, recipe, lambda *_: None, lambda _: None)
    manifest, *_ = produce(taken, fitted, recipe, "etth1", lambda _: None)
    table = manifest.training["table"]
    console.print(comparison(table, f"{layout}, seed {seed}"))
    measured = manifest.variant(manifest.default_variant)
    exact = manifest.variant("float32")
    return {
        "layout": layout,
        "seed": seed,
        "variant": measured.name,
        "mase_1": measured.mase["1"],
        "mase_24": measured.mase["24"],
        "pinball": measured.loss,
        "float32_mase_1": exact.mase["1"],
        "float32_mase_24": exact.mase["24"],
        "parameters": fitted.summary["parameters"],
        "wall_s": round(time.monotonic() - begun, 1),
    }


def reference(taken: Recording) -> dict[str, float]:
    """Compute ridge on 96 lags and the seasonal naive forecast: MASE over leads 1 to 24."""
    split = split_rows(len(taken.values), SPLIT)
    values = taken.values[: split.test]
    x = features.normalise(values, *prepare.settle(values[: split.train], taken.names))
    wanted = evaluate.origins(split.validation, split.test, H)
    mase = np.abs(x[DAY : split.train].astype(float) - x[: split.train - DAY]).mean(axis=0)
    truth = evaluate.truth(x, wanted, H, mase, np.ones_like(mase))
    forecasts = {
        "ridge 96": evaluate.ridge_forecast(
            x, LAGS, _ridge(x[: split.validation].astype(float), split.train), wanted
        ),
        "seasonal naive 24": evaluate.seasonal_naive(x, wanted, H, DAY),
    }
    return {name: evaluate.errors(f, truth)["mase"]["24"] for name, f in forecasts.items()}


def _ridge(x: F64, train: int) -> F64:
    columns = [x[:, s, 0] for s in range(x.shape[1])]
    parts = [ridge.Part(c, c, float(c[:train].std()), train) for c in columns]
    return ridge.solve(ridge.moments(parts, LAGS, H), parts, LAGS, H, ()).weights


def summarise(rows: list[dict[str, Any]], references: dict[str, float]) -> dict[str, float]:
    """Judge: valid where the references stand where they are known to, passed where the goals are met."""
    means = {
        layout: float(np.mean([r["mase_24"] for r in rows if r["layout"] == layout]))
        for layout in ("streams", "channels")
    }
    valid = all(abs(references[name] / known - 1) <= 0.01 for name, known in KNOWN.items())
    worst = {layout: max(r["mase_24"] for r in rows if r["layout"] == layout) for layout in means}
    passed = worst["streams"] <= GOAL and max(worst.values()) < references["seasonal naive 24"]
    return {
        **{f"mase_24_{layout}": value for layout, value in means.items()},
        **{f"mase_1_{k}": float(np.mean([r["mase_1"] for r in rows if r["layout"] == k])) for k in means},
        **{name.replace(" ", "_"): value for name, value in references.items()},
        "wall_s": sum(r["wall_s"] for r in rows),
        "valid": float(valid),
        "passed": float(passed),
    }


if __name__ == "__main__":
    main()
