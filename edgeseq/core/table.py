"""Per-stream state as rows of contiguous arrays: one row a stream, one column a quantity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray


class Column(msgspec.Struct, frozen=True):
    """One quantity of every stream: shape of a row's part, dtype, and the value of a new row."""

    shape: tuple[int, ...] = ()
    dtype: str = "float64"
    init: float | int | bool = 0


class Table:
    """Named columns of equal length that grow by doubling.

    >>> t = Table({"open_step": Column((), "int64", -1)})
    >>> t.add_row(), t.add_row()
    (0, 1)
    >>> t["open_step"]
    array([-1, -1])
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = dict(columns)
        self.rows = 0
        self._arrays = {name: self._blank(column, 4) for name, column in self.columns.items()}
        # Looked up more than a hundred times a reading, changed only when a stream is new.
        self._views = {name: array[:0] for name, array in self._arrays.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Give the column as a writable view of its rows."""
        return self._views[name]

    def add_row(self) -> int:
        """Append a row of initial values and give its index."""
        capacity = len(next(iter(self._arrays.values())))
        if self.rows == capacity:
            for name, column in self.columns.items():
                self._arrays[name] = np.concatenate([self._arrays[name], self._blank(column, capacity)])
        self.rows += 1
        self._views = {name: array[: self.rows] for name, array in self._arrays.items()}
        return self.rows - 1

    def reset(self, rows: NDArray[Any], names: Mapping[str, Column]) -> None:
        """Set the named columns of some rows back to their initial values."""
        for name, column in names.items():
            self[name][rows] = column.init

    def row(self, index: int) -> dict[str, NDArray[Any]]:
        """Copy one row."""
        return {name: np.array(self[name][index]) for name in self.columns}

    def fill_row(self, index: int, values: Mapping[str, NDArray[Any]]) -> None:
        """Write one row; shapes must fit."""
        for name in self.columns:
            self[name][index] = values[name]

    @staticmethod
    def _blank(column: Column, rows: int) -> NDArray[Any]:
        return np.full((rows, *column.shape), column.init, dtype=np.dtype(column.dtype))
