"""The one task of all executors: (recording, recipe) → the bytes of an unsigned bundle. The recipe holds the seed."""

from __future__ import annotations

import hashlib
import logging
from typing import NamedTuple

import msgspec

from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq.bundle import pack_bundle
from edgeseq.errors import OperatorError
from edgeseq_train.fleet.executor import versions
from edgeseq_train.fleet.series import Series, recipe_for
from edgeseq_train.parts import split_rows
from edgeseq_train.recipe import Recipe


class Setting(NamedTuple):
    """What all trainings of a run share."""

    recipe: Recipe
    horizon: int
    """Steps."""
    is_per_series: bool = True


class Fault(NamedTuple):
    """Why a series cannot be trained: the others can."""

    text: str


def train(setting: Setting, series: Series) -> bytes | Fault:
    """Train one model. Pure: equal arguments give equal bytes, wherever and however often it runs."""
    recipe = own_recipe(setting, series)
    with hushed(lambda _: True):
        from edgeseq_train.produce import produce  # TensorFlow takes seconds to import
    from edgeseq_train.fit import fit
    from edgeseq_train.lengths import check_measurable

    # Each model traces functions of its own; from the third on TensorFlow warns of that, at every one.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    taken = series.recording
    try:
        check_measurable(taken, split_rows(len(taken.values), recipe.split))
        fitted = fit(taken, setting.horizon, recipe, _quiet, _quiet)
        manifest, files, _ = produce(taken, fitted, recipe, recipe.name or series.name, _quiet)
    except OperatorError as fault:
        return Fault(str(fault))
    # How long it took is no part of the model.
    training = {name: value for name, value in manifest.training.items() if name != "seconds"}
    return pack_bundle(msgspec.structs.replace(manifest, training=training), files, None, series.name)


def own_recipe(setting: Setting, series: Series) -> Recipe:
    """Give the recipe that a series is trained by."""
    return recipe_for(series, setting.recipe) if setting.is_per_series else setting.recipe


def content_key(setting: Setting, series: Series, signer: str) -> str:
    """Name a bundle by all that decides its bytes: hex of what is trained on, how, by which versions, who signs."""
    taken = series.recording
    told = [
        series.name, taken.names, taken.units, taken.channels, taken.period_ns, taken.start_ns, taken.targets,
        taken.values.shape, repr(taken.inputs), msgspec.to_builtins(own_recipe(setting, series)), setting.horizon,
        versions(), signer,
    ]  # fmt: skip
    digest = hashlib.sha256(msgspec.json.encode(told))
    digest.update(taken.values.tobytes())
    if taken.known is not None:
        digest.update(taken.known.tobytes())
    return digest.hexdigest()


def _quiet(*_: object) -> None:
    """Tell nobody how a single training of many goes."""
