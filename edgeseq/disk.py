"""The few system calls that durability rests upon, in one place, so that tests can make each of them fail."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgeseq.errors import StorageError
from edgeseq.failpoint import reach


class Disk:
    """The real disk. `edgeseq.testing.FaultyDisk` is the other one."""

    def create(self, path: Path) -> int:
        """Make an empty file, readable by its owner only, and open it for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def reopen(self, path: Path) -> int:
        """Open an existing file for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, file: int, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""
        view = memoryview(data)
        while view:
            written = os.pwrite(file, view, offset)
            view, offset = view[written:], offset + written

    def truncate(self, file: int, length_bytes: int) -> None:
        """Cut a file."""
        os.ftruncate(file, length_bytes)

    def sync(self, file: int) -> None:
        """Wait until the file's data, and its length, are on the medium."""
        os.fdatasync(file)

    def sync_folder(self, folder: Path) -> None:
        """Wait until the names in a folder are on the medium."""
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name, replacing what had it."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()


@contextmanager
def storage_faults(what: str, path: Path) -> Iterator[None]:
    """Turn the system's errors into StorageError."""
    try:
        yield
    except OSError as fault:
        raise StorageError(
            what,
            where=str(path),
            found=fault.strerror or str(fault),
            wanted="a writable folder with free space",
            do="free space or mend the disk; nothing is acknowledged until this works",
        ) from fault


def write_atomically(disk: Disk, path: Path, parts: Sequence[bytes], name: str = "snapshot") -> None:
    """Put a file in place as a whole: whoever reads sees the old one or the new one, after a power cut too.

    `name` is that of the failpoints: <name>.written and <name>.renamed.
    """
    temporary = path.with_name(path.name + ".new")
    file = disk.create(temporary)
    try:
        offset = 0
        for part in parts:
            disk.write(file, part, offset)
            offset += len(part)
        disk.sync(file)
    finally:
        os.close(file)
    reach(f"{name}.written")
    disk.rename(temporary, path)
    disk.sync_folder(path.parent)
    reach(f"{name}.renamed")
