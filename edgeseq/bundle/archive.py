"""Strict archives: named files in one ZIP whose bytes are fully determined by the files, and .npz inside it.

Files are stored, not deflated: weights hardly compress, a stored archive cannot be a bomb, and its bytes do not
depend on the version of zlib. So the reader can demand that packing what it unpacked gives back every byte; this
leaves no room for extra data, folders, links, comments, odd names or lying headers.
"""

from __future__ import annotations

import io
import re
import struct
import tokenize
import zipfile
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgeseq.errors import BundleError

MAX_ARCHIVE_BYTES = 64 * 2**20
"""A bundle of a GRU with 64 units has about 1 MB; the daemon must fit in 80 MB with it."""
MAX_FILES = 64

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
"""File names in an archive: no folder, no upper case, nothing hidden."""

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a ZIP can hold
_MODE = 0o100644 << 16  # a regular file
_ZIP_FAULTS = (zipfile.BadZipFile, RuntimeError, ValueError, EOFError, OSError, struct.error, LookupError)
_HEADER_FAULTS = (SyntaxError, tokenize.TokenError, MemoryError, TypeError)
"""What numpy raises for the header of an array, which it reads as a Python literal; it may ask for any memory."""
_DAMAGED = "copy the file again, or train the bundle anew"


def pack(files: Mapping[str, bytes]) -> bytes:
    """Make the one archive that holds these files: sorted names, fixed dates, no compression.

    >>> pack({"a": b"1", "b": b"2"}) == pack({"b": b"2", "a": b"1"})
    True
    """
    for name in files:
        if not NAME.fullmatch(name):
            raise BundleError("a file name cannot stand in a bundle", found=repr(name), wanted=NAME.pattern)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3  # Unix, on any machine
            info.external_attr = _MODE
            archive.writestr(info, files[name])
    return buffer.getvalue()


def unpack(data: bytes, where: str) -> dict[str, bytes]:
    """Read an archive made by `pack`; refuse every other.

    Raises:
        BundleError: anything that `pack` would not have written.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries, len(data), where)
            files = {entry.filename: archive.read(entry) for entry in entries}
    except _ZIP_FAULTS as fault:
        raise BundleError("the archive is damaged", where=where, found=_short(fault), do=_DAMAGED) from fault
    if pack(files) != data:
        raise BundleError(
            "the archive holds more than its files",
            where=where,
            found="bytes between, before or after the files, or other dates or rights",
            wanted="an archive as edgeseq writes it",
            do=_DAMAGED,
        )
    return files


def _check_entries(entries: list[zipfile.ZipInfo], size_bytes: int, where: str) -> None:
    names = [entry.filename for entry in entries]
    odd = [name for name in names if not NAME.fullmatch(name)]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(names) <= MAX_FILES else []
    links = [entry.filename for entry in entries if entry.external_attr != _MODE]
    packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    faults = (
        (len(names) > MAX_FILES, "too many files", f"{len(names)}", f"at most {MAX_FILES}"),
        (bool(odd), "a file name is not allowed", repr(odd[:1])[1:-1][:80], NAME.pattern),
        (bool(twice), "a file stands twice in the archive", repr(twice)[:80], "each name once"),
        (bool(links), "an entry is not a plain file", repr(links)[:80], "no folders, links or other rights"),
        (bool(packed), "an entry is compressed", repr(packed)[:80], "stored files"),
        (
            sum(entry.file_size for entry in entries) > size_bytes,
            "the files overlap",
            None,
            "files side by side",
        ),
    )
    for wrong, what, found, wanted in faults:
        if wrong:
            raise BundleError(f"{what} in the archive", where=where, found=found, wanted=wanted, do=_DAMAGED)


def dump_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Write named arrays as .npz; equal arrays give equal bytes.

    >>> dump_arrays({"a": np.zeros(2)}) == dump_arrays({"a": np.zeros(2)})
    True
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(
                member, np.ascontiguousarray(arrays[name]), version=(1, 0), allow_pickle=False
            )
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), member.getvalue())
    return buffer.getvalue()


def load_arrays(data: bytes, where: str) -> dict[str, NDArray[np.generic]]:
    """Read named arrays from .npz. Never unpickles.

    Raises:
        BundleError: not an .npz of plain, uncompressed arrays.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > len(data):
                raise BundleError("arrays are compressed", where=where, wanted="a stored .npz", do=_DAMAGED)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (*_ZIP_FAULTS, *_HEADER_FAULTS) as fault:
        raise BundleError("arrays cannot be read", where=where, found=_short(fault), do=_DAMAGED) from fault
    odd = [name for name, array in found.items() if not isinstance(array, np.ndarray)]  # then it is its bytes
    if odd:
        raise BundleError("a file is no array", where=where, found=odd[0][:80], wanted="*.npy", do=_DAMAGED)
    return found


def _short(fault: BaseException) -> str:
    """Tell a fault in the words of the file, not of the library that met it."""
    if isinstance(fault, zipfile.BadZipFile):
        return "contents that are cut off, or do not match their own checksums"
    return str(fault)[:160] or "contents that make no sense"
