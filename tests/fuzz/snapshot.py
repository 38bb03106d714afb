"""Snapshots: any file is a whole snapshot or none.

Damage is found by the checksum, so an input is also tried with a checksum that holds: then the header is what the
input says, and must still be read as a value.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseq.adapters import snapshot
from edgeseq.disk import Disk

GENERATION = 4
PREFIX = struct.Struct("<8sIIQ")
DTYPES = (
    "<f4",
    "<i8",
    "|b1",
    "|u1",
    "<f2",
    "<u8",
    "<f4,<f4",
    "|O",
    "<U99",
    "<M8[s]",
    "V8",
    ">f4",
    "nonsense",
    "",
)
SIZES = (1, 2, 3, 0, 8, 64, 65, -1, 2**31, 2**62, 2**63 - 1, 10**30)
TOKENS = (
    *(
        '"generation":4',
        '"fingerprint":{}',
        '"content":{}',
        '"arrays":[',
        '["a","<f4",[3]]',
        '"<u8"',
        '"|b1"',
    ),
    *('"|O"', '"<U99"', '"<M8[ns]"', '"V0"', "[-1]", "[99999999999]", "[0,5]", "[]", "null", "EDGESEQS"),
)


def seeds() -> list[bytes]:
    """Give snapshots, and headers alone."""
    arrays: dict[str, NDArray[np.generic]] = {
        "ring": np.arange(6, dtype=np.float32).reshape(2, 3),
        "flags": np.array([True, False]),
        "none": np.empty((0, 5), dtype=np.uint64),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        snapshot.write(path, GENERATION, {"edgeseq": "1"}, {"core": {"streams": []}}, arrays, Disk())
        whole = path.read_bytes()
    header_bytes = PREFIX.unpack_from(whole)[3]
    header = whole[PREFIX.size : PREFIX.size + header_bytes]
    entries = [["a", "<f4", [3]], ["b", "|u1", [2, 2]], ["c", "<f8", []]]
    other = msgspec.json.encode({"generation": 4, "fingerprint": {}, "arrays": entries, "content": {}})
    chosen = [b"\3" + bytes(c) for c in ((0, 1, 2), (1, 0, 2, 2, 1, 0), (0, 4, 3, 3, 3, 3), (3, 3, 0, 8, 9))]
    return [
        b"\0" + whole,
        *chosen,
        *(kind + h for kind in (b"\1", b"\2") for h in (header, other, b"{}", b"[[[[")),
    ]


def as_file(data: bytes) -> bytes:
    """Read an input as the bytes of a file: as they are, or with what comes before the header made to fit."""
    kind, rest = data[0] % 4, data[1:]
    if kind == 0:
        return rest
    rest = described(rest) if kind == 3 else rest
    body = bytes(64) if kind > 1 else b""
    check = crc32(rest + body)
    return PREFIX.pack(b"EDGESEQS", snapshot.FORMAT_VERSION, check, len(rest)) + rest + body


def described(choices: bytes) -> bytes:
    """Make a header of arrays that an input chooses: dtype, number of dimensions and these."""
    entries, at = [], 0
    while at + 1 < len(choices):
        dimensions = choices[at + 1] % 5
        shape = [SIZES[c % len(SIZES)] for c in choices[at + 2 : at + 2 + dimensions]]
        entries.append([f"a{at}", DTYPES[choices[at] % len(DTYPES)], shape])
        at += 2 + dimensions
    fields = {"generation": GENERATION, "fingerprint": {}, "arrays": entries, "content": {}}
    return msgspec.json.encode(fields)


def new() -> Callable[[bytes], None]:
    """Give the check; it remembers nothing."""
    return check


def check(data: bytes) -> None:
    """Read an input; a snapshot's arrays are plain numbers that stand in the file."""
    if not data:
        return
    content = as_file(data)
    found = snapshot.parse(content, GENERATION)
    if found is None:
        return
    assert found.generation == GENERATION
    for array in found.arrays.values():
        assert array.dtype.kind != "O"
        assert array.nbytes <= len(content)
