"""The ledger's file: opened when it is first used, and again after a fault; a damaged one is set aside."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeseq.adapters.ledger.rows import SCHEMA, VERSION
from edgeseq.errors import StorageError

NAME = "ledger.sqlite"

MOST_BYTES = 64 * 2**20
"""A third of it is reached at the bounds above, with windows of one channel."""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class LedgerFile:
    """An SQLite file of one thread. `notify` is called with the name of a log event and its fields."""

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

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
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
