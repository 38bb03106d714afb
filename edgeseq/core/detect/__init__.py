"""Stream behaviour → named anomalies → alerts with a life cycle.

    readings of the open step ─ observe ─▶ spike, out_of_range, stuck ─┐
    steps that have closed ──── commit ──▶ detectors ──────────────────┼─▶ life ─▶ AlertEvents
    arrivals, deadlines ─────── arrive, sweep ──▶ silent ──────────────┘

- spike: a reading outside the 99.9 % band of the forecast made one step earlier.
- out_of_range: a reading outside the configured limits.
- stuck: equal readings in a run that the stream's own history hardly ever saw (`stuck`).
- silent: no reading for much longer than the stream's own rhythm (`silence`).
- all others: detectors of closed steps, listed in `detectors`.

What a reading does to the open step is provisional until the step is committed, so that several readings of one step
count once. `life` holds what opens and clears an alert, `ledger` what is kept of an open one.

A detector of closed steps
--------------------------
A file of this package with these functions, and one line in `detectors.DETECTORS`:

    columns(channels) -> dict[str, Column]
        Its state for each stream, C channels. Names begin with the detector's. At most some 40 bytes a channel:
        float32 or int32 where they do (such stand apart, `table[name][work.rows]`; what has 8 bytes is in the batch:
        `work[name]`, (…, n)).
    score(table, work, closed) -> Scores
        Called once for each closed step of n different rows, in the order of the steps, missing steps included (value
        NaN). Reads `closed` (kinds.Closed: value, observed, band and forecasts of this step, made before it), first
        scores (C, n): 1 is the threshold of an alert, NaN is not judged (learning, missing); then learns. It may also
        say what it has observed and expected (kinds.Scores), which becomes the alert's evidence.
        Rows are independent: a row's scores and state come from its own numbers only, whatever the batch, and sums
        over channels are made one after the other. No provisional copy is needed: a closed step is final. In rules
        that take late readings the state is copied and stepped again; that, snapshots and restarts need nothing.
    accept(table, work, i, channel)
        Optional: take the present of row `work.rows[i]` as the new normal. What has 8 bytes is written by `work[name]`.

Scores of all kinds have the same life (`life`): watched from 0.9 on, an alert from 1 on, good from 0.8 down; six good
steps clear it. The configuration's sensitivity, direction and smallest deviation are applied to what `score` gives,
the last two to its `observed` and `expected`. Columns that make no sense after a gap longer than the history are named
in `Detector.worthless`.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import detectors, life, stuck
from edgeseq.core.detect import silence as _silence
from edgeseq.core.detect.detectors import DETECTORS
from edgeseq.core.detect.kinds import (
    BEHAVIOUR,
    KINDS,
    LIMIT_AHEAD,
    MOST_SCORE,
    OUT_OF_RANGE,
    SILENT,
    SPIKE,
    STUCK,
    Band,
    Closed,
    Evidence,
    Judged,
    Place,
    Scores,
    Settings,
    p_value,
    score,
)
from edgeseq.core.detect.ledger import OPEN, WATCH, Entry, dump, load, of_row, set_row
from edgeseq.core.detect.life import CLEAR_AFTER, Moment, Verdict
from edgeseq.core.detect.silence import (
    NEVER,
    arrive,
    next_deadline_ns,
    rest,
    resume,
    shortest_wait_ns,
    sweep,
    wake,
)
from edgeseq.core.detect.stuck import RUN_LENGTHS
from edgeseq.core.detect.telling import SEVERITIES, correct, severity, still_open
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, I64, AlertEvent, Bool

__all__ = [
    "BEHAVIOUR",
    "CLEAR_AFTER",
    "DETECTORS",
    "KINDS",
    "LIMIT_AHEAD",
    "MOST_SCORE",
    "NEVER",
    "OPEN",
    "OUT_OF_RANGE",
    "RUN_LENGTHS",
    "SEVERITIES",
    "SILENT",
    "SPIKE",
    "STUCK",
    "WATCH",
    "Band",
    "Closed",
    "Entry",
    "Evidence",
    "Judged",
    "Place",
    "Scores",
    "Settings",
    "arrive",
    "columns",
    "commit",
    "correct",
    "dump",
    "load",
    "next_deadline_ns",
    "observe",
    "of_row",
    "p_value",
    "rest",
    "resume",
    "score",
    "set_row",
    "severity",
    "shortest_wait_ns",
    "still_open",
    "sweep",
    "wake",
    "worthless",
]


CLEAR_BELOW = 0.8
"""A sample is good from this score on down: what hovers at the threshold neither clears an alert nor opens another."""

WATCH_FROM = 0.9
"""Score from which a detector's kind is watched."""

LIMIT_MARGIN = 0.01
"""Share of the range between two limits that a value must lie within them to be good again."""

TOLD_BY_STATUS = np.isin(np.arange(len(KINDS)), (STUCK, SILENT))
"""Kinds that the status tells of where their alerts are off."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the state of all kinds."""
    parts = (life, stuck, _silence, detectors)
    return {name: column for part in parts for name, column in part.columns(channels).items()}


def worthless() -> tuple[str, ...]:
    """Name the columns that a gap longer than the history makes worthless."""
    return ("run", "run_now", "run_value", "run_value_now", *detectors.worthless())


def observe(
    table: Table, work: Work, samples: Judged, band: Band, scores: F64, settings: Settings
) -> list[AlertEvent]:  # fmt: skip
    """Judge the open step's samples; provisional until `commit`.

    scores: (C, n) how far the samples lie from the band's forecast (`score`).
    """
    value, observed = samples.value, samples.observed
    same, is_stuck = stuck.extend(table, work, value, observed, settings.learning_steps)
    # 1 itself is within the band.
    bad = [(scores > 1 / settings.sensitivity) & band.live & observed, is_stuck]
    if (limits := settings.limits) is not None:
        bad.append(((value < limits[:, :1]) | (value > limits[:, 1:])) & observed)
    # Nearly all samples of nearly all batches are good where nothing is open: nothing to count.
    concerned = _concerned(table, work.rows, bad)
    if not np.count_nonzero(concerned):
        return []
    at = concerned.nonzero()[0]
    verdict = _verdict(samples, band, scores, settings, bad, same, at)
    when = Moment(samples.order[at], samples.step[at], samples.time_ns[at])

    def show(i: int, channel: int, kind: int) -> Evidence:
        return _evidence(samples, band, scores, settings.limits, int(at[i]), channel, kind)

    return life.turn(table, work.rows[at], verdict, when, settings, show)


def _concerned(table: Table, rows: I64, bad: list[Bool]) -> Bool:
    """Tell which rows (n,) have anything watched or open, or something bad in any of the masks (C, n)."""
    concerned = np.zeros(len(rows), dtype=np.bool_)
    if table.notes:
        concerned |= np.any(table["alert_level"][rows], axis=(1, 2))
    for mask in bad:
        if np.count_nonzero(mask):
            concerned |= mask.any(axis=0)
    return concerned


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


def commit(table: Table, work: Work, step: I64, closed: Closed | None = None) -> list[AlertEvent]:
    """Make what `observe` said of the open step (n,) final, and let the detectors judge it.

    closed: may be left out where there are no detectors.
    """
    life.commit(table, work.rows, step)
    stuck.commit(table, work)
    return _judge_closed(table, work, closed) if closed is not None and detectors.DETECTORS else []


def _judge_closed(table: Table, work: Work, closed: Closed) -> list[AlertEvent]:
    """Let the detectors score a closed step, and their alerts live on."""
    said, samples = detectors.scores(table, work, closed), closed.samples
    near_from = WATCH_FROM / closed.settings.sensitivity
    concerned = _concerned(table, work.rows, [scored.score >= near_from for scored in said.values()])
    if not np.count_nonzero(concerned):
        return []
    at = concerned.nonzero()[0]

    def show(i: int, channel: int, kind: int) -> Evidence:
        return _evidence_closed(closed, said[kind], int(at[i]), channel)

    def accept(i: int, channel: int, kind: int) -> None:
        detectors.accept(table, work, int(at[i]), channel, kind)

    events = life.turn(
        table,
        work.rows[at],
        _verdict_closed(closed, said, at),
        Moment(samples.order[at], samples.step[at], samples.time_ns[at]),
        closed.settings,
        show,
        accept,
    )
    # A closed step is final at once.
    life.commit(table, work.rows[at], samples.step[at])
    return events


def _verdict_closed(closed: Closed, said: dict[int, Scores], at: I64) -> Verdict:
    """Say what is bad, unusual and good by the scores of the rows at `at`."""
    shape = (len(at), len(closed.samples.value), len(KINDS))
    bad, good, judged, near = (np.zeros(shape, dtype=np.bool_) for _ in range(4))
    for kind, scored in said.items():
        if not closed.settings.is_on(kind):
            continue
        observed = closed.samples.value if scored.observed is None else scored.observed
        expected = closed.band.expected if scored.expected is None else scored.expected
        counts = deviates(observed[:, at], expected[:, at], closed.settings)
        score_now = np.where(counts, 1.0, 0.0) * scored.score[:, at] * closed.settings.sensitivity
        judged[..., kind] = np.isfinite(score_now).T
        bad[..., kind] = (score_now >= 1.0).T
        near[..., kind] = ((score_now >= WATCH_FROM) & (score_now < 1.0)).T
        good[..., kind] = (score_now <= CLEAR_BELOW).T
    return Verdict(bad, good, judged, near)


def _evidence_closed(closed: Closed, said: Scores, i: int, channel: int) -> Evidence:
    """Show what a detector saw of row i, in its own words or the band's."""
    band = closed.band

    def shown(own: F64 | None, usual: F64) -> float:
        return float((usual if own is None else own)[channel, i])

    return Evidence(
        observed=shown(said.observed, closed.samples.value),
        expected=shown(said.expected, band.expected),
        lower=shown(said.lower, band.lower),
        upper=shown(said.upper, band.upper),
        is_model=float(band.is_model[i]),
        score=float(said.score[channel, i]),
        channels=0.0 if said.channels is None else float(said.channels[channel, i]),
    )
