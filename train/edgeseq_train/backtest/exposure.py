"""Whether a given bundle has learned from what a backtest scores: such figures are not honest, and are said to be so.

A bundle says of how many steps its recording was, where its parts ended, and when it ended. It has learned from the
training and the validation part; of its test part only figures were taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec

from edgeseq.bundle import Manifest
from edgeseq.core.instants import format_instant, parse_instant
from edgeseq_train.backtest.plan import Plan
from edgeseq_train.parts import Recording


class _Parts(msgspec.Struct, frozen=True):
    """Where they end, in steps of the bundle's own recording."""

    validation: int


class _Learned(msgspec.Struct, frozen=True):
    """What a bundle says of its training, as far as it counts here."""

    data: str
    """Digest of its recording."""
    rows: int
    split: _Parts


def caution(manifest: Manifest, plan: Plan) -> str:
    """Say which scored steps a bundle has learned from, or that nobody can tell; empty where it has from none.

    A recording that begins with the bundle's own is known by its digest, any other by its time.
    """
    try:
        learned = msgspec.convert(manifest.training, _Learned)
    except msgspec.ValidationError:
        return _unknown("it does not say what it was trained on")
    if _begins_with(plan.recording, learned):
        return _said(0, learned.split.validation, plan, lambda step: f"step {step:,}")
    last_ns, start_ns = parse_instant(manifest.created), plan.recording.start_ns
    if last_ns is None or start_ns is None:
        return _unknown("it is another recording than the bundle's, and one of the two has no times")
    period_ns = manifest.period_ns
    first = (last_ns - start_ns) // period_ns - (learned.rows - 1)
    return _said(
        first, first + learned.split.validation, plan, lambda step: format_instant(start_ns + step * period_ns)
    )  # fmt: skip


def _begins_with(recording: Recording, learned: _Learned) -> bool:
    from edgeseq_train.produce import digest_of  # TensorFlow takes seconds to import

    known = None if recording.known is None else recording.known[: learned.rows]
    same = dataclasses.replace(recording, values=recording.values[: learned.rows], known=known)
    return digest_of(same) == learned.data


def _said(first: int, stop: int, plan: Plan, name: Callable[[int], str]) -> str:
    """Compare the steps of learning [first, stop) with the scored ones, both counted from the recording's first."""
    scored_first, scored_stop = plan.split.validation, plan.split.test
    low, high = max(first, scored_first), min(stop, scored_stop)
    if low >= high:
        return ""
    share = 100 * (high - low) / (scored_stop - scored_first)
    return (
        f"Not honest: {share:.0f} % of what is scored here ({name(low)} to {name(high - 1)}) lies in the time that the "
        "bundle was trained on. Where it has seen these readings, its figures are better than a device's would be. "
        "Take a recording that goes on after the bundle's, or leave out --bundle and let a model be trained."
    )


def _unknown(why: str) -> str:
    return f"Whether the bundle was trained on what is scored here cannot be told: {why}."
