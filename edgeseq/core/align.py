"""Irregular readings → steps of a regular grid: order, gaps, late data (DESIGN.md, Time).

    step = floor((time_ns - phase_ns) / period_ns)

The newest step is open. With `last` every reading steps the open step again from the committed state; the other
aggregates step once, when a reading of a later step arrives. Steps without a reading are missing, or hold the last
value. A reading of an older step is late: counted, not applied. Streams of several channels step when all channels
were seen, or when the step closes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from edgeseq.core.rounds import rounds
from edgeseq.core.table import Column, Table
from edgeseq.core.types import F64, I64, Aggregate, Bool, Kind, OnGap, Readings, StreamRule

NOT_STARTED = np.iinfo(np.int64).min
"""Open step of a stream that has seen no reading."""


@dataclass(frozen=True, slots=True)
class Samples:
    """One sample for each of n different rows: the input of a step."""

    rows: I64
    step: I64
    values: F64
    """(n, C); NaN is missing."""
    observed: Bool
    """(n, C); False with a finite value is a held value."""
    publish: bool
    order: I64
    """Index of the reading that caused it."""
    time_ns: I64
    """Time of the newest reading in the step, or of the grid point where there was none."""


@dataclass(frozen=True, slots=True)
class Resets:
    """Rows whose gap was longer than the ring."""

    rows: I64
    gap_steps: I64
    order: I64


def columns(channels: int) -> dict[str, Column]:
    """Declare the state of alignment."""
    c = (channels,)
    return {
        "phase_ns": Column((), "int64", 0),
        "open_step": Column((), "int64", NOT_STARTED),
        "open_time_ns": Column((), "int64", 0),
        "open_value": Column(c, init=np.nan),
        "open_count": Column(c, "int64", 0),
        "open_seen": Column(c, "bool", init=False),
        "open_stepped": Column((), "bool", init=False),
        "held_value": Column(c, init=np.nan),
        "counter_raw": Column(c, init=np.nan),
        "counter_step": Column(c, "int64", 0),
    }


def origin_ns(table: Table, rule: StreamRule, rows: I64, step: I64) -> I64:
    """Name the time of a step: the grid point for `last`, the end of the step for the other aggregates."""
    offset = rule.period_ns // 2 if rule.aggregate == "last" else rule.period_ns
    named: I64 = table["phase_ns"][rows] + step * rule.period_ns + offset
    return named


def align(
    table: Table, rule: StreamRule, ring: int, rows: I64, readings: Readings, order: I64, late: Bool
) -> Iterator[Samples | Resets]:
    """Yield what one reading for each of n different rows amounts to; `late` (n,) is set where it came too late.

    Args:
        table: rows of the rule's streams; only the columns declared here are touched.
        rule: period, aggregate, gap rule, kind.
        ring: gaps of more steps than this reset the stream.
        rows: (n,) row of each reading, all different.
        readings: (n,).
        order: (n,) position of each reading in its batch.
        late: (n,) written.
    """
    step, reached = _start(table, rule, rows, readings.time_ns)
    np.less(step, reached, out=late)
    if np.count_nonzero(late):
        on_time = np.flatnonzero(~late)
        if len(on_time) == 0:
            return
        rows, step, reached, order = rows[on_time], step[on_time], reached[on_time], order[on_time]
        readings = readings.take(on_time)
    yield from _close_open_step(table, rule, ring, rows, step, reached, order)
    yield from _take(table, rule, rows, step, readings, order)


def _start(table: Table, rule: StreamRule, rows: I64, time_ns: I64) -> tuple[I64, I64]:
    """Fix the phase of new rows, and give each reading's step and the open one."""
    reached = table["open_step"][rows]
    new = reached == NOT_STARTED
    if np.count_nonzero(new):
        # `last`: half a period before the first reading, so that jitter never straddles an edge.
        phase = time_ns[new] - rule.period_ns // 2 if rule.aggregate == "last" else 0
        table["phase_ns"][rows[new]] = phase
        step = (time_ns[new] - table["phase_ns"][rows[new]]) // rule.period_ns
        table["open_step"][rows[new]] = reached[new] = step
    steps: I64 = (time_ns - table["phase_ns"][rows]) // rule.period_ns
    return steps, reached


def _close_open_step(
    table: Table, rule: StreamRule, ring: int, rows: I64, step: I64, reached: I64, order: I64
) -> Iterator[Samples | Resets]:
    """Step what was collected for the open step, then the gap after it, for rows whose reading is of a later step.

    reached: (n,) the open step.
    """
    later = step > reached
    if not np.count_nonzero(later):
        return
    if np.count_nonzero(later) < len(rows):
        rows, step, reached, order = rows[later], step[later], reached[later], order[later]
    waiting = ~table["open_stepped"][rows]
    if np.count_nonzero(waiting):
        yield _sample(table, rule, rows[waiting], order[waiting])
    gap = step - reached - 1
    if np.count_nonzero(gap):
        lost = gap > ring
        if np.count_nonzero(lost):
            yield Resets(rows[lost], gap[lost], order[lost])
        yield from _fill(table, rule, rows[~lost], gap[~lost], order[~lost])
    table["open_step"][rows] = step
    table["open_value"][rows] = np.nan
    table["open_count"][rows] = 0
    table["open_seen"][rows] = False
    table["open_stepped"][rows] = False


def _fill(table: Table, rule: StreamRule, rows: I64, gap: I64, order: I64) -> Iterator[Samples]:
    """Step through the gap: missing, or the held value."""
    for ahead in range(1, int(gap.max(initial=0)) + 1):
        reached = gap >= ahead
        r = rows[reached]
        step = table["open_step"][r] + ahead
        values = table["held_value"][r].copy()
        if rule.on_gap == "missing":
            values[:] = np.nan
        nothing = np.zeros(values.shape, dtype=np.bool_)
        time_ns = origin_ns(table, rule, r, step)
        yield Samples(r, step, values, nothing, publish=False, order=order[reached], time_ns=time_ns)


def _take(
    table: Table, rule: StreamRule, rows: I64, step: I64, readings: Readings, order: I64
) -> Iterator[Samples]:
    """Put readings into the open step; step the rows that are complete."""
    channel = readings.channel.astype(np.int64)
    value = _uncount(table, rows, channel, step, readings.value) if rule.kind == "counter" else readings.value
    _aggregate(table, rule, rows, channel, value)
    table["open_time_ns"][rows] = readings.time_ns
    if rule.aggregate != "last":
        return
    seen = table["open_seen"][rows]
    if np.count_nonzero(seen) == seen.size:
        yield _sample(table, rule, rows, order)
    elif np.count_nonzero(ready := seen.all(axis=1)):
        yield _sample(table, rule, rows[ready], order[ready])


def _uncount(table: Table, rows: I64, channel: I64, step: I64, raw: F64) -> F64:
    """Difference a counter; a fall is a restart from 0. A difference over n steps counts as n equal ones."""
    before, before_step = table["counter_raw"][rows, channel], table["counter_step"][rows, channel]
    fell = raw < before
    rise = np.where(fell, raw, raw - before) / np.maximum(step - before_step, 1)
    valid = ~np.isnan(raw)
    table["counter_raw"][rows[valid], channel[valid]] = raw[valid]
    table["counter_step"][rows[valid], channel[valid]] = step[valid]
    return np.asarray(rise, dtype=np.float64)


def _aggregate(table: Table, rule: StreamRule, rows: I64, channel: I64, value: F64) -> None:
    """Fold one value per row into its open step; a NaN was seen, but adds nothing."""
    missing = np.isnan(value)
    table["open_seen"][rows, channel] = True
    if np.count_nonzero(missing):
        good = ~missing
        rows, channel, value = rows[good], channel[good], value[good]
    count = table["open_count"][rows, channel]
    old = table["open_value"][rows, channel]
    table["open_value"][rows, channel] = np.where(count == 0, value, _fold(rule, old, value, count))
    table["open_count"][rows, channel] = count + 1


def _fold(rule: StreamRule, old: F64, value: F64, count: I64) -> F64:
    """Combine what a step has (of `count` readings) with one more reading."""
    match rule.aggregate:
        case "last":
            return value
        case "mean":
            return old + (value - old) / (count + 1)
        case "sum":
            return old + value
        case "min":
            return np.minimum(old, value)
        case "max":
            return np.maximum(old, value)
        case other:
            assert_never(other)


def _sample(table: Table, rule: StreamRule, rows: I64, order: I64) -> Samples:
    """Make the sample of the open step as it stands."""
    values = table["open_value"][rows]
    # Infinite is what an aggregate or a counter's rise beyond float64 becomes: no value.
    observed = np.isfinite(values)
    if np.count_nonzero(observed) == observed.size:
        held = values
    else:
        held = np.where(observed, values, table["held_value"][rows])
        values = held if rule.on_gap == "hold" else np.where(observed, values, np.nan)
    table["held_value"][rows] = held
    table["open_stepped"][rows] = True
    time_ns = table["open_time_ns"][rows]
    step = table["open_step"][rows]
    return Samples(rows, step, values, observed, publish=True, order=order, time_ns=time_ns)


@np.errstate(over="ignore", invalid="ignore")
def to_grid(
    time_ns: I64,
    values: F64,
    period_ns: int,
    aggregate: Aggregate = "last",
    on_gap: OnGap = "missing",
    kind: Kind = "gauge",
) -> F64:
    """Put a whole recording on the grid: the samples that `align` would commit, at once.

    Args:
        time_ns: (n,) in file order; rows older than the step already reached are late and left out.
        values: (n, C); NaN cells are absent.
        period_ns: grid period.
        aggregate: last, mean, sum, min or max.
        on_gap: missing (NaN) or hold.
        kind: gauge or counter.

    Returns:
        (T, C) from the step of the first row to that of the last.

    >>> to_grid(np.array([0, 10, 31]), np.array([[1.0], [2.0], [3.0]]), period_ns=10).ravel()
    array([ 1.,  2., nan,  3.])
    """
    rule = StreamRule(key="grid", period_ns=period_ns, aggregate=aggregate)
    n, channels = values.shape
    if n == 0:
        return np.empty((0, channels))
    phase = time_ns[0] - period_ns // 2 if aggregate == "last" else 0
    step = (time_ns - phase) // period_ns
    kept = step >= np.maximum.accumulate(step)
    step, values = step[kept] - step[0], values[kept]
    grid = np.full((int(step.max()) + 1, channels), np.nan)
    for c in range(channels):
        present = ~np.isnan(values[:, c])
        column, at = values[present, c], step[present]
        if kind == "counter":
            column = _uncount_all(column, at)
            column, at = column[1:], at[1:]
        grid[:, c] = _aggregate_all(rule, grid[:, c], at, column)
    grid[~np.isfinite(grid)] = np.nan
    if on_gap == "hold":
        _hold(grid)
    return grid


def _uncount_all(raw: F64, step: I64) -> F64:
    rise = np.diff(raw, prepend=np.nan)
    rise = np.where(rise < 0, raw, rise)
    return rise / np.maximum(np.diff(step, prepend=0), 1)


def _aggregate_all(rule: StreamRule, grid: F64, step: I64, value: F64) -> F64:
    """Fold all values of one channel in the order of the file, as `_aggregate` folds them one by one."""
    for count, picked in enumerate(rounds(step)):
        at, new = step[picked], value[picked]
        counts = np.full(len(at), count)
        grid[at] = new if count == 0 else _fold(rule, grid[at], new, counts)
    return grid


def _hold(grid: F64) -> None:
    """Carry the last value of each channel over missing steps, in place."""
    reached = np.where(np.isnan(grid), 0, np.arange(len(grid))[:, None])
    np.maximum.accumulate(reached, axis=0, out=reached)
    grid[:] = np.take_along_axis(grid, reached, axis=0)
