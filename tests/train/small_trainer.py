"""A trainer of a tiny network on a short series, ready in a second: for what training does, not for what it reaches."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import NetworkSpec, weight_shapes
from edgeseq.core.types import F32
from edgeseq_train import prepare
from edgeseq_train.initial import initial_weights
from edgeseq_train.loop import Trainer
from edgeseq_train.recipe import TrainingRecipe
from tests.train.conftest import make_series

STEPS, TRAIN = 260, 160
HORIZON = 4
LEVELS = (0.1, 0.5, 0.9)


def make_spec(*layers: LayerSpec, **options: Any) -> NetworkSpec:
    """Make a small network; a GRU where nothing is said."""
    return NetworkSpec(
        layers=layers or (LayerSpec("gru", 6),), channels=1, horizon=HORIZON, levels=LEVELS, ring=12, seasons=(6,),
        half_life=50.0, taps=2, **options,
    )  # fmt: skip


def make_weights(spec: NetworkSpec, seed: int = 0) -> dict[str, F32]:
    """Draw fresh weights; the head has a say from the first step on."""
    rng = np.random.default_rng(seed)
    weights = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(spec).items()}
    weights |= initial_weights(spec, rng)
    for name in ("taps", "highway", "head.kernel", "decoder.say_kernel"):
        if name in weights:
            weights[name] = (0.2 * rng.standard_normal(weights[name].shape)).astype(np.float32)
    weights["roughness"] = np.full((spec.ring - 1, 2), 1 / spec.ring, np.float32)
    weights["lead_scale"] = np.ones(spec.horizon, np.float32)
    return weights


def make_trainer(spec: NetworkSpec | None = None, *, seed: int = 0, **options: Any) -> Trainer:
    """Prepare two streams; the options are the recipe's [training]."""
    spec = spec or make_spec()
    x = ((make_series(STEPS, 2, seed=3) - 20) / 3)[:, :, None].astype(np.float32)
    rows = prepare.assemble(spec, [prepare.Piece(prepare.track(spec, x), x, np.ones((2, 1)), TRAIN, None)])
    weights = make_weights(spec)
    prepare.fill_features(rows, weights)
    plain = {"steps": 12, "validate_every": 4, "lanes": 4, "segment": 16, "dropout": 0.0, "loss_stride": 1}
    return Trainer(rows, weights, np.ones(HORIZON), TrainingRecipe(**(plain | options)), seed)
