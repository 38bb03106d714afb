"""What the samples of the open step show: spike, out_of_range, stuck."""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import life, spike, stuck
from edgeseq.core.detect.kinds import (
    KINDS,
    OUT_OF_RANGE,
    SILENT,
    SPIKE,
    STUCK,
    Band,
    Evidence,
    Judged,
    Settings,
)
from edgeseq.core.detect.life import Moment, Verdict
from edgeseq.core.table import Table, Work
from edgeseq.core.types import F64, I64, AlertEvent, Bool

CLEAR_BELOW = 0.8
"""A sample is good from this score on down: what hovers at the threshold neither clears an alert nor opens another."""

LIMIT_MARGIN = 0.01
"""Share of the range between two limits that a value must lie within them to be good again."""

TOLD_BY_STATUS = np.isin(np.arange(len(KINDS)), (STUCK, SILENT))
"""Kinds that the status tells of where their alerts are off."""


def observe(
    table: Table, work: Work, samples: Judged, band: Band, scores: F64, settings: Settings
) -> list[AlertEvent]:  # fmt: skip
    """Judge the open step's samples; provisional until `commit`.

    scores: (C, n) how far the samples lie from the band's forecast (`score`).
    """
    value, observed = samples.value, samples.observed
    same, is_stuck = stuck.extend(table, work, value, observed, settings.learning_steps, settings.period_ns)
    bad = [_spikes(table, work, samples, band, scores, settings), is_stuck]
    if (limits := settings.limits) is not None:
        bad.append(((value < limits[:, :1]) | (value > limits[:, 1:])) & observed)
    # Nearly all samples of nearly all batches are good where nothing is open: nothing to count.
    at = life.concerned(table, work.rows, bad).nonzero()[0]
    if len(at) == 0:
        return []
    verdict = _verdict(samples, band, scores, settings, bad, same, at)
    when = Moment(samples.order[at], samples.step[at], samples.time_ns[at])

    def show(i: int, channel: int, kind: int) -> Evidence:
        return _evidence(samples, band, scores, settings.limits, int(at[i]), channel, kind)

    return life.turn(table, work.rows[at], verdict, when, settings, show)


def _spikes(
    table: Table, work: Work, samples: Judged, band: Band, scores: F64, settings: Settings
) -> Bool:  # fmt: skip
    """Tell which scores (C, n) are a spike's; what nobody is told of has no threshold either."""
    if not settings.is_on(SPIKE):
        return np.zeros(scores.shape, dtype=np.bool_)
    found: Bool = (scores > work["spike_threshold"] / settings.sensitivity) & band.live
    found &= samples.observed
    found[spike.known(table, work, samples.value, found)] = False
    return found


def _verdict(
    samples: Judged, band: Band, scores: F64, settings: Settings, found: list[Bool], same: Bool, at: I64
) -> Verdict:
    """Say of the samples of the rows at `at` what is bad and what is good."""
    observed = samples.observed[:, at].T
    bad = np.zeros((*observed.shape, len(KINDS)), dtype=np.bool_)
    judged = np.zeros_like(bad)
    for kind, where in zip((SPIKE, STUCK, OUT_OF_RANGE), found, strict=False):
        bad[..., kind] = where[:, at].T
        judged[..., kind] = observed
    judged[..., OUT_OF_RANGE] = observed
    judged[..., SPIKE] &= np.isfinite(band.lower[:, at].T)
    value, expected = samples.value[:, at], band.expected[:, at]
    counts = deviates(value, expected, settings).T
    bad[..., SPIKE] &= counts
    good = judged & ~bad
    calm = scores[:, at].T * settings.sensitivity <= CLEAR_BELOW
    good[..., SPIKE] &= calm | ~counts
    # A run that goes on is not good, though only its listed lengths are bad.
    good[..., STUCK] &= ~same[:, at].T
    good[..., OUT_OF_RANGE] &= _well_within(value, settings.limits).T
    if settings.enabled is not None:
        bad &= settings.enabled | TOLD_BY_STATUS
    return Verdict(bad, good, judged)


def deviates(observed: F64, expected: F64, settings: Settings) -> Bool:
    """Tell which deviations (C, n) are large enough and on the side that counts; all where nothing is expected."""
    counts = np.ones(observed.shape, dtype=np.bool_)
    deviation = observed - expected
    unknown = np.isnan(deviation)
    if settings.least is not None:
        absolute, share = settings.least[:, :1], settings.least[:, 1:]
        counts &= np.abs(deviation) >= np.maximum(absolute, share * np.abs(expected))
    if not settings.above:
        counts &= deviation < 0
    if not settings.below:
        counts &= deviation > 0
    return counts | unknown


def _well_within(value: F64, limits: F64 | None) -> Bool:
    """Tell which values (C, n) are good again: a little within their limits, where there are two."""
    if limits is None:
        return np.ones(value.shape, dtype=np.bool_)
    low, high = limits[:, :1], limits[:, 1:]
    margin = np.where(np.isfinite(high - low), LIMIT_MARGIN * (high - low), 0.0)
    within: Bool = (value >= low + margin) & (value <= high - margin)
    return within


def _evidence(
    samples: Judged, band: Band, scores: F64, limits: F64 | None, i: int, channel: int, kind: int
) -> Evidence:
    """Show what was seen of row i and what was expected."""
    seen = (samples.value, band.expected, band.lower, band.upper)
    observed, expected, lower, upper = (float(part[channel, i]) for part in seen)
    how_far = float(scores[channel, i]) if kind == SPIKE else float("nan")
    if kind == OUT_OF_RANGE:
        bounds = np.full(2, np.nan) if limits is None else limits[channel]
        lower, upper = np.where(np.isfinite(bounds), bounds, np.nan).tolist()
    return Evidence(observed, expected, lower, upper, float(band.is_model[i]), how_far)
