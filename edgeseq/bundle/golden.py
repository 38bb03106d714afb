"""The golden roll-out: inputs and outputs of a model from its first step on, to prove a runtime before it serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgeseq.bundle import GOLDEN, MIN_GOLDEN_STEPS, Bundle, Manifest
from edgeseq.bundle.archive import dump_arrays, load_arrays
from edgeseq.core.forecast import Stepper, initial_state
from edgeseq.core.types import F32, I64
from edgeseq.errors import BundleError

_STATE = "state."


@dataclass(frozen=True, slots=True)
class Golden:
    """One stream's roll-out of T steps from the initial state, by the reference implementation."""

    x: F32
    """(T, C); gaps are NaN and should occur."""
    quantiles: F32
    """(T, C, H, Q), of an estimator (T, 1, 1, Q or N)."""
    scale: F32
    """(T, C) running scale, of an estimator (T, 1) ones: the unit in which differences count."""
    state_steps: I64
    """(S,) ascending steps after which the state is kept, log-spaced."""
    states: Mapping[str, F32]
    """Name → (S, ...)."""
    known: F32 | None = None
    """(T + H, K) inputs that are known for the future too; None where K = 0."""


def golden_steps(steps: int, count: int = 16) -> I64:
    """Choose the steps whose states are kept: log-spaced, from the first to the last.

    >>> golden_steps(256, 5)
    array([  0,   3,  15,  63, 255])
    """
    spaced = np.round(np.geomspace(1, steps, count)).astype(np.int64) - 1
    return np.unique(spaced)


def dump_golden(golden: Golden) -> bytes:
    """Write a golden roll-out as the bundle's golden.npz."""
    fixed = {name: getattr(golden, name) for name in ("x", "quantiles", "scale", "state_steps")}
    known = {} if golden.known is None else {"known": golden.known}
    return dump_arrays({**fixed, **known, **{_STATE + name: rows for name, rows in golden.states.items()}})


def load_golden(bundle: Bundle) -> Golden:
    """Read a bundle's golden roll-out and check its shapes against the manifest.

    Raises:
        BundleError: an array is missing or has another shape or type.
    """
    where = f"{bundle.path}: {GOLDEN}"
    arrays = load_arrays(bundle.files[GOLDEN], where)
    kept = arrays.get("state_steps", np.empty(0))
    for name, (shape, dtype) in _layout(bundle.manifest, len(kept)).items():
        found = arrays.get(name)
        if found is None or found.shape != shape or found.dtype != dtype:
            raise BundleError(
                "the golden roll-out does not fit the manifest",
                where=where,
                found=f"{name}: {'nothing' if found is None else f'{found.dtype} {found.shape}'}",
                wanted=f"{name}: {dtype} {shape}",
                do="train the bundle anew",
            )
    states = {spec.name: arrays[_STATE + spec.name] for spec in bundle.manifest.state}
    golden = Golden(
        arrays["x"], arrays["quantiles"], arrays["scale"], arrays["state_steps"], states,  # type: ignore[arg-type]  # dtypes were checked above
        arrays["known"] if bundle.manifest.known else None,  # type: ignore[arg-type]
    )  # fmt: skip
    _check_values(golden, where)
    return golden


def _layout(manifest: Manifest, kept: int) -> dict[str, tuple[tuple[int, ...], str]]:
    T, C = manifest.golden_steps, len(manifest.channels)
    known = {"known": ((T + manifest.horizon, len(manifest.known)), "float32")} if manifest.known else {}
    return {
        **known,
        "x": ((T, C), "float32"),
        "quantiles": ((T, *manifest.output_shape), "float32"),
        "scale": ((T, manifest.output_shape[0]), "float32"),
        "state_steps": ((kept,), "int64"),
        **{_STATE + spec.name: ((kept, *spec.shape), "float32") for spec in manifest.state},
    }


def _check_values(golden: Golden, where: str) -> None:
    steps = golden.state_steps
    kept_well = (
        len(steps) > 0 and bool(np.all(np.diff(steps) > 0)) and steps[0] >= 0 and steps[-1] < len(golden.x)
    )
    numbers = (golden.quantiles, golden.scale, *(() if golden.known is None else (golden.known,)))
    finite = all(bool(np.isfinite(a).all()) for a in numbers)
    if not (kept_well and finite and bool((golden.scale > 0).all()) and len(golden.x) >= MIN_GOLDEN_STEPS):
        raise BundleError(
            "the golden roll-out proves nothing",
            where=where,
            found="values that are not finite, scales that are not positive, or no states",
            wanted="finite quantiles, positive scales, ascending state_steps",
            do="train the bundle anew",
        )


def golden_difference(stepper: Stepper, golden: Golden) -> float:
    """Roll the golden inputs out and give the largest difference.

    Quantiles count in running scales. A state counts in units of the largest value its array reaches, or 1 if
    that is larger (a scale of its own is unknown). The roll-out by `replay` counts as well. NaN gives infinity.
    """
    reach = [max(1.0, float(np.abs(golden.states[spec.name]).max())) for spec in stepper.state_spec]
    kept = {int(step): index for index, step in enumerate(golden.state_steps)}
    state = initial_state(stepper.state_spec, 1)
    worst = [0.0]
    known = None if golden.known is None else golden.known[np.newaxis]
    for step, x in enumerate(golden.x):
        now = None if known is None else known[:, step : step + 1 + stepper.horizon]
        quantiles, state = stepper.step(x[np.newaxis], state, now)
        worst.append(
            _largest(quantiles[0] - golden.quantiles[step], golden.scale[step][:, np.newaxis, np.newaxis])
        )
        if (index := kept.get(step)) is not None:
            wanted = [golden.states[spec.name][index] for spec in stepper.state_spec]
            worst += [_largest(a[0] - b, r) for a, b, r in zip(state, wanted, reach, strict=True)]
    quantiles, _ = stepper.replay(golden.x[np.newaxis], initial_state(stepper.state_spec, 1), known)
    worst.append(_largest(quantiles[0] - golden.quantiles[-1], golden.scale[-1][:, np.newaxis, np.newaxis]))
    return max(worst)


def _largest(difference: F32, unit: F32 | float) -> float:
    largest = float(np.max(np.abs(difference) / unit))
    return largest if np.isfinite(largest) else float("inf")
