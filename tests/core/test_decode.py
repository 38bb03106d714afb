"""Laws of decode: which messages become readings of which streams, and why others do not."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from edgeseq.core.decode import decode
from edgeseq.core.registry import Registry, nameable
from edgeseq.core.types import (
    Options,
    Reason,
    StreamInfo,
    StreamRule,
)
from tests.support.decoding import HOUSE, NOW_NS, OPTIONS, PUMP, RAW, RULES, S, message, read, reasons


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
