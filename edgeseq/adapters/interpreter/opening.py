"""From a verified bundle to a Stepper: which variant on which runtime, and the proof by its golden roll-out."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeseq.adapters.interpreter.runtimes import (
    PACKAGES,
    RUNTIME_FAULTS,
    available_runtimes,
    fingerprint,
    runtime_fault,
)
from edgeseq.adapters.interpreter.steppers import GuardedStepper, TFLiteStepper
from edgeseq.bundle import WEIGHTS, Bundle, Manifest, Variant
from edgeseq.bundle.archive import load_arrays
from edgeseq.bundle.golden import golden_difference, load_golden
from edgeseq.core.forecast import Stepper, initial_state
from edgeseq.core.network import NetworkStepper, spec_from_manifest
from edgeseq.errors import BundleError, ConfigError

_EXTRAS = {"litert": "edge", "tflite": "tflite"}


def choose(bundle: Bundle, runtime: str = "auto", variant: str | None = None) -> tuple[str, Variant]:
    """Choose runtime and variant: the bundle's default first, then its others, each on the best runtime; last NumPy.

    NumPy computes the float32 weights, whatever the variants are.

    Raises:
        BundleError: unknown variant, unusable runtime, or nothing in the bundle for it.
    """
    manifest = bundle.manifest
    wished = [manifest.variant(variant)] if variant else _by_preference(manifest)
    usable = available_runtimes() if runtime == "auto" else (runtime,)
    if runtime != "auto" and (fault := _unusable(runtime)):
        raise BundleError(
            f"runtime {runtime} cannot be used here",
            where="bundles.runtime",
            found=fault,
            wanted=" or ".join(available_runtimes()),
            do=f"pip install 'edgeseq[{_EXTRAS.get(runtime, 'edge')}]', or set runtime to auto",
        )
    for candidate in wished:
        for name in usable:
            if name in candidate.runtimes and name != "numpy":
                return name, candidate
    if "numpy" in usable and WEIGHTS in bundle.files and (variant is None or variant == "float32"):
        return "numpy", next((v for v in manifest.variants if v.name == "float32"), wished[0])
    raise BundleError(
        "the bundle has no variant for this runtime",
        where=str(bundle.path),
        found="; ".join(f"{v.name} on {', '.join(v.runtimes) or 'none'}" for v in wished),
        wanted=" or ".join(usable),
        do="install a runtime that the bundle was proven on, or train it anew beside the runtime of this device",
    )


def _by_preference(manifest: Manifest) -> list[Variant]:
    return sorted(manifest.variants, key=lambda v: v.name != manifest.default_variant)


def _unusable(runtime: str) -> str | None:
    return runtime_fault(runtime) if runtime in PACKAGES else f"no runtime of the name {runtime}"


def open_stepper(bundle: Bundle, runtime: str = "auto", variant: str | None = None) -> GuardedStepper:
    """Open a verified bundle on a runtime.

    Raises:
        BundleError: nothing fits, or the runtime refuses the model.
    """
    runtime, chosen = choose(bundle, runtime, variant)
    manifest = bundle.manifest
    if runtime == "numpy":
        return GuardedStepper(_open_network(bundle), runtime, "float32")
    try:
        stepper = TFLiteStepper(manifest, runtime, bundle.files[chosen.file])
    except (*RUNTIME_FAULTS, KeyError) as fault:
        raise BundleError(
            "the runtime refuses the model",
            where=f"{bundle.path}: {chosen.file} on {fingerprint(runtime)}",
            found=f"{type(fault).__name__}: {fault}"[:200],
            wanted="the tensors of the manifest",
            do="train the bundle anew, or choose another variant or runtime",
        ) from fault
    return GuardedStepper(stepper, runtime, chosen.name)


def _open_network(bundle: Bundle) -> Stepper:
    weights: dict[str, Any] = load_arrays(bundle.files[WEIGHTS], f"{bundle.path}: {WEIGHTS}")
    try:
        stepper = NetworkStepper(spec_from_manifest(bundle.manifest.network), weights, np.float32)
        stepper.name = bundle.manifest.label
        known = np.zeros((1, 1 + stepper.horizon, stepper.known), np.float32) if stepper.known else None
        stepper.step(np.zeros((1, stepper.channels), np.float32), initial_state(stepper.state_spec, 1), known)
    except (ConfigError, ValueError, KeyError, IndexError, TypeError) as fault:
        raise BundleError(
            "the weights do not fit the network",
            where=f"{bundle.path}: {WEIGHTS}",
            found=f"{type(fault).__name__}: {fault}"[:200],
            wanted="the arrays that the manifest's network asks for",
            do="train the bundle anew, or update edgeseq",
        ) from fault
    return stepper


def verify_golden(stepper: Stepper, bundle: Bundle, variant: str) -> float:
    """Replay the golden roll-out and give the largest difference, in units of the variant's tolerance: ≤ 1 passes."""
    return golden_difference(stepper, load_golden(bundle)) / bundle.manifest.variant(variant).tolerance
