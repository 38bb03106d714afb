"""Read a table with its columns of numbers: separators, text in cells, columns that are labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from edgeseq.core.types import F64
from edgeseq.errors import InputError

Say = Callable[[str], None]

MISSING = ["", "nan", "NaN", "NA", "null", "None"]
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def load(path: Path, say: Say) -> pl.DataFrame:
    """Read a CSV or Parquet file; the separator of a CSV is the one its first line has most of.

    Raises:
        InputError: not such a file, or no row in it.
    """
    separator = "," if path.suffix == ".parquet" else _separator(path)
    if separator != ",":
        say(f"columns are separated by {SEPARATORS[separator]}")
    try:
        if path.suffix == ".parquet":
            table = pl.read_parquet(path)
        else:
            table = pl.read_csv(
                path,
                separator=separator,
                null_values=MISSING,
                infer_schema_length=None,
                try_parse_dates=False,
            )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from error
    table = table.head(_filled(table))
    if len(table) == 0:
        raise InputError(
            "the recording has no rows",
            where=str(path),
            found=f"columns {', '.join(table.columns)[:200]} and nothing below",
            wanted="many rows",
            do="check how it was exported",
        )
    # Such files come from where the comma is the decimal mark.
    return table.with_columns(_decimal_points(table)) if separator == ";" else table


def _filled(table: pl.DataFrame) -> int:
    """Count rows up to the last that holds anything: empty lines at the end are no rows."""
    filled = table.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
    return int(filled[-1]) + 1 if len(filled) else 0


def place(path: Path, row: int, column: str) -> str:
    """Name a cell as its owner finds it; a CSV has its header in line 1."""
    where = f"row {row + 1}" if path.suffix == ".parquet" else f"line {row + 2}"
    return f"{path}: {where}, column {column}"


def _separator(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            header = file.readline()
    except OSError as error:
        raise _unreadable(path, error) from error
    return max(SEPARATORS, key=header.count)


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        "the recording cannot be read",
        where=str(path),
        found=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
        wanted="a CSV or Parquet file with a time column and numeric columns",
        do="check the path and the file",
    )


def _decimal_points(table: pl.DataFrame) -> list[pl.Expr]:
    texts = [name for name in table.columns if table[name].dtype == pl.String]
    return [pl.col(name).str.replace(r"^(\s*[+-]?\d+),(\d+)", "${1}.${2}") for name in texts]


def numbers(
    table: pl.DataFrame, time_name: str, wished: Sequence[str], path: Path, say: Say
) -> tuple[list[str], F64]:
    """Give names and values (n, columns) of the wished columns, or of all that hold numbers; others are told of.

    Raises:
        InputError: a wished column does not exist or holds no number, none holds any, or a cell among numbers is text.
    """
    absent = [name for name in wished if name not in table.columns]
    taken = {} if absent else _numeric(table, wished or [c for c in table.columns if c != time_name], path)
    unusable = [name for name in wished if name not in taken]
    if unusable or not taken:
        raise InputError(
            "no such column" if absent else "no column is numeric",
            where=str(path),
            found=", ".join(table.columns)[:200],
            wanted=", ".join(absent or unusable) or "at least one numeric column beside the time",
            do="name the channels with --columns",
        )
    left = [name for name in table.columns if name != time_name and name not in taken]
    if left and not wished:
        say(f"left out, for they hold no numbers: {', '.join(left)}")
    values = np.column_stack(list(taken.values())).astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    return list(taken), values


def _numeric(table: pl.DataFrame, names: Sequence[str], path: Path) -> dict[str, F64]:
    columns = {name: _column(table, name, path) for name in names}
    return {name: values for name, values in columns.items() if values is not None}


def _column(table: pl.DataFrame, name: str, path: Path) -> F64 | None:
    """Read one column as numbers; None where no cell is one."""
    column = table[name]
    if column.dtype.is_numeric():
        return column.cast(pl.Float64).to_numpy()
    if column.dtype != pl.String:
        return None
    text = column.str.strip_chars()
    values = text.cast(pl.Float64, strict=False)
    if values.null_count() == len(values):
        return None
    wrong = (values.is_null() & text.is_not_null() & ~text.is_in(MISSING)).arg_true()
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            "a value is no number",
            where=place(path, row, name),
            found=f"{column[row]!r}"[:80]
            + (f" and {len(wrong) - 1} more such cells" if len(wrong) > 1 else ""),
            wanted="a number, or an empty cell where there is none",
            do="correct the cells, or name the other columns with --columns",
        )
    return values.to_numpy()
