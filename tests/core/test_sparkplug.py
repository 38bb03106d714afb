"""Laws of Sparkplug B: births, aliases, sequence, history, what is null, and asking for a birth."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeseq.core import keeping, pipeline
from edgeseq.core.decoders import sparkplug_b_pb2
from edgeseq.core.decoders.sparkplug import rebirth
from edgeseq.core.types import Message, Options, Reason, StreamRule
from tests.support.families import (
    DOUBLE,
    EVERY_NS,
    FLOAT,
    INT64,
    START_NS,
    Sample,
    births,
    data,
    messages,
    metric,
    sparkplug,
    sparkplug_topic,
)

S = 10**9
RULE = StreamRule("plant", 10 * S, topics=("spBv1.0/#",), decoder="sparkplug")
ASKING = msgspec.structs.replace(RULE, may_ask=True)
NODE, DEVICE = sparkplug_topic("NDATA"), sparkplug_topic("DDATA", "press")


def node(rule: StreamRule = RULE) -> pipeline.State:
    """Make a node that has seen nothing."""
    return pipeline.new_state((rule,), {}, Options())


def take(state: pipeline.State, *samples: Sample, at_ns: int = START_NS) -> pipeline.Batch:
    """Let a node take messages."""
    batch = pipeline.accept(state, messages(samples, at_ns))
    pipeline.advance(state, batch.readings)
    return batch


def said(seq: int | None, *metrics: dict[str, Any], topic: str = NODE, sent_ns: int = START_NS) -> Sample:
    """Make a message of metrics."""
    payload = sparkplug(sent_ns, seq)
    for content in metrics:
        values: dict[str, Any] = {
            "name": None, "alias": None, "value": None, "datatype": None, "time_ns": sent_ns, **content
        }  # fmt: skip
        metric(payload, **values)
    return Sample(topic, payload.SerializeToString())


def reasons(batch: pipeline.Batch) -> list[Reason]:
    """List the reasons alone."""
    return [rejection.reason for rejection in batch.rejections]


def values(state: pipeline.State, batch: pipeline.Batch) -> dict[str | None, float]:
    """Give field → value of what was read."""
    names = [state.registry.infos[i].field for i in batch.readings.stream_index.tolist()]
    return dict(zip(names, batch.readings.value.tolist(), strict=True))


def test_birth_and_data_by_alias_feed_the_same_streams_with_their_own_times() -> None:
    """Names of births stand for aliases; integers have their sign; booleans and texts are no readings."""
    state = node()
    born = take(state, *births(START_NS))
    batch = take(state, *data(0, START_NS + EVERY_NS), at_ns=START_NS + 60 * S)
    assert values(state, born) == {
        "Cabinet/Temperature": 31.5, "Hydraulics/Pressure": 121.5, "Hydraulics/Valve": -250.0, "Strokes": 70_000.0
    }  # fmt: skip
    assert values(state, batch) == {
        "Cabinet/Temperature": 32.0, "Hydraulics/Pressure": 120.0, "Hydraulics/Valve": -250.0, "Strokes": 70_001.0
    }  # fmt: skip
    assert set(batch.readings.time_ns.tolist()) == {START_NS + EVERY_NS}
    assert {(info.topic, info.unit) for info in state.registry.infos} == {
        (NODE, "°C"),
        (DEVICE, "bar"),
        (DEVICE, None),
    }
    assert (batch.rejections, len(state.registry)) == ([], 4)


def test_alias_before_any_birth_is_one_rejection_a_message() -> None:
    """Who joins in the middle counts what it cannot name, and reads what has a name."""
    state = node()
    batch = take(
        state,
        said(
            7, {"alias": 1, "value": 3.0, "datatype": DOUBLE}, {"alias": 2, "value": 3.0, "datatype": DOUBLE}
        ),
        said(8, {"name": "Speed", "value": 4.0, "datatype": DOUBLE}),
    )
    assert reasons(batch) == [Reason.NO_BIRTH]
    assert values(state, batch) == {"Speed": 4.0}
    assert batch.asks == ()


def test_alias_of_another_device_is_none() -> None:
    """An alias means its metric only on the topic of the device that was born with it."""
    state = node()
    take(state, *births(START_NS))
    batch = take(state, said(2, {"alias": 1, "value": 5.0, "datatype": DOUBLE}, topic=DEVICE))
    assert reasons(batch) == [Reason.NO_BIRTH]


def test_null_is_a_reading_known_to_be_missing() -> None:
    """is_null of a stream that exists is NaN; of one that does not, nothing."""
    state = node()
    take(state, *births(START_NS))
    batch = take(
        state,
        said(2, {"alias": 1, "is_null": True}, {"name": "New", "datatype": DOUBLE, "is_null": True}),
    )
    assert math.isnan(values(state, batch)["Cabinet/Temperature"])
    assert (len(batch.readings), batch.rejections, len(state.registry)) == (1, [], 4)


def test_historical_metric_is_a_reading_of_its_own_time() -> None:
    """In order it counts; behind newer ones it is late; without a time it is none."""
    state = node()
    take(state, *births(START_NS))
    late, now = START_NS + 10 * S, START_NS + 600 * S
    history = {"alias": 1, "value": 30.0, "datatype": FLOAT, "is_historical": True}
    take(state, said(2, {**history, "time_ns": late}, sent_ns=now), at_ns=now)
    assert (state.counts.applied, state.counts.late) == (5, 0)
    take(state, said(3, {"alias": 1, "value": 33.0, "datatype": FLOAT}, sent_ns=now), at_ns=now)
    take(state, said(4, {**history, "time_ns": late + 20 * S}, sent_ns=now), at_ns=now)
    assert (state.counts.applied, state.counts.late) == (6, 1)
    batch = take(state, said(5, {**history, "time_ns": None}, sent_ns=0), at_ns=now)
    assert reasons(batch) == [Reason.BAD_TIME]


def test_birth_that_is_repeated_brings_no_reading_twice() -> None:
    """A rebirth with the values of before is duplicates, and its aliases hold."""
    state = node()
    take(state, *births(START_NS))
    again = take(state, *births(START_NS), at_ns=START_NS + 5 * S)
    assert len(again.readings) == 0
    assert state.counts.duplicate == 4
    assert take(state, *data(0, START_NS + EVERY_NS)).rejections == []


@pytest.mark.parametrize(
    ("seq", "is_known"),
    [(2, True), (9, True), (255, True), (1, False), (0, False)],
    ids=["next", "some lost", "many lost", "a birth may be lost", "before"],
)
def test_gap_keeps_aliases_unless_a_birth_may_be_lost(seq: int, is_known: bool) -> None:
    """Lost data cost themselves; where number 0 may be among what is lost, aliases mean nothing until a birth."""
    state = node()
    take(state, *births(START_NS))
    batch = take(state, said(seq, {"alias": 1, "value": 5.0, "datatype": DOUBLE}, sent_ns=START_NS + S))
    assert reasons(batch) == ([] if is_known else [Reason.NO_BIRTH])
    take(state, *births(START_NS + 2 * S))
    assert reasons(take(state, *data(0, START_NS + EVERY_NS), at_ns=START_NS + 20 * S)) == []


def test_sequence_goes_round() -> None:
    """255 is followed by 0: no gap."""
    state = node(ASKING)
    take(state, *births(START_NS))
    for seq in range(2, 600):
        at_ns = START_NS + seq * S
        batch = take(
            state, said(seq % 256, {"alias": 1, "value": 5.0, "datatype": DOUBLE}, sent_ns=at_ns), at_ns=at_ns
        )
        assert (batch.rejections, batch.asks) == ([], ())


def test_death_of_the_session_forgets_aliases_and_another_session_s_does_not() -> None:
    """A death counts only with the bdSeq of the birth; a device's death takes its own aliases alone."""
    state = node()
    take(state, *births(START_NS, bd_seq=3))
    stale = Sample(sparkplug_topic("NDEATH"), death(2))
    assert take(state, stale, *data(0, START_NS + EVERY_NS)[:1]).rejections == []
    take(state, said(3, topic=sparkplug_topic("DDEATH", "press")))
    one, other = data(1, START_NS + 2 * EVERY_NS)[:2]
    assert reasons(take(state, one)) == []
    assert reasons(take(state, other)) == [Reason.NO_BIRTH]
    take(state, Sample(sparkplug_topic("NDEATH"), death(3)))
    assert reasons(take(state, said(6, {"alias": 1, "value": 1.0, "datatype": DOUBLE}))) == [Reason.NO_BIRTH]
    assert state.counts.rejected == {Reason.NO_BIRTH: 2}


def death(bd_seq: int) -> bytes:
    """Make the will of a node."""
    payload = sparkplug(START_NS, None)
    metric(payload, "bdSeq", None, bd_seq, INT64, START_NS)
    encoded: bytes = payload.SerializeToString()
    return encoded


def test_rebirth_is_asked_for_only_where_allowed_and_once_a_minute() -> None:
    """After a gap, and where an alias is unknown; the request is the specification's."""
    lost = said(9, {"alias": 1, "value": 5.0, "datatype": DOUBLE})
    quiet, asking = node(), node(ASKING)
    for state in (quiet, asking):
        take(state, *births(START_NS))
    assert take(quiet, lost).asks == ()
    (ask,) = take(asking, lost).asks
    assert (ask.topic, ask.qos, ask.retain) == ("spBv1.0/plant1/NCMD/line-gateway", 0, False)
    request = sparkplug_b_pb2.Payload.FromString(ask.payload)  # type: ignore[attr-defined]  # generated
    (asked,) = request.metrics
    assert (asked.name, asked.datatype, asked.boolean_value) == ("Node Control/Rebirth", 11, True)
    assert request.timestamp == START_NS // 10**6
    assert (
        take(asking, said(3, {"alias": 98, "value": 1.0, "datatype": DOUBLE}), at_ns=START_NS + 59 * S).asks
        == ()
    )
    assert len(take(asking, said(9, {"alias": 98, "value": 1.0}), at_ns=START_NS + 61 * S).asks) == 1
    assert ask.payload == rebirth(START_NS)


def test_retained_birth_tells_names_and_is_no_reading() -> None:
    """What a broker kept says what aliases mean where nothing else has; it never replaces what is newer."""
    state = node()
    born = [sample._replace(retained=True) for sample in births(START_NS)]
    assert (len(take(state, *born).readings), state.counts.ignored, state.counts.received) == (0, 2, 0)
    assert take(state, *data(0, START_NS + EVERY_NS)).rejections == []


def test_aliases_survive_a_snapshot_and_are_distrusted_after_a_crash() -> None:
    """A state that was kept at rest goes on; one that something may have followed waits for a birth."""
    state = node()
    take(state, *births(START_NS))
    header, arrays = keeping.dump(state)
    header = msgspec.json.decode(msgspec.json.encode(header))
    rested, crashed = node(), node()
    for other in (rested, crashed):
        assert keeping.load(other, header, arrays) == []
    pipeline.distrust(crashed)
    following = data(0, START_NS + EVERY_NS)
    expected = values(state, take(state, *following))
    assert values(rested, take(rested, *following)) == expected
    assert reasons(take(crashed, *following)) == [Reason.NO_BIRTH] * 2
    take(crashed, *births(START_NS + 11 * S))
    assert take(crashed, *data(0, START_NS + 20 * S), at_ns=START_NS + 20 * S).rejections == []


def test_node_without_room_still_learns_births_of_the_devices_it_has() -> None:
    """A full node refuses strangers, and reads the births of those that it knows."""
    state = pipeline.new_state((RULE,), {}, Options(max_streams=4))
    take(state, *births(START_NS))
    pipeline.distrust(state)
    assert take(state, *births(START_NS + S)).rejections == []
    assert take(state, *data(0, START_NS + EVERY_NS), at_ns=START_NS + EVERY_NS).rejections == []
    stranger = Message("spBv1.0/plant1/NDATA/other", data(0, START_NS)[0].payload, START_NS)
    assert reasons(pipeline.accept(state, [stranger])) == [Reason.TOO_MANY_STREAMS]


def test_bindings_are_those_of_the_proto_file() -> None:
    """Field names and numbers of the generated module are those that stand in the file it is generated from."""
    text = Path(sparkplug_b_pb2.__file__).with_name("sparkplug_b.proto").read_text(encoding="utf-8")
    written = set(re.findall(r"^\s*(?:optional \S+|repeated \S+|\S+) (\w+) = (\d+);", text, re.MULTILINE))
    payload = sparkplug_b_pb2.Payload.DESCRIPTOR  # type: ignore[attr-defined]  # generated
    found = {
        (field.name, str(field.number))
        for described in (payload, *payload.nested_types)
        for field in described.fields
    }
    assert found == written
    assert len(found) == 30
