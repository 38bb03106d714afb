"""The ledger: what people and alerts have done, in an SQLite file beside the journal. Slow things, a few a day.

One thread opens and uses it. Each call is one transaction, synced before it returns, all or nothing; the schema has a
version; rows, bytes and age are bounded. A damaged file is set aside, and a new one begun. Any other fault of the disk
is a StorageError: the same call may be made again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from edgeseq.core.types import Outgoing
from edgeseq.errors import StorageError

VERSION = 1
NAME = "ledger.sqlite"

MOST_EVENTS = 20_000
MOST_WINDOWS = 1000
"""Of alerts without a label; those with one are kept as long as the label."""
MOST_LABELS = 2000
OLDEST_S = 400 * 86_400
MOST_BYTES = 64 * 2**20
"""A third of it is reached at the bounds above, with windows of one channel."""

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

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


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


class Ledger:
    """The file, opened when it is first used and again after a fault."""

    def __init__(self, folder: Path, notify: Callable[..., None]) -> None:
        self.path = folder / NAME
        self.notify = notify
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            with suppress(sqlite3.Error):  # all that counts has been committed
                self._connection.close()
            self._connection = None

    # --- writing

    def record(
        self,
        events: Iterable[EventRow],
        told_late: Iterable[tuple[str, int, Outgoing]],
        readings: Iterable[ReadingsRow],
        rates: dict[str, str],
    ) -> None:
        """Keep what alerts have done. What is there already stays as it is."""
        with self._transaction() as db:
            db.executemany(
                'INSERT OR IGNORE INTO event (id, seq, event_type, stream, "table", kind, time_ns, muted, payload)'
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                list(events),
            )
            for name, time_ns, out in told_late:
                db.execute("INSERT OR REPLACE INTO told_late VALUES (?, ?)", (name, time_ns))
                _put_out(db, out)
            db.executemany("INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", list(readings))
            db.executemany("INSERT OR REPLACE INTO rate VALUES (?, ?)", list(rates.items()))

    def acknowledge(self, name: str, time_ns: int, by: str | None, out: Outgoing) -> None:
        """Keep that a person knows of an alert, and what is told of it."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO acknowledged VALUES (?, ?, ?)", (name, time_ns, by))
            _put_out(db, out)

    def ask(self, purpose: str, window: str, by: str | None) -> int:
        """Keep a snooze or maintenance → its number."""
        with self._transaction() as db:
            done = db.execute(
                "INSERT INTO asked (purpose, window, by) VALUES (?, ?, ?)", (purpose, window, by)
            )
            return int(done.lastrowid or 0)

    def change(self, number: int, window: str) -> None:
        """Change a snooze or maintenance."""
        with self._transaction() as db:
            db.execute("UPDATE asked SET window = ? WHERE number = ?", (window, number))

    def label(self, name: str, label: str | None, note: str | None, by: str | None, time_ns: int) -> bool:
        """Keep what a person says of an alert, or take it back; False where there are too many labels."""
        with self._transaction() as db:
            if label is None:
                db.execute("DELETE FROM label WHERE id = ?", (name,))
                return True
            (others,) = db.execute("SELECT count(*) FROM label WHERE id != ?", (name,)).fetchone()
            if others >= MOST_LABELS:
                return False
            row = (name, label, note, by, time_ns)
            db.execute("INSERT OR REPLACE INTO label VALUES (?, ?, ?, ?, ?)", row)
            return True

    def settle(self) -> None:
        """Forget what was told and is in a snapshot's outbox by now."""
        with self._transaction() as db:
            db.execute("DELETE FROM outbox")

    def prune(self, now_ns: int, open_ids: Iterable[str]) -> None:
        """Keep within the bounds; nothing of an open alert goes, and no label's alert."""
        oldest_ns = now_ns - OLDEST_S * 10**9
        with self._transaction() as db:
            db.execute("CREATE TEMP TABLE IF NOT EXISTS held (id TEXT PRIMARY KEY)")
            db.execute("DELETE FROM held")
            db.executemany("INSERT OR IGNORE INTO held VALUES (?)", [(name,) for name in open_ids])
            db.execute("INSERT OR IGNORE INTO held SELECT id FROM label")
            db.execute(
                "DELETE FROM event WHERE id NOT IN held AND (time_ns < ? OR number <="
                " (SELECT number FROM event ORDER BY number DESC LIMIT 1 OFFSET ?))",
                (oldest_ns, MOST_EVENTS),
            )
            db.execute(
                "DELETE FROM readings WHERE id NOT IN held AND rowid <="
                " (SELECT rowid FROM readings ORDER BY rowid DESC LIMIT 1 OFFSET ?)",
                (MOST_WINDOWS,),
            )
            db.execute("INSERT OR IGNORE INTO held SELECT id FROM event")
            db.execute("DELETE FROM acknowledged WHERE id NOT IN held")
            db.execute("DELETE FROM told_late WHERE id NOT IN held")

    def forget(self, numbers: Iterable[int]) -> None:
        """Forget snoozes and maintenance that ended long ago."""
        with self._transaction() as db:
            db.executemany("DELETE FROM asked WHERE number = ?", [(number,) for number in numbers])

    # --- reading

    def load(self) -> Kept:
        """Read what a start needs."""
        with self._transaction() as db:
            return Kept(
                {row[0]: (row[1], row[2]) for row in db.execute("SELECT * FROM acknowledged")},
                {row[0] for row in db.execute("SELECT id FROM told_late")},
                [_outgoing(row) for row in db.execute("SELECT * FROM outbox ORDER BY rowid")],
                [Asked(*row) for row in db.execute("SELECT * FROM asked ORDER BY number")],
                [_readings(row) for row in db.execute("SELECT * FROM readings WHERE NOT is_complete")],
                dict(db.execute("SELECT * FROM rate").fetchall()),
            )

    def history(
        self, before: int | None, limit: int, *, stream: str | None = None, is_labelled: bool = False
    ) -> list[dict[str, Any]]:
        """Read a page of the history, newest first; `before` is the number that the page before ended with.

        Of labelled alerts only the newest opening of each is given, with its readings.
        """
        asked = {"before": before, "stream": stream, "labelled": is_labelled, "limit": limit}
        with self._transaction() as db:
            found = db.execute(HISTORY, asked)
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found]

    def known(self, names: Iterable[str]) -> set[tuple[str, int]]:
        """Tell which events of alerts the history holds → ids and numbers."""
        with self._transaction() as db:
            query = "SELECT id, seq FROM event WHERE id = ?"
            return {row for name in names for row in db.execute(query, (name,))}

    def count(self) -> int:
        """Count the events of the history."""
        with self._transaction() as db:
            return int(db.execute("SELECT count(*) FROM event").fetchone()[0])

    def readings(self, name: str) -> ReadingsRow | None:
        """Read the readings around an alert."""
        with self._transaction() as db:
            row = db.execute("SELECT * FROM readings WHERE id = ?", (name,)).fetchone()
            return None if row is None else _readings(row)

    # --- the file

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Do a few things, all or nothing. Raises StorageError."""
        try:
            db = self._opened()
            with db:
                yield db
        except sqlite3.Error as fault:
            is_damaged = getattr(fault, "sqlite_errorcode", 0) & 0xFF in _DAMAGED
            self.close()
            if is_damaged:
                self._set_aside()
            raise self._fault(str(fault)) from fault

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._connection = self._open()
            except sqlite3.DatabaseError as fault:
                if getattr(fault, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
                    raise
                self._set_aside()
                self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        """Open the file; make it where there is none."""
        db = sqlite3.connect(self.path, timeout=0.0)
        try:
            # Exclusive: the folder's lock says so already, and a write-ahead log needs no shared memory then.
            for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
                db.execute(f"PRAGMA {pragma}")
            (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
            db.execute(f"PRAGMA max_page_count = {MOST_BYTES // page_bytes}")
            (told,) = db.execute("PRAGMA quick_check(1)").fetchone()
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if told != "ok" or version > VERSION:
                why = f"schema {version}, this edgeseq knows {VERSION}" if told == "ok" else told
                self._set_aside(why)
                db.close()
                return self._open()
            if version == 0:
                db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
                self.path.chmod(0o600)
        except BaseException:
            db.close()
            raise
        return db

    def _set_aside(self, why: str = "damaged") -> None:
        """Keep a file that cannot be used, for people to look at; begin anew."""
        aside = self.path.with_suffix(".corrupt")
        try:
            for suffix in ("-wal", "-shm", "-journal"):
                self.path.with_name(NAME + suffix).unlink(missing_ok=True)
            self.path.replace(aside)
        except OSError as fault:
            raise self._fault(fault.strerror or str(fault)) from fault
        self.notify("ledger.rejected", path=str(self.path), kept_as=str(aside), reason=why)

    def _fault(self, found: str) -> StorageError:
        return StorageError(
            "the ledger of alerts cannot be used",
            where=str(self.path),
            found=found,
            wanted="a writable folder with free space",
            do="free space or mend the disk; alerts are told meanwhile, but not kept in the history",
        )


def _put_out(db: sqlite3.Connection, out: Outgoing) -> None:
    row = (out.alert_id, out.topic, out.payload)
    db.execute("INSERT OR REPLACE INTO outbox VALUES (?, ?, ?)", row)


def _outgoing(row: tuple[str, str, bytes]) -> Outgoing:
    name, topic, payload = row
    return Outgoing(topic, bytes(payload), qos=1, alert_id=name)


def _readings(row: tuple[Any, ...]) -> ReadingsRow:
    found = ReadingsRow(*row)
    return found._replace(is_complete=bool(found.is_complete), values=bytes(found.values))
