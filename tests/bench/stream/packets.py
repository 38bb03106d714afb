"""MQTT packets, as much as a load generator needs: versions 3.1.1 and 5, QoS 0 and 1 (OASIS MQTT 3.1.1, 5.0 §2-3)."""

from __future__ import annotations

import struct
from typing import NamedTuple, TypeAlias

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 10, 11, 12, 13, 14
V5 = 5
PONG = bytes([PINGRESP << 4, 0])


Packet: TypeAlias = tuple[int, int, int]
"""A complete packet within a buffer: its first byte, and where its body starts and ends."""


class Malformed(ValueError):
    """Bytes that no MQTT packet begins with."""


def split(buffer: bytes) -> tuple[list[Packet], int]:
    r"""List the complete packets of a buffer, and tell where the incomplete rest begins.

    >>> split(packet(PINGREQ << 4, b"") + b"\x30")
    ([(192, 2, 2)], 2)
    """
    found: list[Packet] = []
    at, size = 0, len(buffer)
    while at + 2 <= size:
        length, start = buffer[at + 1], at + 2
        if length > 127:  # most packets have one or two bytes of it
            length, start = _long_length(buffer, at + 1)
        end = start + length
        if not start or end > size:
            break
        found.append((buffer[at], start, end))
        at = end
    return found, at


def _long_length(buffer: bytes, at: int) -> tuple[int, int]:
    """Read a remaining length; give it, and where the body starts (0: not all of it is there)."""
    length = 0
    for k, byte in enumerate(buffer[at : at + 4]):
        length |= (byte & 127) << 7 * k
        if byte < 128:
            return length, at + k + 1
    if len(buffer) >= at + 4:
        raise Malformed(f"a remaining length of more than four bytes at {at}")
    return 0, 0


def varint(number: int) -> bytes:
    r"""Write a remaining length.

    >>> varint(5), varint(321)
    (b'\x05', b'\xc1\x02')
    """
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def packet(first: int, body: bytes) -> bytes:
    """Put a packet together."""
    return bytes([first]) + varint(len(body)) + body


def text(value: bytes) -> bytes:
    """Write a string with its length before it."""
    return struct.pack(">H", len(value)) + value


def number16(buffer: bytes, at: int) -> int:
    """Read two bytes."""
    return buffer[at] << 8 | buffer[at + 1]


def publish(topic: bytes, payload: bytes, *, mid: int = 0, version: int = 4) -> bytes:
    """Write a PUBLISH; of QoS 1 where it has a packet id."""
    head = text(topic) + (struct.pack(">H", mid) if mid else b"") + (b"\0" if version == V5 else b"")
    return packet(PUBLISH << 4 | (2 if mid else 0), head + payload)


def puback(mid: int) -> bytes:
    """Write a PUBACK; the same in both versions."""
    return struct.pack(">BBH", PUBACK << 4, 2, mid)


def connect(client_id: bytes) -> bytes:
    """Write a CONNECT of version 3.1.1: clean session, no keepalive."""
    return packet(CONNECT << 4, text(b"MQTT") + b"\x04\x02\0\0" + text(client_id))


def connack(version: int) -> bytes:
    """Accept a connection, without a session and without properties."""
    return packet(CONNACK << 4, b"\0\0\0" if version == V5 else b"\0\0")


def subscribe(mid: int, filters: dict[bytes, int]) -> bytes:
    """Write a SUBSCRIBE of version 3.1.1: filter → QoS."""
    body = b"".join(text(name) + bytes([qos]) for name, qos in filters.items())
    return packet(SUBSCRIBE << 4 | 2, struct.pack(">H", mid) + body)


def granted(body: bytes, kind: int, version: int) -> bytes:
    """Answer the body of a SUBSCRIBE or UNSUBSCRIBE by what it asks for."""
    at = 2
    if version == V5:
        length, at = _long_length(body, 2)
        at += length
    codes = bytearray()
    while at < len(body):
        at += 2 + number16(body, at)
        if kind == SUBSCRIBE:
            codes.append(body[at] & 3)
            at += 1
        elif version == V5:
            codes.append(0)
    properties = b"\0" if version == V5 else b""
    return packet((kind + 1) << 4, body[:2] + properties + bytes(codes))


def version_of(body: bytes) -> int:
    """Tell the version that the body of a CONNECT speaks."""
    return body[2 + number16(body, 0)]


class Published(NamedTuple):
    """Parts of a PUBLISH."""

    topic: bytes
    mid: int
    payload: bytes


def published(buffer: bytes, found: Packet, version: int) -> Published:
    """Take a PUBLISH apart."""
    first, start, end = found
    at = start + 2 + number16(buffer, start)
    topic, mid = buffer[start + 2 : at], 0
    if first & 6:
        mid, at = number16(buffer, at), at + 2
    if version == V5:
        length, at = _long_length(buffer, at)
        at += length
    return Published(topic, mid, buffer[at:end])
