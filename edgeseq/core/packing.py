"""Pack columns of readings into few bytes, exactly: some 18 instead of 51 a reading.

Each column is what its integers have in common, and the rest in as few bytes as the largest needs (frame of
reference, Goldstein et al. 1998): `integer = base + unit * rest`. Values of sensors are decimal numbers: where all of
them come back to the same bits from an integer divided by a power of ten, that integer is what is packed (as in ALP,
Afroozeh et al. 2023), else the bits themselves. A column in which all is the same takes no room at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseq.core.types import F64, I64, READING_DTYPES, U64, Readings

RAW = 0
"""Power of ten of values that are packed as their bits."""

MAX_COUNT = 2**24
"""Readings of one record; a column in which all is the same does not show how many there are."""

_POWERS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
_EXACT = 2.0**53
"""Integers up to here are exact in float64."""

_MASK = 2**64 - 1


class Column(msgspec.Struct, frozen=True, array_like=True):
    """One column of integers: `base + unit * rest` modulo 2^64; `rest` little-endian, as wide as it must be."""

    base: int = 0
    unit: int = 1
    rest: bytes = b""


class Packed(msgspec.Struct, frozen=True, array_like=True):
    """Columns of readings."""

    count: int
    message: Column
    """Less the place in the column: in a batch of one reading a message nothing is left."""
    stream: Column
    channel: Column
    received: Column
    time: Column | None
    """None where it is the time of arrival."""
    value: Column
    power: int
    """Of ten that divides `value`, or RAW."""
    identity: Column
    comparable: Column


def pack(readings: Readings) -> Packed:
    """Pack readings."""
    power = _power_of(readings.value)
    value = (
        readings.value.view(np.int64) if power == RAW else np.rint(readings.value * power).astype(np.int64)
    )
    is_of_arrival = np.array_equal(readings.time_ns, readings.received_ns)
    return Packed(
        len(readings),
        message=_pack(readings.message_index - np.arange(len(readings))),
        stream=_pack(readings.stream_index),
        channel=_pack(readings.channel),
        received=_pack(readings.received_ns, find_unit=True),
        time=None if is_of_arrival else _pack(readings.time_ns, find_unit=True),
        value=_pack(value),
        power=power,
        identity=_pack(readings.id_hash.view(np.int64)),
        comparable=_pack(readings.comparable),
    )


def is_sound(packed: Packed) -> bool:
    """Tell whether the columns are of one length, so that they can be unpacked."""
    columns = [getattr(packed, name) for name in packed.__struct_fields__]
    rests = [len(column.rest) for column in columns if isinstance(column, Column)]
    n = packed.count
    return 0 <= n <= MAX_COUNT and all(rest <= 8 * n and rest % max(n, 1) == 0 for rest in rests)


def unpack(packed: Packed) -> Readings:
    """Give the readings back, bit for bit. They must be sound."""
    n = packed.count
    received_ns = _unpack(packed.received, n)
    value = _unpack(packed.value, n)
    columns = (
        _unpack(packed.message, n) + np.arange(n),
        _unpack(packed.stream, n),
        _unpack(packed.channel, n),
        received_ns if packed.time is None else _unpack(packed.time, n),
        received_ns,
        value.view(np.float64) if packed.power == RAW else value / float(packed.power),
        _unpack(packed.identity, n).view(np.uint64),
        _unpack(packed.comparable, n),
    )
    return Readings(*(c.astype(t, copy=False) for c, t in zip(columns, READING_DTYPES, strict=True)))


def join(parts: Sequence[Readings]) -> Readings:
    """Put batches one behind the other; what came in one message stays told from what came in others."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Readings.empty()
    widths = [int(part.message_index.max(initial=-1)) + 1 for part in parts]
    starts = np.cumsum([0, *widths[:-1]])
    message = np.concatenate([part.message_index + start for part, start in zip(parts, starts, strict=True)])
    others = [np.concatenate([getattr(part, name) for part in parts]) for name in Readings.__slots__[1:]]
    return Readings(message.astype(np.int32), *others)


def _power_of(value: F64) -> int:
    """Find the least power of ten by which all values (n,) are integers that give them back, or RAW."""
    if not len(value) or not np.isfinite(value).all():
        return RAW
    bits = value.view(np.int64)
    largest = float(np.abs(value).max())
    for power in _POWERS:
        if largest * power >= _EXACT:
            return RAW
        whole = np.rint(value * power) + 0.0  # no negative zero: an integer has none
        if np.array_equal((whole / float(power)).view(np.int64), bits):
            return power
    return RAW


def _pack(column: NDArray[np.integer] | NDArray[np.bool_], *, find_unit: bool = False) -> Column:
    """Pack integers of at most 64 bits."""
    if not len(column):
        return Column()
    integers: I64 = column.astype(np.int64)
    base = int(integers.min())
    rest: U64 = (integers - base).view(np.uint64)
    unit = (int(np.gcd.reduce(rest)) or 1) if find_unit else 1
    if unit > 1:
        rest //= np.uint64(unit)
    width = (int(rest.max()).bit_length() + 7) // 8
    narrow = rest.astype("<u8", copy=False).view(np.uint8).reshape(-1, 8)[:, :width]
    return Column(base, unit, narrow.tobytes())


def _unpack(column: Column, count: int) -> I64:
    """Unpack `count` integers."""
    width = len(column.rest) // max(count, 1)
    wide = np.zeros((count, 8), np.uint8)
    wide[:, :width] = np.frombuffer(column.rest, np.uint8).reshape(count, width)
    rest: U64 = wide.view("<u8").reshape(count).astype(np.uint64, copy=False)
    if column.unit != 1:
        rest = rest * np.uint64(column.unit & _MASK)
    integers: I64 = (rest + np.uint64(column.base & _MASK)).view(np.int64)
    return integers
