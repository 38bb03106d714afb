"""What a reading is recognised by when it comes again: 64 bits, computed for whole columns.

Within its stream a reading is identified by the configured id, else by the payload's time and the value, else, against
a redelivery alone, by the broker's session, packet id and payload: packet ids count from anew in each session.
"""

from __future__ import annotations

import enum
from hashlib import blake2b
from zlib import crc32

import numpy as np

from edgeseq.core.types import F64, I64, U64


class Identity(enum.IntEnum):
    """What identifies a reading."""

    NONE = 0
    TIME = 1
    PACKET = 2
    NAME = 3


# Multipliers of SplitMix64 (Steele, Lea and Flood 2014): its step, and its finisher with Stafford's constants, mix 13.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

_STEP_FACTOR, _FIRST_FACTOR, _SECOND_FACTOR = int(_STEP), int(_FIRST), int(_SECOND)
_WORD = 2**64 - 1

FEW = 8
"""Fewer readings are hashed one by one: NumPy's cost is by the call."""


def identities(kind: I64, seed: I64, channel: I64, value: F64) -> U64:
    """Hash what identifies readings, all (n,); 0 means that nothing does.

    Args:
        kind: an Identity.
        seed: the time in ns, or what `packet_seed` or `name_seed` gave.
        channel: two channels of one message are two readings.
        value: counts unless a name says enough.
    """
    if len(seed) < FEW:
        bits = value.view(np.uint64).tolist()
        rows = zip(kind.tolist(), seed.tolist(), channel.tolist(), bits, strict=True)
        return np.array([_identity(*row) for row in rows], dtype=np.uint64)
    origin = seed.view(np.uint64) ^ ((channel * len(Identity) + kind).view(np.uint64) * _STEP)
    named = kind == Identity.NAME
    said = np.where(named, np.uint64(0), value.view(np.uint64))
    hashed = np.maximum(_mix(_mix(origin) ^ said), np.uint64(1))
    hashed[kind == Identity.NONE] = 0
    return hashed


def _identity(kind: int, seed: int, channel: int, bits: int) -> int:
    """Hash what identifies one reading, as columns are hashed; `bits` are the value's."""
    if kind == Identity.NONE:
        return 0
    origin = (seed & _WORD) ^ ((channel * len(Identity) + kind) * _STEP_FACTOR & _WORD)
    return max(_mix_one(_mix_one(origin) ^ (0 if kind == Identity.NAME else bits)), 1)


def _mix_one(z: int) -> int:
    """Spread each bit of a word over all 64, as `_mix` does."""
    z = (z ^ (z >> 30)) * _FIRST_FACTOR & _WORD
    z = (z ^ (z >> 27)) * _SECOND_FACTOR & _WORD
    return z ^ (z >> 31)


def packet_seed(mid: int, payload: bytes) -> int:
    """Identify a delivery within its session, by 48 bits: the value says the rest."""
    return crc32(payload) << 16 | mid


def session_seed(session: int) -> int:
    """Give the bits above those of `packet_seed`: a session's number, of which 32,768 are told apart."""
    return session % 2**15 << 48


def name_seed(name: str | float) -> int:
    """Identify a configured id."""
    source = repr(name).encode("ascii", "backslashreplace")
    return int.from_bytes(blake2b(source, digest_size=8).digest(), "little", signed=True)


def _mix(z: U64) -> U64:
    """Spread each bit over all 64: one to one, so that different times of one value never meet."""
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))
