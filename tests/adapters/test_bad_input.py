"""Each bad input is counted by its reason, told in one log line, and leaves the state as it was."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

from edgeseq.adapters.log import OncePerMinute, open_log
from edgeseq.core import keeping, pipeline
from edgeseq.core.types import Message, Options, Reason, StreamRule
from edgeseq.reporting import tell_rejections

T0_S = 1_760_000_000
NOW_NS = (T0_S + 1000) * 10**9
RULE = StreamRule("plant/+", 10**10, topics=("plant/+",), fields=("value",), time_field="time")


def reading(value: Any, *, time: Any = T0_S + 990) -> bytes:
    """Make a payload."""
    return json.dumps({"value": value, "time": time}).encode()


def number(text: str) -> bytes:
    """Make a payload around a number as text, whatever it says."""
    return f'{{"value":{text},"time":{T0_S + 990}}}'.encode()


BAD = {
    "malformed JSON": (b'{"value": 1', Reason.MALFORMED_JSON),
    "empty payload": (b"", Reason.MALFORMED_JSON),
    "garbage": (b"\x00\x01\x02", Reason.MALFORMED_JSON),
    "text for a number": (reading("warm"), Reason.WRONG_TYPE),
    "boolean for a number": (reading(value=True), Reason.WRONG_TYPE),
    "object for a number": (reading({"a": 1}), Reason.WRONG_TYPE),
    "NaN": (number("NaN"), Reason.NOT_FINITE),
    "Infinity": (number("-Infinity"), Reason.NOT_FINITE),
    "1e999": (number("1e999"), Reason.NOT_FINITE),
    "NaN as text": (reading("NaN"), Reason.WRONG_TYPE),
    "huge integer": (number("9" * 400), Reason.NOT_FINITE),
    "integer of 5000 digits": (number("9" * 5000), Reason.NOT_FINITE),
    "deep nesting": (b"[" * 20_000 + b"]" * 20_000, Reason.TOO_DEEP),
    "deep nesting, not closed": (b'{"value":' * 5_000, Reason.TOO_DEEP),
    "bad UTF-8": (b'{"value": 1, "x": "\xff\xfe"}', Reason.BAD_UTF8),
    "oversized payload": (b" " * 70_000 + reading(1.0), Reason.PAYLOAD_TOO_LARGE),
    "array for an object": (b"[1, 2]", Reason.WRONG_TYPE),
    "field missing": (b'{"other": 1}', Reason.NO_FIELD),
    "time missing": (b'{"value": 1}', Reason.BAD_TIME),
    "time nonsense": (reading(1.0, time="soon"), Reason.BAD_TIME),
    "time beyond the calendar": (reading(1.0, time=1e300), Reason.BAD_TIME),
    "time in the future": (reading(1.0, time=T0_S + 1000 + 3600), Reason.TIME_IN_FUTURE),
}
"""What → payload and reason."""


def state() -> pipeline.State:
    """Make a node that has taken twenty good readings."""
    made = pipeline.new_state([RULE], {}, Options())
    for step in range(20):
        take(made, Message("plant/a", reading(step % 4, time=T0_S + 10 * step), NOW_NS))
    return made


def take(node: pipeline.State, message: Message) -> pipeline.Batch:
    """Take one message."""
    batch = pipeline.accept(node, [message])
    pipeline.advance(node, batch.readings)
    return batch


def fingerprint(node: pipeline.State) -> tuple[str, dict[str, bytes]]:
    """Give the whole state as bytes."""
    header, arrays = keeping.dump(node)
    return json.dumps(header), {name: np.asarray(a).tobytes() for name, a in arrays.items()}


def total(node: pipeline.State) -> int:
    """Add up what was received, as it was disposed of."""
    c = node.counts
    return c.applied + c.late + c.duplicate + sum(c.rejected.values())


def check(message: Message, reason: Reason) -> None:
    """Take a bad message: one rejection, counted and logged, the state as before."""
    node = state()
    before = fingerprint(node)
    received = node.counts.received
    (rejection,) = take(node, message).rejections
    assert rejection.reason is reason
    assert fingerprint(node) == before
    assert node.counts.received == received + 1 == total(node)
    stream = io.StringIO()
    tell_rejections(open_log("info", stream), OncePerMinute(), [rejection], late=0, topic=message.topic)
    (line,) = (json.loads(text) for text in stream.getvalue().splitlines())
    assert (line["event"], line["level"]) == ("reading.rejected", "warning")
    assert (line["reason"], line["topic"]) == (reason, message.topic)
    assert len(stream.getvalue()) < 1000, "what a sensor sends cannot fill the log"


@pytest.mark.parametrize("what", BAD)
def test_bad_payload_counted_told_and_without_effect(what: str) -> None:
    """What is no reading is counted and told by reason, and the state is untouched, bit for bit."""
    payload, reason = BAD[what]
    check(Message("plant/a", payload, NOW_NS), reason)


def test_unknown_topic_and_retained_counted_told_and_without_effect() -> None:
    """So are messages that nobody asked for, and retained ones, which would invent a fresh reading."""
    check(Message("elsewhere/a", reading(1.0), NOW_NS), Reason.UNKNOWN_TOPIC)
    check(Message("plant/a", reading(1.0), NOW_NS, retained=True), Reason.RETAINED)


def test_duplicate_counted_told_and_without_effect() -> None:
    """The same reading again is a duplicate."""
    check(Message("plant/a", reading(19 % 4, time=T0_S + 190), NOW_NS), Reason.DUPLICATE)


def test_late_reading_counted_and_moves_no_forecast() -> None:
    """A reading older than the newest step counts as late; it changes the rhythm that is known, and no forecast."""
    node = state()
    _, before = fingerprint(node)
    batch = take(node, Message("plant/a", reading(77.0, time=T0_S + 15), NOW_NS))
    _, after = fingerprint(node)
    assert (batch.rejections, node.counts.late) == ([], 1)
    assert node.counts.received == total(node)
    moved = {name.rpartition("\n")[2] for name in before if before[name] != after[name]}
    rhythm = {"last_seen_ns", "deadline_ns", "arrivals", "gap_q90_ns", "mean_gap_ns"}
    assert moved - rhythm == {"recent", "recent_ids", "recent_position"}


def test_too_many_streams_counted_and_told() -> None:
    """Beyond max_streams no stream is made; the known ones go on."""
    node = pipeline.new_state([RULE], {}, Options(max_streams=2))
    for name in ("a", "b", "c", "d"):
        take(node, Message(f"plant/{name}", reading(1.0), NOW_NS))
    assert len(node.registry) == 2
    assert node.counts.rejected == {Reason.TOO_MANY_STREAMS: 2}
    assert take(node, Message("plant/a", reading(2.0, time=T0_S + 999), NOW_NS)).rejections == []


def test_flood_of_bad_input_few_log_lines() -> None:
    """A thousand bad messages make one line per reason and minute; the next line tells how many were not told."""
    node, limit, stream = state(), OncePerMinute(), io.StringIO()
    log = open_log("info", stream)
    for _ in range(500):
        for payload in (b"{", reading("warm")):
            batch = take(node, Message("plant/a", payload, NOW_NS))
            tell_rejections(log, limit, batch.rejections, late=0, topic="plant/a")
    assert len(stream.getvalue().splitlines()) <= 4  # two reasons; a minute may end meanwhile
    assert node.counts.rejected == {Reason.MALFORMED_JSON: 500, Reason.WRONG_TYPE: 500}
