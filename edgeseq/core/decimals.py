"""Numbers of 5 significant digits, and their text, whole columns at once.

In a row of text a number is two words of 8 bytes: what stands before its digits (separator, sign, `0.00`), then the
digits with their point. In a list, where only a comma separates them, it is one word if all of the list have room in
one. NUL bytes stand where a number has nothing, and are deleted at the end. How the words are made depends on the
number's form only (sign and power of ten), so that NumPy looks all of it up. Numbers below 0.00001 or from 1e27 on,
which have no form, are written one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from edgeseq.core.number_forms import (
    BY_FORM,
    DIGITS,
    FORM_OF,
    LEAST_DIVIDED,
    LEAST_ROOM,
    NEXT_FORM,
    NO_ROOM,
    SEPARATOR_BYTES,
    SIGNIFICANT_DIGITS,
    WORD_BYTES,
    to_words,
)
from edgeseq.core.types import F64, I64, U64, Bool

CHUNK_ROWS = 128
"""Rows written at a time: so their columns stay in the processor's cache."""

CUT = b"\n"
"""Ends a piece of a row; no JSON text contains it."""

# Correctly rounded powers: comparing with them and dividing by 10^0 … 10^22 (exact in float64) makes the rounding
# independent of how a platform computes logarithms, and of a value's neighbours in the array.
_LOWEST_EXPONENT, _HIGHEST_EXPONENT, _EXACT_EXPONENT = -300, 300, 22
_POWERS = np.array([float(f"1e{e}") for e in range(_LOWEST_EXPONENT, _HIGHEST_EXPONENT + 1)])


class _Layout(NamedTuple):
    """Where things stand in a row of W words that holds J numbers."""

    constant: U64
    """(W,) the labels; NUL where numbers will stand."""
    separator: U64
    """(J,) end of the label, in the number's first word."""
    first: I64
    """(J,) index of the number's first word."""
    long: int
    """How many numbers, the first ones, have two words; the others have one."""
    runs: tuple[tuple[slice, slice], ...]
    """Words that follow each other, and which of those others they are."""


@np.errstate(invalid="ignore")  # NaN of some kinds, and infinite ones
def significant(values: F64) -> F64:
    """Round to 5 significant digits, any shape; the result prints with at most that many.

    >>> significant(np.array([12.345678, -0.000123456, 123456.7, np.nan])).tolist()
    [12.346, -0.00012346, 123460.0, nan]
    """
    magnitude = np.abs(values)
    exponent = np.searchsorted(_POWERS, magnitude, side="right") - 1 + _LOWEST_EXPONENT
    shift = SIGNIFICANT_DIGITS - 1 - exponent
    usual = np.abs(shift) <= _EXACT_EXPONENT
    power = _POWERS[np.where(usual, np.abs(shift), 0) - _LOWEST_EXPONENT]
    rounded = np.where(shift >= 0, np.rint(values * power) / power, np.rint(values / power) * power)
    odd = ~usual & np.isfinite(values) & (values != 0)
    if odd.any():
        rounded[odd] = [float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in values[odd].tolist()]
    return np.where(usual | odd, rounded, values)


def write_rows(values: F64, labels: Sequence[bytes]) -> list[bytes]:
    r"""Write rows of numbers (n, J), rounded to 5 significant digits; numbers that are not finite are null.

    Args:
        values: the numbers.
        labels: (J + 1) texts before each number and after the last one. A CUT within them ends a piece of the row.

    Returns:
        the pieces of all rows.

    >>> write_rows(np.array([[12.345678, np.nan], [-0.0001234, 5e9]]), (b"[", b"]\n[", b"]"))
    [b'[12.346]', b'[null]', b'[-0.0001234]', b'[5.0e9]']
    """
    layouts = _layouts(tuple(labels))
    pieces: list[bytes] = []
    for start in range(0, len(values), CHUNK_ROWS):
        text = _write_chunk(values[start : start + CHUNK_ROWS], *layouts)
        pieces += text.translate(None, b"\0").split(CUT)
        pieces.pop()  # what follows the last CUT
    return pieces


@np.errstate(invalid="ignore", over="ignore")  # not finite, and odd ones
def _write_chunk(values: F64, short: _Layout, long: _Layout) -> bytes:
    """Write rows with NUL bytes among them, each with a CUT at its end; `short` is for lists that have room for it."""
    top = np.ascontiguousarray(values).view(np.uint64) >> np.uint64(52)  # sign and exponent
    exponent = top.view(np.int64).astype(np.intp, copy=False)
    number = np.abs(values)
    form = FORM_OF.take(exponent)
    form -= number >= NEXT_FORM.take(exponent)
    is_divided = not np.maximum.reduce(number, axis=None, initial=0.0) < LEAST_DIVIDED
    number *= BY_FORM.multiplier.take(form)
    if is_divided:
        number /= BY_FORM.divisor.take(form)
    # What is not finite becomes any integer, and is written by its form.
    words = DIGITS.take(np.rint(number, out=number).astype(np.intp), mode="clip")
    moved = words & BY_FORM.moved.take(form)
    moved *= np.uint64(255)
    words += moved  # now 256 times what they were: one byte up
    words |= BY_FORM.fill.take(form)
    listed = form[:, short.long :]
    room = BY_FORM.room.take(listed)
    most = int(np.maximum.reduce(room, axis=None, initial=0))
    layout = short if most < NO_ROOM else long
    text = np.empty((len(values), len(layout.constant)), dtype="<u8")
    text[:] = layout.constant
    n, first = layout.long, layout.first[: layout.long]
    text[:, first] = BY_FORM.before.take(form[:, :n]) | layout.separator[:n]
    text[:, first + 1] = words[:, :n]
    if layout.runs:
        rest = words[:, n:] << room
        if most > LEAST_ROOM:
            rest |= BY_FORM.sign.take(listed)
        rest |= layout.separator[n:]
        for place, numbers in layout.runs:
            text[:, place] = rest[:, numbers]
    # Whatever is odd has no room in a word.
    if np.count_nonzero(is_odd := BY_FORM.is_odd.take(form[:, :n])):
        _write_odd(values[:, :n], is_odd, text, layout)
    return text.tobytes()


def _write_odd(values: F64, is_odd: Bool, text: U64, layout: _Layout) -> None:
    """Write the numbers that have no form into the rows of words."""
    rows, columns = (index.tolist() for index in np.nonzero(is_odd))
    for row, column, number in zip(rows, columns, significant(values[is_odd]).tolist(), strict=True):
        written = b"%.4e" % number if math.isfinite(number) else b"null"
        separator = int(layout.separator[column]).to_bytes(WORD_BYTES, "little")[:SEPARATOR_BYTES]
        first = layout.first[column]
        text[row, first : first + 2] = to_words(separator + written, 2)


@lru_cache(maxsize=64)
def _layouts(labels: tuple[bytes, ...]) -> tuple[_Layout, _Layout]:
    """Lay out a row with and without numbers of one word, from the first number of a list to the last number."""
    listed = [b"," in pair for pair in pairwise(labels)]
    return _layout(labels, listed.index(True) if True in listed else len(listed)), _layout(
        labels, len(listed)
    )


def _layout(labels: tuple[bytes, ...], long: int) -> _Layout:
    """Lay out a row: each label in words of its own, but for its end, which shares the number's first word."""
    constant: list[int] = []
    separator, first = [], []
    for number, label in enumerate(labels[:-1]):
        shared = SEPARATOR_BYTES if number < long else 1
        start = label[:-shared]
        constant += to_words(start, -(-len(start) // WORD_BYTES))
        first.append(len(constant))
        separator += to_words(label[-shared:], 1)
        constant += [0, 0] if number < long else [0]
    end = labels[-1] + CUT
    constant += to_words(end, -(-len(end) // WORD_BYTES))
    layout = np.array(constant, np.uint64), np.array(separator, np.uint64), np.array(first, np.intp)
    return _Layout(*layout, long, tuple(_runs(first[long:])))


def _runs(places: list[int]) -> Iterator[tuple[slice, slice]]:
    """Find what follows each other among ascending places.

    >>> list(_runs([4, 5, 9]))
    [(slice(4, 6, None), slice(0, 2, None)), (slice(9, 10, None), slice(2, 3, None))]
    """
    begin = 0
    for end in range(1, len(places) + 1):
        if end == len(places) or places[end] != places[end - 1] + 1:
            yield slice(places[begin], places[end - 1] + 1), slice(begin, end)
            begin = end
