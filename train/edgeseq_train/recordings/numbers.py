"""Columns of cells as numbers: what is missing, what is a label, what is a fault."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from edgeseq.core.types import F64
from edgeseq.errors import InputError
from edgeseq_train.recordings.tables import MISSING, Table

ABSENT_WORDS = ("unavailable", "unknown")
"""What Home Assistant writes where it has no value."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column as numbers."""

    values: F64
    """(n,) NaN where there is none."""
    told: str = ""
    """Which cells hold something and yet no value; empty where none does."""


def to_numbers(column: pl.Series, table: Table, name: str, rows: pl.Series | None = None) -> Numbers | str:
    """Read cells as numbers; where no cell is one, tell what they are.

    Args:
        column: the cells.
        table: where they are from, for the error.
        name: of the column, for the error.
        rows: row of each cell in the table; None: all in order.

    Raises:
        InputError: a cell among numbers is text.
    """
    if column.dtype.is_numeric():
        return _numbers(column.cast(pl.Float64), 0)
    if column.null_count() == len(column):
        return "nothing"
    if column.dtype != pl.String:
        return _shown(column)
    text = column.str.strip_chars()
    values = text.cast(pl.Float64, strict=False)
    if values.null_count() == len(values):
        return _shown(column)
    words = text.str.to_lowercase().is_in(ABSENT_WORDS)
    wrong = (values.is_null() & text.is_not_null() & ~text.is_in(MISSING) & ~words).arg_true()
    if len(wrong):
        cell = int(wrong[0])
        raise InputError(
            "a value is no number",
            where=table.place(cell if rows is None else int(rows[cell]), name),
            found=f"{column[cell]!r}"[:80]
            + (f" and {len(wrong) - 1} more such cells" if len(wrong) > 1 else ""),
            wanted="a number, or an empty cell where there is none",
            do="correct the cells, or leave the column out with --without",
        )
    return _numbers(values, int(words.sum()))


def _numbers(values: pl.Series, words: int) -> Numbers:
    array = values.to_numpy().astype(np.float64)
    infinite = int(np.isinf(array).sum())
    array[~np.isfinite(array)] = np.nan
    told = [f"{words} cells that say unavailable or unknown"] * bool(words)
    told += [f"{infinite} infinite values"] * bool(infinite)
    return Numbers(array, " and ".join(told))


def _shown(column: pl.Series) -> str:
    """Name some of the cells.

    >>> _shown(pl.Series(["on", None, "off", "on", "x", "y"])), _shown(pl.Series([[1], [2]]))
    ("'on', 'off', 'x' …", 'cells of type List(Int64)')
    """
    if column.dtype.is_nested():
        return f"cells of type {column.dtype}"
    different = column.drop_nulls().unique(maintain_order=True)
    return ", ".join(repr(cell)[:40] for cell in different.head(3)) + (" …" if len(different) > 3 else "")
