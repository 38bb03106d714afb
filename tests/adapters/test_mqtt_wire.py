"""The transports of the link on a pair of sockets: bytes in, values out.

Run with every version of paho that is allowed (tests/contract/test_paho_versions.py), since the fast transport knows
paho's inside.
"""

from __future__ import annotations

import socket
import tracemalloc
from contextlib import closing
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeseq.adapters.mqtt import packets as p
from edgeseq.core.types import Message, Outgoing
from tests.support.wire import BOTH, VERSIONS, Wire, lost, packet

USER_PROPERTY = b"\x26\0\x03key" + (300).to_bytes(2, "big") + b"v" * 300
PROPERTIES = (
    b"\x01\x01\x02\0\0\0\x3c\x03\0\x04json\x08\0\x05reply\x09\0\x02\xff\xfe\x0b\x80\x01" + USER_PROPERTY
)
"""One of each kind that a broker may pass on, more than 127 bytes together."""


# --- reading --------------------------------------------------------------------------------------------------


def stream_of(wire: Wire) -> bytes:
    """Give packets of all kinds that a broker sends, of short and long lengths."""
    return b"".join(
        [
            wire.publish("in/a", b"first"),
            wire.publish("in/Küche", b"x" * 200, 7, flags=0x08),
            packet(p.PINGRESP, b""),
            wire.publish("in/\0odd", b"", 65_535, flags=0x01),
            packet(p.PUBACK, b"\xff\x01"),
            wire.publish(b"in/\xff", b"unreadable", properties=PROPERTIES),
            wire.publish("in/a", b"last"),
        ]
    )


@VERSIONS
def test_packets_split_anywhere_same_messages(version_5: bool) -> None:
    """Wherever the stream is cut, and cut into single bytes, the same is told in the same order."""

    def told(*cuts: int) -> list[Any]:
        wire = Wire(is_version_5=version_5)
        wire.accept()
        for begin, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
            wire.send(data[begin:end])
        messages = [(m.topic, m.payload, m.mid, m.dup, m.retained) for m in wire.told.messages]
        others = [event for event in wire.told.events if not isinstance(event, list)]
        wire.close()
        return [*messages, *others]

    with closing(Wire(is_version_5=version_5)) as wire:
        data = stream_of(wire)
    whole = told()
    assert whole == [
        ("in/a", b"first", 0, False, False),
        ("in/Küche", b"x" * 200, 7, True, False),
        ("in/\0odd", b"", 65_535, False, True),
        (p.UNREADABLE, b"unreadable", 0, False, False),
        ("in/a", b"last", 0, False, False),
        ("settled", 0xFF01, None),
    ]
    assert all(told(cut) == whole for cut in range(1, len(data)))
    assert told(*range(1, len(data))) == whole


@VERSIONS
def test_thousand_packets_in_one_piece_are_one_batch(wires: Any, version_5: bool) -> None:
    """What one recv gives is delivered at once, in order, with one time of arrival."""
    wire = wires(is_version_5=version_5)
    wire.broker.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
    data = b"".join(wire.publish(f"in/{n % 10}", str(n).encode(), n + 1) for n in range(1000))
    assert wire.broker.send(data) == len(data)
    wire.transport.read()
    (batch,) = wire.told.events
    assert [int(m.payload) for m in batch] == list(range(1000))
    assert [m.mid for m in batch] == list(range(1, 1001))
    assert len({m.received_ns for m in batch}) == 1


def test_no_room_stops_reading_at_the_message(wires: Any) -> None:
    """No more messages are taken than there is room for; the others come later, in order, before what follows."""
    wire = wires()
    wire.told.room = 3
    wire.send(
        b"".join(wire.publish("in/a", str(n).encode()) for n in range(8)) + packet(p.PUBACK, b"\xff\x01")
    )
    assert [m.payload for m in wire.told.messages] == [b"0", b"1", b"2"]
    assert wire.transport.has_more
    wire.told.room = 4
    wire.read()
    wire.told.room = 4
    wire.read()
    assert [m.payload for m in wire.told.messages] == [b"%d" % n for n in range(8)]
    assert ("settled", 0xFF01, None) in wire.told.events
    assert not wire.transport.has_more


@BOTH
def test_properties_of_all_kinds_skipped(wires: Any, kind: Any) -> None:
    """MQTT 5: whatever properties a message carries, its payload begins behind them."""
    wire = wires(kind)
    wire.send(wire.publish("in/a", b"payload", 5, properties=PROPERTIES))
    wire.send(wire.publish("in/a", b"", properties=b"\x01\x00"))
    assert [m.payload for m in wire.told.messages] == [b"payload", b""]
    assert lost(wire) == []


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        (b"\x23\0\x01", p.PROTOCOL_ERROR),
        (b"\x7f\0", p.MALFORMED),
        (b"\x26\0\x03key", p.MALFORMED),
        (b"\x02\0", p.MALFORMED),
        (b"\x03\0\x40x", p.MALFORMED),
        (b"\x0b\xff\xff\xff\xff\xff", p.MALFORMED),
    ],
    ids=["topic alias", "unknown", "half a pair", "short number", "short text", "endless number"],
)
def test_property_that_may_not_be_ends_the_connection(wires: Any, properties: bytes, code: int) -> None:
    """A property that MQTT 5 does not know, a broken one or a topic alias, which we never allow: told to the broker."""
    wire = wires()
    wire.send(wire.publish("in/a", b"before") + wire.publish("in/a", b"x", properties=properties))
    assert [m.payload for m in wire.told.messages] == [b"before"]
    assert [is_malformed for _, is_malformed in lost(wire)] == [True]
    assert wire.received() == bytes((p.DISCONNECT, 1, code))


def test_topic_alias_reason_told(wires: Any) -> None:
    """The reason of the loss names what the broker did."""
    wire = wires()
    wire.send(wire.publish("", b"x", properties=b"\x23\0\x01"))
    ((reason, _),) = lost(wire)
    assert reason == "the broker sent what it may not: topic alias, though none is allowed"


@VERSIONS
@pytest.mark.parametrize("length", [2**20 + 1, 2**28 - 1])
def test_packet_too_large_refused_before_it_comes(wires: Any, version_5: bool, length: int) -> None:
    """Its length is enough: nothing of a packet beyond the limit is waited for or kept."""
    wire = wires(is_version_5=version_5)
    wire.send(wire.publish("in/a", b"before") + bytes((p.PUBLISH,)) + p.length_bytes(length))
    assert [m.payload for m in wire.told.messages] == [b"before"]
    ((reason, is_malformed),) = lost(wire)
    assert (f"packet of {length} bytes, allowed {2**20}" in reason, is_malformed) == (True, True)
    assert wire.received() == (bytes((p.DISCONNECT, 1, p.TOO_LARGE)) if version_5 else b"")
    assert wire.transport.socket() is None


def test_largest_packet_in_small_pieces_costs_no_more_than_itself(wires: Any) -> None:
    """A packet of the largest size, in many pieces, arrives whole, and takes a few times its size meanwhile."""
    wire = wires()
    payload = bytes(2**20 - 100)
    data = wire.publish("in/a", payload)
    tracemalloc.start()
    for at in range(0, len(data), 2**12):
        wire.send(data[at : at + 2**12])
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [m.payload for m in wire.told.messages] == [payload]
    assert peak_bytes < 5 * 2**20


@VERSIONS
@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x00",
        b"\x30\x02\0\0",
        b"\x30\x03\0\x05a",
        b"\x32\x05\0\x01a\0\0",
        b"\x32\x04\0\x01a\0",
        b"\x34\x06\0\x01a\0\x01\0",
        b"\x36\x06\0\x01a\0\x01\0",
        b"\x40\x01\0",
        b"\x30\xff\xff\xff\xff\x01",
        b"\x20\x03\0\0\0",
        b"\x10\x00",
        b"\x00\x00",
        b"\x82\x00",
        b"\x62\x02\0\x01",
        b"\x90\x00",
        b"\xb0\x00",
        b"\xd0\x01x",
    ],
    ids=lambda data: data.hex() if isinstance(data, bytes) else None,
)
def test_malformed_packet_ends_the_connection(wires: Any, data: bytes, version_5: bool) -> None:
    """A packet that is broken, or none that a broker may send, ends the connection; what came before it counts."""
    wire = wires(is_version_5=version_5)
    wire.send(wire.publish("in/a", b"before") + data)
    assert [m.payload for m in wire.told.messages] == [b"before"]
    assert len(lost(wire)) == 1
    assert wire.transport.socket() is None


@VERSIONS
def test_message_before_connack_ends_the_connection(version_5: bool) -> None:
    """The first packet is CONNACK; before it nothing is taken for a message."""
    wire = Wire(is_version_5=version_5)
    wire.send(wire.publish("in/a", b"early") + wire.connack())
    assert wire.told.messages == []
    assert [is_malformed for _, is_malformed in lost(wire)] == [True]
    wire.close()


BEGINNINGS = st.sampled_from(
    [b"\x30", b"\x32", b"\x20", b"\x40", b"\x90", b"\xb0", b"\xd0", b"\xe0", b"\x3b", b""]
)
NOISE = st.builds(
    lambda pieces: b"".join(
        begin + (p.length_bytes(len(body)) if is_framed else b"") + body for begin, is_framed, body in pieces
    ),
    st.lists(st.tuples(BEGINNINGS, st.booleans(), st.binary(max_size=40)), max_size=5),
)


@BOTH
@VERSIONS
@pytest.mark.parametrize("is_accepted", [True, False])
@given(noise=NOISE)
@settings(max_examples=150)
@example(noise=b"\x90\x04\0\x01\0\x01")
@example(noise=b"\xe0\x02\x8e\x00")
@example(noise=b"\x40\x03\0\0\x92")
@example(noise=b"\x20\x02\0\x05")
def test_any_bytes_of_a_broker_raise_nothing(
    kind: Any, version_5: bool, is_accepted: bool, noise: bytes
) -> None:
    """Whatever a broker sends, nothing is raised: the connection goes on, or its end is told once and it is closed."""
    with closing(Wire(kind, is_version_5=version_5)) as wire:
        if is_accepted:
            wire.accept()
        wire.send(noise)
        assert len(lost(wire)) <= 1
        assert (wire.transport.socket() is None) is (len(lost(wire)) == 1)
        wire.connect()
        wire.told.events.clear()
        wire.accept()
        wire.send(wire.publish("in/a", b"as ever"))
        assert [m.payload for m in wire.told.messages] == [b"as ever"]


TOPICS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)


@VERSIONS
@given(messages=st.lists(st.tuples(TOPICS, st.binary(max_size=300), st.integers(0, 65_535), st.booleans())))
@settings(max_examples=60)
def test_what_is_encoded_is_decoded(version_5: bool, messages: list[tuple[str, bytes, int, bool]]) -> None:
    """Encoding and decoding a PUBLISH gives the same message, whatever it holds."""
    data = b""
    for topic, payload, mid, is_retained in messages:
        if mid:
            data += p.publish_bytes(
                topic, payload, mid, is_retained=is_retained, is_again=True, is_version_5=version_5
            )
        else:
            field = p.topic_bytes(topic) + (b"\0" if version_5 else b"")
            data += packet(p.PUBLISH | is_retained, field + payload)
    found: list[Message] = []
    reader = p.Publishes(is_version_5=version_5, max_bytes=2**20)
    assert reader.read(data, 0, found, 10**6, 1) == len(data)
    assert [(m.topic, m.payload, m.mid, m.retained, m.dup) for m in found] == [
        (topic, payload, mid, is_retained, mid > 0) for topic, payload, mid, is_retained in messages
    ]


def test_topics_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many topics a broker invents, no more than the bound are remembered; all are read."""
    monkeypatch.setattr("edgeseq.adapters.mqtt.packets.MAX_TOPICS", 4)
    wire = Wire()
    wire.accept()
    wire.send(b"".join(wire.publish(f"in/{n}", b"") for n in range(11)))
    for n in range(11):
        assert wire.transport.send_states([Outgoing(f"out/{n}", b"")]) == 1
    transport: Any = wire.transport
    assert [m.topic for m in wire.told.messages] == [f"in/{n}" for n in range(11)]
    assert (len(transport._topics), len(transport._publishes._topics)) == (3, 3)
    wire.close()
