"""The journal: readings on disk before the broker is told that it may forget them.

One append-only file per generation. File header: magic, format version, generation, CRC32. Then records: marker,
length, CRC32, and a msgpack array: created streams and columns of readings, or a tick that moved something, or the
moment from which on we listened again. So replaying the journal gives the very same state.

Reading stops at the first record that does not check. If nothing valid follows, it is the torn end of the last
write: cut off, it was never acknowledged. If something valid follows, the medium has lost data that was promised:
what follows is not applied (it was computed on top of what is lost) but the caller keeps the file aside, loudly.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import msgspec
import numpy as np

from edgeseq.core.types import READING_DTYPES, Readings, StreamInfo
from edgeseq.disk import Disk, storage_faults
from edgeseq.failpoint import reach

FORMAT_VERSION = 1
_MAGIC = b"EDGESEQJ"
_HEADER = struct.Struct("<8sIQI")
_MARKER = b"REC\x01"
_RECORD = struct.Struct("<4sII")
_DTYPES = tuple(np.dtype(t).newbyteorder("<") for t in READING_DTYPES)


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One commit: the streams it created and its readings as raw columns, or one of the other two."""

    created: list[StreamInfo] = []
    columns: list[bytes] = []
    tick_ns: int | None = None
    resumed_ns: int | None = None

    def readings(self) -> Readings:
        """Decode the columns."""
        if not self.columns:
            return Readings.empty()
        return Readings(*(np.frombuffer(c, t) for c, t in zip(self.columns, _DTYPES, strict=True)))


@dataclass(frozen=True, slots=True)
class Contents:
    """What a journal file holds. `length_bytes` is where its valid part ends."""

    records: list[Record]
    length_bytes: int
    torn_bytes: int = 0
    """Bytes of an unfinished last write."""
    corrupt_bytes: int = 0
    """Bytes from a damaged place on, with valid records after it."""


class Journal:
    """An open journal. All errors of the disk are StorageError; after one, the same append may be tried again."""

    def __init__(self, path: Path, file: int, length_bytes: int, disk: Disk) -> None:
        self.path = path
        self.length_bytes = length_bytes
        self._file = file
        self._disk = disk

    def append(self, created: Sequence[StreamInfo], readings: Readings) -> None:
        """Commit a batch: after this returns, the readings survive a power cut."""
        columns = [np.ascontiguousarray(getattr(readings, name)) for name in readings.__slots__]
        raw = [c.astype(t, copy=False).tobytes() for c, t in zip(columns, _DTYPES, strict=True)]
        self._commit(Record(list(created), raw))

    def append_tick(self, now_ns: int) -> None:
        """Commit a tick that moved something."""
        self._commit(Record(tick_ns=now_ns))

    def append_resumption(self, now_ns: int) -> None:
        """Commit that nobody listened until now: silence is counted from here."""
        self._commit(Record(resumed_ns=now_ns))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _commit(self, record: Record) -> None:
        payload = msgspec.msgpack.encode(record)
        data = _RECORD.pack(_MARKER, len(payload), crc32(payload)) + payload
        with storage_faults("the journal cannot be written", self.path):
            # Always from the end of the last good record: a second try overwrites what a failed one left, and
            # makes the pages dirty again, since the kernel may have marked them clean after a failed sync.
            self._disk.write(self._file, data, self.length_bytes)
            reach("journal.written")
            self._disk.sync(self._file)
        self.length_bytes += len(data)
        reach("journal.synced")


def begin(path: Path, generation: int, disk: Disk) -> Journal:
    """Make an empty journal, durable under its name."""
    body = struct.pack("<8sIQ", _MAGIC, FORMAT_VERSION, generation)
    header = body + struct.pack("<I", crc32(body))
    with storage_faults("a journal cannot be made", path):
        file = disk.create(path)
        try:
            disk.write(file, header, 0)
            disk.sync(file)
            disk.sync_folder(path.parent)
        except OSError:
            os.close(file)
            raise
    return Journal(path, file, len(header), disk)


def resume(path: Path, length_bytes: int, disk: Disk) -> Journal:
    """Open a journal for appending after its valid part; what stands behind it is cut off."""
    with storage_faults("the journal cannot be opened", path):
        file = disk.reopen(path)
        try:
            disk.truncate(file, length_bytes)
            disk.sync(file)
        except OSError:
            os.close(file)
            raise
    return Journal(path, file, length_bytes, disk)


def read(path: Path, generation: int) -> Contents:
    """Read what a journal holds, as far as it checks. Damage is a value, not an exception."""
    with storage_faults("the journal cannot be read", path):
        data = path.read_bytes()
    if not _is_header(data, generation):
        is_unfinished = len(data) <= _HEADER.size
        return Contents([], 0, *((len(data), 0) if is_unfinished else (0, len(data))))
    records: list[Record] = []
    offset = _HEADER.size
    while (found := _record_at(data, offset)) is not None:
        record, offset = found
        records.append(record)
    rest = len(data) - offset
    if _has_record_after(data, offset):
        return Contents(records, offset, corrupt_bytes=rest)
    return Contents(records, offset, torn_bytes=rest)


def _is_header(data: bytes, generation: int) -> bool:
    if len(data) < _HEADER.size:
        return False
    magic, version, found, check = _HEADER.unpack_from(data)
    return (magic, version, found, check) == (
        _MAGIC,
        FORMAT_VERSION,
        generation,
        crc32(data[: _HEADER.size - 4]),
    )


def _record_at(data: bytes, offset: int) -> tuple[Record, int] | None:
    if offset + _RECORD.size > len(data):
        return None
    marker, length, check = _RECORD.unpack_from(data, offset)
    start, end = offset + _RECORD.size, offset + _RECORD.size + length
    if marker != _MARKER or end > len(data):
        return None
    payload = data[start:end]
    if crc32(payload) != check:
        return None
    try:
        record = msgspec.msgpack.decode(payload, type=Record)
        record.readings()
    except (msgspec.DecodeError, ValueError):
        return None
    return record, end


def _has_record_after(data: bytes, offset: int) -> bool:
    place = data.find(_MARKER, offset + 1)
    while place >= 0:
        if _record_at(data, place) is not None:
            return True
        place = data.find(_MARKER, place + 1)
    return False
