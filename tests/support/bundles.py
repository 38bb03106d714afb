"""Small bundles for tests that need no running model."""

from __future__ import annotations

import numpy as np

from edgeseq.bundle import GOLDEN, WEIGHTS, Channel, Manifest, SchemaVersion, Signature, Variant, bundle_id
from edgeseq.bundle.golden import Golden, dump_golden, golden_steps
from edgeseq.core.forecast import StateSpec

NETWORK = {"kind": "dummy"}


def make_manifest(**changes: object) -> Manifest:
    """Make a valid manifest of one channel, two leads, three levels and two states."""
    names = ("mean", "h0")
    signature = Signature(
        inputs={"x": "step_x:0", **{n: f"step_{n}:0" for n in names}},
        outputs={"quantiles": "out:0", **{n: f"out_{n}:0" for n in names}},
    )
    fields = {
        "schema": SchemaVersion(1, 0),
        "bundle_id": bundle_id(b"weights", NETWORK),
        "name": "dummy",
        "version": "1",
        "created": "2026-01-01T00:00:00Z",
        "period_ns": 600 * 10**9,
        "aggregate": "last",
        "horizon": 2,
        "levels": (0.05, 0.5, 0.95),
        "seasons": (),
        "channels": (Channel("value", "°C"),),
        "known": (),
        "state": (StateSpec("mean", (1,)), StateSpec("h0", (4,))),
        "signatures": {"step": signature},
        "variants": (Variant("float32", "model.tflite", "", 0, ("litert",), 1e-4, 0.5),),
        "default_variant": "float32",
        "network": NETWORK,
        "ring": 4,
        "golden_steps": 256,
        **changes,
    }
    return Manifest(**fields)  # type: ignore[arg-type]  # tests may give wrong ones


def make_files(manifest: Manifest) -> dict[str, bytes]:
    """Make files that fit the manifest: a model that is no model, and a golden roll-out of zeros."""
    T, C, H, Q = manifest.golden_steps, len(manifest.channels), manifest.horizon, len(manifest.levels)
    kept = golden_steps(T)
    golden = Golden(
        x=np.zeros((T, C), np.float32),
        quantiles=np.zeros((T, C, H, Q), np.float32),
        scale=np.ones((T, C), np.float32),
        state_steps=kept,
        states={s.name: np.zeros((len(kept), *s.shape), np.float32) for s in manifest.state},
    )
    models = {variant.file: b"no model " + variant.name.encode() for variant in manifest.variants}
    return {GOLDEN: dump_golden(golden), WEIGHTS: b"weights", **models}
