"""Read recordings: tables, databases and exports → values on the grid of the device (`recordings` has the parts)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import polars as pl

from edgeseq.core.types import Aggregate
from edgeseq.errors import InputError
from edgeseq_train.parts import Recording
from edgeseq_train.recordings import grid, sources
from edgeseq_train.recordings.choose import choose
from edgeseq_train.recordings.layout import part_of
from edgeseq_train.recordings.numbers import UNITS_TOLD
from edgeseq_train.recordings.request import Options, Request
from edgeseq_train.recordings.series import Candidate, Series
from edgeseq_train.recordings.tables import Table, check_rows

FRAME = "the data frame"


def read(
    paths: Path | str | Sequence[Path | str],
    period_ns: int,
    aggregate: Aggregate = "last",
    **options: Unpack[Options],
) -> Recording:
    """Read files or folders and put them on the grid.

    Args:
        paths: CSV, Parquet, InfluxDB line protocol, a database of Home Assistant, or folders of such files; several are
            read as the files of one folder.
        period_ns: grid period.
        aggregate: how several readings of one step become one.
        **options: as the fields of `recordings.request.Request` say.

    Returns:
        values (T, S, C) on one grid, each series with the steps that a device would give it; NaN where nothing was
        read, also before and after a series that is shorter than others.

    Raises:
        InputError: nothing there that can be trained on, or not what was asked for.
        ConfigError: no such time zone.
    """
    request = Request(period_ns=period_ns, aggregate=aggregate, **options)
    listed = [Path(path) for path in ([paths] if isinstance(paths, Path | str) else paths)]
    where = ", ".join(map(str, listed))
    return _read(sources.candidates_of(listed, request), request, where)


def from_frame(
    frame: pl.DataFrame, period_ns: int, aggregate: Aggregate = "last", **options: Unpack[Options]
) -> Recording:
    """Put a data frame, wide or long, on the grid, as `read` does with a file.

    Args:
        frame: a time column (or several) and columns of numbers, and of labels where it is long.
        period_ns: grid period.
        aggregate: how several readings of one step become one.
        **options: as the fields of `recordings.request.Request` say.

    Raises:
        InputError: nothing there that can be trained on, or not what was asked for.
        ConfigError: no such time zone.
    """
    request = Request(period_ns=period_ns, aggregate=aggregate, **options)
    table = Table(frame, FRAME)
    check_rows(table)
    return _read(part_of(table, request).candidates, request, FRAME)


def _read(candidates: Sequence[Candidate], request: Request, where: str) -> Recording:
    chosen = choose(candidates, request.columns, request.without, where, request.asked_by)
    series, left = [], {}
    for k, candidate in enumerate(chosen):
        request.progress(f"reading {candidate.name}", k / len(chosen))
        loaded = candidate.load()
        if isinstance(loaded, Series):
            series.append(loaded)
        else:
            left[candidate.name] = loaded
    if not series or any(name in request.columns for name in left):
        raise InputError(
            "there are no numbers",
            where=where,
            found="; ".join(f"{name}: {cells}" for name, cells in left.items())[:300],
            wanted="columns, series or entities of numbers",
            do="write units into a column of their own, and one unit for each column"
            if any(UNITS_TOLD in cells for cells in left.values())
            else "name those that are measured, with --columns",
        )
    if left:
        request.say(f"left out, for they hold no numbers: {', '.join(left)}")
    return grid.lay(series, request, where)
