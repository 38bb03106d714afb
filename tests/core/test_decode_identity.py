"""Laws of decode: what makes a reading the same as one before."""

from __future__ import annotations

import msgspec

from edgeseq.core.types import (
    ChannelSource,
    Message,
    StreamRule,
)
from tests.support.decoding import NOW_NS, RULES, S, message, read


def hashes(*messages: Message, rules: tuple[StreamRule, ...] = RULES) -> list[int]:
    """List the identities of the readings."""
    return [int(h) for h in read(*messages, rules=rules)[0].id_hash]


def test_identity_of_configured_id_value_and_time_do_not_matter() -> None:
    """Readings with the same id are the same reading, and are always compared."""
    ts = NOW_NS // S
    messages = [
        message("line/a", {"v": 1, "ts": ts, "meta": {"id": "x1"}}),
        message("line/a", {"v": 2, "ts": ts + 1, "meta": {"id": "x1"}}),
        message("line/a", {"v": 1, "ts": ts, "meta": {"id": "x2"}}),
        message("line/a", {"v": 1, "ts": ts, "meta": {"id": "\u20ac"}}),
    ]
    first, second, other, euro = hashes(*messages)
    assert first == second
    assert len({first, other, euro}) == 3
    assert read(*messages)[0].comparable.all()


def test_identity_of_payload_time_and_value() -> None:
    """Without an id, time and value together identify a reading, whatever the packet id."""
    ts = NOW_NS // S
    one, same, later, higher = hashes(
        message("line/a", {"v": 1, "ts": ts}, mid=3),
        message("line/a", {"v": 1.0, "ts": ts}, mid=9, dup=True),
        message("line/a", {"v": 1, "ts": ts + 1}),
        message("line/a", {"v": 2, "ts": ts}),
    )
    assert one == same
    assert len({one, later, higher}) == 3


def test_identity_of_delivery_compared_only_when_redelivered() -> None:
    """Without a payload time only a redelivery can be told, by packet id and payload; QoS 0 has no identity."""
    messages = [
        message("plc/a", "1", mid=3),
        message("plc/a", "1", mid=3, dup=True),
        message("plc/a", "1", mid=4),
        message("plc/a", "2", mid=3),
        message("plc/a", "1"),
    ]
    first, again, other_mid, other_payload, none = hashes(*messages)
    assert first == again
    assert len({first, other_mid, other_payload, 0}) == 4
    assert none == 0
    assert read(*messages)[0].comparable.tolist() == [False, True, False, False, False]


def test_identity_of_channels_of_one_message_differ() -> None:
    """Two channels of one stream in one message are two readings, even with equal id, time and value."""
    sources = {"a": ChannelSource("t", "a"), "b": ChannelSource("t", "b")}
    plain = StreamRule(key="s", name="s", period_ns=S, channels=sources)
    stamped = msgspec.structs.replace(plain, time_field="ts")
    for rule in (plain, stamped, msgspec.structs.replace(plain, id_field="id")):
        document = {"a": 1, "b": 1, "ts": NOW_NS // S, "id": 7}
        first, second = hashes(message("t", document, mid=1), rules=(rule,))
        assert first != second
