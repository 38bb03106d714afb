"""A disk with a page cache: what was not synced may be lost, torn or reordered by a power cut.

What the process sees are real files in a folder. Beside them stands what the medium holds: contents as of each file's
last sync, names as of each folder sync. A power cut replaces the real files by the medium's, plus any part of what
was on its way: of the names any subset, of a file's writes any subset, in sectors, and every third time nothing at all.
A sync that fails marks pages clean without writing them, as Linux does: only writing them again brings them to the
medium.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PosixPath

from edgeseq.disk import Disk
from tests.simulator.faults import Faults

SECTOR_BYTES = 512


@dataclass(slots=True, eq=False)
class File:
    """A file's content on the medium and the writes that are on their way: (offset, data), or (length, None)."""

    medium: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)


NameChange = tuple[str, File | None]
"""A name, and the file that has it from now on."""


class Folder(PosixPath):
    """A path whose files cannot be read for a few times."""

    read_errors = 0
    met = 0
    """Errors so far."""

    def read_bytes(self) -> bytes:
        """Read a whole file."""
        if Folder.read_errors:
            Folder.read_errors -= 1
            Folder.met += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read_bytes()


class SimulatedDisk(Disk):
    """One flat folder on a simulated medium. `failing` makes calls fail with that errno."""

    def __init__(self, folder: Path, faults: Faults, rng: random.Random) -> None:
        self.failing = 0
        self.failing_share = 1.0
        self._folder = folder
        self._faults = faults
        self._rng = rng
        self._names: dict[str, File] = {}
        self._on_medium: dict[str, File] = {}
        self._changes: list[list[NameChange]] = []
        self._open: dict[int, File] = {}

    # --- what the process does

    def create(self, path: Path) -> int:
        """Make or empty a file; its name is not on the medium yet."""
        with self._call("create"):
            file = self._names.get(path.name)
            if file is None:
                file = File()
                self._rename([(path.name, file)])
            else:
                file.pending.append((0, None))
            number = super().create(path)
            self._open[number] = file
        return number

    def reopen(self, path: Path) -> int:
        """Open a file."""
        with self._call("reopen"):
            number = super().reopen(path)
            self._open[number] = self._names[path.name]
        return number

    def write(self, file: int, data: bytes, offset: int) -> None:
        """Write into the page cache; a failing write leaves its beginning there."""
        try:
            with self._call("write"):
                self._write(file, data, offset)
        except OSError:
            self._write(file, data[: self._rng.randint(0, len(data))], offset)
            raise

    def truncate(self, file: int, length_bytes: int) -> None:
        """Cut the file in the page cache."""
        with self._call("truncate"):
            super().truncate(file, length_bytes)
            self._open[file].pending.append((length_bytes, None))

    def sync(self, file: int) -> None:
        """Bring the file's content to the medium; where that fails, some of it, and the rest never by itself."""
        found = self._open[file]
        try:
            with self._call("sync"):
                found.medium = _written(found)
                found.pending.clear()
        except OSError:
            self._lose_some(found)
            raise

    def sync_folder(self, folder: Path) -> None:
        """Bring the names to the medium."""
        with self._call("sync_folder"):
            self._on_medium = dict(self._names)
            self._changes.clear()

    def rename(self, source: Path, target: Path) -> None:
        """Rename in the cache."""
        with self._call("rename"):
            super().rename(source, target)
            self._rename([(source.name, None), (target.name, self._names[source.name])])

    def remove(self, path: Path) -> None:
        """Remove in the cache."""
        with self._call("remove"):
            super().remove(path)
            self._rename([(path.name, None)])

    # --- what the world does

    def cut_power(self) -> None:
        """Lose what was on its way, or any part of it; all that is left is on the medium then."""
        rng = self._rng
        names = dict(self._on_medium)
        is_all_lost = rng.random() < 1 / 3
        is_ordered = is_all_lost or rng.random() < 0.5
        kept = rng.randint(0, len(self._changes)) if is_ordered and not is_all_lost else 0
        for number, change in enumerate(self._changes):
            if number < kept if is_ordered else rng.random() < 0.5:
                _apply(names, change)
        for path in list(self._folder.iterdir()):
            path.unlink()
        for name, file in names.items():
            if is_all_lost:
                file.pending.clear()
            self._lose_some(file)
            (self._folder / name).write_bytes(file.medium)
        self._names, self._on_medium = names, dict(names)
        self._changes.clear()
        self._open.clear()

    def rot(self) -> str:
        """Change a byte of a file that is on the medium, where something was written → its name, or nothing.

        Every other time it is one of the newest snapshot, which a start will read.
        """
        lengths = {name: len(file.medium.rstrip(b"\0")) for name, file in sorted(self._names.items())}
        names = [name for name, length in lengths.items() if length and name.endswith(".bin")]
        if not names:
            return ""
        snapshots = [name for name in names if name.startswith("snapshot")]
        newest = max(snapshots, key=lambda name: int(name[9:-4]), default="")
        name = newest if newest and self._rng.random() < 0.5 else self._rng.choice(names)
        file, place = self._names[name], self._rng.randrange(lengths[name])
        content = bytearray(file.medium)
        content[place] ^= 1 << self._rng.randrange(8)
        file.medium = bytes(content)
        (self._folder / name).write_bytes(file.medium)
        return name

    def let_go(self) -> None:
        """Close what a process that is gone had open, as the kernel does."""
        prefix = f"{self._folder}/"
        for entry in list(Path("/proc/self/fd").iterdir()):
            try:
                if str(entry.readlink()).startswith(prefix):
                    os.close(int(entry.name))
            except OSError:  # the listing's own descriptor
                continue
        self._open.clear()

    # --- parts

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        self._faults.reach(name, is_after=False)
        if self.failing and self._rng.random() < self.failing_share:
            is_full = self.failing == errno.ENOSPC
            # A full disk takes no new bytes; names can be taken away.
            if not is_full or name in ("create", "write", "sync"):
                self._faults.seen[f"{errno.errorcode[self.failing]} of {name}"] += 1
                raise OSError(self.failing, os.strerror(self.failing))
        yield
        self._faults.reach(name, is_after=True)

    def _write(self, file: int, data: bytes, offset: int) -> None:
        super().write(file, data, offset)
        self._open[file].pending.append((offset, bytes(data)))

    def _rename(self, change: list[NameChange]) -> None:
        _apply(self._names, change)
        self._changes.append(change)

    def _lose_some(self, file: File) -> None:
        """Bring some of what is on its way to the medium, and forget the rest."""
        rng = self._rng
        kept: list[tuple[int, bytes | None]] = []
        for offset, data in file.pending:
            fate = rng.random()
            if data is None or fate < 0.3:
                kept += [(offset, data)] if fate < 0.5 else []
            elif fate < 0.7:
                kept += _torn(offset, data, rng)
        file.medium = _written(File(file.medium, kept))
        file.pending.clear()


def _torn(offset: int, data: bytes, rng: random.Random) -> Iterator[tuple[int, bytes]]:
    """Yield some sectors of a write; sometimes the file has grown to its end, too, and a hole reads as zeros."""
    start, end = 0, len(data)
    while start < end:
        stop = min(end, start + SECTOR_BYTES - (offset + start) % SECTOR_BYTES)
        if rng.random() < 0.5:
            yield offset + start, data[start:stop]
        start = stop
    if rng.random() < 0.3:
        yield offset + end, b""


def _written(file: File) -> bytes:
    content = bytearray(file.medium)
    for offset, data in file.pending:
        if data is None:
            del content[offset:]
            content.extend(bytes(offset - len(content)))
            continue
        content.extend(bytes(max(0, offset + len(data) - len(content))))
        content[offset : offset + len(data)] = data
    return bytes(content)


def _apply(names: dict[str, File], change: list[NameChange]) -> None:
    for name, file in change:
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file
