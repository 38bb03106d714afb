"""Journals: any file is read as far as it checks, and its damage is a value.

Checksums find what is damaged, so an input is also tried in frames whose checksums hold: then records are what the
input says. Law: reading what was read once more, cut where it ends, gives the same and no damage.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import numpy as np

from edgeseq.adapters import journal
from edgeseq.adapters.journal import HEADER_BYTES, Record, parse, record_of
from edgeseq.core.packing import Packed
from edgeseq.core.types import READING_DTYPES, Readings, StreamInfo
from edgeseq.disk import Disk

GENERATION = 3
FILE, FRAMES, RECORDS = range(3)
MAX_ROWS = 4096
"""Columns may say that they hold 16 million readings in no bytes at all: not in each of a million inputs."""

NUMBERS = (0, 1, 2, 3, 7, 8, 255, 256, -1, 10, 1_000_000, 2**31, 2**62, 2**63 - 1, -(2**63), 2**64 - 1)
TOKENS = (
    "REC\x02",
    "EDGESEQJ",
    "\x03\x00\x00\x00",
    "\x94",
    "\xc0",
    "\xcf",
    "\xdc",
    "\xff\xff\xff\xff",
    "\x90\x91",
)


def written() -> bytes:
    """Write a journal of all kinds of records, without the room behind them."""
    random = np.random.default_rng(3)
    raw: list[Any] = [random.integers(0, 100, 5).astype(dtype) for dtype in READING_DTYPES]
    info = StreamInfo("cellar-temperature", "zigbee2mqtt/+", "zigbee2mqtt/cellar", "temperature", 7)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        opened = journal.begin(path, GENERATION, 7, Disk())
        opened.commit([record_of([info], Readings(*raw)), Record(tick_ns=4)])
        opened.commit([Record(resumed_ns=2**62)])
        opened.commit([record_of([], Readings(*raw))])
        opened.close()
        return path.read_bytes()[: opened.length_bytes]


def seeds() -> list[bytes]:
    """Give files, payloads of frames, and choices of what records say."""
    whole = written()
    first = parse(whole, GENERATION).frames[0]
    payloads = (msgspec.msgpack.encode(first), b"\x90", b"\x91\x94\x90\xc0\xc0\xc0", b"\x91" * 300)
    framed = [bytes([FRAMES]) + len(p).to_bytes(2, "big") + p for p in payloads]
    chosen = [
        bytes([RECORDS, *c]) for c in ((2, 0, 0), (1, 2, 3, 4, 5, 6, 7, 8, 9), (0,) * 30, (5, 10, 9, 12) * 8)
    ]
    return [
        bytes([FILE]) + whole,
        bytes([FILE]) + whole[:-9],
        bytes([FILE]) + whole + bytes(500) + whole[HEADER_BYTES:],
        *framed,
        framed[0] + framed[0][1:],
        *chosen,
    ]


def new() -> Callable[[bytes], None]:
    """Give the check; it remembers nothing."""
    return check


def check(data: bytes) -> None:
    """Read an input as a journal."""
    if not data:
        return
    kind, rest = data[0] % 3, data[1:]
    content = rest if kind == FILE else file_of(payloads(rest) if kind == FRAMES else [chosen(rest)])
    found = parse(content, GENERATION)
    assert found.length_bytes + found.torn_bytes + found.corrupt_bytes <= len(content)
    assert len(found.frames) == len(found.ends)
    for record in (record for frame in found.frames for record in frame):
        if record.packed is None or record.packed.count <= MAX_ROWS:
            readings = record.readings()
            assert {len(getattr(readings, name)) for name in readings.__slots__} == {len(readings)}
    again = parse(content[: found.length_bytes], GENERATION)
    assert msgspec.msgpack.encode(again.frames) == msgspec.msgpack.encode(found.frames)
    assert (again.torn_bytes, again.corrupt_bytes) == (0, 0)


def payloads(rest: bytes) -> list[bytes]:
    """Cut an input into payloads, each behind its length."""
    made, at = [], 0
    while at + 2 < len(rest):
        length = int.from_bytes(rest[at : at + 2], "big")
        made.append(rest[at + 2 : at + 2 + length])
        at += 2 + length
    return made


def chosen(choices: bytes) -> bytes:
    """Make the payload of a frame of one record whose columns an input chooses: base, unit, and width of the rest."""
    values = iter([*choices, *bytes(40)])

    def number() -> int:
        return NUMBERS[next(values) % len(NUMBERS)]

    count = next(values) % 20
    fields: list[object] = [number() if next(values) % 8 == 0 else count]
    for name in Packed.__struct_fields__[1:]:
        if name == "power":
            fields.append(number())
        elif name == "time" and next(values) % 2:
            fields.append(None)
        else:
            width = next(values) % 10
            fields.append([number(), number(), bytes([next(values)]) * (count * width + (width == 9))])
    return msgspec.msgpack.encode([[[], fields, None, None]])


def file_of(frames: list[bytes]) -> bytes:
    """Make a journal of frames whose checksums hold."""
    header = journal._HEADER.pack(b"EDGESEQJ", journal.FORMAT_VERSION, GENERATION, 0)
    made = header + crc32(header).to_bytes(4, "little")
    for number, payload in enumerate(frames):
        head = journal._FRAME.pack(b"REC\x02", GENERATION, number, len(payload))
        made += head + crc32(payload, crc32(head)).to_bytes(4, "little") + payload
    return made
