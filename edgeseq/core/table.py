"""Per-stream state as rows of contiguous arrays: one row a stream, one column a quantity.

The quantities that a step touches stand side by side in one matrix of 8-byte words, so that the state of a batch is
brought and taken back at once. While they are worked on they lie quantity by quantity (`Work`): the batch is the last
axis, along which arithmetic is fast. Rings, of which a step touches little, and what is seldom touched stand apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseq.core.types import Index

WORD_BYTES = 8
_PADDING = 8
"""Words between the quantities of a `Work`: at distances of 4096 bytes a processor's cache would hold few of them."""

_FEW_ROWS, _MANY_ROWS, _MOST_ROWS = 8, 256, 1024
"""Of works that are kept to be used again: all of few rows, where making views costs most, and of those of many rows,
where new memory does, the last. What lies between gains little, and a small device has other use for a megabyte."""


class Column(msgspec.Struct, frozen=True):
    """One quantity of every stream: shape of a row's part, dtype, and the value of a new row."""

    shape: tuple[int, ...] = ()
    dtype: str = "float64"
    init: float | int | bool | tuple[float, ...] = 0
    """Of a new row; a tuple along the last axis."""
    apart: bool = False
    """In an array of its own: rings, what is seldom touched, and whatever has no 8 bytes."""
    beside: str = ""
    """Or beside all others that name the same: columns of one dtype whose first axis is the pair's (2, …)."""


class _Place(NamedTuple):
    """Where a column stands among the words of a row."""

    words: slice
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    is_float: bool


NO_MATRIX: NDArray[Any] = np.empty((0, 0), np.float32)


class Pairs(tuple[NDArray[Any], ...]):  # noqa: SLOT001 - a tuple cannot have slots with values
    """Columns (N, 2, …) as writable views (2 · N, …), a row's two side by side.

    Those that lie beside each other are views of `matrix` (2 · N, W), too: it moves them at once.
    """

    matrix = NO_MATRIX
    small: tuple[tuple[int, slice], ...] = ()
    """Which of them lie in the matrix, and where …"""
    wide: tuple[tuple[int, NDArray[Any]], ...] = ()
    """… and which in arrays of their own."""


class Table(dict[str, NDArray[Any]]):
    """Named columns of equal length that grow by doubling: `table[name]` is a writable view of the rows.

    A dictionary of the views that were asked for: hundreds are in each batch, and only that is quick enough.

    >>> t = Table({"open_step": Column((), "int64", -1)})
    >>> t.add_row(), t.add_row()
    (0, 1)
    >>> t["open_step"]
    array([-1, -1])
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        super().__init__()
        self.columns = dict(columns)
        self.rows = 0
        self.places: dict[str, _Place] = {}
        start = 0
        for name, column in self.columns.items():
            dtype = np.dtype(column.dtype)
            if column.apart or column.beside or dtype.itemsize != WORD_BYTES:
                continue
            stop = start + int(np.prod(column.shape))
            self.places[name] = _Place(slice(start, stop), dtype, column.shape, dtype.kind == "f")
            start = stop
        self._capacity = 4
        self._words = self._blank_words(4, start)
        self._beside = _side_by_side(self.columns)
        self._apart = {name: self._blank(name, 4) for name in self._arrays()}
        self.notes: dict[Any, Any] = {}
        """What only few rows have, by a key that begins with the row; `detect.ledger` says what."""
        self._pairs: dict[str, Pairs] = {}
        self._idle: dict[int, Work] = {}
        self._large_rows = 0

    def __missing__(self, name: str) -> NDArray[Any]:
        """Make a view; it holds until a stream is new."""
        view = self._view(name)
        super().__setitem__(name, view)
        return view

    def __setitem__(self, name: str, value: NDArray[Any]) -> None:
        """Refuse another array in a view's place, which nobody would keep. Raises TypeError."""
        if value is not self.get(name):  # in `table[name] += 1` it is the view
            raise TypeError(f"{name}: columns are written in place: table[name][rows] = …")

    def pairs(self, prefix: str) -> Pairs:
        """Give the columns (N, 2, …) whose names begin so, a row's two as two rows."""
        found = self._pairs.get(prefix)
        if found is None:
            names = [name for name in self.columns if name.startswith(prefix)]
            found = Pairs(self[name].reshape(2 * self.rows, *self.columns[name].shape[1:]) for name in names)
            found.small = tuple((k, self._beside[n]) for k, n in enumerate(names) if n in self._beside)
            found.wide = tuple((k, found[k]) for k, n in enumerate(names) if n not in self._beside)
            if found.small:
                found.matrix = self._apart[prefix][: self.rows].reshape(2 * self.rows, -1)
            self._pairs[prefix] = found
        return found

    @property
    def words(self) -> NDArray[np.float64]:
        """Give the matrix of what stands side by side (N, words)."""
        return self._words[: self.rows]

    def add_row(self) -> int:
        """Append a row of initial values and give its index."""
        if self.rows == self._capacity:
            more, width = self._capacity, self._words.shape[1]
            self._words = np.concatenate([self._words, self._blank_words(more, width)])
            for name, array in self._apart.items():
                self._apart[name] = np.concatenate([array, self._blank(name, more)])
            self._capacity += more
        self.rows += 1
        self.clear()
        self._pairs = {}
        return self.rows - 1

    def gather(self, rows: Index) -> Work:
        """Copy the words of different rows (n,), to be worked on until they are put back."""
        work = self._idle.pop(len(rows), None) or Work(self, len(rows))
        work.take(rows)
        return work

    def release(self, work: Work) -> None:
        """Use a work again: making its views anew costs a tenth of what is done to them, and its memory is warm."""
        if len(work) > _MOST_ROWS or _FEW_ROWS < len(work) < _MANY_ROWS:
            return
        if len(work) > _FEW_ROWS:
            self._idle.pop(self._large_rows, None)
            self._large_rows = len(work)
        self._idle[len(work)] = work

    def reset(self, rows: NDArray[Any], names: Iterable[str]) -> None:
        """Set the named columns of some rows back to their initial values."""
        for name in names:
            self[name][rows] = self.columns[name].init

    def row(self, index: int) -> dict[str, NDArray[Any]]:
        """Copy one row."""
        return {name: np.array(self[name][index]) for name in self.columns}

    def _view(self, name: str) -> NDArray[Any]:
        if name in self._beside:
            column = self.columns[name]
            together = self._apart[column.beside][: self.rows, :, self._beside[name]]
            return together.reshape(self.rows, *column.shape)
        if name not in self.places:
            return self._apart[name][: self.rows]
        place = self.places[name]
        words: NDArray[Any] = self._words[: self.rows, place.words].view(place.dtype)
        return words.reshape(self.rows, *place.shape)

    def _arrays(self) -> list[str]:
        """Name the arrays beside the words: columns of their own, and what names the others."""
        alone = [n for n in self.columns if n not in self.places and n not in self._beside]
        return [*alone, *dict.fromkeys(self.columns[name].beside for name in self._beside)]

    def _blank(self, name: str, rows: int) -> NDArray[Any]:
        """Make rows of initial values of one of those arrays."""
        if name in self.columns:
            column = self.columns[name]
            return np.full((rows, *column.shape), column.init, dtype=np.dtype(column.dtype))
        parts = [column for column in self.columns.values() if column.beside == name]
        blanks = [np.full((rows, *part.shape), part.init, np.dtype(part.dtype)) for part in parts]
        return np.concatenate([blank.reshape(rows, 2, -1) for blank in blanks], axis=2)

    def _blank_words(self, rows: int, width: int) -> NDArray[np.float64]:
        words = np.empty((rows, width))
        for name, place in self.places.items():
            words[:, place.words].view(place.dtype)[:] = self.columns[name].init
        return words


class Work(dict[str, NDArray[Any]]):
    """Some rows' words, copied, quantity by quantity: `work[name]` is a writable view (…, n). `put` keeps them.

    After that nothing may look at its views any more: another batch of as many rows may be worked on in them.
    """

    def __init__(self, table: Table, size: int) -> None:
        super().__init__()
        self.table = table
        self.rows: Index = np.zeros(size, dtype=np.intp)
        self._floats = np.empty((table.words.shape[1], size + _PADDING))[:, :size]
        self._integers = self._floats.view(np.int64)
        self._together: dict[tuple[str, ...], NDArray[Any]] = {}

    def take(self, rows: Index) -> None:
        """Copy the words of different rows, as many as it has."""
        self.rows = rows
        self._floats[...] = self.table.words.take(rows, axis=0).T

    def __len__(self) -> int:
        return len(self.rows)

    def __missing__(self, name: str) -> NDArray[Any]:
        """Make a view; it holds as long as the work."""
        words, _, shape, is_float = self.table.places[name]
        block = self._floats if is_float else self._integers
        view = block[words].reshape(*shape, len(self.rows)) if shape else block[words.start]
        super().__setitem__(name, view)
        return view

    def __setitem__(self, name: str, value: NDArray[Any]) -> None:
        """Refuse another array in a view's place, which nobody would put back. Raises TypeError."""
        if value is not self.get(name):
            raise TypeError(f"{name}: quantities are written in place: work[name][...] = …")

    def together(self, names: tuple[str, ...]) -> NDArray[Any]:
        """Give columns of one shape and dtype that were declared one after the other, as one view (k, …, n)."""
        view = self._together.get(names)
        if view is None:
            first, last = self.table.places[names[0]], self.table.places[names[-1]]
            block = self._floats if first.is_float else self._integers
            shape = len(names), *first.shape, len(self.rows)
            view = self._together[names] = block[first.words.start : last.words.stop].reshape(shape)
        return view

    def put(self) -> None:
        """Write the rows back, for good."""
        self.table.words[self.rows] = self._floats.T
        self.table.release(self)


def _side_by_side(columns: Mapping[str, Column]) -> dict[str, slice]:
    """Say where each column that lies beside others stands in a row of theirs."""
    places: dict[str, slice] = {}
    widths: dict[str, int] = {}
    for name, column in columns.items():
        if column.beside:
            start = widths.get(column.beside, 0)
            widths[column.beside] = start + int(np.prod(column.shape[1:]))
            places[name] = slice(start, widths[column.beside])
    return places
