"""Readings packed into few bytes and back."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.core.packing import MAX_COUNT, RAW, Column, is_sound, pack, unpack
from edgeseq.core.types import READING_DTYPES, Readings

I64_EDGE = [-(2**63), -1, 0, 1, 10**18, 2**63 - 1]
VALUES = [0.0, -0.0, 0.1, 20.123, -5e-324, 1.7976931348623157e308, 2.0**53, 1 / 3, np.nan, np.inf, -np.inf]

rows = st.lists(
    st.tuples(
        st.integers(0, 2**31 - 1),
        st.integers(0, 2**31 - 1),
        st.integers(-(2**15), 2**15 - 1),
        st.one_of(st.sampled_from(I64_EDGE), st.integers(-(2**62), 2**62)),
        st.one_of(st.sampled_from(I64_EDGE), st.integers(-(2**62), 2**62)),
        st.one_of(st.sampled_from(VALUES), st.floats(), st.decimals(-99, 99, places=2).map(float)),
        st.integers(0, 2**64 - 1),
        st.booleans(),
    ),
    max_size=8,
)


def is_equal(a: Readings, b: Readings) -> bool:
    """Compare dtypes and bits."""
    pairs = [(getattr(a, name), getattr(b, name)) for name in a.__slots__]
    return all(x.dtype == y.dtype and x.tobytes() == y.tobytes() for x, y in pairs)


@given(rows)
def test_packed_readings_come_back_bit_for_bit(found: list[Any]) -> None:
    """Whatever the columns hold, unpacking gives them back with their dtypes."""
    readings = Readings.from_rows(found)
    packed = pack(readings)
    assert is_sound(packed)
    assert is_equal(unpack(packed), readings)


def usual(count: int) -> Readings:
    """Make readings of a thousand sensors in a second: two decimals, times in ms, identities."""
    random = np.random.default_rng(1)
    received_ns = 1_790_000_000 * 10**9 + np.sort(random.integers(0, 10**9, count))
    columns: list[Any] = [
        np.arange(count),
        random.integers(0, 1000, count),
        np.zeros(count),
        received_ns // 10**6 * 10**6,
        received_ns,
        np.round(random.normal(20, 5, count), 2),
        random.integers(0, 2**64 - 1, count, dtype=np.uint64),
        np.ones(count),
    ]
    return Readings(*(c.astype(t) for c, t in zip(columns, READING_DTYPES, strict=True)))


def test_usual_readings_take_18_bytes() -> None:
    """What sensors send in a second takes 18 bytes a reading: identity 8, arrival 4, stream, time and value 2 each."""
    packed = pack(usual(100))
    columns = [getattr(packed, name) for name in packed.__struct_fields__]
    assert sum(len(column.rest) for column in columns if isinstance(column, Column)) == 18 * 100


@pytest.mark.parametrize(
    ("value", "power"), [(20.0, 1), (20.5, 10), (0.001, 1000), (1e-7, RAW), (-0.0, RAW), (np.nan, RAW)]
)
def test_values_are_packed_as_the_shortest_decimals(value: float, power: int) -> None:
    """The power of ten is the least that gives the bits back; where none does, the bits are packed."""
    assert pack(Readings.from_rows([(0, 0, 0, 1, 1, value, 0, False)])).power == power


@pytest.mark.parametrize(
    ("count", "length", "is_right"),
    [(3, 0, True), (3, 3, True), (3, 24, True), (3, 4, False), (3, 27, False), (0, 1, False)],
)
def test_columns_of_another_length_are_not_sound(count: int, length: int, is_right: bool) -> None:
    """A column that does not hold so many integers of at most 8 bytes is told before it is unpacked."""
    packed = pack(usual(3)) if count else pack(Readings.empty())
    assert is_sound(msgspec.structs.replace(packed, stream=Column(0, 1, bytes(length)))) is is_right


@pytest.mark.parametrize("count", [-1, MAX_COUNT + 1, 2**70])
def test_count_without_bounds_is_not_sound(count: int) -> None:
    """Columns that take no room do not show how many readings there are, so the count has a bound."""
    assert not is_sound(msgspec.structs.replace(pack(Readings.empty()), count=count))
