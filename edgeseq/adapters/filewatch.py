"""Notice that files have been replaced on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Marks = dict[Path, tuple[int, int, int] | None]


class FileWatch:
    """Compares inode, size and time of modification."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(paths)
        self._known = self._marks()
        self._seen = self._known

    def is_changed(self) -> bool:
        """Tell once that a file is another one now: when it looks the same twice, so is no longer being written."""
        now = self._marks()
        is_settled, self._seen = now == self._seen, now
        if now == self._known or not is_settled:
            return False
        self._known = now
        return True

    def _marks(self) -> Marks:
        return {path: _mark(path) for path in self._paths}


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
