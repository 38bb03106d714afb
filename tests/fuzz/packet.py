"""MQTT packets: whatever a broker sends becomes messages, or the connection is given up with a reason.

An input is read twice, in one piece and cut into pieces: what is delivered and whether the connection lives must be the
same. Nothing raises, and no more is kept than one packet of the longest allowed. Inputs with the flag WIRE go through a
whole connection, paho's part included; the others through our reader alone, which is fifty times as fast.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any
from zlib import crc32

from edgeseq.adapters.mqtt import packets
from edgeseq.adapters.mqtt.batch import BatchTransport
from edgeseq.adapters.mqtt.settings import Settings
from edgeseq.core.types import Message, Outgoing

MAX_PACKET_BYTES = 4096
ROOM = 40
WILL = Outgoing("will", b"")
SETTINGS = {
    is_5: Settings("h", 1, "c", ("t/#",), WILL, is_version_5=is_5, max_packet_bytes=MAX_PACKET_BYTES)
    for is_5 in (False, True)
}
CONNACK = {False: b"\x20\x02\0\0", True: b"\x20\x03\0\0\0"}
KINDS = (
    0x30,
    0x31,
    0x32,
    0x33,
    0x3A,
    0x34,
    0x40,
    0x90,
    0xB0,
    0xD0,
    0xE0,
    0x20,
    0x10,
    0x00,
    0x50,
    0x62,
    0x82,
    0xF0,
)
FRAMED, VERSION_5, GREETED, WIRE = 1, 2, 4, 128
MAX_INPUT_BYTES = 600
TOKENS = (
    *(
        "t/a",
        "\x00\x03t/a",
        "\x00\x00",
        "\x05\x01\x02\x03\x04",
        "\x0b\x01",
        "\x26\x00\x01a\x00\x01b",
        "\x23\x00\x01",
    ),
    *("\x02\x00\x00\x00\x01", "\x03\x00\x01x", "\x21\x00\x14", "\x1f\x00\x01r", "\x7f", "\x01\x01"),
)


class Listener:
    """Notes what a link would be told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.messages: list[Message] = []

    @property
    def room(self) -> int:
        """Have room; the check reads on when it is used up."""
        return ROOM

    def connected(self, *, is_session_present: bool, window: int, most_bytes: int | None) -> None:
        """Note it."""
        self.told.append(("connected", is_session_present, window, most_bytes))

    def refused(self, reason: str) -> None:
        """Note it."""
        self.told.append(("refused", reason))

    def subscribed(self, refusals: list[str | None]) -> None:
        """Note it."""
        self.told.append(("subscribed", refusals))

    def arrived(self, messages: list[Message]) -> None:
        """Note them; in one list, since the pieces are another matter."""
        self.messages += messages

    def settled(self, mid: int, refusal: str | None) -> None:
        """Note it."""
        self.told.append(("settled", mid, refusal))

    def is_in_flight(self, mid: int) -> bool:
        """Nothing is."""
        return False

    def lost(self, reason: str, *, is_malformed: bool) -> None:
        """Note it."""
        self.told.append(("lost", is_malformed or reason))

    def closing(self) -> None:
        """No selector knows of it."""


class Wire:
    """A socket whose peer has sent some pieces and takes everything."""

    family = 0

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.is_used_up = False

    def recv(self, size: int) -> bytes:
        """Give the next piece, or nothing yet."""
        piece = next(self._pieces, None)
        if piece is None:
            self.is_used_up = True
            raise BlockingIOError
        return piece

    def send(self, data: bytes) -> int:
        """Take all."""
        return len(data)

    def fileno(self) -> int:
        """Be no file."""
        return -1

    def setblocking(self, flag: bool) -> None:
        """Never block."""

    def close(self) -> None:
        """Do nothing."""


def seeds() -> list[bytes]:
    """Give sequences of packets: how they come, then kind and body of each, or their bytes."""
    made = []
    for is_5 in (False, True):
        more = b"\0" if is_5 else b""
        name = packets.topic_bytes("t/a")
        bodies = [
            (0x30, name + more + b"1"),
            (0x32, name + b"\0\5" + more + b"2"),
            (0x3A, name + b"\0\5" + more + b"2"),
            (0x90, b"\0\1" + more + b"\1"),
            (0x40, b"\4\0"),
            (0xD0, b""),
            (0x31, name + (b"\x05\x01\x01\x0b\x81\x01" if is_5 else b"") + b"x"),
            *([(0x40, b"\4\0\x97"), (0x40, b"\4\0\x87\0"), (0xE0, b"\x8e\0")] if is_5 else []),
        ]
        raw = b"".join(bytes((k,)) + packets.length_bytes(len(b)) + b for k, b in bodies)
        framed = b"".join(bytes((KINDS.index(k), len(b))) + b for k, b in bodies)
        version = WIRE | VERSION_5 if is_5 else WIRE
        heads = [bytes((version | GREETED, cut)) for cut in (0, 20, 128)]
        made += [head + raw for head in heads] + [bytes((version | GREETED | FRAMED, 3)) + framed]
        made.append(bytes((version, 0)) + CONNACK[is_5] + raw)
        made.append(bytes((version, 2)) + b"\x20\x03\1\x87\0")
        made.append(bytes((version | GREETED, 0)) + b"\x30\xff\xff\xff\x7f")
        made.append(bytes((version | GREETED, 0)) + (b"\x30\x06\0\3t/a" + more + b"1")[: 7 + is_5] * 60)
    return made + [bytes((seed[0] & ~WIRE,)) + seed[1:] for seed in made]


def new(wire_every: int = 64) -> Callable[[bytes], None]:
    """Give the check; it remembers nothing. One in `wire_every` of those meant for a whole connection gets one."""

    def check(data: bytes) -> None:
        if len(data) < 2:
            return
        flags, cut, sent = data[0], data[1], data[2:MAX_INPUT_BYTES]
        is_5 = bool(flags & VERSION_5)
        sent = framed(sent) if flags & FRAMED else sent
        if flags & WIRE and crc32(data) % wire_every == 0:
            check_wire(is_5, CONNACK[is_5] + sent if flags & GREETED else sent, cut)
        else:
            check_reader(is_5, sent, cut)

    return check


def check_reader(is_5: bool, sent: bytes, cut: int) -> None:
    """Read bytes whole and in pieces: the same messages, and refused or not."""
    whole = read(is_5, [sent])
    assert read(is_5, in_pieces(sent, cut)) == whole
    for message in whole[0]:
        assert len(message.payload) <= MAX_PACKET_BYTES
        assert 0 <= message.mid < 65_536
        assert message.topic


def read(is_version_5: bool, pieces: list[bytes]) -> tuple[list[Message], bool]:
    """Read pieces as the transport does, without paho: the messages, and whether it was refused in the end."""
    reader = packets.Publishes(is_version_5=is_version_5, max_bytes=MAX_PACKET_BYTES)
    messages: list[Message] = []
    rest = b""
    for piece in pieces:
        rest += piece
        try:
            rest = taken(reader, rest, messages)
        except packets.Malformed:
            return messages, True
        assert len(rest) <= MAX_PACKET_BYTES + 5, "more is kept than the longest packet"
    return messages, False


def taken(reader: packets.Publishes, data: bytes, messages: list[Message]) -> bytes:
    """Take all packets that are complete; give what is left."""
    at = 0
    while True:
        at = reader.read(data, at, messages, len(messages) + ROOM, 7)
        found = packets.frame(data, at, MAX_PACKET_BYTES) if len(data) > at else None
        if found is None or sum(found) > len(data):
            return data[at:]
        if data[at] & 0xF0 != packets.PUBLISH:
            at = sum(found)


def check_wire(is_5: bool, sent: bytes, cut: int) -> None:
    """Receive bytes whole and in pieces: the same is delivered and told, but for the words of a fault."""
    whole = received(is_5, [sent] if sent else [])  # nothing at all is the end of a connection
    pieces = received(is_5, in_pieces(sent, cut))
    assert pieces.messages == whole.messages, "what is delivered depends on how it was cut"
    assert pieces.told == whole.told, "what is told depends on how it was cut"


def in_pieces(sent: bytes, cut: int) -> list[bytes]:
    """Cut bytes in three: one byte alone in the middle, somewhere. The law for these gives that for any pieces."""
    at = cut * len(sent) // 256
    return [piece for piece in (sent[:at], sent[at : at + 1], sent[at + 1 :]) if piece]


def framed(choices: bytes) -> bytes:
    """Make packets whose lengths are right: kind, length and body of each."""
    made, at = bytearray(), 0
    while at + 1 < len(choices):
        kind, length = KINDS[choices[at] % len(KINDS)], choices[at + 1]
        body = choices[at + 2 : at + 2 + length]
        made += bytes((kind,)) + packets.length_bytes(len(body)) + body
        at += 2 + length
    return bytes(made)


def received(is_version_5: bool, pieces: list[bytes]) -> Listener:
    """Let a new connection receive some pieces, with the little room that a full inbox has."""
    listener, wire = Listener(), Wire(iter(pieces))
    transport = BatchTransport(SETTINGS[is_version_5], listener, lambda: 7)
    transport._hooked._create_socket_connection = lambda: wire  # type: ignore[method-assign, return-value, assignment]
    transport.connect()
    for turn in itertools.count():
        assert turn < 20_000, "reading does not end"
        if transport.socket() is None or (wire.is_used_up and not transport.has_more):
            break
        transport.read()
        transport.write()
        kept = len(transport._rest)
        assert kept <= MAX_PACKET_BYTES + 5, f"{kept} bytes are kept of one packet"
    return listener
