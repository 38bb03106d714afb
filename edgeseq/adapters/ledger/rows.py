"""What stands in the ledger: its schema, and its rows as values."""

from __future__ import annotations

from typing import NamedTuple

from edgeseq.core.types import Outgoing

VERSION = 1

SCHEMA = """
CREATE TABLE event (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, seq INTEGER NOT NULL, event_type TEXT NOT NULL,
  stream TEXT NOT NULL, "table" TEXT NOT NULL, kind TEXT NOT NULL, time_ns INTEGER NOT NULL,
  muted INTEGER NOT NULL, payload BLOB NOT NULL, UNIQUE (id, seq)
);
CREATE TABLE acknowledged (id TEXT PRIMARY KEY, time_ns INTEGER NOT NULL, by TEXT);
CREATE TABLE told_late (id TEXT PRIMARY KEY, time_ns INTEGER NOT NULL);
CREATE TABLE outbox (alert_id TEXT PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE asked (number INTEGER PRIMARY KEY AUTOINCREMENT, purpose TEXT NOT NULL, window TEXT NOT NULL, by TEXT);
CREATE TABLE label (
  id TEXT PRIMARY KEY, label TEXT NOT NULL, note TEXT, by TEXT, time_ns INTEGER NOT NULL
);
CREATE TABLE readings (
  id TEXT PRIMARY KEY, place TEXT NOT NULL, is_complete INTEGER NOT NULL, first_step INTEGER NOT NULL,
  first_ns INTEGER NOT NULL, period_ns INTEGER NOT NULL, onset INTEGER NOT NULL, "values" BLOB NOT NULL
);
CREATE TABLE rate (name TEXT PRIMARY KEY, content TEXT NOT NULL);
"""

HISTORY = """
SELECT number, event.id, "table", muted, payload, label, note, label.by AS label_by, label.time_ns AS label_ns,
  acknowledged.time_ns AS acknowledged_ns, acknowledged.by AS acknowledged_by
FROM event LEFT JOIN label ON label.id = event.id LEFT JOIN acknowledged ON acknowledged.id = event.id
WHERE (:before IS NULL OR number < :before) AND (:stream IS NULL OR stream = :stream)
  AND (NOT :labelled OR (event_type = 'opened' AND label IS NOT NULL))
ORDER BY number DESC LIMIT :limit
"""


class EventRow(NamedTuple):
    """One event of the history."""

    id: str
    seq: int
    event_type: str
    stream: str
    table: str
    kind: str
    time_ns: int
    is_muted: bool
    payload: bytes


class ReadingsRow(NamedTuple):
    """Readings around an alert, on the stream's grid."""

    id: str
    place: str
    """JSON: whatever the writer needs to go on with it."""
    is_complete: bool
    first_step: int
    first_ns: int
    period_ns: int
    onset: int
    """Index of the value at which the alert opened."""
    values: bytes
    """float64, little-endian; NaN where missing."""


class Asked(NamedTuple):
    """A snooze or maintenance that somebody asked for."""

    number: int
    purpose: str
    window: str
    """JSON."""
    by: str | None


class Kept(NamedTuple):
    """What a start needs."""

    acknowledged: dict[str, tuple[int, str | None]]
    told_late: set[str]
    outbox: list[Outgoing]
    asked: list[Asked]
    readings: list[ReadingsRow]
    """Of alerts whose readings are not complete."""
    rates: dict[str, str]
