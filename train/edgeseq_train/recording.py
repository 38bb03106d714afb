"""Read recordings: a table with a time column and channels → values on the grid of the device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from edgeseq.core.align import to_grid
from edgeseq.core.instants import parse_instant
from edgeseq.core.types import F64, I64, Aggregate
from edgeseq.errors import InputError
from edgeseq_train.fit import Recording

TIME_NAMES = ("time", "timestamp", "datetime", "date", "ts", "date_time")
MAX_STEPS = 20_000_000
"""A grid longer than this is a wrong period or a wrong time: 38 years of minutes."""
MISSING = ["", "nan", "NaN", "NA", "null", "None"]


def read(
    path: Path, period_ns: int, aggregate: Aggregate, *, time_column: str | None = None, columns: Sequence[str] = (),
    multichannel: bool = False, until_ns: int | None = None,
) -> Recording:  # fmt: skip
    """Read a CSV or Parquet file and put it on the grid.

    Args:
        path: the file; its rows are taken in order, as the device would receive them.
        period_ns: grid period.
        aggregate: how several values of one step become one.
        time_column: default: one of the usual names, else the first column that reads as time.
        columns: the channels; default: all numeric columns.
        multichannel: columns are channels of one stream instead of streams.
        until_ns: rows at or after this instant are left out.

    Raises:
        InputError: nothing there that can be trained on.
    """
    table = _load(path)
    time_name = time_column or _find_time(table, path)
    names = _channels(table, time_name, columns, path)
    time_ns = _times(table, time_name, path)
    values = (
        table.select(pl.col(name).cast(pl.Float64, strict=False) for name in names)
        .to_numpy()
        .astype(np.float64)
    )
    values[~np.isfinite(values)] = np.nan
    kept = time_ns < until_ns if until_ns is not None else np.ones(len(time_ns), bool)
    time_ns, values = time_ns[kept], values[kept]
    _check_span(time_ns, period_ns, path)
    grid = to_grid(time_ns, values, period_ns, aggregate)
    shaped = grid[:, None, :] if multichannel else grid[:, :, None]
    return Recording(shaped, tuple(names), period_ns)


def _load(path: Path) -> pl.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, null_values=MISSING, infer_schema_length=10_000, try_parse_dates=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(
            "the recording cannot be read",
            where=str(path),
            found=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
            wanted="a CSV or Parquet file with a time column and numeric columns",
            do="check the path and the file",
        ) from error


def _find_time(table: pl.DataFrame, path: Path) -> str:
    by_name = [c for c in table.columns if c.strip().lower() in TIME_NAMES]
    others = [c for c in table.columns if table[c].dtype == pl.String or table[c].dtype.is_temporal()]
    for name in dict.fromkeys([*by_name, *others]):
        if _instant(table[name][0] if len(table) else None) is not None:
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


def _times(table: pl.DataFrame, name: str, path: Path) -> I64:
    if name not in table.columns:
        raise InputError(
            "the time column does not exist",
            where=str(path),
            found=", ".join(table.columns)[:200],
            wanted=name,
        )
    instants = [_instant(value) for value in table[name].to_list()]
    for row, instant in enumerate(instants):
        if instant is None:
            raise InputError(
                "a time cannot be read",
                where=f"{path}: row {row + 1}, column {name}",
                found=repr(table[name][row])[:80],
                wanted="ISO 8601 such as 2026-03-01T10:00:00Z, or an epoch number",
                do="correct the row, or name another column with --time-column",
            )
    return np.array(instants, dtype=np.int64)


def _channels(table: pl.DataFrame, time_name: str, columns: Sequence[str], path: Path) -> list[str]:
    numeric = [c for c in table.columns if c != time_name and table[c].dtype.is_numeric()]
    missing = [c for c in columns if c not in table.columns]
    if missing or not (columns or numeric):
        raise InputError(
            "no such column" if missing else "no column is numeric",
            where=str(path),
            found=", ".join(table.columns)[:200],
            wanted=", ".join(missing) or "at least one numeric column beside the time",
            do="name the channels with --columns",
        )
    return list(columns) or numeric


def _check_span(time_ns: I64, period_ns: int, path: Path) -> None:
    if len(time_ns) < 2:
        raise InputError(
            "the recording is empty", where=str(path), found=f"{len(time_ns)} rows", wanted="many"
        )
    steps = int((time_ns.max() - time_ns[0]) // period_ns)
    if steps > MAX_STEPS:
        raise InputError(
            "the recording spans too many steps",
            where=str(path),
            found=f"{steps} steps of {period_ns / 1e9:g} s",
            wanted=f"at most {MAX_STEPS}",
            do="choose a longer --every, or check the times",
        )


def grid_share(values: F64) -> float:
    """Share of grid values that are known."""
    return float(np.isfinite(values).mean())
