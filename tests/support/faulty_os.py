"""Every n-th call of a kind fails once: the operating system as Python sees it, for the files of one folder.

Not the disk of `edgeseq.testing`, which stands in for our own: these are `os.pwrite` and its like themselves, so that
a call which goes past `edgeseq.disk` is met as well, a write may come out short, and a kill is a real one.
"""

from __future__ import annotations

import errno
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CALLS: dict[str, tuple[str, ...]] = {
    "write": ("pwrite", "write"),
    "sync": ("fsync", "fdatasync"),
    "rename": ("rename", "replace"),
    "open": ("open",),
    "truncate": ("ftruncate", "truncate", "posix_fallocate"),
    "unlink": ("unlink", "remove"),
}
"""What fails → its names in `os`."""

FAULTS = ("EIO", "ENOSPC", "ENOSPC for a while", "killed before", "killed after")
FAULTS_OF_WRITES = ("short", "half, then ENOSPC", "killed halfway")
WHILE = 4
"""So many calls in a row meet a full disk."""

_FULL = frozenset({"write", "open", "truncate"})
"""What needs space. `unlink` and `rename` go on where nothing is free."""


def faults_of(call: str) -> tuple[str, ...]:
    """List what may happen to a call."""
    return FAULTS + (FAULTS_OF_WRITES if call == "write" else ())


class FaultyOs:
    """Counts calls that concern a folder; the n-th of one kind meets a fault."""

    def __init__(self, folder: Path, call: str, nth: int, fault: str) -> None:
        self.is_hit = False
        self._folder = str(folder)
        self._call = call
        self._nth = nth
        self._fault = fault
        self.seen: Counter[str] = Counter()
        """How often each kind was called."""
        self._full = 0

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Put it in the place of `os`, and take it out again."""
        kept = {name: getattr(os, name) for names in CALLS.values() for name in names}
        for kind, names in CALLS.items():
            for name in names:
                setattr(os, name, self._wrapped(kind, kept[name]))
        try:
            yield
        finally:
            for name, real in kept.items():
                setattr(os, name, real)

    def _wrapped(self, kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, *rest: Any, **named: Any) -> Any:
            if not self._concerns(target):
                return real(target, *rest, **named)
            if self._full and kind in _FULL:
                self._full -= 1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.seen[kind] += 1
            if kind != self._call or self.seen[kind] != self._nth:
                return real(target, *rest, **named)
            self.is_hit = True
            return self._fail(real, target, *rest, **named)

        return call

    def _concerns(self, target: Any) -> bool:
        path = Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else os.fspath(target)
        return str(path).startswith(self._folder)

    def _fail(self, real: Callable[..., Any], target: Any, *rest: Any, **named: Any) -> Any:
        half = (rest[0][: max(1, len(rest[0]) // 2)], *rest[1:]) if self._fault in FAULTS_OF_WRITES else ()
        match self._fault:
            case "EIO" | "ENOSPC":
                number = getattr(errno, self._fault)
                raise OSError(number, os.strerror(number))
            case "ENOSPC for a while":
                self._full = WHILE - 1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            case "short":
                return real(target, *half, **named)
            case "half, then ENOSPC":
                self._full = 1
                return real(target, *half, **named)
            case "killed halfway":
                real(target, *half, **named)
            case "killed after":
                real(target, *rest, **named)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")
