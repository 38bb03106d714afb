"""The ledger: what people and alerts have done, in an SQLite file beside the journal. Slow things, a few a day.

One thread opens and uses it. Each call is one transaction, synced before it returns, all or nothing; the schema has a
version; rows, bytes and age are bounded. A damaged file is set aside, and a new one begun. Any other fault of the disk
is a StorageError: the same call may be made again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from edgeseq.adapters.ledger.file import NAME, LedgerFile
from edgeseq.adapters.ledger.rows import HISTORY, Asked, EventRow, Kept, ReadingsRow
from edgeseq.core.types import Outgoing
from edgeseq.errors import StorageError

__all__ = ["MOST_LABELS", "Asked", "EventRow", "Kept", "Ledger", "ReadingsRow", "read_labels"]

MOST_EVENTS = 20_000
MOST_WINDOWS = 1000
"""Of alerts without a label; those with one are kept as long as the label."""
MOST_LABELS = 2000
OLDEST_S = 400 * 86_400


class Ledger:
    """Everything that is kept, by what it is for."""

    def __init__(self, folder: Path, notify: Callable[..., None]) -> None:
        self._file = LedgerFile(folder, notify)

    @property
    def path(self) -> Path:
        """Name the file."""
        return self._file.path

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    # --- writing

    def record(
        self,
        events: Iterable[EventRow],
        told_late: Iterable[tuple[str, int, Outgoing]],
        readings: Iterable[ReadingsRow],
        rates: dict[str, str],
    ) -> None:
        """Keep what alerts have done. What is there already stays as it is."""
        with self._file.transaction() as db:
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
        with self._file.transaction() as db:
            db.execute("INSERT OR IGNORE INTO acknowledged VALUES (?, ?, ?)", (name, time_ns, by))
            _put_out(db, out)

    def ask(self, purpose: str, window: str, by: str | None) -> int:
        """Keep a snooze or maintenance → its number."""
        with self._file.transaction() as db:
            done = db.execute(
                "INSERT INTO asked (purpose, window, by) VALUES (?, ?, ?)", (purpose, window, by)
            )
            return int(done.lastrowid or 0)

    def change(self, number: int, window: str) -> None:
        """Change a snooze or maintenance."""
        with self._file.transaction() as db:
            db.execute("UPDATE asked SET window = ? WHERE number = ?", (window, number))

    def label(self, name: str, label: str | None, note: str | None, by: str | None, time_ns: int) -> bool:
        """Keep what a person says of an alert, or take it back; False where there are too many labels."""
        with self._file.transaction() as db:
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
        with self._file.transaction() as db:
            db.execute("DELETE FROM outbox")

    def prune(self, now_ns: int, open_ids: Iterable[str]) -> None:
        """Keep within the bounds; nothing of an open alert goes, and no label's alert."""
        oldest_ns = now_ns - OLDEST_S * 10**9
        with self._file.transaction() as db:
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
        with self._file.transaction() as db:
            db.executemany("DELETE FROM asked WHERE number = ?", [(number,) for number in numbers])

    # --- reading

    def load(self) -> Kept:
        """Read what a start needs."""
        with self._file.transaction() as db:
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
        with self._file.transaction() as db:
            found = db.execute(HISTORY, asked)
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found]

    def known(self, names: Iterable[str]) -> set[tuple[str, int]]:
        """Tell which events of alerts the history holds → ids and numbers."""
        with self._file.transaction() as db:
            query = "SELECT id, seq FROM event WHERE id = ?"
            return {row for name in names for row in db.execute(query, (name,))}

    def count(self) -> int:
        """Count the events of the history."""
        with self._file.transaction() as db:
            return int(db.execute("SELECT count(*) FROM event").fetchone()[0])

    def readings(self, name: str) -> ReadingsRow | None:
        """Read the readings around an alert."""
        with self._file.transaction() as db:
            row = db.execute("SELECT * FROM readings WHERE id = ?", (name,)).fetchone()
            return None if row is None else _readings(row)


def _put_out(db: sqlite3.Connection, out: Outgoing) -> None:
    row = (out.alert_id, out.topic, out.payload)
    db.execute("INSERT OR REPLACE INTO outbox VALUES (?, ?, ?)", row)


def _outgoing(row: tuple[str, str, bytes]) -> Outgoing:
    name, topic, payload = row
    return Outgoing(topic, bytes(payload), qos=1, alert_id=name)


def _readings(row: tuple[Any, ...]) -> ReadingsRow:
    found = ReadingsRow(*row)
    return found._replace(is_complete=bool(found.is_complete), values=bytes(found.values))


def read_labels(folder: Path) -> list[tuple[str, int, str]]:
    """Read what people have said of alerts → stream, time of the opening, label; nothing is changed.

    Raises StorageError: a running node holds the file, or it cannot be read.
    """
    path = folder / NAME
    if not path.exists():
        return []
    query = (
        "SELECT stream, event.time_ns, label FROM event JOIN label ON label.id = event.id"
        " WHERE event_type = 'opened' ORDER BY number"
    )
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=0.0, uri=True)) as db:
            return [(stream, time_ns, label) for stream, time_ns, label in db.execute(query)]
    except sqlite3.Error as fault:
        raise StorageError(
            "the labels in the ledger cannot be read",
            where=str(path),
            found=str(fault),
            do="a running node holds it: write them with `edgeseq alerts export -o labels.jsonl`, and give --labels",
        ) from fault
