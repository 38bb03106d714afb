"""Training and backtests from Python: a data frame in, a bundle or a data frame out.

from edgeseq_train import api
from edgeseq_train.recipe import Recipe

bundle = api.fit(frame, Recipe(name="house", every="10m", horizon="24h"))
print(api.backtest(frame, bundle, quick=True))
api.save(bundle, Path("house.edgeseq"))
"""

from __future__ import annotations

import dataclasses
import tempfile
import warnings
from pathlib import Path
from typing import Unpack

import msgspec
import polars as pl

from edgeseq.bundle import Bundle, TrustedKeys, read_bundle, write_bundle
from edgeseq.bundle.keys import SigningKey
from edgeseq.errors import ConfigError
from edgeseq_train import backtest as backtests
from edgeseq_train import exogenous
from edgeseq_train import fit as fitting
from edgeseq_train import recording as recordings
from edgeseq_train.backtest import asked
from edgeseq_train.cli import horizon_steps, length_ns
from edgeseq_train.lengths import check_measurable
from edgeseq_train.parts import Recording, split_rows
from edgeseq_train.recipe import COUNTED, Recipe
from edgeseq_train.recipe_files import check
from edgeseq_train.recordings.options import noted
from edgeseq_train.recordings.request import Options

DEFAULT_NAME = "model"


def fit(frame: pl.DataFrame, recipe: Recipe, **reading: Unpack[Options]) -> Bundle:
    """Train a forecaster as `edgeseq train` does.

    Args:
        frame: a time column and columns of numbers, wide or long.
        recipe: `every` and `horizon` must be set.
        **reading: how the frame is read, as the fields of `recordings.request.Request` say; the recipe in the
            bundle tells it, as if its `recording` had. kind="counter" makes sum the default, as on the command line.

    Returns:
        the bundle, unsigned and in memory.

    Raises:
        InputError: the frame cannot be trained on.
        ConfigError: the recipe cannot be used.
    """
    from edgeseq_train.produce import produce  # TensorFlow takes seconds to import

    recipe = check(_noted(recipe, reading))
    if recipe.estimate or recipe.classify:
        raise ConfigError(
            "api.fit trains forecasters", where="recipe", found="estimate or classify", wanted="neither",
            do="train estimators with edgeseq train",
        )  # fmt: skip
    taken = exogenous.arrange(_read(frame, recipe, reading), recipe)
    check_measurable(taken, split_rows(len(taken.values), recipe.split))
    fitted = fitting.fit(taken, horizon_steps(recipe), recipe, lambda *_: None, lambda _: None)
    manifest, files, _ = produce(taken, fitted, recipe, recipe.name or DEFAULT_NAME, lambda _: None)
    # How long it took is no part of the model.
    training = {name: value for name, value in manifest.training.items() if name != "seconds"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle"
        digest = write_bundle(path, msgspec.structs.replace(manifest, training=training), files, None)
        bundle = read_bundle(path, TrustedKeys(), known_digest=digest)
    return dataclasses.replace(bundle, path=Path(f"{manifest.name}.edgeseq"))


def save(bundle: Bundle, path: Path, key: SigningKey | None = None) -> None:
    """Write a bundle; a key signs it, without one devices refuse it unless told otherwise.

    Raises:
        BundleError: the disk refuses.
    """
    write_bundle(path, bundle.manifest, bundle.files, key)


def backtest(
    frame: pl.DataFrame, model: Bundle | Recipe, *, peers: str | None = None, quick: bool = False, seeds: int = 1,
    **reading: Unpack[Options],
) -> pl.DataFrame:  # fmt: skip
    """Forecast the test part of a frame as a device would, beside peers, as `edgeseq backtest` does.

    Args:
        frame: as for `fit`.
        model: a bundle, or a recipe by which models are trained first.
        peers: beginnings of the names of peers, with commas between; default: all.
        quick: without the peers that are networks.
        seeds: models to train by the recipe.
        **reading: as for `fit`.

    Returns:
        a row for each forecaster and horizon h. Over leads 1 … h: mase; mae, mse of z-scores; pinball, winkler_80 and
        winkler_90 in seasonal-naive errors. At lead h: coverage_80, coverage_90. Also seeds and their mase_spread,
        wins (nobody where none surely does), and the costs: parameters, state_bytes of a stream, us_per_reading,
        peak_bytes of a device's process, train_cpu_s.

    Warns:
        UserWarning: the bundle was trained on what is scored here, or nobody can tell.

    Raises:
        InputError: the frame is too short, or cannot be used.
        ConfigError: the recipe cannot be used, or the bundle is for other data, or given with several seeds.
    """
    if isinstance(model, Bundle) and seeds != 1:
        raise ConfigError(
            "a bundle is tested as it is", where="seeds", found=str(seeds), wanted="a recipe, or 1"
        )
    bundle = model if isinstance(model, Bundle) else None
    recipe = check(_noted(model, reading)) if isinstance(model, Recipe) else asked.recipe_of(model.manifest)
    plan, recipe = asked.lay_out(_read(frame, recipe, reading), recipe, horizon_steps(recipe))
    made = asked.makers(plan, recipe, seeds) if bundle is None else [asked.ready(bundle)]
    results = backtests.backtest(plan, made, asked.chosen_peers(peers, quick=quick))
    for caution in results.cautions:
        warnings.warn(caution, stacklevel=2)
    return results.frame()


def _noted(recipe: Recipe, reading: Options) -> Recipe:
    """Let a recipe tell what keywords say of reading."""
    if reading.get("kind") == "counter" != recipe.recording.kind and recipe.aggregate == Recipe().aggregate:
        recipe = msgspec.structs.replace(recipe, aggregate=COUNTED)
    return msgspec.structs.replace(recipe, recording=noted(reading, recipe.recording))


def _read(frame: pl.DataFrame, recipe: Recipe, reading: Options) -> Recording:
    options = exogenous.reading(recipe, **reading)
    return recordings.from_frame(frame, length_ns(recipe, "every"), recipe.aggregate, **options)
