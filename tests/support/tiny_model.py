"""A tiny untrained bundle: the real network with fixed random weights, converted by TensorFlow. Built in seconds.

Only the main environment can build it (it needs the train extra); all environments can run it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np

from edgeseq.adapters.interpreter.steppers import TFLiteStepper
from edgeseq.bundle import GOLDEN, WEIGHTS, Channel, Manifest, SchemaVersion, Variant, bundle_id, write_bundle
from edgeseq.bundle.archive import dump_arrays
from edgeseq.bundle.golden import Golden, dump_golden, golden_difference, golden_steps
from edgeseq.bundle.keys import SigningKey, load_signing_key
from edgeseq.core.forecast import initial_state
from edgeseq.core.known import NO_INPUTS, Covariate, KnownInputs
from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import NetworkSpec, NetworkStepper, state_spec, weight_shapes
from edgeseq.core.types import F32
from edgeseq_train import export
from tests.support.calendars import BERLIN
from tests.support.tiny_bundle import known_twin

SPEC = NetworkSpec(
    layers=(LayerSpec("gru", 8), LayerSpec("gru", 8)),
    channels=2,
    horizon=3,
    levels=(0.05, 0.25, 0.5, 0.75, 0.95),
    ring=12,
    seasons=(6,),
    half_life=50.0,
    taps=3,
)
KNOWN_SPEC = NetworkSpec(
    layers=(LayerSpec("gru", 8),), channels=2, horizon=3, levels=(0.05, 0.5, 0.95), ring=12, seasons=(6,),
    half_life=50.0, taps=3, known=15,
)  # fmt: skip
"""One target and a covariate, with the calendar and the weather known for the future too."""
KNOWN_INPUTS = KnownInputs(BERLIN, (Covariate("outdoor", 10.0, 5.0),))
GOLDEN_STEPS = 256


def make_weights(spec: NetworkSpec, seed: int = 7) -> dict[str, F32]:
    """Draw weights of a sane size for a specification."""
    rng = np.random.default_rng(seed)
    weights = {
        name: (0.3 * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in weight_shapes(spec).items()
    }
    for name in ("taps", "next", "highway"):
        weights[name] /= spec.ring
    weights["lead_scale"] = np.linspace(0.5, 1.0, spec.horizon).astype(np.float32)
    weights["roughness"] = np.stack(
        [np.linspace(0, 1, spec.ring - 1), np.full(spec.ring - 1, 1.0)], 1
    ).astype(np.float32)
    weights["roughness"] /= weights["roughness"].sum(axis=0)
    return weights


def make_series(steps: int, channels: int, seed: int = 3) -> F32:
    """Draw a noisy season with 5 % gaps, a spike and a shift: (T, C)."""
    rng = np.random.default_rng(seed)
    t = np.arange(steps)[:, None]
    x = np.sin(2 * np.pi * t / 6 + np.arange(channels)) + 0.2 * rng.standard_normal((steps, channels))
    x[steps // 3] += 25.0
    x[steps // 2 :] += 4.0
    x[rng.random(x.shape) < 0.05] = np.nan
    return x.astype(np.float32)


def make_golden(spec: NetworkSpec, weights: dict[str, F32], steps: int = GOLDEN_STEPS) -> Golden:
    """Roll the network out on NumPy in float64."""
    stepper = NetworkStepper(spec, weights, np.float64)
    x = make_series(steps, spec.channels)
    known = make_series(steps + spec.horizon, spec.known, seed=4) if spec.known else None
    known = None if known is None else np.nan_to_num(known)
    names = [s.name for s in stepper.state_spec]
    state = initial_state(stepper.state_spec, 1)
    quantiles, states = [], []
    for t, row in enumerate(x):
        now = None if known is None else known[np.newaxis, t : t + 1 + spec.horizon]
        q, state = stepper.step(row[np.newaxis], state, now)
        quantiles.append(q[0])
        states.append({name: a[0] for name, a in zip(names, state, strict=True)})
    kept = golden_steps(steps)
    scale = np.sqrt([s["variance"] for s in states])
    kept_states = {name: np.stack([states[i][name] for i in kept]).astype(np.float32) for name in names}
    return Golden(
        x, np.stack(quantiles).astype(np.float32), scale.astype(np.float32), kept, kept_states, known
    )


def measure(manifest: Manifest, models: dict[str, bytes], golden: Golden) -> Manifest:
    """Set each variant's tolerance: twice what ai-edge-litert differs here, at least the target for float32."""

    def tolerance(name: str) -> float:
        return max(1e-4, 2 * golden_difference(TFLiteStepper(manifest, "litert", models[name]), golden))

    variants = tuple(msgspec.structs.replace(v, tolerance=tolerance(v.name)) for v in manifest.variants)
    return msgspec.structs.replace(manifest, variants=variants)


def build_tiny_bundle(
    path: Path, key: SigningKey | None = None, spec: NetworkSpec = SPEC, inputs: KnownInputs = NO_INPUTS,
    *, name: str = "tiny", period_s: int = 600, weights: dict[str, F32] | None = None,
) -> None:  # fmt: skip
    """Write a bundle with all variants."""
    weights = weights or make_weights(spec)
    network = msgspec.to_builtins(spec)
    models = export.variants(spec, weights)
    golden = make_golden(spec, weights)
    weights_npz = dump_arrays(weights)
    manifest = Manifest(
        schema=SchemaVersion(),
        bundle_id=bundle_id(weights_npz, network),
        name=name,
        version="1",
        created="2026-01-01T00:00:00Z",
        period_ns=period_s * 10**9,
        aggregate="last",
        horizon=spec.horizon,
        levels=spec.levels,
        seasons=spec.seasons,
        channels=tuple(Channel(f"c{i}") for i in range(spec.channels)),
        known=inputs.names,
        state=state_spec(spec),
        signatures=export.signatures(models["float32"], spec),
        variants=tuple(
            Variant(name, f"{name}.tflite", "", 0, ("litert", "tflite"), 1.0, 0.5) for name in models
        ),
        default_variant="int8_weights",
        network=network,
        ring=spec.ring,
        golden_steps=GOLDEN_STEPS,
        inputs=inputs,
        covariates=spec.channels - 1 if inputs.names else 0,
    )
    files = {f"{name}.tflite": model for name, model in models.items()}
    manifest = measure(manifest, models, golden)
    write_bundle(path, manifest, {**files, WEIGHTS: weights_npz, GOLDEN: dump_golden(golden)}, key)


if __name__ == "__main__":
    file, signing_key = Path(sys.argv[1]), load_signing_key(Path(sys.argv[2]))
    build_tiny_bundle(known_twin(file), signing_key, KNOWN_SPEC, KNOWN_INPUTS)
    build_tiny_bundle(file, signing_key)
