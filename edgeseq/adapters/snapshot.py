"""The snapshot: the whole state in one file, written so that it is there completely or not at all.

File: magic, format version, CRC32 of the rest, length of the header, JSON header, then the arrays' raw bytes one
after the other, compressed where that helps, each described in the header by name, dtype and shape. Data only: no
pickle.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import compress, crc32, decompressobj, error

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseq.disk import Disk, storage_faults, write_atomically

FORMAT_VERSION = 2
_READABLE = (1, FORMAT_VERSION)
"""Version 1 did not compress."""
_MAGIC = b"EDGESEQS"
_PREFIX = struct.Struct("<8sIIQ")
COMPRESSION = 1
"""zlib's fastest: a state is written at half its length for 15 ms a megabyte."""
_NUMBERS = re.compile(r"<[fiu][248]|\|[iub]1")
"""What the state's arrays are made of."""
_MAX_DIMENSIONS, _MAX_ELEMENTS = 32, 2**48
_MAX_HEADER_BYTES = 2**28

Arrays = Mapping[str, NDArray[np.generic]]


class ArrayEntry(msgspec.Struct, frozen=True, array_like=True):
    """How an array's bytes are to be read."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    compressed_bytes: int = 0
    """Length in the file; 0 where the bytes stand there as they are."""


class _Header(msgspec.Struct, frozen=True):
    generation: int
    fingerprint: dict[str, str]
    arrays: list[ArrayEntry]
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state that was read back. `fingerprint` says what computed it."""

    generation: int
    fingerprint: dict[str, str]
    content: dict[str, Any]
    arrays: dict[str, NDArray[np.generic]]


def write(
    path: Path,
    generation: int,
    fingerprint: dict[str, str],
    content: dict[str, Any],
    arrays: Arrays,
    disk: Disk,
) -> None:
    """Put a snapshot in place, durably."""
    parts, entries = [], []
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        if little.dtype.hasobject:
            raise TypeError(f"{name} holds Python objects")
        # One array at a time, and no bytes of it that are not needed: the peak of memory is here.
        small = compress(little.data, COMPRESSION)
        is_smaller = len(small) < little.nbytes
        entries.append(ArrayEntry(name, little.dtype.str, array.shape, len(small) if is_smaller else 0))
        parts.append(small if is_smaller else little.tobytes())
    header = msgspec.json.encode(_Header(generation, fingerprint, entries, content))
    check = crc32(header)
    for part in parts:
        check = crc32(part, check)
    prefix = _PREFIX.pack(_MAGIC, FORMAT_VERSION, check, len(header))
    with storage_faults("the snapshot cannot be written", path):
        write_atomically(disk, path, [prefix, header, *parts])


def read(path: Path, generation: int) -> Snapshot | None:
    """Read a snapshot back; None if it is damaged, or not of this generation or format."""
    with storage_faults("the snapshot cannot be read", path):
        data = path.read_bytes()
    return parse(data, generation)


def describe(path: Path) -> dict[str, Any] | None:
    """Say what a snapshot holds by its header alone, without a stream's name or value; None if it has none."""
    try:
        with path.open("rb") as file:
            magic, version, _, header_bytes = _PREFIX.unpack(file.read(_PREFIX.size))
            text = file.read(header_bytes) if magic == _MAGIC and header_bytes < _MAX_HEADER_BYTES else b""
        header = msgspec.json.decode(text, type=_Header)
    except (OSError, struct.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    arrays = {entry.name: [entry.dtype, *entry.shape] for entry in header.arrays}
    told = {"format": version, "generation": header.generation, "fingerprint": header.fingerprint}
    return told | {"content": sorted(header.content), "arrays": arrays}


def parse(data: bytes, generation: int) -> Snapshot | None:
    """Do what `read` does with the bytes of a file. Total: no bytes raise."""
    if len(data) < _PREFIX.size:
        return None
    magic, version, check, header_bytes = _PREFIX.unpack_from(data)
    if magic != _MAGIC or version not in _READABLE or check != crc32(memoryview(data)[_PREFIX.size :]):
        return None
    offset = _PREFIX.size + header_bytes
    try:
        header = msgspec.json.decode(data[_PREFIX.size : offset], type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if header.generation != generation:
        return None
    arrays: dict[str, NDArray[np.generic]] = {}
    for entry in header.arrays:
        array = _array_at(data, offset, entry)
        if array is None:
            return None
        arrays[entry.name] = array
        offset += entry.compressed_bytes or array.nbytes
    return Snapshot(header.generation, header.fingerprint, header.content, arrays)


def _array_at(data: bytes, offset: int, entry: ArrayEntry) -> NDArray[np.generic] | None:
    """Read an array of numbers; None if it does not stand there."""
    if (
        not _NUMBERS.fullmatch(entry.dtype)
        or len(entry.shape) > _MAX_DIMENSIONS
        or min(entry.shape, default=0) < 0
    ):
        return None
    dtype, count = np.dtype(entry.dtype), math.prod(entry.shape)
    is_beyond_numpy = math.prod(max(n, 1) for n in entry.shape) > _MAX_ELEMENTS  # also where it has none
    length = entry.compressed_bytes or count * dtype.itemsize
    if is_beyond_numpy or length < 0 or offset + length > len(data):
        return None
    raw = data[offset : offset + length]
    if entry.compressed_bytes:
        raw = _decompressed(raw, count * dtype.itemsize)
    if len(raw) != count * dtype.itemsize:
        return None
    # A copy, since the state is changed in place and the file's bytes are not.
    return np.frombuffer(raw, dtype, count).reshape(entry.shape).copy()


def _decompressed(data: bytes, length: int) -> bytes:
    """Decompress, to no more than a byte beyond a length; nothing where it is damaged."""
    try:
        return decompressobj().decompress(data, length + 1)
    except (error, OverflowError):
        return b""
