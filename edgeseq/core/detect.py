"""Stream behaviour → named anomalies → alerts with a life cycle.

- spike: a reading outside the 99.9 % band of the forecast made one step earlier.
- out_of_range: a reading outside the configured limits.
- stuck: equal readings in a run that the stream's own history hardly ever saw.
- silent: no reading for much longer than the stream's own rhythm.

An alert opens at the reading that shows it and clears after 6 good samples (silent: at the next fresh reading). Missing
data never clears an alert. What a reading does to the open step is provisional until the step is committed, so that
several readings of one step count once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, I64, AlertEvent, AlertKind, Bool

KINDS = (AlertKind.SPIKE, AlertKind.STUCK, AlertKind.OUT_OF_RANGE, AlertKind.SILENT)
SPIKE, STUCK, OUT_OF_RANGE, SILENT = range(4)

CLEAR_AFTER = 6
"""Good samples that clear an alert (DESIGN.md, Alerts)."""

RUN_LENGTHS = np.array([3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096])
"""Lengths of equal-value runs whose frequency is learned; 3 is the shortest that can be called stuck."""

SHORTEST_RUN = int(RUN_LENGTHS[0])

STUCK_SHARE = 1 / 336
"""A run is stuck when at most this share of the samples reached its length, nor the next shorter one: half as long
again as what the stream is used to. Two weeks of hours without such a run are the least that can say so."""

SILENT_FACTOR = 6.0
"""Deadline in typical gaps. For readings at random times (Poisson) the 90 % gap is 2.3 mean gaps, so the chance that
a healthy stream exceeds six of it is e^-13.8, one in a million gaps."""

CHANCE_RUN = 1e-4
"""Nor is a run stuck that equal values in a row explain by chance: with a share r of repeats, r^(length - 1)."""

GAP_QUANTILE = 0.9
GAP_STEP = 0.1
"""Relative step of the tracked 90 % quantile of the time between readings."""

MIN_ARRIVALS = 3
"""Readings before silence is judged by a learned rhythm."""

NEVER = np.iinfo(np.int64).max
NOT_SEEN = np.iinfo(np.int64).min

MOST_SCORE = 100.0
"""Bound of the score: what leaves a band of no width is off by any number of widths."""


@dataclass(frozen=True, slots=True)
class Band:
    """What was expected of n rows' readings, all (C, n) in sensor units; NaN where nothing was expected."""

    expected: F64
    lower: F64
    upper: F64
    live: Bool
    """Whether the band may raise alerts."""
    is_model: Bool
    """(n,) whose it is."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The samples of n different rows, to be judged."""

    order: I64
    step: I64
    time_ns: I64
    value: F64
    """(C, n) in sensor units."""
    observed: Bool
    """(C, n); what was not observed neither opens nor clears."""


class Place(NamedTuple):
    """Where an alert is kept."""

    row: int
    channel: int
    kind: int
    """Index into KINDS."""


class Evidence(NamedTuple):
    """What an alert shows, in sensor units; kept with it, so that it can be told again."""

    observed: float
    expected: float
    lower: float
    upper: float
    is_model: float
    """1 where the band was the model's, else 0."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the state; axis G is KINDS."""
    c, cg = (channels,), (channels, len(KINDS))
    return {
        "alert_open": Column(cg, "bool", init=False),
        "alert_step": Column(cg, "int64", 0, apart=True),
        "alert_ns": Column(cg, "int64", 0, apart=True),
        "alert_seq": Column((), "int64", 0, apart=True),
        "alert_opened_seq": Column(cg, "int64", 0, apart=True),
        "alert_evidence": Column((*cg, len(Evidence._fields)), init=np.nan, apart=True),
        "good": Column(cg, "int8", 0),
        "good_now": Column(cg, "int8", 0),
        "run": Column(c, "int64", 0),
        "run_now": Column(c, "int64", 0),
        "run_value": Column(c, init=np.nan),
        "run_value_now": Column(c, init=np.nan),
        "run_reached": Column((channels, len(RUN_LENGTHS)), "int32", 0),
        "run_samples": Column(c, "int64", 0),
        "run_repeats": Column(c, "int64", 0),
        "last_seen_ns": Column((), "int64", NOT_SEEN),
        "channel_seen_ns": Column(c, "int64", NOT_SEEN),
        "arrivals": Column((), "int64", 0),
        "gap_q90_ns": Column((), "float64", 0.0),
        "mean_gap_ns": Column((), "float64", 0.0),
        "deadline_ns": Column((), "int64", NEVER),
    }


# --- samples --------------------------------------------------------------------------------------------------


def score(value: F64, expected: F64, lower: F64, upper: F64) -> F64:
    """Measure how far a value lies from its forecast: 0 at the forecast, 1 at the edge of the alert band.

    >>> score(np.array([7.0, 100.0, np.nan]), np.array(10.0), np.array(8.0), np.array(11.0))
    array([ 1.5, 90. ,  nan])
    """
    half_width = np.where(value > expected, upper - expected, expected - lower)
    distance = np.abs(value - expected)
    outside = np.where(distance > 0, MOST_SCORE, distance)
    scores: F64 = np.divide(distance, half_width, out=outside, where=~(half_width == 0))
    return np.minimum(scores, MOST_SCORE)


def p_value(scores: float) -> float:
    """Turn a score into a tail probability, exponential through 0.001 at the edge of the 99.9 % band.

    >>> p_value(0.0), p_value(1.0)
    (1.0, 0.001)
    """
    return float(0.001**scores) if np.isfinite(scores) else 1.0


def observe(
    table: Table, work: Work, samples: Judged, band: Band, limits: F64 | None, learning_steps: int
) -> list[AlertEvent]:  # fmt: skip
    """Judge the open step's samples; provisional until `commit`.

    limits: (C, 2) lowest and highest allowed value, infinite where not configured; None where none is.
    """
    value, observed = samples.value, samples.observed
    same, stuck = _runs(table, work, value, observed, learning_steps)
    outside = band.live & ((value < band.lower) | (value > band.upper))
    bad = [outside & observed, stuck]
    if limits is not None:
        bad.append(((value < limits[:, :1]) | (value > limits[:, 1:])) & observed)
    # Nearly all samples of nearly all batches are good where nothing is open: nothing to count.
    is_open = table["alert_open"][work.rows]
    if not np.count_nonzero(is_open) and not any(map(np.count_nonzero, bad)):
        return []
    concerned: Bool = np.any(is_open, axis=(1, 2))
    for kind in bad:
        concerned |= kind.any(axis=0)
    return _judge(table, work, samples, band, limits, bad, same, concerned.nonzero()[0])


def _judge(
    table: Table, work: Work, samples: Judged, band: Band, limits: F64 | None, found: list[Bool], same: Bool, at: I64
) -> list[AlertEvent]:  # fmt: skip
    """Count good samples, open and clear alerts of the rows at `at`."""
    rows, observed = work.rows[at], samples.observed[:, at].T
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
    was_open = table["alert_open"][rows]
    before = table["good"][rows]
    counted = np.where(bad, 0, np.minimum(before + good, CLEAR_AFTER))
    table["good_now"][rows] = np.where(judged, counted, before)
    opening = bad & ~was_open
    clearing = was_open & good & (counted >= CLEAR_AFTER)
    clearing[..., SILENT] = False
    events = []
    for j, channel, kind in np.argwhere(opening | clearing).tolist():
        i = int(at[j])
        evidence = _evidence(samples, band, limits, i, channel, kind)
        place = Place(int(rows[j]), channel, kind)
        order, step, time_ns = int(samples.order[i]), int(samples.step[i]), int(samples.time_ns[i])
        if opening[j, channel, kind]:
            events.append(_open(table, place, order, step, time_ns, evidence))
        else:
            events.append(_clear(table, place, order, time_ns, evidence))
    return events


def _evidence(samples: Judged, band: Band, limits: F64 | None, i: int, channel: int, kind: int) -> Evidence:
    """Show what was seen of row i and what was expected."""
    seen = (samples.value, band.expected, band.lower, band.upper)
    observed, expected, lower, upper = (float(part[channel, i]) for part in seen)
    if kind == OUT_OF_RANGE:
        bounds = np.full(2, np.nan) if limits is None else limits[channel]
        lower, upper = np.where(np.isfinite(bounds), bounds, np.nan).tolist()
    return Evidence(observed, expected, lower, upper, float(band.is_model[i]))


def commit(table: Table, work: Work) -> None:
    """Make what `observe` said of the open step final."""
    is_open = table["alert_open"][work.rows]
    if np.count_nonzero(is_open) or np.count_nonzero(table["good"][work.rows]):
        good = np.where(is_open, table["good_now"][work.rows], 0)
        table["good"][work.rows] = table["good_now"][work.rows] = good
    run, now = work["run"], work["run_now"]
    value, value_now = work["run_value"], work["run_value_now"]
    advanced = now != run
    advanced |= (value_now != value) & np.isfinite(value_now)
    work["run_samples"][...] += advanced
    # Of each run the first repeat is counted: a sensor that is stuck for a day repeats by no chance.
    work["run_repeats"][...] += advanced & (now == 2)
    long = _rows_of(now >= SHORTEST_RUN)
    if len(long):
        reached = (now[:, long].T[..., None] == RUN_LENGTHS) & advanced[:, long].T[..., None]
        table["run_reached"][work.rows[long]] += reached
    run[...] = now
    value[...] = value_now


def _runs(table: Table, work: Work, value: F64, observed: Bool, learning_steps: int) -> tuple[Bool, Bool]:
    """Extend runs of equal values → (the value repeats, the run is stuck), (C, n) each."""
    same = observed & (value == work["run_value"])
    now = work["run_now"]
    now[...] = np.where(observed, np.where(same, work["run"] + 1, 1), work["run"])
    work["run_value_now"][...] = np.where(observed, value, work["run_value"])
    stuck = np.zeros_like(same)
    long = _rows_of(same & (now >= SHORTEST_RUN))
    if len(long):
        stuck[:, long] = _stuck(table, work, long, same[:, long], learning_steps) & same[:, long]
    return same, stuck


def _rows_of(mask: Bool) -> I64:
    """List the rows (n,) of which any channel is set in a mask (C, n); usually none."""
    return np.flatnonzero(mask.any(axis=0)) if np.count_nonzero(mask) else _NO_ROWS


_NO_ROWS = np.empty(0, dtype=np.int64)


def _stuck(table: Table, work: Work, at: I64, same: Bool, learning_steps: int) -> Bool:
    """Tell which runs of the rows at `at` have just reached a length that the stream hardly ever saw (C, n)."""
    run, samples = work["run_now"][:, at, None], work["run_samples"][:, at, None]
    # What this run itself has reached so far does not speak for runs being usual.
    so_far = np.where(same, work["run"][:, at], 0)[..., None]
    others = table["run_reached"][work.rows[at]].swapaxes(0, 1) - (so_far >= RUN_LENGTHS)
    rare = (others + 1) <= STUCK_SHARE * (samples + 1)
    rare[..., 1:] &= rare[..., :-1]
    # One repeat more than were seen, so that a sensor that never repeated is not certain never to.
    repeats = (work["run_repeats"][:, at, None] - (so_far >= 2) + 1) / (samples + 2)
    rare &= repeats ** (RUN_LENGTHS - 1) <= CHANCE_RUN
    stuck: Bool = ((run == RUN_LENGTHS) & rare & (samples >= learning_steps)).any(axis=-1)
    return stuck


def _open(table: Table, at: Place, order: int, step: int, time_ns: int, evidence: Evidence) -> AlertEvent:
    """Open an alert; its numbers count per stream, so that they never depend on other streams."""
    table["alert_seq"][at.row] += 1
    table["alert_open"][at] = True
    table["alert_step"][at] = step
    table["alert_ns"][at] = time_ns
    table["alert_opened_seq"][at] = table["alert_seq"][at.row]
    table["alert_evidence"][at] = evidence
    table["good"][at] = 0
    table["good_now"][at] = 0
    return _event(table, at, order, "opened", time_ns, evidence, int(table["alert_seq"][at.row]))


def _clear(table: Table, at: Place, order: int, time_ns: int, evidence: Evidence) -> AlertEvent:
    table["alert_seq"][at.row] += 1
    table["alert_open"][at] = False
    return _event(table, at, order, "cleared", time_ns, evidence, int(table["alert_seq"][at.row]))


def correct(table: Table, at: Place, order: int, time_ns: int, *, opens: bool) -> AlertEvent:
    """Tell that an alert should have opened before, or should not stay: readings out of order have shown it."""
    table["alert_seq"][at.row] += 1
    seq = int(table["alert_seq"][at.row])
    evidence = Evidence(*table["alert_evidence"][at].tolist())
    if not opens:
        return _event(table, at, order, "cleared", time_ns, evidence, seq)
    table["alert_opened_seq"][at] = seq
    return _event(table, at, order, "opened", int(table["alert_ns"][at]), evidence, seq)


def still_open(table: Table) -> list[AlertEvent]:
    """Repeat the openings of all open alerts, each exactly as it was told."""
    events = []
    for row, channel, kind in np.argwhere(table["alert_open"]).tolist():
        at = Place(row, channel, kind)
        evidence = Evidence(*table["alert_evidence"][at].tolist())
        opened_ns, seq = int(table["alert_ns"][at]), int(table["alert_opened_seq"][at])
        events.append(_event(table, at, 0, "opened", opened_ns, evidence, seq))
    return events


def _event(
    table: Table,
    at: Place,
    order: int,
    event_type: Literal["opened", "cleared"],
    time_ns: int,
    evidence: Evidence,
    seq: int,
) -> AlertEvent:
    """Put an alert's event together."""
    how_far = float("nan")
    if at.kind == SPIKE:
        how_far = float(score(*(np.array(part) for part in evidence[:4])))
    return AlertEvent(
        order=order,
        stream=int(table["stream"][at.row]),
        channel=at.channel,
        kind=KINDS[at.kind],
        event_type=event_type,
        opened_step=int(table["alert_step"][at]),
        opened_ns=int(table["alert_ns"][at]),
        time_ns=time_ns,
        cleared_ns=time_ns if event_type == "cleared" else None,
        observed=evidence.observed,
        expected=evidence.expected,
        lower=evidence.lower,
        upper=evidence.upper,
        p_value=p_value(how_far) if at.kind == SPIKE else float("nan"),
        seq=seq,
        source="model" if evidence.is_model else "baseline",
    )


# --- silence --------------------------------------------------------------------------------------------------

NOTHING_EXPECTED = Evidence(*(float("nan"),) * 4, is_model=0.0)


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
    _learn_rhythm(table, rows, channel, clock_ns, period_ns)
    last = np.maximum(clock_ns, table["last_seen_ns"][rows])
    arrivals = table["arrivals"][rows] + 1
    table["last_seen_ns"][rows] = last
    table["arrivals"][rows] = arrivals
    wait_ns = _wait_ns(table, rows, period_ns, silent_after_ns)
    deadline = last + wait_ns
    if not silent_after_ns:
        deadline[arrivals < MIN_ARRIVALS] = NEVER
    table["deadline_ns"][rows] = deadline
    silent = table["alert_open"][rows, 0, SILENT].nonzero()[0]
    if len(silent) == 0:
        return []
    ending = silent[clock_ns[silent] + wait_ns[silent] >= now_ns[silent]]
    # Not before it began, which readings a little out of order would make it.
    ended_ns = np.clip(table["alert_ns"][rows[ending], 0, SILENT], clock_ns[ending], now_ns[ending])
    told = zip(rows[ending].tolist(), order[ending].tolist(), ended_ns.tolist(), strict=True)
    return [_silence_ends(table, *one) for one in told]


def resume(table: Table, now_ns: int, period_ns: int, silent_after_ns: int) -> None:
    """Give every stream that is waited for its whole wait from now on.

    Nothing was seen after now: it says so only where the clock has been set back, and would be believed until then.
    """
    for name in ("last_seen_ns", "channel_seen_ns"):
        table[name][:] = np.minimum(table[name], now_ns)
    rows = np.flatnonzero((table["deadline_ns"] != NEVER) & ~table["alert_open"][:, 0, SILENT])
    table["deadline_ns"][rows] = now_ns + _wait_ns(table, rows, period_ns, silent_after_ns)


def _learn_rhythm(table: Table, rows: I64, channel: I64, clock_ns: I64, period_ns: int) -> None:
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
    moved = typical * (1 + GAP_STEP * ((gap > typical) - (1 - GAP_QUANTILE)))
    table["gap_q90_ns"][rows] = np.where(known, np.maximum(moved, period_ns / 1000), typical)
    # One outage counts as four typical gaps at most, so that it does not change the rhythm for long.
    nearer = 0.05 * (np.minimum(gap, 4 * np.maximum(mean, 1.0)) - mean)
    table["mean_gap_ns"][rows] = mean + np.where(known, nearer, 0.0)


def _wait_ns(table: Table, rows: I64, period_ns: int, silent_after_ns: int) -> I64:
    """Say how long after a reading the next one is overdue."""
    if silent_after_ns:
        return np.full(len(rows), silent_after_ns, dtype=np.int64)
    typical: F64 = np.maximum(table["gap_q90_ns"][rows], float(period_ns))
    return (SILENT_FACTOR * typical).astype(np.int64)


def _silence_ends(table: Table, row: int, order: int, time_ns: int) -> AlertEvent:
    return _clear(table, Place(row, 0, SILENT), order, time_ns, NOTHING_EXPECTED)


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
        events.append(_open(table, Place(row, 0, SILENT), order, step, deadline, NOTHING_EXPECTED))
    return events
