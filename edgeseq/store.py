"""The state folder: generations of a snapshot and the journal of what came after it.

    snapshot-7.bin  journal-7.bin      state when generation 7 began, and what was accepted since
    snapshot-8.bin  journal-8.bin      the present generation; 7 is kept until 9 is complete

The state is the newest snapshot that checks plus the journals of its own and all later generations, in order. So a
damaged snapshot costs nothing but time, and no order of crashes between the steps of `rotate` can lose a reading.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeseq.adapters import journal, snapshot
from edgeseq.adapters.journal import Journal, Record
from edgeseq.adapters.snapshot import Arrays, Snapshot
from edgeseq.disk import Disk, storage_faults, write_atomically
from edgeseq.errors import ConfigError, StorageError
from edgeseq.failpoint import reach

Notify = Callable[..., None]
"""Called with the name of a log event and its fields."""

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

_FILE = re.compile(r"(snapshot|journal)-(\d+)\.bin")


@dataclass(slots=True)
class Found:
    """What the folder held at start: the newest snapshot that checks, and all records since, in order."""

    snapshot: Snapshot | None = None
    records: list[Record] = field(default_factory=list)


class Store:
    """An open state folder. `journal` is None where durability is none."""

    def __init__(self, folder: Path, lock: int, disk: Disk, *, base: int, generation: int) -> None:
        self.folder = folder
        self.base = base
        """Generation of the newest good snapshot."""
        self.generation = generation
        self.journal: Journal | None = None
        self._disk = disk
        self._lock = lock

    def rotate(
        self, fingerprint: dict[str, str], content: dict[str, Any], arrays: Arrays, *, is_journaling: bool
    ) -> None:
        """Begin the next generation with this state as its snapshot; keep the previous snapshot and its journals.

        Nothing changes where this raises StorageError: the present journal stays in use.
        """
        new = self.generation + 1
        following = journal.begin(self._path("journal", new), new, self._disk) if is_journaling else None
        reach("journal.begun")
        try:
            snapshot.write(self._path("snapshot", new), new, fingerprint, content, arrays, self._disk)
        except BaseException:
            if following:
                following.close()
            raise
        if self.journal:
            self.journal.close()
        self.journal, self.generation = following, new
        previous, self.base = self.base, new
        self._remove_before(previous)
        reach("generations.removed")

    def close(self) -> None:
        """Close the journal and let others use the folder."""
        if self.journal:
            self.journal.close()
            self.journal = None
        os.close(self._lock)

    def _path(self, kind: str, generation: int) -> Path:
        return self.folder / f"{kind}-{generation}.bin"

    def _remove_before(self, generation: int) -> None:
        with storage_faults("old generations cannot be removed", self.folder):
            for kind, found in sorted(_files(self.folder)):
                if found < generation:
                    self._disk.remove(self._path(kind, found))


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
        base, good = _newest_snapshot(folder, notify, disk)
        found = Found(good)
        last, length_bytes = _read_journals(folder, base, found, notify, disk)
        store = Store(folder, lock, disk, base=base, generation=last)
        if is_journaling:
            path = folder / f"journal-{last}.bin"
            is_usable = length_bytes > 0
            store.journal = (
                journal.resume(path, length_bytes, disk) if is_usable else journal.begin(path, last, disk)
            )
    except BaseException:
        os.close(lock)
        raise
    return store, found


def _newest_snapshot(folder: Path, notify: Notify, disk: Disk) -> tuple[int, Snapshot | None]:
    seen = _files(folder)
    generations = sorted((g for kind, g in seen if kind == "snapshot"), reverse=True)
    for generation in generations:
        path = folder / f"snapshot-{generation}.bin"
        if good := snapshot.read(path, generation):
            return generation, good
        notify("snapshot.rejected", path=str(path), is_older_tried=generation != generations[-1])
        _set_aside(path, notify, disk)
    if generations and ("journal", 0) not in seen:
        notify("state.lost", folder=str(folder), reason="no snapshot checks, and the journals build on one")
        for kind, generation in sorted(seen):
            if kind == "journal":
                _set_aside(folder / f"journal-{generation}.bin", notify, disk)
    return 0, None


def _read_journals(folder: Path, base: int, found: Found, notify: Notify, disk: Disk) -> tuple[int, int]:
    """Read the chain from `base` on. Returns the last usable generation and the length of its journal."""
    generations = {g for kind, g in _files(folder) if kind == "journal" and g >= base}
    last, length_bytes, is_whole = base, 0, True
    while is_whole and last in generations:
        path = folder / f"journal-{last}.bin"
        contents = journal.read(path, last)
        found.records += contents.records
        length_bytes, is_whole = contents.length_bytes, not contents.corrupt_bytes
        if contents.torn_bytes:
            notify("journal.truncated", path=str(path), cut_bytes=contents.torn_bytes)
        if not is_whole:
            notify(
                "journal.damaged",
                path=str(path),
                unread_bytes=contents.corrupt_bytes,
                records=len(found.records),
            )
        if not is_whole or last + 1 not in generations:
            break
        last += 1
    # What follows a damaged place, or a hole in the chain, builds on what is lost. Later journals go first: once
    # the damaged one has been cut it looks whole, and nothing must follow it then.
    for later in sorted((g for g in generations if g > last), reverse=True):
        _set_aside(folder / f"journal-{later}.bin", notify, disk)
    if not is_whole:
        _keep_copy(folder / f"journal-{last}.bin", notify, disk)
    return last, length_bytes


def _set_aside(path: Path, notify: Notify, disk: Disk) -> None:
    aside = path.with_suffix(".corrupt")
    with storage_faults("a damaged file cannot be set aside", path):
        disk.rename(path, aside)
        disk.sync_folder(path.parent)
    notify("file.rejected", path=str(path), kept_as=str(aside))


def _keep_copy(path: Path, notify: Notify, disk: Disk) -> None:
    aside = path.with_suffix(".corrupt")
    with storage_faults("a damaged file cannot be copied aside", path):
        write_atomically(disk, aside, [path.read_bytes()])
    notify("file.rejected", path=str(path), kept_as=str(aside))


def _files(folder: Path) -> set[tuple[str, int]]:
    matches = (_FILE.fullmatch(entry.name) for entry in folder.iterdir())
    return {(m[1], int(m[2])) for m in matches if m}


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
