"""The state folder: generations of a snapshot and the journal of what came after it.

    snapshot-7.bin  journal-7.bin      state when generation 7 began, and what was accepted since
    snapshot-8.bin  journal-8.bin      the present generation; 7 is kept until 9 is complete
                    journal-9.bin      a failed sync was met: commits go on in a file that can be trusted
    journal.spare                      written over by the next journal

The state is the newest snapshot that checks plus the journals of its own and all later generations, in order
(edgeseq.recovery). So a damaged snapshot costs nothing but time, and no order of crashes between the steps of `rotate`
can lose a reading.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edgeseq.adapters import journal, snapshot
from edgeseq.adapters.journal import Journal, Record
from edgeseq.adapters.snapshot import Arrays
from edgeseq.disk import Disk, storage_faults
from edgeseq.errors import ConfigError, StorageError
from edgeseq.failpoint import reach
from edgeseq.recovery import Found, Notify, files, path_of, recover

SET_UP_FAULTS = frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)
"""What no waiting mends when a state folder is opened: no folder, or none of this user's."""


class Store:
    """An open state folder. `journal` is None where durability is none."""

    def __init__(self, folder: Path, lock: int, disk: Disk, found: Found) -> None:
        self.folder = folder
        self.base = found.base
        """Generation of the newest good snapshot."""
        self.generation = found.generation
        self.journal: Journal | None = None
        self.journal_readings = sum(record.count for record in found.records)
        """Committed since the snapshot."""
        self.snapshot_bytes = _length(path_of(folder, "snapshot", found.base)) if found.snapshot else 0
        """Length of the newest."""
        self._closed_bytes = 0
        self._next_frame = found.next_frame
        self._disk = disk
        self._lock = lock

    @property
    def journal_bytes(self) -> int:
        """Length of what has been committed since the snapshot."""
        return self._closed_bytes + (self.journal.length_bytes if self.journal else 0)

    def open_journal(self, found: Found) -> None:
        """Go on where the newest journal ends."""
        if found.journal is None:
            self._go_on_in(found.generation)
            return
        path = path_of(self.folder, "journal", found.generation)
        self.journal = journal.resume(path, found.generation, found.journal, self._disk)
        self._closed_bytes = found.journal_bytes - found.journal.length_bytes

    def commit(self, records: Sequence[Record]) -> None:
        """Make records durable, all or none. Does nothing without a journal.

        Raises StorageError; then the same records may be committed again.
        """
        if self.journal is None:
            return
        if self.journal.is_suspect:
            self._go_on_in(self.generation + 1)
        self.journal.commit(records)
        self.journal_readings += sum(record.count for record in records)

    def rotate(
        self, fingerprint: dict[str, str], content: dict[str, Any], arrays: Arrays, *, is_journaling: bool
    ) -> None:
        """Begin the next generation with this state as its snapshot; keep the previous snapshot and its journals.

        The new journal is in use before the snapshot is made: whether that is found or not, after a crash or where
        this raises StorageError, the journals from the newest snapshot on lead to the present state.
        """
        new = self.generation + 1
        if is_journaling:
            self._go_on_in(new)
        else:
            self._close_journal()
            self.generation = new
        reach("journal.begun")
        snapshot.write(path_of(self.folder, "snapshot", new), new, fingerprint, content, arrays, self._disk)
        previous, self.base = self.base, new
        self.snapshot_bytes = _length(path_of(self.folder, "snapshot", new))
        self._closed_bytes = self.journal_readings = 0
        self._remove_before(previous)
        reach("generations.removed")

    def _go_on_in(self, generation: int) -> None:
        """Begin a journal and write to it from now on."""
        first = self.journal.next_frame if self.journal else self._next_frame
        following = journal.begin(path_of(self.folder, "journal", generation), generation, first, self._disk)
        self._close_journal()
        self.journal, self.generation = following, generation

    def _close_journal(self) -> None:
        if self.journal:
            self._closed_bytes += self.journal.length_bytes
            self._next_frame = self.journal.next_frame
            self.journal.close()
            self.journal = None

    def close(self) -> None:
        """Close the journal and let others use the folder."""
        self._close_journal()
        os.close(self._lock)

    def _remove_before(self, generation: int) -> None:
        """Remove old generations; a journal is kept to be written over."""
        with storage_faults("old generations cannot be removed", self.folder):
            for kind, old in sorted(files(self.folder)):
                path = path_of(self.folder, kind, old)
                if old < generation and kind == "journal":
                    self._disk.rename(path, self.folder / journal.SPARE)
                elif old < generation:
                    self._disk.remove(path)


def open_store(
    folder: Path, *, is_journaling: bool, notify: Notify, disk: Disk | None = None
) -> tuple[Store, Found]:
    """Lock the folder and read what it holds; ready for appending.

    Raises ConfigError where this user may not use the folder or another process uses it, StorageError where the disk
    refuses.
    """
    disk = disk or Disk()
    make_folder(folder)
    with _set_up_faults(folder):
        return _open(folder, is_journaling=is_journaling, notify=notify, disk=disk)


def make_folder(folder: Path) -> None:
    """Make a folder for our eyes only, if it is not there. Raises ConfigError or StorageError."""
    with _set_up_faults(folder), storage_faults("the state folder cannot be used", folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def check_folder(folder: Path) -> None:
    """Try whether this user may use a state folder, and leave nothing behind. Raises ConfigError or StorageError."""
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    make_folder(folder)
    try:
        with _set_up_faults(folder), storage_faults("the state folder cannot be used", folder):
            tempfile.TemporaryFile(dir=folder).close()
    finally:
        with suppress(OSError):  # no longer empty: somebody else has begun to use it
            for made in missing:
                made.rmdir()


@contextmanager
def _set_up_faults(folder: Path) -> Iterator[None]:
    """Tell apart what a human must change from what may pass."""
    try:
        yield
    except StorageError as fault:
        cause = fault.__cause__
        if not isinstance(cause, OSError) or cause.errno not in SET_UP_FAULTS:
            raise
        raise ConfigError(
            "the state folder cannot be used",
            where=fault.where,
            found=fault.found,
            wanted="a folder that this user may write",
            do=f"set [node] state_dir to a folder this user may write; now it is {folder}",
        ) from cause


def _open(folder: Path, *, is_journaling: bool, notify: Notify, disk: Disk) -> tuple[Store, Found]:
    with storage_faults("the state folder cannot be used", folder):
        lock = _lock(folder)
    try:
        found = recover(folder, notify, disk)
        store = Store(folder, lock, disk, found)
        if is_journaling:
            store.open_journal(found)
        else:  # as a journal does: the name of what was found may be in the page cache alone
            with storage_faults("the state folder cannot be used", folder):
                disk.sync_folder(folder)
    except BaseException:
        os.close(lock)
        raise
    return store, found


def _length(path: Path) -> int:
    with storage_faults("the snapshot cannot be read", path):
        return path.stat().st_size


def _lock(folder: Path) -> int:
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise ConfigError(
            "another process uses the state folder",
            where=str(folder),
            wanted="one daemon for each state folder",
            do="stop the other edgeseq, or set another [node] state_dir",
        ) from None
    return file
