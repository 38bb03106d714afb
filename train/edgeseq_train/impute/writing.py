"""Write what was filled: measured and filled values in one column, and beside it which is which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from edgeseq.core.types import F64
from edgeseq.errors import ConfigError, InputError, StorageError
from edgeseq_train.impute.lagging import Relabelled
from edgeseq_train.impute.results import Filled
from edgeseq_train.parts import Recording

SUFFIXES = (".csv", ".parquet")
MARKS = ("filled", "lower", "upper", "smoothed", "outside")


def check_output(path: Path) -> None:
    """Refuse a file of another kind.

    Raises:
        ConfigError: as said.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            "this kind of file is not written", where="-o", found=str(path), wanted=" or ".join(SUFFIXES),
            do="choose another name",
        )  # fmt: skip


def check_folder(path: Path | None, option: str) -> None:
    """Find out before the work whether there is a folder to write to.

    Raises:
        ConfigError: there is none.
    """
    if path is not None and not path.parent.is_dir():
        raise ConfigError("there is no such folder", where=option, found=str(path.parent), do="make it first")


def check_names(names: tuple[str, ...]) -> None:
    """Refuse channels whose names are those of marks, such as `a` beside `a_filled`.

    Raises:
        InputError: as said.
    """
    clash = [f"{a}_{mark}" for a in names for mark in MARKS if f"{a}_{mark}" in names]
    if clash or "time" in names:
        raise InputError(
            "a channel has the name of a column that is to be written", found=", ".join(clash or ["time"]),
            wanted="other names, or a recording that was not filled before", do="choose channels with --columns",
        )  # fmt: skip


def frame_of(recording: Recording, result: Filled, again: Relabelled | None) -> pl.DataFrame:
    """Lay out all rows of the grid.

    Columns: time (UTC, as the device names a step), and of each channel NAME (measured or filled), NAME_filled,
    NAME_lower and NAME_upper; with a lag also NAME_smoothed and NAME_outside.
    """
    start = recording.start_ns or 0
    time_ns = start + np.arange(len(result.values)) * recording.period_ns
    columns: dict[str, pl.Series] = {"time": pl.Series(time_ns).cast(pl.Datetime("ns", "UTC"))}
    for c, name in enumerate(recording.names):
        columns[name] = _numbers(result.values[:, c])
        columns[f"{name}_filled"] = pl.Series(result.filled[:, c])
        columns[f"{name}_lower"] = _numbers(result.lower[:, c])
        columns[f"{name}_upper"] = _numbers(result.upper[:, c])
        if again is not None:
            columns[f"{name}_smoothed"] = _numbers(again.smoothed[:, c])
            columns[f"{name}_outside"] = pl.Series(again.outside[:, c])
    return pl.DataFrame(columns)


def _numbers(a: F64) -> pl.Series:
    return pl.Series(a).fill_nan(None)


def write(frame: pl.DataFrame, path: Path) -> None:
    """Write CSV or Parquet.

    Raises:
        StorageError: the disk refuses.
    """
    try:
        if path.suffix == ".parquet":
            frame.write_parquet(path)
        else:
            frame.with_columns(pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")).write_csv(path)
    except OSError as fault:
        raise StorageError(
            "the filled recording cannot be written", where=str(path), found=str(fault)
        ) from fault
