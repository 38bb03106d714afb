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


UNITS_TOLD = "numbers with units"
_WITH_UNIT = r"^[+-]?[0-9]+(?:[.,][0-9]+)?\s*([^0-9\s.,:+-][^0-9\s]{0,9})$"


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
            do=f"{_advice(text.gather(wrong))}, or leave the column out with --without",
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
    """Name some of the cells, and their units where they are numbers with units.

    >>> _shown(pl.Series(["on", None, "off", "on", "x", "y"])), _shown(pl.Series([[1], [2]]))
    ("'on', 'off', 'x' …", 'cells of type List(Int64)')
    """
    if column.dtype.is_nested():
        return f"cells of type {column.dtype}"
    different = column.drop_nulls().unique(maintain_order=True)
    shown = ", ".join(repr(cell)[:40] for cell in different.head(3)) + (" …" if len(different) > 3 else "")
    units = _units(different)
    return f"{shown}: {UNITS_TOLD} ({', '.join(units)})" if units else shown


def _units(cells: pl.Series) -> list[str]:
    """Name the units of cells that all are a number and a unit; none where one is not.

    >>> _units(pl.Series(["20.1 °C", "68°F"])), _units(pl.Series(["20.1 °C", "on"]))
    (['°C', '°F'], [])
    """
    if cells.dtype != pl.String:
        return []
    units = cells.str.strip_chars().str.extract(_WITH_UNIT)
    return [] if units.null_count() else units.unique(maintain_order=True).to_list()


def _advice(wrong: pl.Series) -> str:
    """Say what to do about cells that are no numbers."""
    units = _units(wrong.unique(maintain_order=True))
    if not units:
        return "correct the cells"
    convert = "" if len(units) == 1 else ", converted to one"
    return f"the cells hold units ({', '.join(units)}): write the numbers alone{convert}"
