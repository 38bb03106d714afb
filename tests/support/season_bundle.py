"""Small real bundles without TensorFlow: the network with weights set by hand, which NumPy runs.

One repeats the last season, one the last value, one the value half a season before that lead: on seasonal streams the
first errs less than the second, and the third most.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from edgeseq.bundle import GOLDEN, WEIGHTS, Channel, Signature, Variant, bundle_id, write_bundle
from edgeseq.bundle.archive import dump_arrays
from edgeseq.bundle.golden import Golden, dump_golden, golden_steps
from edgeseq.bundle.keys import SigningKey
from edgeseq.core.forecast import initial_state
from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import NetworkSpec, NetworkStepper, state_spec, weight_shapes
from edgeseq.core.types import F32
from tests.support.bundles import make_manifest

SEASON, HORIZON, RING, STEPS = 8, 4, 24, 256
Habit = Literal["season", "last", "half"]

SPEC = NetworkSpec(
    layers=(LayerSpec("gru", 2),), channels=1, horizon=HORIZON, levels=(0.05, 0.5, 0.95), ring=RING,
    seasons=(SEASON,), half_life=50.0, taps=1,
)  # fmt: skip


def make_weights(habit: Habit, spec: NetworkSpec = SPEC) -> dict[str, F32]:
    """Set the highway so that the median repeats what the habit says; all else is quiet."""
    weights = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(spec).items()}
    weights["lead_scale"][:] = 0.1
    weights["roughness"][:] = 1 / (spec.ring - 1)
    for lead in range(1, spec.horizon + 1):
        back = {"season": SEASON, "half": SEASON // 2 + lead, "last": lead}[habit] - lead
        weights["highway"][spec.ring - 1 - back, lead - 1] = float(back > 0)
    return weights


def _golden(stepper: NetworkStepper) -> Golden:
    rng = np.random.default_rng(3)
    x = (np.sin(2 * np.pi * np.arange(STEPS) / SEASON) + 0.2 * rng.standard_normal(STEPS)).astype(np.float32)
    x[rng.random(STEPS) < 0.05] = np.nan
    state = initial_state(stepper.state_spec, 1)
    quantiles, states = [], []
    for value in x:
        said, state = stepper.step(np.array([[value]], np.float32), state)
        quantiles.append(said[0])
        states.append([a[0] for a in state])
    kept = golden_steps(STEPS)
    names = [spec.name for spec in stepper.state_spec]
    of = {name: np.stack([states[i][k] for i in kept]).astype(np.float32) for k, name in enumerate(names)}
    scale = np.ones((STEPS, 1), np.float32)
    return Golden(x[:, None], np.stack(quantiles).astype(np.float32), scale, kept, of)


def write_season_bundle(
    path: Path, habit: Habit, key: SigningKey | None, *, period_s: int = 1, horizon: int = HORIZON
) -> Path:
    """Write a signed bundle of one habit."""
    spec = msgspec.structs.replace(SPEC, horizon=horizon)
    weights = make_weights(habit, spec)
    golden = _golden(NetworkStepper(spec, weights, np.float32))
    packed, network = dump_arrays(weights), msgspec.to_builtins(spec)
    names = [state.name for state in state_spec(spec)]
    signature = Signature(
        {"x": "x", **{name: name for name in names}},
        {"quantiles": "q", **{name: f"{name}-next" for name in names}},
    )
    manifest = make_manifest(
        bundle_id=bundle_id(packed, network), name=habit, period_ns=period_s * 10**9, horizon=horizon,
        levels=spec.levels, seasons=spec.seasons, channels=(Channel("value"),), state=state_spec(spec),
        signatures={"step": signature}, network=network, ring=spec.ring, golden_steps=STEPS,
        variants=(Variant("float32", "model.tflite", "", 0, ("numpy",), 1e-3, 0.5),),
    )  # fmt: skip
    files = {GOLDEN: dump_golden(golden), WEIGHTS: packed, "model.tflite": b"none"}
    write_bundle(path, manifest, files, key)
    return path
