"""A disk of half a megabyte that can be full and read-only for real: a tmpfs, where this user may mount one."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

SIZE_KB = 1024


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small disk on a folder for a while → whether that was possible; else the folder is an ordinary one."""
    folder.mkdir(parents=True, exist_ok=True)
    is_mounted = _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_KB}k,mode=0700", "tmpfs", str(folder))
    try:
        yield is_mounted
    finally:
        if is_mounted:
            assert _run("umount", "--lazy", str(folder))


def fill(folder: Path) -> Path:
    """Leave no byte free → the file to remove."""
    path = folder / "filler"
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    with contextlib.suppress(OSError):
        while os.write(file, bytes(4096)):
            pass
    os.close(file)
    return path


def remount(folder: Path, option: str) -> None:
    """Make it read-only (ro) or writable (rw)."""
    assert _run("mount", "-o", f"remount,{option}", str(folder))


def _run(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
