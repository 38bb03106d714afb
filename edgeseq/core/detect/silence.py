"""Silence: no reading for much longer than the stream's own rhythm, and than the pauses that it is used to.

The rhythm is the 90 % quantile of the time between readings. Pauses are the longest such times of late, by the part of
the day in which they began: a stream may rest at night. One outage is no habit but of its own part of the day; what has
happened in two parts of the day may happen in all.

The false-alarm rate is that of a record (`record`): of n days the second longest pause is exceeded in the next n by
chance 2/(n + 1), whatever the distribution, by half as much again about half as often. So with a memory of four weeks a
stream alarms falsely about once in four weeks, however irregular it is; a young one has its pauses stretched for it. A
dead sensor is found within six times its rhythm or MOST_NS, whichever is longer, whatever pauses it made.
"""

from __future__ import annotations

import math

import numpy as np

from edgeseq.core.detect import course
from edgeseq.core.detect.kinds import NOTHING_EXPECTED, SILENT, Place
from edgeseq.core.detect.record import DAY_NS, MEMORY_DAYS
from edgeseq.core.detect.step import BINS, bins
from edgeseq.core.table import Column, Table
from edgeseq.core.types import F64, I64, AlertEvent, Bool

SILENT_FACTOR = 6.0
"""Deadline in typical gaps. For readings at random times (Poisson) the 90 % gap is 2.3 mean gaps, so the chance that
a healthy stream exceeds six of it is e^-13.8, one in a million gaps."""

GAP_QUANTILE = 0.9
GAP_STEP = 0.1
"""Relative step of the tracked 90 % quantile of the time between readings."""

PAUSE_MARGIN = 1.5
"""Times the longest pause of four weeks that is waited for."""
MOST_STRETCH = 4.0
"""A younger stream's is stretched by the fourth root of MEMORY_DAYS / days, as its records are; at most to so many
times its longest pause, so that a stream whose readings come on time is waited for by its rhythm alone."""

PAUSE_GROWTH = 4.0
"""Waits that a pause counts for at most: one long outage does not make a stream patient for weeks."""

MOST_NS = 3 * DAY_NS
"""Longest wait for the sake of pauses: a long weekend."""

FADE = math.log(PAUSE_MARGIN) / (MEMORY_DAYS * DAY_NS)
"""Logarithm that a pause loses each ns: in four weeks what its margin is."""

MIN_ARRIVALS = 3
"""Readings before silence is judged by a learned rhythm."""

NEVER = np.iinfo(np.int64).max
NOT_SEEN = np.iinfo(np.int64).min
_NO_ROWS = np.empty(0, dtype=np.intp)


def columns(channels: int) -> dict[str, Column]:
    """Declare the state."""
    return {
        "last_seen_ns": Column((), "int64", NOT_SEEN),
        "channel_seen_ns": Column((channels,), "int64", NOT_SEEN),
        "arrivals": Column((), "int64", 0),
        "gap_q90_ns": Column((), "float64", 0.0),
        "mean_gap_ns": Column((), "float64", 0.0),
        "pause_ns": Column((BINS,), "float32", 0.0),
        "listening_ns": Column((), "int64", NOT_SEEN),
        "deadline_ns": Column((), "int64", NEVER),
    }


def arrive(
    table: Table,
    rows: I64,
    order: I64,
    channel: I64,
    clock_ns: I64,
    now_ns: I64,
    period_ns: int,
    silent_after_ns: int,
) -> list[AlertEvent]:
    """Note that readings of different rows arrived: learn their rhythm, set deadlines, clear silence.

    A reading that would be overdue itself ends no silence: played beside newer recordings, an old one would open
    and clear it at every reading.

    Args:
        channel: (n,) channel of each reading.
        clock_ns: (n,) the clock silence is measured by (arrival, or the readings' own time).
        now_ns: (n,) how far that clock had come, at least clock_ns; the same by the wall clock.
    """
    silent = _NO_ROWS
    if table.notes:
        silent = table["alert_open"][rows, 0, SILENT].nonzero()[0]
    # Asked before the silence itself has made the stream's waits longer.
    waited_ns = _wait_ns(table, rows[silent], clock_ns[silent], period_ns, silent_after_ns)
    _learn_rhythm(table, rows, channel, clock_ns, period_ns, has_deadline=bool(silent_after_ns))
    last = np.maximum(clock_ns, table["last_seen_ns"][rows])
    arrivals = table["arrivals"][rows] + 1
    table["last_seen_ns"][rows] = last
    table["arrivals"][rows] = arrivals
    deadline = last + _wait_ns(table, rows, last, period_ns, silent_after_ns)
    if not silent_after_ns:
        deadline[arrivals < MIN_ARRIVALS] = NEVER
    table["deadline_ns"][rows] = deadline
    if len(silent) == 0:
        return []
    ending = silent[clock_ns[silent] + waited_ns >= now_ns[silent]]
    # Not before it began, which readings a little out of order would make it.
    ended_ns = np.clip(course.opened_ns(table, rows[ending], SILENT), clock_ns[ending], now_ns[ending])
    told = zip(rows[ending].tolist(), order[ending].tolist(), ended_ns.tolist(), strict=True)
    return [_silence_ends(table, *one) for one in told]


def resume(table: Table, now_ns: int, period_ns: int, silent_after_ns: int) -> None:
    """Give every stream that is waited for its whole wait from now on.

    Nothing was seen after now: it says so only where the clock has been set back, and would be believed until then.
    """
    for name in ("last_seen_ns", "channel_seen_ns"):
        table[name][:] = np.minimum(table[name], now_ns)
    rows = np.flatnonzero((table["deadline_ns"] != NEVER) & ~table["alert_open"][:, 0, SILENT])
    _wait_from(table, rows, now_ns, period_ns, silent_after_ns)


def rest(table: Table, rows: I64) -> None:
    """Wait for no readings of some rows."""
    table["deadline_ns"][rows] = NEVER


def wake(table: Table, now_ns: int, period_ns: int, silent_after_ns: int) -> None:
    """Wait again for the readings of all rows that have a rhythm, for their whole time from now on."""
    known = table["arrivals"] >= (1 if silent_after_ns else MIN_ARRIVALS)
    rows = np.flatnonzero(known & ~table["alert_open"][:, 0, SILENT])
    _wait_from(table, rows, now_ns, period_ns, silent_after_ns)


def _wait_from(table: Table, rows: I64, now_ns: int, period_ns: int, silent_after_ns: int) -> None:
    """Wait for rows from now on; how long nothing was heard before, with nobody listening, is no pause."""
    table["listening_ns"][:] = now_ns
    from_ns = np.full(len(rows), now_ns)
    table["deadline_ns"][rows] = from_ns + _wait_ns(table, rows, from_ns, period_ns, silent_after_ns)


def _learn_rhythm(
    table: Table, rows: I64, channel: I64, clock_ns: I64, period_ns: int, *, has_deadline: bool
) -> None:
    """Follow the time between readings of the same channel: channels that come together are no faster rhythm."""
    seen = table["channel_seen_ns"][rows, channel]
    table["channel_seen_ns"][rows, channel] = np.maximum(clock_ns, seen)
    typical, mean = table["gap_q90_ns"][rows], table["mean_gap_ns"][rows]
    first = table["arrivals"][rows] == 0
    if np.count_nonzero(first):
        typical[first] = mean[first] = float(period_ns)
    # A clock that was set back, or a late reading, says nothing of the rhythm.
    known = (seen != NOT_SEEN) & (clock_ns >= seen)
    gap = np.where(known, clock_ns - seen, 0).astype(np.float64)
    if not has_deadline:
        _learn_pauses(table, rows, seen, known, clock_ns, gap, period_ns)
    moved = typical * (1 + GAP_STEP * ((gap > typical) - (1 - GAP_QUANTILE)))
    table["gap_q90_ns"][rows] = np.where(known, np.maximum(moved, period_ns / 1000), typical)
    # One outage counts as four typical gaps at most, so that it does not change the rhythm for long.
    nearer = 0.05 * (np.minimum(gap, 4 * np.maximum(mean, 1.0)) - mean)
    table["mean_gap_ns"][rows] = mean + np.where(known, nearer, 0.0)


def _learn_pauses(
    table: Table, rows: I64, seen: I64, known: Bool, clock_ns: I64, gap: F64, period_ns: int
) -> None:  # fmt: skip
    """Let the pauses fade, and learn gaps (n,) since readings were seen that are longer, where they are known."""
    last = table["last_seen_ns"][rows]
    passed = np.where(last == NOT_SEEN, 0, np.maximum(clock_ns, last) - last)
    pauses = table["pause_ns"][rows] * np.exp(-FADE * passed)[:, None].astype(np.float32)
    table["pause_ns"][rows] = pauses
    began = bins(seen)
    longer = known & (seen >= table["listening_ns"][rows])
    longer &= gap > pauses[np.arange(len(rows)), began]
    at = longer.nonzero()[0]
    # Nearly every gap is longer than the one before, which has faded; none so short is more than it counts for.
    far = at[gap[at] > PAUSE_GROWTH * shortest_wait_ns(period_ns, 0)]
    if len(far):
        gap = gap.copy()
        gap[far] = np.minimum(gap[far], PAUSE_GROWTH * _wait_ns(table, rows[far], seen[far], period_ns, 0))
    if len(at):
        table["pause_ns"][rows[at], began[at]] = gap[at]


def _wait_ns(table: Table, rows: I64, from_ns: I64, period_ns: int, silent_after_ns: int) -> I64:
    """Say how long after times (n,) the next reading is overdue."""
    if silent_after_ns or len(rows) == 0:
        return np.full(len(rows), silent_after_ns, dtype=np.int64)
    typical: F64 = np.maximum(table["gap_q90_ns"][rows], float(period_ns))
    wait: F64 = SILENT_FACTOR * typical
    # Most streams make no pauses, and need no more than this.
    at = (MOST_STRETCH * table["pause_ns"][rows].max(axis=1) > wait).nonzero()[0]
    if len(at):
        wait[at] = np.maximum(wait[at], _paused_ns(table, rows[at], from_ns[at]))
    return wait.astype(np.int64)


def _paused_ns(table: Table, rows: I64, from_ns: I64) -> F64:
    """Say how long after times (n,) no reading may come for the sake of the stream's pauses."""
    pauses = table["pause_ns"][rows].astype(np.float64)
    here = pauses[np.arange(len(rows)), bins(from_ns)]
    pause = np.maximum(here, np.partition(pauses, -2, axis=1)[:, -2])
    days = np.maximum(table["arrivals"][rows] * table["mean_gap_ns"][rows] / DAY_NS, 1e-3)
    young = np.sqrt(np.sqrt(np.maximum(MEMORY_DAYS / days, 1.0)))
    paused: F64 = np.minimum(np.minimum(PAUSE_MARGIN * young, MOST_STRETCH) * pause, float(MOST_NS))
    return paused


def _silence_ends(table: Table, row: int, order: int, time_ns: int) -> AlertEvent:
    return course.clear(table, Place(row, 0, SILENT), course.Sample(order, 0, time_ns, NOTHING_EXPECTED))


def shortest_wait_ns(period_ns: int, silent_after_ns: int) -> int:
    """Bound from below the time between a reading and the deadline it sets."""
    return silent_after_ns or int(SILENT_FACTOR * period_ns)


def next_deadline_ns(table: Table) -> int:
    """Tell when the next stream of the table falls silent; NEVER where none can."""
    waiting = ~table["alert_open"][:, 0, SILENT]
    return int(np.min(table["deadline_ns"], where=waiting, initial=NEVER)) if table.rows else NEVER


def sweep(table: Table, order: int, clock_ns: int, period_ns: int) -> list[AlertEvent]:
    """Open `silent` for streams whose deadline has passed; told with the deadline's time, whenever it is noticed."""
    late = (table["deadline_ns"] < clock_ns) & ~table["alert_open"][:, 0, SILENT]
    events = []
    for row in late.nonzero()[0].tolist():
        deadline = int(table["deadline_ns"][row])
        step = (deadline - int(table["phase_ns"][row])) // period_ns
        sample = course.Sample(order, step, deadline, NOTHING_EXPECTED)
        events.append(course.open_alert(table, Place(row, 0, SILENT), sample))
    return events
