"""A tiny classifier as a bundle: a room that is occupied where there is light. Built in seconds."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeseq.bundle import GOLDEN, WEIGHTS, Channel, Manifest, SchemaVersion, Variant, bundle_id, write_bundle
from edgeseq.bundle.archive import dump_arrays
from edgeseq.bundle.golden import Golden, dump_golden, golden_steps
from edgeseq.bundle.keys import SigningKey, load_signing_key
from edgeseq.core.forecast import initial_state
from edgeseq.core.network import NetworkSpec, NetworkStepper, state_spec
from edgeseq.core.types import F32
from tests.support.estimators import ANCHOR, CLASSIFY, ROOM, SCALE, make_weights
from tests.support.streams import PERIOD
from tests.support.tiny_bundle import ROOT, SOURCES

OWN_SOURCES = ("edgeseq/core/heads.py", "tests/support/estimators.py", "tests/support/tiny_estimator.py")
STEPS = 256
TOLERANCE = 0.05
"""Of a probability: int8 weights move these logits by less."""


def tiny_estimator_path(config: pytest.Config) -> Path:
    """Give the path of the bundle; its signing key lies beside it. Builds both if the sources have changed."""
    text = b"".join((ROOT / source).read_bytes() for source in (*SOURCES, *OWN_SOURCES))
    assert config.cache is not None, "the bundle is kept in pytest's cache"
    folder = Path(config.cache.mkdir("tiny-estimator"))
    path = folder / f"{hashlib.sha256(text).hexdigest()[:16]}.edgeseq"
    if not path.exists():
        command = [
            sys.executable,
            "-m",
            "tests.support.tiny_estimator",
            str(path),
            str(folder / "signing.key"),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
    return path


def make_golden(spec: NetworkSpec, weights: dict[str, F32]) -> Golden:
    """Roll the network out on NumPy in float64, over noise with gaps."""
    rng = np.random.default_rng(3)
    x = rng.normal(0, 1.5, (STEPS, spec.channels)).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = np.nan
    stepper = NetworkStepper(spec, weights, np.float64)
    state, told, states = initial_state(stepper.state_spec, 1), [], []
    kept = golden_steps(STEPS)
    for t, row in enumerate(x):
        said, state = stepper.step(row[None], state)
        told.append(said[0])
        if t in kept:
            states.append(state)
    named = {s.name: np.stack([a[k][0] for a in states]) for k, s in enumerate(stepper.state_spec)}
    return Golden(
        x, np.stack(told).astype(np.float32), np.ones((STEPS, 1), np.float32), kept,
        {name: a.astype(np.float32) for name, a in named.items()},
    )  # fmt: skip


def build(path: Path, key: SigningKey, spec: NetworkSpec = CLASSIFY) -> None:
    """Write the bundle, with the reference and the usual variant."""
    from edgeseq_train import export  # TensorFlow: only where it is built

    weights = make_weights(spec)
    network = msgspec.to_builtins(spec)
    weights_npz = dump_arrays(weights)
    with tempfile.TemporaryDirectory() as folder:
        export.save(spec, weights, folder)
        exact = export.float32(folder)
    models = {"float32": exact, "int8_weights": export.int8_weights(exact)}
    channels = zip(("co2", "light"), (None, None), ANCHOR.tolist(), SCALE.tolist(), strict=True)
    manifest = Manifest(
        schema=SchemaVersion(), bundle_id=bundle_id(weights_npz, network), name="room", version="1",
        created="2026-01-01T00:00:00Z", period_ns=PERIOD, aggregate="last", horizon=1, levels=spec.levels, seasons=(),
        channels=tuple(Channel(*named) for named in channels),
        known=(), state=state_spec(spec), signatures=export.signatures(exact, spec),
        variants=tuple(Variant(n, f"{n}.tflite", "", 0, ("litert", "tflite"), TOLERANCE, 0.5) for n in models),
        default_variant="int8_weights", network=network, ring=spec.ring, golden_steps=STEPS, target=ROOM,
    )  # fmt: skip
    files = {f"{name}.tflite": model for name, model in models.items()}
    golden = dump_golden(make_golden(spec, weights))
    write_bundle(path, manifest, {**files, WEIGHTS: weights_npz, GOLDEN: golden}, key)


if __name__ == "__main__":
    build(Path(sys.argv[1]), load_signing_key(Path(sys.argv[2])))
