"""Laws of decode: any bytes become readings or counted rejections, and never disturb each other."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.core.decode import decode
from edgeseq.core.registry import Registry
from edgeseq.core.rows import MAX_DETAIL_CHARS
from edgeseq.core.types import (
    Message,
    Options,
    StreamRule,
)
from tests.support.decoding import NOW_NS, OPTIONS, RULES, S, message, read, reasons

PLAIN_STAMPED = StreamRule(key="none", period_ns=S, topics=("none",), time_field="ts")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abv"), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["temperature", "humidity", "v", "ts", "meta", "power"])

PAYLOADS = (
    st.binary(max_size=40)
    | st.dictionaries(KEYS, JSON, max_size=4).map(lambda d: json.dumps(d).encode())
    | st.sampled_from([b"1", b"NaN", b'{"temperature":1e999}', b"[" * 5000, b'{"v":1,"ts":1e999}'])
)

TOPIC_NAMES = st.sampled_from(["zigbee2mqtt/a", "plc/1", "line/x", "p1/flow", "p1/elec", "none", ""])

MESSAGES = st.builds(
    Message,
    topic=TOPIC_NAMES,
    payload=PAYLOADS,
    received_ns=st.integers(0, 2 * NOW_NS),
    retained=st.booleans(),
    dup=st.booleans(),
    mid=st.integers(0, 65535),
)


@given(st.lists(MESSAGES, max_size=8), st.booleans())
def test_decode_any_bytes_accounted_for(messages: list[Message], synchronised: bool) -> None:
    """Any message becomes readings or rejections, at least one of the two, and nothing raises."""
    readings, rejections, created = read(*messages, options=Options(synchronised=synchronised))
    seen = {*readings.message_index.tolist(), *(r.message_index for r in rejections)}
    assert seen == set(range(len(messages)))
    assert all(len(r.detail) <= MAX_DETAIL_CHARS and r.detail.isprintable() for r in rejections)
    assert not np.isinf(readings.value).any()
    assert set(readings.stream_index.tolist()) == set(range(len(created)))


@given(st.lists(MESSAGES, max_size=6), st.integers(0, 6))
def test_decode_good_message_beside_any_other_unaffected(messages: list[Message], at: int) -> None:
    """A good message gives the same reading whatever stands beside it."""
    good = message("plc/good", "4.25", mid=7)
    readings, _, _ = read(*messages[:at], good, *messages[at:])
    own = readings.message_index == len(messages[:at])
    alone = read(good)[0]
    assert readings.value[own].tolist() == [4.25]
    assert readings.id_hash[own].tolist() == alone.id_hash.tolist()
    assert readings.time_ns[own].tolist() == [NOW_NS]


@given(st.lists(MESSAGES, max_size=8), st.integers(0, 8))
def test_decode_cut_anywhere_same_readings(messages: list[Message], at: int) -> None:
    """Cutting a batch of messages anywhere changes neither readings nor rejections nor streams."""
    whole, rejected, created = read(*messages)
    registry = Registry(RULES)
    first = decode(registry, OPTIONS, messages[:at])
    second = decode(registry, OPTIONS, messages[at:])
    for name in ("stream_index", "channel", "time_ns", "value", "id_hash"):
        parts = np.concatenate([getattr(first[0], name), getattr(second[0], name)])
        np.testing.assert_array_equal(parts, getattr(whole, name))
    assert reasons(first[1] + second[1]) == reasons(rejected)
    assert first[2] + second[2] == created


USUAL = st.builds(
    Message,
    topic=TOPIC_NAMES,
    payload=st.sampled_from(["temperature", "humidity", "v", "power"]).flatmap(
        lambda name: st.builds(
            lambda value, at: json.dumps({name: value, "ts": at}).encode(),
            st.integers(-(2**70), 2**70) | st.floats() | st.none() | st.booleans(),
            st.integers(NOW_NS // S - 10, NOW_NS // S + 1000) | st.just("2026-03-01T10:00:00Z") | JSON,
        )
    )
    | st.floats().map(lambda value: repr(value).encode()),
    received_ns=st.just(NOW_NS),
    retained=st.sampled_from([False, False, True]),
    dup=st.booleans(),
    mid=st.integers(0, 3),
)


@given(st.lists(MESSAGES | USUAL, max_size=12), st.booleans(), st.sampled_from([20, 65_536]))
def test_decode_quickly_as_with_care(messages: list[Message], synchronised: bool, longest: int) -> None:
    """A topic that has been seen before is read as one that has not."""
    options = Options(synchronised=synchronised, max_payload_bytes=longest)
    rules = (*RULES, PLAIN_STAMPED)
    quick, careful = Registry(rules), Registry(rules)
    for one in messages:
        careful.usual.clear()
        expected, rejected, created = decode(careful, options, [one])
        readings, rejections, streams = decode(quick, options, [one])
        for name in readings.__slots__:
            np.testing.assert_array_equal(getattr(readings, name), getattr(expected, name))
        assert (rejections, streams) == (rejected, created)


def test_decode_topics_are_kept_as_far_as_they_have_streams() -> None:
    """A flood of topics leaves no more than the streams, and so many others."""
    registry = Registry(RULES, max_routes=4)
    options = Options(max_streams=10)
    decode(registry, options, [message(f"plc/{i}", "1") for i in range(100)])
    decode(registry, options, [message(f"none/{i}", "1") for i in range(100)])
    assert set(registry.usual) == {f"plc/{i}" for i in range(10)}
    again, rejections, _ = decode(registry, options, [message(f"plc/{i}", "2") for i in range(100)])
    assert (len(again), len(rejections)) == (10, 90)
