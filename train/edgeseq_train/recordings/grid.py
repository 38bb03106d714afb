"""Series → the grid of the device: order, duplicates, gaps, and what cannot be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgeseq.core.align import to_grid
from edgeseq.core.durations import format_duration
from edgeseq.core.instants import format_instant
from edgeseq.core.types import F64, I64
from edgeseq.errors import InputError
from edgeseq_train.parts import Recording
from edgeseq_train.recordings.request import Request
from edgeseq_train.recordings.series import Series
from edgeseq_train.recordings.told import tell
from edgeseq_train.seasons import RING_LIMIT

MAX_STEPS = 20_000_000
"""A grid longer than this is a wrong period or a wrong time: 38 years of minutes."""
MAX_VALUES = 500_000_000
"""4 GB."""
MOST_SPACING = 1.5
"""Readings that come more than so many periods apart leave most steps of the grid empty."""
FEWEST_TIMES = 10
"""Of fewer times nobody can tell how often they come."""
HELD_STEPS = RING_LIMIT
"""Values are held over gaps of at most so many steps: a device forgets what lies before one longer than its history."""
LEAST_COMMON = 0.5
"""Streams of which the shortest shares less of its time with all others are of different times."""
USUAL_S = (
    1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
)  # fmt: skip


def lay(series: Sequence[Series], request: Request, where: str) -> Recording:
    """Put series on one grid, each with the steps that a device would give it.

    Raises:
        InputError: too few readings, too many steps, a period that the readings do not have, or channels that never
            change.
    """
    series = _in_order(series, request)
    _check_readings(series, where)
    _check_span(series, request, where)
    if request.on_gap is None:
        _check_spacing(series, request, where)
    streams = _streams(series, request)
    start_ns = min(int(s.time_ns[0]) for s in series)
    laid = []
    for k, channels in enumerate(streams):
        request.progress(f"grid {k + 1} of {len(streams)}", k / len(streams))
        laid.append(_stream_grid(channels, request, start_ns))
    ordered = [channel for channels in streams for channel in channels]
    columns = [column for _, grid in laid for column in grid.T]
    _check_changes(columns, ordered, where)
    apart = request.own_times and _are_apart(laid)
    if apart:
        laid = [(0, grid) for _, grid in laid]
        request.say(
            "the streams are of different times: each is laid from its own first step on and split by its own time, so"
            " that one may be tested on times that another has learned from"
        )
    values = np.full((max(offset + len(grid) for offset, grid in laid), len(laid), len(streams[0])), np.nan)
    for k, (offset, grid) in enumerate(laid):
        values[offset : offset + len(grid), k] = grid
    tell(columns, len(values), ordered, request)
    names, units = tuple(s.name for s in ordered), tuple(s.unit for s in ordered)
    own = tuple(s.channel for s in streams[0]) if request.multichannel else ()
    if request.multichannel and len(streams) == 1:
        # Series that are channels of one stream are called by what tells them apart.
        own = names = own if len({s.stream for s in ordered}) == 1 and all(own) else names
    origin_ns = (
        start_ns if request.aggregate == "last" else (start_ns // request.period_ns + 1) * request.period_ns
    )
    start = None if apart else origin_ns
    return Recording(values, names, request.period_ns, units=units, start_ns=start, channels=own)


def _are_apart(laid: Sequence[tuple[int, F64]]) -> bool:
    """Tell whether streams, by first step and grid, share too little time to be split at the same times."""
    common = min(first + len(grid) for first, grid in laid) - max(first for first, _ in laid)
    return common < LEAST_COMMON * min(len(grid) for _, grid in laid)


# --- order ------------------------------------------------------------------------------------------------------


def _in_order(series: Sequence[Series], request: Request) -> list[Series]:
    """Sort by time and leave out readings that repeat another's time and value, as the device does."""
    ordered, back, repeated, differing, total = [], 0, 0, 0, sum(len(s.values) for s in series)
    for s in series:
        back += int((s.time_ns < np.maximum.accumulate(s.time_ns)).sum()) if len(s.time_ns) else 0
        # Of one time the last in the source stays last, as a device would receive it.
        by_time = np.argsort(s.time_ns, kind="stable")
        time_ns, values = s.time_ns[by_time], s.values[by_time]
        kept = _first_of_each(time_ns, values)
        repeated += int((~kept).sum())
        time_ns, values = time_ns[kept], values[kept]
        differing += int((np.diff(time_ns) == 0).sum())
        ordered.append(replace(s, time_ns=time_ns, values=values))
    if back:
        request.say(f"sorted by time: {back} of {total} readings went back")
    if repeated:
        request.say(f"left out {repeated} of {total} readings: time and value are those of another")
    if differing:
        fate = "the last one counts" if request.aggregate == "last" else "all of them count"
        request.say(f"{differing} of {total} readings have the time of another and a different value: {fate}")
    return ordered


def _first_of_each(time_ns: I64, values: F64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Mark readings whose time and value no earlier one has; times are sorted."""
    kept = np.ones(len(time_ns), bool)
    if not (np.diff(time_ns) == 0).any():
        return kept
    order = np.lexsort((np.arange(len(values)), values, time_ns))
    same = (np.diff(time_ns[order]) == 0) & (np.diff(values[order]) == 0)
    kept[order[1:][same]] = False
    return kept


# --- what cannot be trained on ----------------------------------------------------------------------------------


def _check_readings(series: Sequence[Series], where: str) -> None:
    empty = [s for s in series if len(s.values) < 2]
    if not empty:
        return
    raise InputError(
        "the recording is empty" if len(empty) == len(series) else "series without readings",
        where=where,
        found=", ".join(f"{s.name}: {len(s.values)} readings" for s in empty)[:300],
        wanted="many readings of each",
        do="check --since and --until" if len(empty) == len(series) else _without([s.name for s in empty]),
    )


def _check_span(series: Sequence[Series], request: Request, where: str) -> None:
    first, last = min(s.time_ns[0] for s in series), max(s.time_ns[-1] for s in series)
    steps = int((int(last) - int(first)) // request.period_ns) + 1
    if steps <= MAX_STEPS and steps * len(series) <= MAX_VALUES:
        return
    raise InputError(
        "the recording spans too many steps",
        where=where,
        found=f"{steps} steps of {request.period_ns / 1e9:g} s for {len(series)} series,"
        f" {format_instant(int(first))} to {format_instant(int(last))}",
        wanted=f"at most {MAX_STEPS} steps and {MAX_VALUES} values",
        do="choose a longer --every, or check the times (--since and --until cut them)",
    )


def _check_spacing(series: Sequence[Series], request: Request, where: str) -> None:
    """Refuse a grid much finer than the readings."""
    spacing = {s.name: _spacing_ns(s.time_ns) for s in series}
    seldom = {name: ns for name, ns in spacing.items() if ns > MOST_SPACING * request.period_ns}
    if not seldom:
        return
    usual = format_duration(_usual(max(seldom.values())))
    some = ", ".join(f"{name} every {format_duration(_usual(ns))}" for name, ns in seldom.items())
    but = (
        f"; {_without(list(seldom))} leaves {'it' if len(seldom) == 1 else 'them'} out"
        if len(seldom) < len(series)
        else ""
    )
    raise InputError(
        f"readings come every {usual}, more seldom than the period",
        where=where,
        found=f"{some[:300]} (median), {format_duration(request.period_ns)} wanted",
        wanted="a period in which a reading comes",
        do=f"--every {usual}; or --on-gap hold if the sensors report only when the value changes; or --on-gap missing"
        f" if most steps shall stay empty{but}",
    )


def _spacing_ns(time_ns: I64) -> int:
    gaps = np.diff(time_ns)
    gaps = gaps[gaps > 0]
    return int(np.median(gaps)) if len(gaps) + 1 >= FEWEST_TIMES else 0


def _usual(spacing_ns: int) -> int:
    """Round a spacing to the usual period it jitters about, else to whole seconds.

    >>> _usual(599_998_000_000), _usual(430_200_000_000)
    (600000000000, 430000000000)
    """
    nearest = min((s * 10**9 for s in USUAL_S), key=lambda ns: abs(ns - spacing_ns))
    if abs(nearest - spacing_ns) <= 0.02 * nearest:
        return nearest
    return round(spacing_ns, -9) or spacing_ns


def _check_changes(columns: Sequence[F64], series: Sequence[Series], where: str) -> None:
    """Refuse channels that have one value at all steps."""
    still = {}
    for column, s in zip(columns, series, strict=True):
        known = column[np.isfinite(column)]
        if len(known) == 0 or known.min() == known.max():
            still[s.name] = f"{known[0]:g} at all of {len(known)} steps" if len(known) else "no value"
    if not still:
        return
    raise InputError(
        "a channel never changes" if len(still) == 1 else f"{len(still)} channels never change",
        where=where,
        found=", ".join(f"{name}: {what}" for name, what in still.items())[:300],
        wanted="values that change",
        do=f"leave {'it' if len(still) == 1 else 'them'} out: {_without(list(still))}"
        if len(still) < len(series)
        else "choose other columns with --columns",
    )


def _without(names: Sequence[str]) -> str:
    quoted = ",".join(names)
    return f"--without '{quoted}'" if " " in quoted else f"--without {quoted}"


# --- the grid ---------------------------------------------------------------------------------------------------


def _streams(series: Sequence[Series], request: Request) -> list[list[Series]]:
    """Group series into streams of the same channels each."""
    if not request.multichannel:
        return [[s] for s in series]
    names = list(dict.fromkeys(s.stream for s in series))
    if all(sum(s.stream == n for s in series) == 1 for n in names):
        return [list(series)]
    channels = list(dict.fromkeys(s.channel for s in series))
    by_name = {(s.stream, s.channel): s for s in series}
    lacking = [f"{n} {c}" for n in names for c in channels if (n, c) not in by_name]
    if lacking:
        raise InputError(
            "streams of several channels must have the same ones",
            where=series[0].where,
            found=f"no {', '.join(lacking)[:200]}",
            wanted=f"{', '.join(channels)} of each of {len(names)} streams",
            do="choose channels that all have, with --columns or --without",
        )
    return [[by_name[n, c] for c in channels] for n in names]


def _stream_grid(channels: Sequence[Series], request: Request, start_ns: int) -> tuple[int, F64]:
    """Give the step of all streams at which this one begins, and its grid (T, C) by its own first reading."""
    first_ns = min(int(s.time_ns[0]) for s in channels)
    period_ns = request.period_ns
    if request.aggregate == "last":
        offset = (first_ns - start_ns + period_ns // 2) // period_ns
    else:
        offset = first_ns // period_ns - start_ns // period_ns
    grids = [_grid(s, request, first_ns) for s in channels]
    values = np.full((max(map(len, grids)), len(grids)), np.nan)
    for c, grid in enumerate(grids):
        values[: len(grid), c] = grid
    return offset, values


def _grid(series: Series, request: Request, first_ns: int) -> F64:
    """Give one channel (T,) from the step of the stream's first reading on."""
    # A row without a value only begins the grid where the stream begins.
    time_ns = np.concatenate([[first_ns], series.time_ns])
    values = np.concatenate([[np.nan], series.values])[:, None]
    grid = to_grid(time_ns, values, request.period_ns, request.aggregate, kind=series.kind)[:, 0]
    if request.on_gap != "hold":
        return grid
    held = to_grid(time_ns, values, request.period_ns, request.aggregate, on_gap="hold", kind=series.kind)[
        :, 0
    ]
    steps = np.arange(len(grid))
    known = np.flatnonzero(np.isfinite(grid))
    after = known[np.minimum(np.searchsorted(known, steps), len(known) - 1)]
    before = known[np.maximum(np.searchsorted(known, steps, side="right") - 1, 0)]
    return np.where(after - before - 1 > HELD_STEPS, grid, held)
