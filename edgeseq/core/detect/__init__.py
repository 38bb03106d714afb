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

Scores of all kinds have the same life: an alert opens at 1 and clears after 6 steps below. Columns that make no sense
after a gap longer than the history are named in `Detector.worthless`.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import detectors, life, stuck
from edgeseq.core.detect import silence as _silence
from edgeseq.core.detect.detectors import DETECTORS
from edgeseq.core.detect.kinds import (
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
    p_value,
    score,
)
from edgeseq.core.detect.ledger import Entry, dump, load, of_row, set_row
from edgeseq.core.detect.life import CLEAR_AFTER, Moment, Verdict, correct, still_open
from edgeseq.core.detect.silence import (
    NEVER,
    arrive,
    next_deadline_ns,
    resume,
    shortest_wait_ns,
    sweep,
)
from edgeseq.core.detect.stuck import RUN_LENGTHS
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, I64, AlertEvent, Bool

__all__ = [
    "CLEAR_AFTER",
    "DETECTORS",
    "KINDS",
    "LIMIT_AHEAD",
    "MOST_SCORE",
    "NEVER",
    "OUT_OF_RANGE",
    "RUN_LENGTHS",
    "SILENT",
    "SPIKE",
    "STUCK",
    "Band",
    "Closed",
    "Entry",
    "Evidence",
    "Judged",
    "Place",
    "Scores",
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
    "resume",
    "score",
    "set_row",
    "shortest_wait_ns",
    "still_open",
    "sweep",
    "worthless",
]


def columns(channels: int) -> dict[str, Column]:
    """Declare the state of all kinds."""
    parts = (life, stuck, _silence, detectors)
    return {name: column for part in parts for name, column in part.columns(channels).items()}


def worthless() -> tuple[str, ...]:
    """Name the columns that a gap longer than the history makes worthless."""
    return ("run", "run_now", "run_value", "run_value_now", *detectors.worthless())


def observe(
    table: Table, work: Work, samples: Judged, band: Band, limits: F64 | None, learning_steps: int
) -> list[AlertEvent]:  # fmt: skip
    """Judge the open step's samples; provisional until `commit`.

    limits: (C, 2) lowest and highest allowed value, infinite where not configured; None where none is.
    """
    value, observed = samples.value, samples.observed
    same, is_stuck = stuck.extend(table, work, value, observed, learning_steps)
    outside = band.live & ((value < band.lower) | (value > band.upper))
    bad = [outside & observed, is_stuck]
    if limits is not None:
        bad.append(((value < limits[:, :1]) | (value > limits[:, 1:])) & observed)
    # Nearly all samples of nearly all batches are good where nothing is open: nothing to count.
    concerned = _concerned(table, work.rows, bad)
    if not np.count_nonzero(concerned):
        return []
    return _judge(table, work, samples, band, limits, bad, same, concerned.nonzero()[0])


def _concerned(table: Table, rows: I64, bad: list[Bool]) -> Bool:
    """Tell which rows (n,) have an open alert, or something bad in any of the masks (C, n)."""
    concerned = np.zeros(len(rows), dtype=np.bool_)
    if table.notes:
        concerned |= np.any(table["alert_open"][rows], axis=(1, 2))
    for mask in bad:
        if np.count_nonzero(mask):
            concerned |= mask.any(axis=0)
    return concerned


def _judge(
    table: Table, work: Work, samples: Judged, band: Band, limits: F64 | None, found: list[Bool], same: Bool, at: I64
) -> list[AlertEvent]:  # fmt: skip
    """Turn what the samples of the rows at `at` show into the life of their alerts."""
    observed = samples.observed[:, at].T
    bad = np.zeros((*observed.shape, len(KINDS)), dtype=np.bool_)
    judged = np.zeros_like(bad)
    for kind, where in zip((SPIKE, STUCK, OUT_OF_RANGE), found, strict=False):
        bad[..., kind] = where[:, at].T
        judged[..., kind] = observed
    judged[..., OUT_OF_RANGE] = observed
    judged[..., SPIKE] &= np.isfinite(band.lower[:, at].T)
    # A run that goes on is not good, though only its listed lengths are bad.
    good = judged & ~bad
    good[..., STUCK] &= ~same[:, at].T
    when = Moment(samples.order[at], samples.step[at], samples.time_ns[at])
    return life.turn(
        table,
        work.rows[at],
        Verdict(bad, good, judged),
        when,
        lambda i, channel, kind: _evidence(samples, band, limits, int(at[i]), channel, kind),
    )


def _evidence(samples: Judged, band: Band, limits: F64 | None, i: int, channel: int, kind: int) -> Evidence:
    """Show what was seen of row i and what was expected."""
    seen = (samples.value, band.expected, band.lower, band.upper)
    observed, expected, lower, upper = (float(part[channel, i]) for part in seen)
    how_far = float("nan")
    if kind == SPIKE:
        how_far = float(score(*(np.array(part) for part in (observed, expected, lower, upper))))
    if kind == OUT_OF_RANGE:
        bounds = np.full(2, np.nan) if limits is None else limits[channel]
        lower, upper = np.where(np.isfinite(bounds), bounds, np.nan).tolist()
    return Evidence(observed, expected, lower, upper, float(band.is_model[i]), how_far)


def commit(table: Table, work: Work, closed: Closed | None = None) -> list[AlertEvent]:
    """Make what `observe` said of the open step final, and let the detectors judge it.

    closed: may be left out where there are no detectors.
    """
    life.commit(table, work.rows)
    stuck.commit(table, work)
    return _judge_closed(table, work, closed) if closed is not None and detectors.DETECTORS else []


def _judge_closed(table: Table, work: Work, closed: Closed) -> list[AlertEvent]:
    """Let the detectors score a closed step, and their alerts live on."""
    said = detectors.scores(table, work, closed)
    concerned = _concerned(table, work.rows, [scored.score >= 1.0 for scored in said.values()])
    if not np.count_nonzero(concerned):
        return []
    at = concerned.nonzero()[0]
    shape = (len(at), len(closed.samples.value), len(KINDS))
    bad, judged = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
    for kind, scored in said.items():
        bad[..., kind] = (scored.score[:, at] >= 1.0).T
        judged[..., kind] = np.isfinite(scored.score[:, at]).T
    samples = closed.samples
    when = Moment(samples.order[at], samples.step[at], samples.time_ns[at])
    events = life.turn(
        table,
        work.rows[at],
        Verdict(bad, judged & ~bad, judged),
        when,
        lambda i, channel, kind: _evidence_closed(closed, said[kind], int(at[i]), channel),
    )
    # A closed step is final at once.
    life.commit(table, work.rows[at])
    return events


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
