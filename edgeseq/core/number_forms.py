"""The forms of written numbers: how a number of 5 significant digits is read and written, by its sign and power of ten.

Tables for `decimals`: there are few forms, so that NumPy looks up what belongs to each number of a column.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from edgeseq.core.types import F64, U64, Bool, Index

SIGNIFICANT_DIGITS = 5

WORD_BYTES = 8
SEPARATOR_BYTES = 2
"""Room for a separator at the start of a number's first word."""

LIMIT = 10**SIGNIFICANT_DIGITS

LEAST_DIVIDED = LIMIT - 0.5
"""Numbers below it have the divisor 1."""

LEAST_ROOM, NO_ROOM = 8, 64
"""Bits before the digits of a number of one word: a separator's at least; NO_ROOM where it needs two words."""

_EXPONENTS = range(26, -6, -1)
"""Powers of ten that have a form. 10^22 is the greatest that is exact: 26 less the 4 digits after the first."""

# Forms, for positive numbers, then the same for negative ones: zero, odd, a form for each exponent, odd, null, odd.
# A number that is rounded to the next power of ten has the form before; what lies before zero is the last form.
_ZERO, _FIRST = 0, 2
_SMALL = _FIRST + len(_EXPONENTS)
_NULL = _SMALL + 1
_FORMS = _NULL + 2


class Forms(NamedTuple):
    """How a number is read and written, by its form (2 · _FORMS,)."""

    multiplier: F64
    """Turns a magnitude into an integer of 5 digits, …"""
    divisor: F64
    """… exactly: one of both is 1."""
    before: U64
    """First word: sign, and `0.00` of a small number, behind the place of a separator."""
    moved: U64
    """Which bytes of the digits make room for a point, moved by one."""
    fill: U64
    """What stands among the digits: a point, zeros beside it, an exponent."""
    is_odd: Bool
    room: U64
    """Bits that stand before the digits where the number is one word."""
    sign: U64
    """What stands there, behind the place of a separator."""


def to_words(text: bytes, count: int) -> list[int]:
    """Cut text into words."""
    padded = text.ljust(count * WORD_BYTES, b"\0")
    return [int.from_bytes(padded[i * WORD_BYTES : (i + 1) * WORD_BYTES], "little") for i in range(count)]


def _digits() -> U64:
    """Write the integers below 10^5 without the zeros at their ends, as words; and nothing for what lies beyond."""
    words, shorter = np.zeros(LIMIT + 1, dtype=np.uint64), np.zeros(1, dtype=np.uint64)
    characters = np.arange(ord("0"), ord("0") + 10, dtype=np.uint64)
    # Each digit, before all that is written with one digit less. A column is filled in place: a second one on the way
    # would stay with the process, a megabyte of it.
    for _ in range(SIGNIFICANT_DIGITS):
        made = words[: 10 * len(shorter)]
        np.bitwise_or(characters[:, None], shorter << np.uint64(8), out=made.reshape(10, -1))
        made[0] = 0
        shorter = made[: LIMIT // 10].copy()
    return words


def _shape(exponent: int) -> tuple[bytes, int, bytes]:
    """Tell how numbers of a power of ten are written: what stands before, digits before the point, what fills.

    Digits, point and fill are 8 bytes at most. A fill's zero gives way to a digit.
    """
    D = SIGNIFICANT_DIGITS
    if 0 <= exponent <= D:  # 1.2346 … 123460.0
        integer = b"0" * (exponent + 1)
        return b"", min(exponent + 1, D), integer + b".0"
    if -D < exponent < 0:  # 0.12346 … 0.00012346
        return b"0." + b"0" * (-exponent - 1), D, b""
    if D < exponent <= 9:  # 1.2346e6
        return b"", 1, b"0.0\0\0\0e%d" % exponent
    return b"", D, b"0" * D + b"e%d" % (exponent - D + 1)  # 12346e6, 12346e-9


def _by_form() -> Forms:
    """Make the tables of all forms."""
    n = 2 * _FORMS
    word = np.zeros((4, n), dtype=np.uint64)
    room = np.full(n, NO_ROOM, dtype=np.uint64)
    odd = np.ones(n, dtype=np.bool_)
    forms = Forms(np.zeros(n), np.ones(n), word[0], word[1], word[2], odd, room, word[3])
    for sign, text in ((0, b""), (_FORMS, b"-")):
        for form, exponent in enumerate(_EXPONENTS, sign + _FIRST):
            before, integer, fill = _shape(exponent)
            forms.multiplier[form], forms.divisor[form] = _factors(exponent)
            forms.before[form] = to_words(b"\0" * SEPARATOR_BYTES + text + before, 1)[0]
            forms.moved[form] = 256**SIGNIFICANT_DIGITS - 256**integer
            forms.fill[form] = to_words(fill, 1)[0]
            _fit(
                forms,
                form,
                text + before,
                max(len(fill), SIGNIFICANT_DIGITS + (integer < SIGNIFICANT_DIGITS)),
            )
        for form, prefix, fill in ((_ZERO, text, b"0.0"), (_NULL, b"", b"null")):
            forms.before[sign + form] = to_words(b"\0" * SEPARATOR_BYTES + prefix, 1)[0]
            forms.fill[sign + form] = to_words(fill, 1)[0]
            forms.is_odd[sign + form] = False
            _fit(forms, sign + form, prefix, len(fill))
        forms.is_odd[sign + _FIRST : sign + _SMALL] = False
    return forms


def _fit(forms: Forms, form: int, before: bytes, digits: int) -> None:
    """Say how a number of so many digits and signs among them stands in one word, if it does, a separator before it."""
    if 1 + len(before) + digits <= WORD_BYTES:
        forms.room[form] = 8 * (1 + len(before))
        forms.sign[form] = to_words(b"\0" + before, 1)[0]


def _factors(exponent: int) -> tuple[float, float]:
    """Give multiplier and divisor of a power of ten."""
    decimals = SIGNIFICANT_DIGITS - 1 - exponent
    return float(10 ** max(decimals, 0)), float(10 ** max(-decimals, 0))


def _end(exponent: int) -> float:
    """Find the least number that the form of a power of ten rounds to the next power."""
    multiplier, divisor = _factors(exponent)
    number: float = (LIMIT - 0.5) * divisor / multiplier
    while round(number * multiplier / divisor) < LIMIT:
        number = math.nextafter(number, math.inf)
    while round((before := math.nextafter(number, 0)) * multiplier / divisor) >= LIMIT:
        number = before
    return number


def _by_binary_exponent() -> tuple[Index, F64]:
    """Give the form of the least number of each sign and binary exponent, and where the next form begins."""
    form, following = np.empty(2048, dtype=np.intp), np.empty(2048)
    ends = [_end(exponent) for exponent in reversed(_EXPONENTS)]
    starts = np.array([float(f"1e{_EXPONENTS[-1]}"), *ends, np.inf])
    at = np.searchsorted(starts, np.ldexp(1.0, np.arange(1, 2047) - 1023), side="right")
    form[1:-1], following[1:-1] = _SMALL - at, starts[at]
    form[0], following[0] = _ZERO, 5e-324
    form[-1], following[-1] = _NULL, np.nan
    return np.concatenate([form, form + _FORMS]), np.concatenate([following, following])


DIGITS = _digits()
BY_FORM = _by_form()
FORM_OF, NEXT_FORM = _by_binary_exponent()
