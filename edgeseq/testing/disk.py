"""A disk that fails at the n-th call: run a scenario once for every n, and no step is left untested."""

from __future__ import annotations

import os
from pathlib import Path

from edgeseq.disk import Disk


class PowerCut(BaseException):
    """The process is gone. No clean-up code catches it."""


class FaultyDisk(Disk):
    """A real disk whose calls are counted, and whose call number `fail_at` (from 1) fails.

    Waiting for the medium is counted, not done: while the machine lives, nobody can tell the difference.

    Args:
        fail_at: number of the first failing call; 0 for none.
        error: errno to raise, or None for a power cut.
        times: how many calls fail in a row.
        is_torn: a failing write leaves the first half of its data on the disk.
    """

    def __init__(
        self, fail_at: int = 0, *, error: int | None = None, times: int = 1, is_torn: bool = False
    ) -> None:
        self.calls = 0
        self.names: list[str] = []
        """Of the calls."""
        self._first = fail_at
        self._last = fail_at + times - 1
        self._error = error
        self._is_torn = is_torn

    def create(self, path: Path) -> int:
        """Do it, or fail if it is its turn."""
        self._count("create")
        return super().create(path)

    def reopen(self, path: Path) -> int:
        """Do it, or fail if it is its turn."""
        self._count("reopen")
        return super().reopen(path)

    def write(self, file: int, data: bytes, offset: int) -> None:
        """Do it, or fail if it is its turn."""
        if self._is_torn and self._first <= self.calls + 1 <= self._last:
            super().write(file, data[: len(data) // 2], offset)
        self._count("write")
        super().write(file, data, offset)

    def truncate(self, file: int, length_bytes: int) -> None:
        """Do it, or fail if it is its turn."""
        self._count("truncate")
        super().truncate(file, length_bytes)

    def sync(self, file: int) -> None:
        """Do it, or fail if it is its turn."""
        self._count("sync")

    def sync_folder(self, folder: Path) -> None:
        """Do it, or fail if it is its turn."""
        self._count("sync_folder")

    def rename(self, source: Path, target: Path) -> None:
        """Do it, or fail if it is its turn."""
        self._count("rename")
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        """Do it, or fail if it is its turn."""
        self._count("remove")
        super().remove(path)

    def _count(self, name: str) -> None:
        self.calls += 1
        self.names.append(name)
        if not self._first <= self.calls <= self._last:
            return
        if self._error is None:
            raise PowerCut
        raise OSError(self._error, os.strerror(self._error))
