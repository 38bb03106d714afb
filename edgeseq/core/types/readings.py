"""Readings in columns, and what became of them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from edgeseq.core.types.words import F64, I16, I32, I64, U64, Bool


@dataclass(frozen=True, slots=True)
class Readings:
    """Columns of readings in arrival order, all of one length n. A NaN value is a reading known to be bad."""

    message_index: I32
    stream_index: I32
    """Index into the registry of streams."""
    channel: I16
    time_ns: I64
    """Event time: the payload's, else the time of arrival."""
    received_ns: I64
    value: F64
    id_hash: U64
    """Identity of the reading for deduplication; 0 means it has none."""
    comparable: Bool
    """Whether the hash may be looked up among the stream's recent ones. False: only remember it, since (packet id,
    payload) identifies a reading only against a redelivery, which the broker marks DUP."""

    def __len__(self) -> int:
        return len(self.stream_index)

    def take(self, rows: Any) -> Readings:
        """Select rows by slice, mask or index array."""
        return Readings(*(getattr(self, name)[rows] for name in self.__slots__))

    @staticmethod
    def empty() -> Readings:
        """Make columns of length 0."""
        return Readings.from_rows([])

    @staticmethod
    def from_rows(rows: list[tuple[int, int, int, int, int, float, int, bool]]) -> Readings:
        """Make columns from tuples in the order of the fields."""
        columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True)) or [()] * len(READING_DTYPES)
        arrays: list[Any] = [np.array(c, dtype=t) for c, t in zip(columns, READING_DTYPES, strict=True)]
        return Readings(*arrays)


READING_DTYPES = (np.int32, np.int32, np.int16, np.int64, np.int64, np.float64, np.uint64, np.bool_)
"""dtypes of the columns of Readings, in order; also the journal's."""


class Reason(enum.StrEnum):
    """Why a message, a field or a reading was not applied. A closed set: counted and logged by these names."""

    UNKNOWN_TOPIC = "unknown_topic"
    RETAINED = "retained"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    BAD_UTF8 = "bad_utf8"
    MALFORMED_JSON = "malformed_json"
    TOO_DEEP = "too_deep"
    NO_FIELD = "no_field"
    WRONG_TYPE = "wrong_type"
    MALFORMED = "malformed"
    NO_BIRTH = "no_birth"
    UNKNOWN_UNIT = "unknown_unit"
    NOT_FINITE = "not_finite"
    BAD_TIME = "bad_time"
    TIME_IN_FUTURE = "time_in_future"
    TOO_OLD = "too_old"
    TOO_MANY_STREAMS = "too_many_streams"
    DUPLICATE = "duplicate"
    LATE = "late"


class Rejection(msgspec.Struct, frozen=True):
    """One thing not applied, and why. `detail` is short, printable and bounded."""

    message_index: int
    reason: Reason
    topic: str
    detail: str = ""


@dataclass(slots=True)
class Counts:
    """What happened to readings since the process started.

    received = applied + late + duplicate + rejected + shed, after every `advance` of what `accept` gave.
    """

    received: int = 0
    applied: int = 0
    late: int = 0
    duplicate: int = 0
    rejected: dict[Reason, int] = field(default_factory=dict)
    shed: int = 0
    """Of messages given up unread, each of which counts as one reading."""
    ignored: int = 0
    """Messages that say no number, as is normal for their family: neither received nor rejected."""

    @property
    def pending(self) -> int:
        """Count the readings that were accepted and not advanced yet."""
        settled = self.applied + self.late + self.duplicate + self.shed
        return self.received - settled - sum(self.rejected.values())

    def reject(self, reason: Reason, readings: int = 1) -> None:
        """Count what could not be used."""
        self.rejected[reason] = self.rejected.get(reason, 0) + readings
