"""Read recordings: a table with a time column and channels → values on the grid of the device."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from edgeseq.core.align import to_grid
from edgeseq.core.durations import format_duration
from edgeseq.core.instants import parse_instant
from edgeseq.core.types import F64, I64, Aggregate
from edgeseq.errors import InputError
from edgeseq_train.fit import Recording
from edgeseq_train.table import Say, load, numbers, place

TIME_NAMES = ("time", "timestamp", "datetime", "date", "ts", "date_time")
MAX_STEPS = 20_000_000
"""A grid longer than this is a wrong period or a wrong time: 38 years of minutes."""
MOST_SPACING = 1.5
"""Readings that come more than so many periods apart leave most steps of the grid empty."""
USUAL_S = (
    1,
    2,
    5,
    10,
    15,
    20,
    30,
    60,
    120,
    300,
    600,
    900,
    1200,
    1800,
    3600,
    7200,
    10800,
    21600,
    43200,
    86400,
)

_ZONE = re.compile(r"[Zz]$|[T ][0-9:.,]+[+-][0-9]{2}(:?[0-9]{2}){0,2}$")
_NUMBER = re.compile(r"[+-]?[0-9.]+")


def read(
    path: Path, period_ns: int, aggregate: Aggregate, *, time_column: str | None = None, columns: Sequence[str] = (),
    multichannel: bool = False, until_ns: int | None = None, say: Say = lambda _: None,
) -> Recording:  # fmt: skip
    """Read a CSV or Parquet file and put it on the grid.

    Args:
        path: the file; its rows are sorted by time, rows of one time stay in order.
        period_ns: grid period.
        aggregate: how several values of one step become one.
        time_column: default: one of the usual names, else the first column that reads as time.
        columns: the channels; default: all numeric columns.
        multichannel: columns are channels of one stream instead of streams.
        until_ns: rows at or after this instant are left out.
        say: is told in a line what was done to the recording that its owner may not expect.

    Raises:
        InputError: nothing there that can be trained on.
    """
    return _from_table(
        load(path, say), path, period_ns, aggregate, time_column=time_column, columns=columns, multichannel=multichannel,
        until_ns=until_ns, say=say,
    )  # fmt: skip


def from_frame(
    frame: pl.DataFrame, period_ns: int, aggregate: Aggregate = "last", *, time_column: str | None = None,
    columns: Sequence[str] = (), multichannel: bool = False, until_ns: int | None = None, say: Say = lambda _: None,
) -> Recording:  # fmt: skip
    """Put a data frame on the grid, as `read` does with a file.

    Raises:
        InputError: nothing there that can be trained on.
    """
    return _from_table(
        frame, Path("frame.parquet"), period_ns, aggregate, time_column=time_column, columns=columns,
        multichannel=multichannel, until_ns=until_ns, say=say,
    )  # fmt: skip


def _from_table(
    table: pl.DataFrame, path: Path, period_ns: int, aggregate: Aggregate, *, time_column: str | None,
    columns: Sequence[str], multichannel: bool, until_ns: int | None, say: Say,
) -> Recording:  # fmt: skip
    time_name = time_column or _find_time(table, path)
    time_ns = _times(table, time_name, path, say)
    names, values = numbers(table, time_name, columns, path, say)
    kept = time_ns < until_ns if until_ns is not None else np.ones(len(time_ns), bool)
    time_ns, values = _sorted(time_ns[kept], values[kept], say)
    _check_span(time_ns, period_ns, path)
    _check_spacing(time_ns, period_ns, path)
    grid = to_grid(time_ns, values, period_ns, aggregate)
    shaped = grid[:, None, :] if multichannel else grid[:, :, None]
    return Recording(shaped, tuple(names), period_ns)


def _find_time(table: pl.DataFrame, path: Path) -> str:
    by_name = [c for c in table.columns if c.strip().lower() in TIME_NAMES]
    others = [c for c in table.columns if table[c].dtype == pl.String or table[c].dtype.is_temporal()]
    for name in dict.fromkeys([*by_name, *others]):
        if _instant(table[name][0]) is not None:
            return name
    raise InputError(
        "no column reads as time",
        where=str(path),
        found=", ".join(table.columns)[:200],
        wanted="ISO 8601 such as 2026-03-01T10:00:00Z, or epoch numbers",
        do="name it with --time-column",
    )


def _instant(value: object) -> int | None:
    return parse_instant(value.isoformat() if hasattr(value, "isoformat") else value)


def _times(table: pl.DataFrame, name: str, path: Path, say: Say) -> I64:
    if name not in table.columns:
        raise InputError(
            "the time column does not exist",
            where=str(path),
            found=", ".join(table.columns)[:200],
            wanted=name,
        )
    values = table[name].to_list()
    instants = [_instant(value) for value in values]
    for row, instant in enumerate(instants):
        if instant is None:
            raise InputError(
                "a time cannot be read",
                where=place(path, row, name),
                found="nothing" if values[row] is None else repr(values[row])[:80],
                wanted="ISO 8601 such as 2026-03-01T10:00:00Z, or an epoch number",
                do="correct the row, or name another column with --time-column",
            )
    if any(map(_is_local, values)):
        say("times without a zone are read as UTC")
    return np.array(instants, dtype=np.int64)


def _is_local(value: object) -> bool:
    """Tell a date and time that names no zone.

    >>> [_is_local(v) for v in ("2026-01-01", "2026-01-01 10:00", "2026-01-01T10:00+01:00", "1772359200", 5)]
    [True, True, False, False, False]
    """
    text = value.isoformat() if hasattr(value, "isoformat") else value
    if not isinstance(text, str):
        return False
    return not _NUMBER.fullmatch(text.strip()) and not _ZONE.search(text.strip())


def _sorted(time_ns: I64, values: F64, say: Say) -> tuple[I64, F64]:
    """Sort rows by time; of rows of one time the last in the file stays last, as a device would receive them."""
    if len(time_ns) == 0:
        return time_ns, values
    back = int((time_ns < np.maximum.accumulate(time_ns)).sum())
    if not back:
        return time_ns, values
    say(f"sorted by time: {back} of {len(time_ns)} rows went back")
    order = np.argsort(time_ns, kind="stable")
    return time_ns[order], values[order]


def _check_span(time_ns: I64, period_ns: int, path: Path) -> None:
    if len(time_ns) < 2:
        raise InputError(
            "the recording is empty", where=str(path), found=f"{len(time_ns)} rows", wanted="many"
        )
    steps = int((time_ns[-1] - time_ns[0]) // period_ns)
    if steps > MAX_STEPS:
        raise InputError(
            "the recording spans too many steps",
            where=str(path),
            found=f"{steps} steps of {period_ns / 1e9:g} s",
            wanted=f"at most {MAX_STEPS}",
            do="choose a longer --every, or check the times",
        )


def _check_spacing(time_ns: I64, period_ns: int, path: Path) -> None:
    """Refuse a grid much finer than the readings."""
    gaps = np.diff(time_ns)
    gaps = gaps[gaps > 0]
    spacing_ns = int(np.median(gaps)) if len(gaps) else 0
    if spacing_ns <= MOST_SPACING * period_ns:
        return
    usual = format_duration(_usual(spacing_ns))
    raise InputError(
        f"readings come every {usual}, more seldom than the period",
        where=str(path),
        found=f"a median of {usual} between readings, {format_duration(period_ns)} wanted",
        wanted="a period in which a reading comes",
        do=f"--every {usual}",
    )


def _usual(spacing_ns: int) -> int:
    """Round a spacing to the usual period it jitters about, else to whole seconds.

    >>> _usual(599_998_000_000), _usual(430_200_000_000)
    (600000000000, 430000000000)
    """
    nearest = min((s * 10**9 for s in USUAL_S), key=lambda ns: abs(ns - spacing_ns))
    if abs(nearest - spacing_ns) <= 0.02 * nearest:
        return nearest
    return round(spacing_ns, -9) or spacing_ns


def grid_share(values: F64) -> float:
    """Share of grid values that are known."""
    return float(np.isfinite(values).mean())
