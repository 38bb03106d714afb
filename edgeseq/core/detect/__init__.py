"""Stream behaviour → named anomalies → alerts with a life cycle.

    readings of the open step ─ observe ─▶ spike, out_of_range, stuck ─┐
    steps that have closed ──── commit ──▶ detectors ──────────────────┼─▶ life ─▶ AlertEvents
    arrivals, deadlines ─────── arrive, sweep ──▶ silent ──────────────┘

- spike: a reading far outside the 99.9 % band of the forecast made one step earlier, where the stream has not been.
- out_of_range: a reading outside the configured limits.
- stuck: equal readings in a run that the stream's own history hardly ever saw (`stuck`).
- silent: no reading for much longer than the stream's own rhythm (`silence`).
- all others: detectors of closed steps, listed in `detectors`.

What a reading does to the open step is provisional until the step is committed, so that several readings of one step
count once. `samples` and `closed` say what is bad and what is good; `life` and `course` what becomes of it; `ledger`
keeps what is watched or open, so that a kind costs a calm stream 4 bytes a channel and the state of its detector;
`telling` makes the events.

A detector of closed steps
--------------------------
A file of this package with these functions, and one line in `detectors.DETECTORS`:

    columns(channels) -> dict[str, Column]
        Its state for each stream, C channels. Names begin with the detector's. At most some 40 bytes a channel:
        float32 or int32 where they do (such stand apart, `table[name][work.rows]`; what has 8 bytes is in the batch:
        `work[name]`, (…, n)).
    score(table, work, step) -> Scores
        Called once for each closed step of n different rows, in the order of the steps, missing steps included (value
        NaN). Reads `step` (step.Step: value, observed, band and forecasts of this step, made before it; and what
        detectors share), first scores (C, n): 1 is the threshold of an alert, NaN is not judged (learning, missing);
        then learns. It may also say what it has observed and expected (kinds.Scores), which becomes the alert's
        evidence.
        Rows are independent: a row's scores and state come from its own numbers only, whatever the batch, and sums
        over channels are made one after the other. No provisional copy is needed: a closed step is final. In rules
        that take late readings the state is copied and stepped again; that, snapshots and restarts need nothing.
    measure(table, work, step)
        Optional, for a statistic that has its threshold from a record of the stream's own (`record.RECORDS`): writes it
        to `step.found`, before any detector scores. All are judged at once, and `step.ratio` is what that gave.
    accept(table, work, i, channel)
        Optional: take the present of row `work.rows[i]` as the new normal. What has 8 bytes is written by `work[name]`.

Scores of all kinds have the same life (`life`): watched from 0.9 on, an alert from 1 on, good from 0.8 down; six good
steps clear it. The configuration's sensitivity, direction and smallest deviation are applied to what `score` gives,
the last two to its `observed` and `expected`. Columns that make no sense after a gap longer than the history are named
in `Detector.worthless`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edgeseq.core.detect import detectors, ledger, life, stuck
from edgeseq.core.detect import silence as _silence
from edgeseq.core.detect.closed import judge
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
from edgeseq.core.detect.ledger import OPEN, WATCH, Entry, dump, of_row, set_row
from edgeseq.core.detect.life import CLEAR_AFTER
from edgeseq.core.detect.samples import observe
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
from edgeseq.core.detect.telling import SEVERITIES, correct, rename, severity, still_open
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import I64, AlertEvent

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
    "rename",
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


def columns(channels: int, *, has_detectors: bool = True) -> dict[str, Column]:
    """Declare the state of all kinds; without detectors, that of what the status tells (stuck, silent) alone."""
    parts = (life, stuck, _silence, *((detectors,) if has_detectors else ()))
    return {name: column for part in parts for name, column in part.columns(channels).items()}


def worthless() -> tuple[str, ...]:
    """Name the columns that a gap longer than the history makes worthless; a table need not have all of them."""
    return ("run", "run_now", "run_value", "run_value_now", *detectors.worthless())


def load(table: Table, arrays: Mapping[str, NDArray[Any]], targets: int) -> None:
    """Bring alerts back from `dump`; arguments as of `ledger.load`. The columns have been filled.

    Where the detectors were not kept (alerts were off) the readings since then are no experience of theirs.
    """
    ledger.load(table, arrays, targets)
    own = detectors.columns(table.columns["run"].shape[0]).keys() & table.columns.keys()
    if own and own.isdisjoint(arrays):
        stuck.begin_anew(table)


def commit(table: Table, work: Work, step: I64, closed: Closed | None = None) -> list[AlertEvent]:
    """Make what `observe` said of the open step (n,) final, and let the detectors judge it.

    closed: may be left out where there are no detectors.
    """
    life.commit(table, work.rows, step)
    stuck.commit(table, work)
    return judge(table, work, closed) if closed is not None and detectors.DETECTORS else []
