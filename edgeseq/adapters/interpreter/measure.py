"""What a variant costs on this machine, measured once in the child that proves it; and which one to take.

Memory is what the child's peak rises by from before the model is opened until it has stepped the largest batch: the
runtime's own share included, since the first model brings it.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from edgeseq.adapters.interpreter.opening import choose
from edgeseq.adapters.interpreter.probe import cost_of
from edgeseq.adapters.interpreter.runtimes import fingerprint
from edgeseq.bundle import Bundle, Variant
from edgeseq.core.forecast import Stepper, initial_state
from edgeseq.core.payloads import VariantCost
from edgeseq.errors import BundleError

LARGEST_BATCH = 512
_ALONE, _BATCHES = 30, 5
_CACHE_FILE, _CACHE_ENTRIES = "variants.json", 16


class Budget(NamedTuple):
    """What a model may cost."""

    cpu: float
    """Share of one core."""
    latency_ms: float
    memory_bytes: int
    streams: int
    """So many step once in each period."""


class Choice(NamedTuple):
    """The variant that was taken, and what all of them cost."""

    variant: str
    costs: dict[str, VariantCost]
    is_within: bool
    """False: none is within the budget, and this one is the quickest."""


def measured_step(stepper: Stepper) -> tuple[float, float]:
    """Time a step → of a stream alone (ms, median), and of each stream among 512 (µs, the best of 5)."""

    def once(batch: int) -> float:
        x = np.zeros((batch, stepper.channels), np.float32)
        known = np.zeros((batch, 1 + stepper.horizon, stepper.known), np.float32) if stepper.known else None
        state = initial_state(stepper.state_spec, batch)
        began_s = time.perf_counter()
        stepper.step(x, state, known)
        return time.perf_counter() - began_s

    once(1), once(LARGEST_BATCH)  # what a first call prepares is paid at start
    alone_s = statistics.median(once(1) for _ in range(_ALONE))
    together_s = min(once(LARGEST_BATCH) for _ in range(_BATCHES))
    return 1e3 * alone_s, 1e6 * together_s / LARGEST_BATCH


def pick(
    variants: Mapping[str, Variant], costs: Mapping[str, VariantCost], budget: Budget, period_s: float
) -> tuple[str, bool]:
    """Pick the most accurate variant within the budget; where none is, the quickest → name, whether it is within.

    Of equal losses the quicker one.
    """

    def fits(cost: VariantCost) -> bool:
        share = 1e-6 * cost.stream_us * budget.streams / period_s
        within = cost.latency_ms <= budget.latency_ms and cost.memory_bytes <= budget.memory_bytes
        return within and share <= budget.cpu

    fitting = [name for name, cost in costs.items() if fits(cost)]
    if fitting:
        return min(fitting, key=lambda name: (variants[name].loss, costs[name].stream_us)), True
    return min(costs, key=lambda name: costs[name].stream_us), False


def choose_measured(bundle: Bundle, runtime: str, budget: Budget, cache_folder: Path | None) -> Choice | None:
    """Measure all variants that run here, once for each bundle, runtime and machine, and choose.

    Returns:
        None where there is nothing to choose: one variant, or NumPy, which knows no other.

    Raises:
        BundleError: none of them could be proven.
    """
    runtime, _ = choose(bundle, runtime)
    variants = {v.name: v for v in bundle.manifest.variants if runtime in v.runtimes}
    if runtime == "numpy" or len(variants) < 2:
        return None
    key = hashlib.sha256(f"{bundle.digest} {fingerprint(runtime)}".encode()).hexdigest()
    kept = _load(cache_folder)
    costs = kept.get(key) or _measure(bundle, runtime, variants)
    if key not in kept:
        _save(cache_folder, dict([*kept.items(), (key, costs)][-_CACHE_ENTRIES:]))
    name, is_within = pick(variants, costs, budget, bundle.manifest.period_ns / 1e9)
    return Choice(name, costs, is_within)


def _measure(bundle: Bundle, runtime: str, variants: Mapping[str, Variant]) -> dict[str, VariantCost]:
    """Measure variant after variant, each in a child; those that fail their proof are left out."""
    costs: dict[str, VariantCost] = {}
    fault = None
    for name in variants:
        try:
            costs[name] = msgspec.convert(cost_of(bundle, runtime, name), VariantCost)
        except BundleError as found:
            fault = found
    if not costs and fault:
        raise fault
    return costs


def _load(folder: Path | None) -> dict[str, dict[str, VariantCost]]:
    if folder is None:
        return {}
    try:
        return msgspec.json.decode(
            (folder / _CACHE_FILE).read_bytes(), type=dict[str, dict[str, VariantCost]]
        )
    except (OSError, msgspec.MsgspecError, ValueError):
        return {}


def _save(folder: Path | None, kept: Mapping[str, Mapping[str, VariantCost]]) -> None:
    """Write the cache at once or not at all; a disk that refuses costs the next start some seconds."""
    if folder is None:
        return
    draft = folder / f"{_CACHE_FILE}.tmp"
    try:
        draft.write_bytes(msgspec.json.encode(kept))
        draft.replace(folder / _CACHE_FILE)
    except OSError:
        with suppress(OSError):
            draft.unlink()
