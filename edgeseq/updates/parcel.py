"""A bundle that comes in chunks: kept where it was received, so that a restart asks only for what lacks.

What was received is noted beside the file without a sync: whatever a power cut tears shows in the digest of the whole,
and is asked for again.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from edgeseq.bundle.release import Release
from edgeseq.disk import Disk, storage_faults

PART, NOTE = "incoming.part", "incoming.have"

MOST_RANGES = 32
"""Told at once of what lacks; the next state tells further ones."""

_WHAT = "a bundle cannot be received"


class Note(msgspec.Struct):
    """Which chunks of which file there are."""

    digest: str
    chunk_bytes: int
    have: bytes
    """One byte a chunk, 1 where it is there."""


class Received(NamedTuple):
    """A whole file, synced, under its temporary name."""

    path: Path
    is_sound: bool
    """Its digest is the release's."""


class Parcel:
    """The chunks of one release. Methods raise StorageError where the disk refuses."""

    def __init__(self, folder: Path, release: Release, disk: Disk) -> None:
        self.release = release
        self._folder, self._disk = folder, disk
        self._have = self._kept() or bytearray(release.chunks)

    def _kept(self) -> bytearray | None:
        """Go on with what was received before, if it is of the same file."""
        release = self.release
        try:
            note = msgspec.json.decode((self._folder / NOTE).read_bytes(), type=Note)
            size_bytes = (self._folder / PART).stat().st_size
        except (OSError, msgspec.MsgspecError, ValueError):
            return None
        is_same = (note.digest, note.chunk_bytes) == (release.digest, release.chunk_bytes)
        is_whole = len(note.have) == release.chunks and size_bytes <= release.size_bytes
        return bytearray(note.have) if is_same and is_whole else None

    @property
    def is_complete(self) -> bool:
        """Tell whether no chunk lacks."""
        return 0 not in self._have

    @property
    def lacking(self) -> int:
        """Count the chunks that lack."""
        return self._have.count(0)

    def missing(self) -> list[tuple[int, int]]:
        """List the first ranges of chunks that lack, as first and last."""
        found: list[tuple[int, int]] = []
        start = self._have.find(0)
        while start >= 0 and len(found) < MOST_RANGES:
            stop = self._have.find(1, start)
            stop = len(self._have) if stop < 0 else stop
            found.append((start, stop - 1))
            start = self._have.find(0, stop)
        return found

    def take(self, number: int, data: bytes) -> bool:
        """Keep a chunk; False where it is none of this release's."""
        release = self.release
        offset = number * release.chunk_bytes
        if not 0 <= number < release.chunks or len(data) != min(
            release.chunk_bytes, release.size_bytes - offset
        ):
            return False
        with storage_faults(_WHAT, self._folder):
            path = self._folder / PART
            is_begun = any(self._have) and path.exists()
            file = self._disk.reopen(path) if is_begun else self._disk.create(path)
            try:
                self._disk.write(file, data, offset)
            finally:
                os.close(file)
        self._have[number] = 1
        return True

    def note(self) -> None:
        """Note what was received."""
        note = Note(self.release.digest, self.release.chunk_bytes, bytes(self._have))
        with storage_faults(_WHAT, self._folder):
            (self._folder / NOTE).write_bytes(msgspec.json.encode(note))

    def finish(self) -> Received:
        """Sync the whole file, and compare its digest; one that is not sound is forgotten."""
        path = self._folder / PART
        with storage_faults(_WHAT, self._folder):
            file = self._disk.reopen(path)
            try:
                self._disk.truncate(file, self.release.size_bytes)
                self._disk.sync(file)
            finally:
                os.close(file)
            is_sound = hashlib.sha256(path.read_bytes()).hexdigest() == self.release.digest
        if not is_sound:
            self._have = bytearray(self.release.chunks)
            forget(self._folder)
        return Received(path, is_sound)


def forget(folder: Path) -> None:
    """Remove what was received."""
    with storage_faults(_WHAT, folder):
        for name in (NOTE, PART):
            (folder / name).unlink(missing_ok=True)
