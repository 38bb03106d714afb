"""From what was asked for to a plan, peers and models."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from edgeseq.bundle import Bundle, Manifest, TrustedKeys, read_bundle
from edgeseq.bundle.keys import default_key_path, load_signing_key
from edgeseq.core.durations import format_duration
from edgeseq.errors import ConfigError
from edgeseq_train import exogenous
from edgeseq_train.backtest.models import Model, Progress
from edgeseq_train.backtest.plan import Plan, make_plan
from edgeseq_train.fit import fit
from edgeseq_train.parts import Recording, split_rows
from edgeseq_train.peers import NETWORKS, PEERS, Peer
from edgeseq_train.recipe import Recipe, SplitRecipe


def open_bundle(path: Path, trusted: Path | None) -> Bundle:
    """Read a bundle that a trusted key has signed (by default one's own) or that nobody has.

    Raises:
        BundleError: as `read_bundle`.
    """
    if trusted is not None:
        return read_bundle(path, TrustedKeys.from_dir(trusted), allow_unsigned=True)
    own = default_key_path()
    keys = TrustedKeys.of(load_signing_key(own, create=False).public_key()) if own.exists() else TrustedKeys()
    return read_bundle(path, keys, allow_unsigned=True)


def recipe_of(manifest: Manifest) -> Recipe:
    """Give the recipe that a bundle was made by; by it a recording is read and cut as for training."""
    try:
        recipe = msgspec.convert(manifest.training.get("recipe", {}), Recipe)
    except msgspec.ValidationError:  # of another version
        recipe = Recipe(multichannel=len(manifest.channels) - manifest.covariates > 1)
    return msgspec.structs.replace(
        recipe, aggregate=manifest.aggregate, levels=manifest.levels, name=manifest.name,
        every=format_duration(manifest.period_ns), horizon=format_duration(manifest.horizon * manifest.period_ns),
    )  # fmt: skip


def lay_out(taken: Recording, recipe: Recipe, horizon: int) -> tuple[Plan, Recipe]:
    """Make the plan for a recording as it was read; the recipe that is given back cuts it into the same parts.

    As many empty steps as the horizon has are added: the calendar of what comes after the last reading is known.
    """
    split = split_rows(len(taken.values), recipe.split)
    parts = SplitRecipe(
        train=split.train, validation=split.validation - split.train, test=split.test - split.validation
    )
    recipe = msgspec.structs.replace(recipe, split=parts)
    beyond = np.full((horizon, *taken.values.shape[1:]), np.nan)
    longer = dataclasses.replace(taken, values=np.concatenate([taken.values, beyond]))
    return make_plan(exogenous.arrange(longer, recipe), split, horizon, recipe.levels), recipe


def ready(bundle: Bundle) -> Callable[[Progress], Model]:
    """Take the model of a bundle, which needs no making."""
    return lambda _: Model(bundle.manifest, bundle.files, is_given=True)


def makers(plan: Plan, recipe: Recipe, seeds: int) -> list[Callable[[Progress], Model]]:
    """Make a function for each seed that trains a model when it is called."""
    return [partial(_trained, plan, recipe, recipe.seed + k) for k in range(seeds)]


def _trained(plan: Plan, recipe: Recipe, seed: int, progress: Progress) -> Model:
    from edgeseq_train.produce import produce  # TensorFlow takes seconds to import

    recipe = msgspec.structs.replace(recipe, seed=seed)

    def training(step: int, steps: int, *_: float) -> None:
        progress(f"training, seed {seed}", step / steps)

    begun = time.process_time()
    fitted = fit(plan.recording, plan.horizon, recipe, training, lambda _: None)
    train_cpu_s = time.process_time() - begun
    manifest, files, _ = produce(plan.recording, fitted, recipe, recipe.name or "model", lambda _: None)
    return Model(manifest, files, train_cpu_s, seed)


def chosen_peers(asked: str | None, *, quick: bool) -> Sequence[Peer]:
    """Choose peers by the beginnings of their names, with commas between; None: all, or the quick ones.

    Raises:
        ConfigError: no peer is called so.

    >>> [peer.name for peer in chosen_peers("persistence, ridge", quick=False)]
    ['persistence', 'ridge 96', 'ridge 336', 'ridge two seasons']
    """
    if asked is None:
        return [peer for peer in PEERS if not (quick and peer.name in NETWORKS)]
    wanted = [name.strip().lower() for name in asked.split(",") if name.strip()]
    for name in wanted:
        if not any(peer.name.lower().startswith(name) for peer in PEERS):
            raise ConfigError(
                "no peer is called so",
                where="--peers",
                found=name,
                wanted=", ".join(peer.name for peer in PEERS),
            )
    return [peer for peer in PEERS if any(peer.name.lower().startswith(name) for name in wanted)]
