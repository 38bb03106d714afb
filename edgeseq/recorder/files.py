"""A file of lines that grows: gzip members one after another, each synced, so that it is whole up to the last flush."""

from __future__ import annotations

import gzip
import os
import time
import zlib
from pathlib import Path

from edgeseq.errors import InputError, StorageError

FLUSH_S, FLUSH_BYTES = 10.0, 2**20
"""What a kill may cost at most: so much time, so many bytes of lines."""
LEVEL = 6
CHUNK = 2**16


class Lines:
    """Writes lines to a new file, or to the end of one that is there; .gz is compressed."""

    def __init__(self, path: Path, *, head: bytes = b"", append: bool = False) -> None:
        self.path = path
        self.is_packed = path.suffix == ".gz"
        self._waiting = bytearray()
        self._flushed_s = time.monotonic()
        self._size = 0
        is_old = append and path.exists()
        try:
            if is_old:
                repair(path)
            self._file = path.open("ab" if append else "xb")
            self._size = path.stat().st_size
        except FileExistsError as error:
            raise InputError(
                "the file is there",
                where=str(path),
                wanted="a new file",
                do="choose another name, or go on with --append",
            ) from error
        except OSError as error:
            raise StorageError(
                "the recording cannot be written", where=str(path), found=str(error)
            ) from error
        if not is_old or not self._size:
            self.add(head)

    @property
    def size(self) -> int:
        """Bytes written, without what waits."""
        return self._size

    def add(self, line: bytes) -> None:
        """Add whole lines."""
        self._waiting += line
        if len(self._waiting) >= FLUSH_BYTES:
            self.flush()

    def tick(self) -> None:
        """Write what waits if it is time to."""
        if time.monotonic() - self._flushed_s >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what waits, and sync it. Raises StorageError."""
        self._flushed_s = time.monotonic()
        if not self._waiting:
            return
        made = gzip.compress(bytes(self._waiting), LEVEL) if self.is_packed else bytes(self._waiting)
        try:
            self._file.write(made)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StorageError(
                "the recording cannot be written", where=str(self.path), found=str(error)
            ) from error
        self._size += len(made)
        self._waiting.clear()

    def close(self) -> None:
        """Write the rest and close the file."""
        try:
            self.flush()
        finally:
            self._file.close()


def repair(path: Path) -> int:
    """Cut off what was not written wholly, so that more can follow → bytes cut off."""
    end = _whole_members(path) if path.suffix == ".gz" else _whole_lines(path)
    cut = path.stat().st_size - end
    if cut:
        os.truncate(path, end)
    return cut


def _whole_members(path: Path) -> int:
    """Find where the last whole gzip member ends."""
    end = at = 0
    with path.open("rb") as file:
        unpack, rest = zlib.decompressobj(31), b""
        while chunk := rest or file.read(CHUNK):
            at += 0 if rest else len(chunk)
            try:
                while chunk and not unpack.eof:
                    unpack.decompress(chunk, CHUNK)
                    chunk = unpack.unconsumed_tail
            except zlib.error:
                return end
            rest = b""
            if unpack.eof:
                rest = unpack.unused_data
                end = at - len(rest)
                unpack = zlib.decompressobj(31)
    return end


def _whole_lines(path: Path) -> int:
    """Find where the last whole line ends."""
    end = at = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            last = chunk.rfind(b"\n")
            end = at + last + 1 if last >= 0 else end
            at += len(chunk)
    return end
