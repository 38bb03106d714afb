"""Laws of decode: any bytes become readings or counted rejections, and never disturb each other."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.core.decode import decode
from edgeseq.core.instants import LIMIT_NS, format_instant, parse_instant
from edgeseq.core.registry import Registry, nameable
from edgeseq.core.rows import MAX_DETAIL_CHARS
from edgeseq.core.types import (
    ChannelSource,
    Message,
    Options,
    Readings,
    Reason,
    Rejection,
    StreamInfo,
    StreamRule,
)

S = 10**9
NOW_NS = 1_772_359_200 * S  # 2026-03-01T10:00:00Z
OPTIONS = Options()

HOUSE = StreamRule(
    key="zigbee2mqtt/+",
    period_ns=600 * S,
    topics=("zigbee2mqtt/+", "zigbee2mqtt/+/#"),
    exclude=("zigbee2mqtt/bridge/#",),
    fields=("temperature", "humidity"),
)
RAW = StreamRule(key="plc/#", period_ns=S, topics=("plc/#",))
STAMPED = StreamRule(
    key="line/+", period_ns=S, topics=("line/+",), fields=("v",), time_field="ts", id_field="meta.id"
)
PLAIN_STAMPED = StreamRule(key="none", period_ns=S, topics=("none",), time_field="ts")
PUMP = StreamRule(
    key="pump1",
    name="pump1",
    period_ns=S,
    channels={"flow": ChannelSource("p1/flow"), "power": ChannelSource("p1/elec", "power.total")},
)
RULES = (HOUSE, RAW, STAMPED, PUMP)


def message(topic: str, payload: bytes | str | dict[str, Any], **changes: Any) -> Message:
    """Make a message that arrived at NOW_NS."""
    content = (
        payload if isinstance(payload, bytes) else payload.encode() if isinstance(payload, str) else None
    )
    content = json.dumps(payload).encode() if content is None else content
    return msgspec.structs.replace(Message(topic, content, NOW_NS), **changes)


def read(
    *messages: Message, rules: tuple[StreamRule, ...] = RULES, options: Options = OPTIONS
) -> tuple[Readings, list[Rejection], list[StreamInfo]]:
    """Decode with a fresh registry."""
    return decode(Registry(rules), options, messages)


def reasons(rejections: list[Rejection]) -> list[Reason]:
    """List the reasons alone."""
    return [rejection.reason for rejection in rejections]


# --- which streams ----------------------------------------------------------------------------------------------


def test_decode_several_fields_of_wildcard_topics_one_stream_each() -> None:
    """Each field of each matching topic is a stream; all readings of a message share its index."""
    readings, rejections, created = read(
        message("zigbee2mqtt/cellar", {"temperature": 12.5, "humidity": 71, "battery": 90}),
        message("zigbee2mqtt/Living Room", {"temperature": 21}),
    )
    assert readings.message_index.tolist() == [0, 0, 1]
    assert readings.stream_index.tolist() == [0, 1, 2]
    assert readings.value.tolist() == [12.5, 71.0, 21.0]
    assert [info.id for info in created[:2]] == [
        "zigbee2mqtt-cellar-temperature",
        "zigbee2mqtt-cellar-humidity",
    ]
    assert created[2].id.startswith("zigbee2mqtt-living-room-temperature-")
    assert [info.created_ns for info in created] == [NOW_NS] * 3
    assert rejections == []


def test_decode_channels_of_several_topics_one_stream() -> None:
    """Topics and fields bound to channels feed one stream, named by its rule."""
    readings, rejections, created = read(
        message("p1/flow", "7.5"), message("p1/elec", {"power": {"total": 900}}), message("p1/flow", "7.6")
    )
    assert [info.id for info in created] == ["pump1"]
    assert readings.stream_index.tolist() == [0, 0, 0]
    assert readings.channel.tolist() == [0, 1, 0]
    assert readings.value.tolist() == [7.5, 900.0, 7.6]
    assert rejections == []


def test_decode_excluded_topic_unknown() -> None:
    """An excluded topic makes no stream."""
    readings, rejections, created = read(message("zigbee2mqtt/bridge/health", {"temperature": 50}))
    assert (len(readings), reasons(rejections), created) == (0, [Reason.UNKNOWN_TOPIC], [])


def test_decode_two_rules_for_one_field_first_takes_it() -> None:
    """Of two rules that want the same field of a topic, the first one gets it; other fields stay with theirs."""
    second = StreamRule(key="second", period_ns=S, topics=("#",), fields=("temperature", "battery"))
    readings, _, created = read(
        message("zigbee2mqtt/a", {"temperature": 1, "battery": 2}), rules=(HOUSE, second)
    )
    assert [(info.rule, info.field) for info in created] == [
        (HOUSE.key, "temperature"),
        ("second", "battery"),
    ]
    assert readings.value.tolist() == [1.0, 2.0]


def test_decode_topics_of_equal_slug_distinct_streams() -> None:
    """Topics that share a plain slug become two streams; none is lost, none is merged."""
    readings, rejections, created = read(
        message("plc/a/b", "1"), message("plc/a-b", "2"), message("plc/a/b", "3")
    )
    assert created[0].id == "plc-a-b"
    assert created[1].id.startswith("plc-a-b-")
    assert readings.stream_index.tolist() == [0, 1, 0]
    assert rejections == []


def test_decode_more_streams_than_allowed_rejected_known_ones_go_on() -> None:
    """Beyond max_streams new streams are refused, and the known ones still read."""
    messages = [message(f"plc/{i}", "1") for i in (0, 1, 2, 0)]
    readings, rejections, created = read(*messages, options=Options(max_streams=2))
    assert readings.message_index.tolist() == [0, 1, 3]
    assert [(r.message_index, r.reason) for r in rejections] == [(2, Reason.TOO_MANY_STREAMS)]
    assert len(created) == 2


def test_nameable_streams_are_named_as_their_first_readings_will_name_them() -> None:
    """Streams of channels and of plain topics have their later names; excluded and taken ones are left out."""
    both = StreamRule(key="b", period_ns=S, topics=("a/B", "a-b", "a/+"), exclude=("a-b",), fields=("x", "y"))
    later = StreamRule(key="l", period_ns=S, topics=("a/B",), fields=("y", "z"))
    rules = (both, later, RAW, PUMP)
    told = nameable(rules)
    payload = {"x": 1, "y": 2, "z": 3}
    _, _, created = read(message("a/B", payload), message("p1/flow", "1"), rules=rules)
    assert [info.id for infos in told.values() for info in infos] == [info.id for info in created]
    assert [len(told[rule.key]) for rule in rules] == [2, 1, 0, 1]


def test_registry_recovered_stream_keeps_index_and_id() -> None:
    """A registered stream is found by its messages and is not created again."""
    registry = Registry(RULES)
    info = StreamInfo("a-name-of-old", RAW.key, "plc/7", None, 5)
    pump = StreamInfo("pump1", PUMP.key, "p1/flow", None, 6)
    assert [registry.register(i) for i in (info, pump)] == [0, 1]
    readings, _, created = decode(
        registry, OPTIONS, [message("plc/7", "1"), message("p1/elec", {"power": {"total": 2}})]
    )
    assert readings.stream_index.tolist() == [0, 1]
    assert created == []
    assert registry.index_of("a-name-of-old") == 0
    assert registry.rule_of(1) is PUMP


def test_registry_more_topics_than_routes_same_streams() -> None:
    """A full route cache forgets topics, never streams."""
    registry = Registry(RULES, max_routes=2)
    messages = [message(f"plc/{i % 5}", "1") for i in range(20)]
    readings, _, created = decode(registry, OPTIONS, messages)
    assert readings.stream_index.tolist() == [i % 5 for i in range(20)]
    assert len(created) == 5


def test_decode_dotted_key_before_path() -> None:
    """A key that contains the dot is found, and goes before the path of the same spelling."""
    rule = StreamRule(key="r", period_ns=S, topics=("t",), fields=("pm2.5",))
    readings, _, _ = read(
        message("t", {"pm2.5": 8, "pm2": {"5": 9}}), message("t", {"pm2": {"5": 9}}), rules=(rule,)
    )
    assert readings.value.tolist() == [8.0, 9.0]


# --- which values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"temperature": 1', Reason.MALFORMED_JSON),
        (b"", Reason.MALFORMED_JSON),
        (b'{"temperature": 0x10}', Reason.MALFORMED_JSON),
        (b'{"temperature": "\\ud800"}', Reason.MALFORMED_JSON),
        (b'{"temperature": NaN', Reason.MALFORMED_JSON),
        (b'{"temperature": "\xff"}', Reason.BAD_UTF8),
        (b"\xff\xfe", Reason.BAD_UTF8),
        (b"[" * 60_000, Reason.TOO_DEEP),
        (b'{"temperature": NaN, "a":' + b"[" * 50_000, Reason.TOO_DEEP),
        (b'{"pressure": 1}', Reason.NO_FIELD),
        (b"{}", Reason.NO_FIELD),
        (b"12.5", Reason.WRONG_TYPE),
        (b'[{"temperature": 1}]', Reason.WRONG_TYPE),
        (b'{"temperature": "12.5"}', Reason.WRONG_TYPE),
        (b'{"temperature": true}', Reason.WRONG_TYPE),
        (b'{"temperature": [1]}', Reason.WRONG_TYPE),
        (b'{"temperature": {"value": 1}}', Reason.WRONG_TYPE),
        (b'{"temperature": NaN}', Reason.NOT_FINITE),
        (b'{"temperature": -Infinity}', Reason.NOT_FINITE),
        (b'{"temperature": 1e999}', Reason.NOT_FINITE),
        (b'{"temperature": ' + b"9" * 400 + b"}", Reason.NOT_FINITE),
        (b'{"temperature": ' + b"9" * 9000 + b"}", Reason.NOT_FINITE),
        (b'{"temperature": null}', Reason.NO_FIELD),
        (b" " * 65_537, Reason.PAYLOAD_TOO_LARGE),
    ],
)
def test_decode_bad_document_rejected_by_reason(payload: bytes, reason: Reason) -> None:
    """A bad JSON payload gives one rejection of its reason, no reading, no stream; its neighbours are untouched."""
    good = message("zigbee2mqtt/ok", {"temperature": 3})
    readings, rejections, created = read(good, message("zigbee2mqtt/bad", payload), good)
    assert [(r.message_index, r.reason) for r in rejections] == [(1, reason)]
    assert readings.message_index.tolist() == [0, 2]
    assert [info.topic for info in created] == ["zigbee2mqtt/ok"]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"ON", Reason.WRONG_TYPE),
        (b"", Reason.WRONG_TYPE),
        (b"null", Reason.WRONG_TYPE),
        (b'"1"', Reason.WRONG_TYPE),
        (b"1_000", Reason.WRONG_TYPE),
        (b"0x10", Reason.WRONG_TYPE),
        (b"1 2", Reason.WRONG_TYPE),
        ("١٢".encode(), Reason.WRONG_TYPE),
        (b'{"v":1}', Reason.WRONG_TYPE),
        (b"NaN", Reason.NOT_FINITE),
        (b"-inf", Reason.NOT_FINITE),
        (b"1e999", Reason.NOT_FINITE),
        (b"9" * 400, Reason.NOT_FINITE),
        (b"\xff", Reason.BAD_UTF8),
    ],
)
def test_decode_bad_plain_number_rejected_by_reason(payload: bytes, reason: Reason) -> None:
    """A payload that is no decimal number gives one rejection of its reason."""
    readings, rejections, created = read(message("plc/a", payload))
    assert (len(readings), reasons(rejections), created) == (0, [reason], [])


@pytest.mark.parametrize(
    ("payload", "value"),
    [("21.5", 21.5), (" -3 ", -3.0), ("+1e3", 1000.0), (".5", 0.5), ("5.", 5.0), ("0", 0.0)],
)
def test_decode_plain_number_read(payload: str, value: float) -> None:
    """Plain decimal text is a reading."""
    readings, rejections, _ = read(message("plc/a", payload))
    assert (readings.value.tolist(), rejections) == ([value], [])


def test_decode_bad_field_beside_good_one_only_bad_rejected() -> None:
    """One bad field costs only itself, even where it makes the JSON invalid to the letter."""
    readings, rejections, _ = read(message("zigbee2mqtt/a", b'{"temperature": NaN, "humidity": 40}'))
    assert (readings.value.tolist(), reasons(rejections)) == ([40.0], [Reason.NOT_FINITE])


def test_decode_null_of_known_stream_missing_value() -> None:
    """A null of a stream that exists is a reading known to be missing."""
    readings, rejections, created = read(
        message("zigbee2mqtt/a", {"temperature": 4}), message("zigbee2mqtt/a", {"temperature": None})
    )
    assert readings.stream_index.tolist() == [0, 0]
    assert math.isnan(readings.value[1])
    assert (rejections, len(created)) == ([], 1)


def test_decode_unknown_topic_rejected() -> None:
    """A topic that no rule wants is counted."""
    _, rejections, _ = read(message("other/a", "1"), message("x" * 2000, "1"))
    assert reasons(rejections) == [Reason.UNKNOWN_TOPIC] * 2


def test_decode_retained_rejected_unless_asked_for() -> None:
    """A retained message is a reading only where its rule says so."""
    asked = msgspec.structs.replace(RAW, use_retained=True)
    retained = message("plc/a", "1", retained=True)
    assert reasons(read(retained)[1]) == [Reason.RETAINED]
    assert read(retained, rules=(asked,))[0].value.tolist() == [1.0]


@pytest.mark.parametrize(
    ("mark", "is_good"),
    [("good", True), (192, True), (192.0, True), ("bad", False), (True, False), (None, False)],
)
def test_decode_quality_mark_decides_missing(mark: object, is_good: bool) -> None:
    """A value of bad or absent quality is a reading known to be missing."""
    rule = StreamRule(
        key="q", period_ns=S, topics=("t",), fields=("v",), quality_field="q", quality_good=("good", 192, 1)
    )
    first = message("t", {"v": 1, "q": "good"})
    readings, rejections, _ = read(
        first, message("t", {"v": 2, "q": mark}), message("t", {"v": 3}), rules=(rule,)
    )
    assert np.isnan(readings.value).tolist() == [False, not is_good, True]
    assert rejections == []


# --- which times ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-03-01T10:00:00Z",
        "2026-03-01T11:00:00+01:00",
        "2026-03-01 10:00:00",
        "20260301T100000Z",
        "2026-03-01T10:00:00.000000000Z",
        1_772_359_200,
        1_772_359_200.0,
        1_772_359_200_000,
        1_772_359_200_000_000,
        1_772_359_200_000_000_000,
        "1772359200",
        "1772359200000",
        "1772359200.000",
    ],
)
def test_parse_instant_any_spelling_same_instant(stamp: object) -> None:
    """ISO 8601 and epoch numbers of any unit mean the same instant."""
    assert parse_instant(stamp) == NOW_NS


@pytest.mark.parametrize(
    ("stamp", "rest_ns"),
    [
        ("2026-03-01T10:00:00.123456789Z", 123_456_789),
        ("2026-03-01T10:00:00,5Z", 500_000_000),
        (1_772_359_200.123, 123_000_000),
        (1_772_359_200_000_000_123, 123),
    ],
)
def test_parse_instant_fraction_kept(stamp: object, rest_ns: int) -> None:
    """Fractions survive, to the nanosecond where the spelling holds it."""
    assert parse_instant(stamp) == NOW_NS + rest_ns


@pytest.mark.parametrize(
    "stamp",
    ["", "soon", "2026-13-01", None, True, [], {}, math.nan, math.inf, 1e300, 10**400, "9" * 19, "9" * 30, "0001-01-01",
     "9999-12-31T23:59:59-23:59", "2026-03-01T10:00:00.", "２０２６-03-01"],
)  # fmt: skip
def test_parse_instant_no_time_none(stamp: object) -> None:
    """What is no time, or too far off to compute with, is none."""
    assert parse_instant(stamp) is None


@given(st.integers(-LIMIT_NS, LIMIT_NS - 1))
def test_format_instant_read_back_same(time_ns: int) -> None:
    """What is published as an instant reads back to the nanosecond."""
    assert parse_instant(format_instant(time_ns)) == time_ns


@given(st.text() | st.integers() | st.floats() | st.none() | st.booleans())
def test_parse_instant_any_value_never_raises(value: object) -> None:
    """Any value is an instant within the limit, or none."""
    time_ns = parse_instant(value)
    assert time_ns is None or -LIMIT_NS <= time_ns < LIMIT_NS


def test_decode_payload_time_is_event_time() -> None:
    """The reading's time is the payload's where configured, else that of arrival."""
    readings, _, _ = read(message("line/a", {"v": 1, "ts": NOW_NS // S - 60}), message("plc/a", "1"))
    assert readings.time_ns.tolist() == [NOW_NS - 60 * S, NOW_NS]
    assert readings.received_ns.tolist() == [NOW_NS, NOW_NS]


@pytest.mark.parametrize(
    "document", [{"v": 1}, {"v": 1, "ts": None}, {"v": 1, "ts": "soon"}, {"v": 1, "ts": 10**300}]
)
def test_decode_bad_time_rejected(document: dict[str, Any]) -> None:
    """A reading whose configured time is absent or unreadable is not applied at the time of arrival instead."""
    readings, rejections, created = read(message("line/a", document))
    assert (len(readings), reasons(rejections), created) == (0, [Reason.BAD_TIME], [])


@pytest.mark.parametrize(("ahead_s", "is_read"), [(300, True), (301, False)])
def test_decode_time_in_future_rejected_beyond_tolerance(ahead_s: int, is_read: bool) -> None:
    """Five minutes ahead are tolerated, more are not."""
    readings, rejections, _ = read(message("line/a", {"v": 1, "ts": NOW_NS // S + ahead_s}))
    assert len(readings) == int(is_read)
    assert reasons(rejections) == ([] if is_read else [Reason.TIME_IN_FUTURE])


def test_decode_time_in_future_of_unsynchronised_clock_read() -> None:
    """A clock that is not synchronised cannot call a reading one from the future."""
    ahead = message("line/a", {"v": 1, "ts": NOW_NS // S + 10**6})
    assert len(read(ahead, options=Options(synchronised=False))[0]) == 1


def test_decode_old_first_reading_rejected_only_where_limited() -> None:
    """max_age holds for a stream's first reading alone, and is off by default."""
    limited = msgspec.structs.replace(STAMPED, max_age_ns=3600 * S)
    old = message("line/a", {"v": 1, "ts": NOW_NS // S - 3601})
    new = message("line/a", {"v": 1, "ts": NOW_NS // S - 3600})
    assert len(read(old)[0]) == 1
    readings, rejections, _ = read(old, new, old, rules=(limited,))
    assert readings.message_index.tolist() == [1, 2]
    assert [(r.message_index, r.reason) for r in rejections] == [(0, Reason.TOO_OLD)]


# --- which identity ---------------------------------------------------------------------------------------------


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


# --- laws -------------------------------------------------------------------------------------------------------

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
    for message in messages:
        careful.usual.clear()
        expected, rejected, created = decode(careful, options, [message])
        readings, rejections, streams = decode(quick, options, [message])
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
