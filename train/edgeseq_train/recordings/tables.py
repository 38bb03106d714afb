"""CSV and Parquet files as data frames: separators, encodings, empty lines."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from edgeseq.core.instants import parse_instant
from edgeseq.errors import InputError
from edgeseq_train.recordings.kinds import (
    SEPARATORS,
    Kind,
    cells_of,
    encoding_of,
    opened,
    read_head,
    separator_of,
    unreadable,
)
from edgeseq_train.recordings.request import Say

MISSING = ["", "nan", "NaN", "NA", "N/A", "null", "NULL", "None"]
ROW_NUMBER = "row number"
UNNAMED = "unnamed"
"""What a column without a name is called."""
INFER_ROWS = 10_000
"""Rows that tell the types of the columns."""

_DUPLICATED = re.compile(r"_duplicated_\d+$")
"""What polars appends to the names of columns that are called as another."""
_DECIMAL_COMMA = r"^(\s*[+-]?\d+),(\d+)"


@dataclass(frozen=True, slots=True)
class Table:
    """A data frame and where it is from."""

    frame: pl.DataFrame
    where: str
    first_line: int | None = None
    """Line of the first row in the file; None where rows are counted from 1."""

    def place(self, row: int, column: str) -> str:
        """Name a cell as its owner finds it."""
        at = f"row {row + 1}" if self.first_line is None else f"line {row + self.first_line}"
        return f"{self.where}: {at}, column {column}"


def load(path: Path, kind: Kind, say: Say) -> Table:
    """Read a CSV or Parquet file.

    Raises:
        InputError: not such a file, or no row in it.
    """
    try:
        table = Table(pl.read_parquet(path), str(path)) if kind == "parquet" else _load_csv(path, say)
    except pl.exceptions.ComputeError as error:
        raise (_uneven(path, error) if kind == "csv" else unreadable(path, error)) from error
    except (OSError, EOFError, csv.Error, UnicodeError, pl.exceptions.PolarsError) as error:
        raise unreadable(path, error) from error
    check_rows(table)
    return table


def check_rows(table: Table) -> None:
    """Refuse a table without rows.

    Raises:
        InputError: it has none.
    """
    if len(table.frame) == 0:
        raise InputError(
            "the recording has no rows",
            where=table.where,
            found=f"columns {', '.join(table.frame.columns)[:200]} and nothing below",
            wanted="many rows",
            do="check how it was exported",
        )


def _load_csv(path: Path, say: Say) -> Table:
    encoding = encoding_of(read_head(path)) or "utf-8-sig"
    separator, header = _header(path, encoding)
    if separator != ",":
        say(f"columns are separated by {SEPARATORS[separator]}")
    if encoding == "cp1252":
        say("the text is not UTF-8: read as Windows-1252")
    if header and header[0] == ROW_NUMBER:
        say("the first column has no name: left out as row numbers")
    source: Path | bytes = path
    if not encoding.startswith("utf-8"):
        with opened(path) as file:
            source = file.read().decode(encoding).encode()
    options: dict[str, Any] = {
        "separator": separator, "null_values": MISSING, "has_header": header is None, "skip_rows": 1 if header else 0,
        "new_columns": header,
    }  # fmt: skip
    try:
        frame = pl.read_csv(source, infer_schema_length=INFER_ROWS, **options)
    except pl.exceptions.ComputeError:
        # A later row is of another type; to look at all rows first takes several times as long.
        frame = pl.read_csv(source, infer_schema_length=None, **options)
    frame = _named(frame.head(_filled(frame)), path)
    if header:
        frame = frame.drop(ROW_NUMBER)
    for name in frame.columns:
        original = _DUPLICATED.sub("", name)
        if original != name and original in frame.columns:
            say(f"two columns are called {original}: the later one is read as {name}")
    # Such files come from where the comma is the decimal mark.
    return Table(_with_decimal_points(frame, say) if separator == ";" else frame, str(path), 2)


def _header(path: Path, encoding: str) -> tuple[str, list[str] | None]:
    """Find the separator, and the names of the columns where the file does not tell all: R does not name the rows'."""
    with opened(path) as file:
        text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
        lines = [text.readline(), text.readline()]
    names, cells = (*cells_of(filter(None, lines)), [])[:2]
    has_row_numbers = len(names) + 1 == len(cells) and cells[-1]
    return separator_of(lines[0]), [ROW_NUMBER, *names] if has_row_numbers else None


def _uneven(path: Path, error: Exception) -> InputError:
    """Name the first line with another number of cells than the header; polars does not say which it is."""
    encoding = encoding_of(read_head(path)) or "utf-8-sig"
    separator, header = _header(path, encoding)
    with opened(path) as file:
        text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
        rows = csv.reader(text, delimiter=separator)
        count = len(header or next(rows))
        for row in rows:
            if row and len(row) != count:
                return InputError(
                    "a row has another number of cells than the header",
                    where=f"{path}: line {rows.line_num}",
                    found=f"{len(row)} cells: {separator.join(row)[:80]!r}",
                    wanted=f"{count} cells",
                    do="correct the line, or put text that holds the separator into quotation marks",
                )
    return unreadable(path, error)


def _named(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Clean the names of the columns; a first line that holds cells instead of names is no header."""
    if all(parse_instant(c.strip()) is not None or _is_number(c) for c in frame.columns):
        raise InputError(
            "the table has no header",
            where=f"{path}: line 1",
            found=", ".join(frame.columns)[:200],
            wanted="the names of the columns",
            do="put a line such as time,temperature above the rows",
        )
    names = [c.strip() or UNNAMED for c in frame.columns]
    return (
        frame.rename(dict(zip(frame.columns, names, strict=True))) if len(set(names)) == len(names) else frame
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _filled(frame: pl.DataFrame) -> int:
    """Count rows up to the last that holds anything: empty lines at the end are no rows."""
    if not frame.columns:
        return 0
    filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
    return int(filled[-1]) + 1 if len(filled) else 0


def _with_decimal_points(frame: pl.DataFrame, say: Say) -> pl.DataFrame:
    """Write points for decimal commas, and say where there were any."""
    texts = [name for name in frame.columns if frame[name].dtype == pl.String]
    found = [name for name in texts if frame[name].str.contains(_DECIMAL_COMMA).any()]
    if found:
        say(f"commas are read as decimal points: {', '.join(found)}")
    return frame.with_columns(pl.col(name).str.replace(_DECIMAL_COMMA, "${1}.${2}") for name in found)
