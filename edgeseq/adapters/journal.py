"""The journal: readings on disk before the broker is told that it may forget them.

One file per generation. File header: magic, format version, generation, number of its first frame, CRC32. Then
frames, one a commit: marker, generation, number, length, CRC32 of all that and of the payload. The payload is a
msgpack array of records: created streams and packed readings, or a tick that moved something, or the moment from which
on we listened again. So replaying the journal gives the very same state.

The file is as long as its next frames need, in chunks, before they come: a commit into blocks that have been written
before costs 6 KB of device writes, into blocks merely reserved 11 KB, into a growing file 22 KB (ext4, measured). So
chunks are written, not reserved, and the file of a generation that is no longer needed becomes the next one's
(`journal.spare`). And since a device writes whole pages, a frame that does not fit into the rest of the present page
begins with the next one: 4 KB instead of 6 for the hundred readings of a second. What stands between and behind the
frames is zeros or of older generations, and never checks.

Reading stops where no next frame checks. If no frame of this generation that checks follows, it is the
torn end of the last write: cut off, it was never acknowledged. If one follows, the medium has lost data that was
promised: what follows is not applied (it was computed on top of what is lost) but the caller keeps the file aside,
loudly.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import msgspec

from edgeseq.core.packing import Packed, is_sound, pack, unpack
from edgeseq.core.types import Heard, Readings, StreamInfo
from edgeseq.disk import Disk, storage_faults
from edgeseq.failpoint import reach

FORMAT_VERSION = 2
SPARE = "journal.spare"
CHUNK_BYTES = 256 * 2**10
"""The file grows by these; some 13,000 readings."""
PAGE_BYTES = 4096
"""Of the page cache and most file systems."""

_MAGIC = b"EDGESEQJ"
_HEADER = struct.Struct("<8sIQQ")
_CHECK = struct.Struct("<I")
_MARKER = b"REC\x02"
_FRAME = struct.Struct("<4sIQI")
HEADER_BYTES = _HEADER.size + _CHECK.size
_FRAME_BYTES = _FRAME.size + _CHECK.size


class Record(msgspec.Struct, frozen=True, array_like=True):
    """The streams that were created and their and others' readings, or one of the other two.

    What is added stands at the end and has a default: older journals are read by newer programs.
    """

    created: list[StreamInfo] = []
    packed: Packed | None = None
    tick_ns: int | None = None
    resumed_ns: int | None = None
    session: int | None = None
    """Number of the broker's session that begins with a resumption."""
    heard: list[Heard] = []
    """Messages that said what others mean."""

    @property
    def count(self) -> int:
        """Count the readings."""
        return 0 if self.packed is None else self.packed.count

    def readings(self) -> Readings:
        """Unpack the readings."""
        return Readings.empty() if self.packed is None else unpack(self.packed)


def record_of(created: Sequence[StreamInfo], readings: Readings, heard: Sequence[Heard] = ()) -> Record:
    """Make the record of a batch."""
    return Record(list(created), pack(readings), heard=list(heard))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Record]).decode


@dataclass(frozen=True, slots=True)
class Contents:
    """What a journal file holds. `length_bytes` is where its valid part ends, 0 where not even its header checks."""

    frames: list[list[Record]]
    length_bytes: int
    first: int = 0
    """Number of the first frame."""
    ends: tuple[int, ...] = ()
    """Where each frame ends."""
    torn_bytes: int = 0
    """Bytes of an unfinished last write."""
    corrupt_bytes: int = 0
    """Bytes from a damaged place on, with valid frames after it."""

    @property
    def next(self) -> int:
        """Number of the frame that follows."""
        return self.first + len(self.frames)

    def until(self, number: int) -> Contents:
        """Leave out frames from a number on: the next generation has them."""
        kept = max(0, number - self.first)
        if number >= self.next:
            return self
        length_bytes = self.ends[kept - 1] if kept else HEADER_BYTES
        return Contents(self.frames[:kept], length_bytes, self.first, self.ends[:kept])


class Journal:
    """An open journal. All errors of the disk are StorageError.

    After an error the same records may be committed again, unless `is_suspect`: what a failed sync has left behind
    cannot be trusted to reach the medium, though the next sync may say so (Rebello et al. 2020, "Can applications
    recover from fsync failures?"). Then a new journal has to take over.
    """

    def __init__(
        self, path: Path, generation: int, next_frame: int, file: int, length_bytes: int, disk: Disk
    ) -> None:
        self.path = path
        self.next_frame = next_frame
        self.length_bytes = length_bytes
        self.is_suspect = False
        self._generation = generation
        self._file = file
        self._room_bytes = os.fstat(file).st_size
        self._disk = disk

    def commit(self, records: Sequence[Record]) -> None:
        """Write a frame: after this returns, all of it survives a power cut; after a crash, all of it or nothing."""
        payload = _encode(records)
        head = _FRAME.pack(_MARKER, self._generation & 0xFFFFFFFF, self.next_frame, len(payload))
        data = head + _CHECK.pack(crc32(payload, crc32(head))) + payload
        start = _start_of(len(data), self.length_bytes)
        end = start + len(data)
        if end > self._room_bytes:
            data += bytes(-end % CHUNK_BYTES)
        with storage_faults("the journal cannot be written", self.path):
            # Always behind the last good frame: a second try overwrites what a failed one left.
            self._disk.write(self._file, data, start)
            reach("journal.written")
            self.is_suspect = True
            self._disk.sync(self._file)
            self.is_suspect = False
        self._room_bytes = max(self._room_bytes, start + len(data))
        self.length_bytes = end
        self.next_frame += 1
        reach("journal.synced")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def begin(path: Path, generation: int, first: int, disk: Disk) -> Journal:
    """Make an empty journal, whose first frame has the number `first`: durable under its name as a whole.

    A file that is no longer needed (SPARE in the same folder) is written over and renamed, unless it may hold frames
    that would check: those of a folder that was begun anew.
    """
    spare = path.with_name(SPARE)
    header = _HEADER.pack(_MAGIC, FORMAT_VERSION, generation, first)
    header += _CHECK.pack(crc32(header))
    with storage_faults("a journal cannot be made", path):
        file = disk.reopen(spare) if _is_older(spare, generation) else disk.create(spare)
        try:
            is_long = os.fstat(file).st_size >= CHUNK_BYTES
            disk.write(file, header if is_long else header + bytes(CHUNK_BYTES - len(header)), 0)
            disk.sync(file)
            disk.rename(spare, path)
            disk.sync_folder(path.parent)
        except OSError:
            os.close(file)
            with suppress(OSError):  # what a failed sync has left is not to be used again
                disk.remove(spare)
            raise
    return Journal(path, generation, first, file, len(header), disk)


def resume(path: Path, generation: int, contents: Contents, disk: Disk) -> Journal:
    """Open a journal for appending after its valid part; what stands behind it is cut off, and its name durable.

    The last frame is written again: a process that died after a failed sync may have left it in the page cache alone,
    marked clean, where a sync would not find it (Rebello et al. 2020), and what is to follow would build on it.
    """
    start = contents.ends[-2] if len(contents.ends) > 1 else HEADER_BYTES
    with storage_faults("the journal cannot be opened", path):
        file = disk.reopen(path)
        try:
            disk.truncate(file, contents.length_bytes)
            if contents.length_bytes > start:
                disk.write(file, os.pread(file, contents.length_bytes - start, start), start)
            disk.sync(file)
            disk.sync_folder(path.parent)
        except OSError:
            os.close(file)
            raise
    return Journal(path, generation, contents.next, file, contents.length_bytes, disk)


def read(path: Path, generation: int) -> Contents:
    """Read what a journal holds, as far as it checks. Damage is a value, not an exception."""
    with storage_faults("the journal cannot be read", path):
        data = path.read_bytes()
    return parse(data, generation)


def parse(data: bytes, generation: int) -> Contents:
    """Do what `read` does with the bytes of a file. Total: no bytes raise."""
    first = _first_of(data, generation)
    if first is None:
        return Contents([], 0, corrupt_bytes=len(data))
    frames: list[list[Record]] = []
    ends: list[int] = []
    offset = HEADER_BYTES
    while (found := _next_frame(data, offset, generation, first + len(frames))) is not None:
        records, offset = found
        frames.append(records)
        ends.append(offset)
    number = first + len(frames)
    rest = len(data) - offset
    is_damaged = _has_frame_after(data, offset, generation, number)
    return Contents(
        frames,
        offset,
        first,
        tuple(ends),
        torn_bytes=0 if is_damaged else _torn_bytes(data, offset, generation, number),
        corrupt_bytes=rest if is_damaged else 0,
    )


def _first_of(data: bytes, generation: int) -> int | None:
    """Read the header: the number of the first frame, or None where it is none of this generation's."""
    found = _read_header(data)
    return None if found is None or found[0] != generation else found[1]


def _read_header(data: bytes) -> tuple[int, int] | None:
    """Read a header → generation and number of the first frame; None where it does not check."""
    if len(data) < HEADER_BYTES:
        return None
    magic, version, generation, first = _HEADER.unpack_from(data)
    (check,) = _CHECK.unpack_from(data, _HEADER.size)
    is_good = (magic, version, check) == (_MAGIC, FORMAT_VERSION, crc32(data[: _HEADER.size]))
    return (generation, first) if is_good else None


def _is_older(path: Path, generation: int) -> bool:
    """Tell whether a file is there and has frames of generations before only: it has been begun in rising order."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        found = _read_header(file.read(HEADER_BYTES))
    return found is not None and found[0] < generation


def _start_of(length: int, offset: int) -> int:
    """Tell where behind `offset` a frame of a length begins."""
    return offset if offset % PAGE_BYTES + length <= PAGE_BYTES else _next_page(offset)


def _next_page(offset: int) -> int:
    return -(-offset // PAGE_BYTES) * PAGE_BYTES


def _next_frame(data: bytes, offset: int, generation: int, number: int) -> tuple[list[Record], int] | None:
    """Read the frame of a number behind a place → its records and where it ends; None where it does not check."""
    for place in {offset, _next_page(offset)}:
        found = _frame_at(data, place, generation)
        if found is not None and found[0] == number:
            return found[1:]
    return None


def _frame_at(data: bytes, offset: int, generation: int) -> tuple[int, list[Record], int] | None:
    """Read a frame → its number, its records and where it ends; None where none checks."""
    start = offset + _FRAME_BYTES
    if start > len(data):
        return None
    marker, found, number, length = _FRAME.unpack_from(data, offset)
    (check,) = _CHECK.unpack_from(data, offset + _FRAME.size)
    end = start + length
    if marker != _MARKER or found != generation & 0xFFFFFFFF or end > len(data):
        return None
    payload = data[start:end]
    if crc32(payload, crc32(data[offset : offset + _FRAME.size])) != check:
        return None
    try:
        records = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not all(record.packed is None or is_sound(record.packed) for record in records):
        return None
    return number, records, end


def _has_frame_after(data: bytes, offset: int, generation: int, number: int) -> bool:
    """Tell whether a frame that was committed after `number` stands behind a place."""
    mark = _MARKER + (generation & 0xFFFFFFFF).to_bytes(4, "little")
    place = data.find(mark, offset)
    while place >= 0:
        found = _frame_at(data, place, generation)
        if found is not None and found[0] > number:
            return True
        place = data.find(mark, place + 1)
    return False


def _torn_bytes(data: bytes, offset: int, generation: int, number: int) -> int:
    """Count the bytes of an unfinished write: what begins like the next frame. All else is room."""
    rest = data[offset : offset + _FRAME_BYTES]
    if len(rest) < _FRAME_BYTES:
        return len(rest) if _MARKER.startswith(rest[: len(_MARKER)]) else 0
    for place in {offset, _next_page(offset)}:
        if place + _FRAME_BYTES > len(data):
            continue
        marker, found, at, length = _FRAME.unpack_from(data, place)
        alike = (marker == _MARKER) + (found == generation & 0xFFFFFFFF) + (at == number)
        if alike >= 2:
            torn: int = min(len(data), place + _FRAME_BYTES + length) - offset
            return torn
    return 0
