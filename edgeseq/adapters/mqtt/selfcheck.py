"""Try the private hooks on the installed paho: a whole exchange over a pair of sockets, in a millisecond."""

from __future__ import annotations

import functools
import socket
from typing import Any

from edgeseq.adapters.mqtt import packets
from edgeseq.adapters.mqtt.batch import BatchTransport
from edgeseq.adapters.mqtt.hooks import LAST_MID_OF_PAHO
from edgeseq.adapters.mqtt.paho import UNREADABLE
from edgeseq.adapters.mqtt.settings import Settings
from edgeseq.core.types import Message, Outgoing

FILTER = "check/#"
"""One that no broker sees."""


class Unexpected(Exception):
    """The exchange went otherwise."""


class _Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.room = 10
        self.told: list[Any] = []

    def connected(self, *, is_session_present: bool, window: int, most_bytes: int | None) -> None:
        self.told.append(("connected", is_session_present))

    def refused(self, reason: str) -> None:
        self.told.append("refused")

    def subscribed(self, refusals: list[str | None]) -> None:
        self.told.append(("subscribed", refusals))

    def arrived(self, messages: list[Message]) -> None:
        self.told.append([(m.topic, m.payload, m.mid, m.received_ns) for m in messages])

    def settled(self, mid: int, refusal: str | None) -> None:
        self.told.append(("settled", mid, refusal))

    def is_in_flight(self, mid: int) -> bool:
        return False

    def lost(self, reason: str, *, is_malformed: bool) -> None:
        self.told.append(("lost", is_malformed))

    def closing(self) -> None:
        pass


@functools.cache
def find_fault(*, is_version_5: bool) -> str | None:
    """Tell what keeps the fast transport from working with the installed paho, or None where it works."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            _exchange(ours, theirs, is_version_5=is_version_5)
        except (Unexpected, OSError, AttributeError, AssertionError, RuntimeError, *UNREADABLE) as fault:
            return f"{type(fault).__name__}: {fault}"
    return None


def _exchange(ours: socket.socket, theirs: socket.socket, *, is_version_5: bool) -> None:
    settings = Settings("localhost", 1, "check", (FILTER,), Outgoing("will", b""), is_version_5=is_version_5)
    listener = _Listener()
    transport = BatchTransport(settings, listener, lambda: 7)
    transport._hooked._create_socket_connection = lambda: ours  # type: ignore[method-assign] # noqa: SLF001
    transport.connect()
    transport.write()
    theirs.setblocking(False)
    _require("CONNECT", theirs.recv(4096)[0], 0x10)
    more = b"\0" if is_version_5 else b""
    theirs.send(_packet(packets.CONNACK, b"\0\0" + more))
    transport.read()
    transport.keep_alive()
    transport.write()
    sent = theirs.recv(4096)
    mid = int.from_bytes(sent[2:4], "big")
    _require("SUBSCRIBE", (sent[0], 0 < mid <= LAST_MID_OF_PAHO), (0x82, True))
    name = packets.topic_bytes("check/1")
    theirs.send(
        _packet(packets.SUBACK, sent[2:4] + more + b"\1")
        + _packet(packets.PUBLISH, name + more + b"zero")
        + _packet(packets.PUBLISH | 2, name + b"\0\5" + more + b"one")
    )
    transport.read()
    transport.acknowledge([5])
    own = transport.send_alert(Outgoing("out", b"!", 1, alert_id="a"), 0)
    transport.write()
    expected = b"\x40\x02\0\5" + _packet(
        0x32, packets.topic_bytes("out") + own.to_bytes(2, "big") + more + b"!"
    )
    _require("PUBACK and PUBLISH", theirs.recv(4096), expected)
    theirs.send(_packet(packets.PUBACK, own.to_bytes(2, "big")))
    transport.read()
    theirs.close()
    transport.read()
    told = [
        ("connected", False),
        ("subscribed", [None]),
        [("check/1", b"zero", 0, 7), ("check/1", b"one", 5, 7)],
        ("settled", own, None),
        ("lost", False),
    ]
    _require("what the listener was told", listener.told, told)
    _require("socket after the end", transport.socket(), None)


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + packets.length_bytes(len(body)) + body


def _require(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Unexpected(f"{what}: {found!r}, expected {wanted!r}")
