"""What subscribers are told of estimators: topics, payloads, what is retained."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from edgeseq.core.estimated import Estimated
from edgeseq.core.render import RenderContext, RenderState, announce, render
from edgeseq.core.types import ClassChanged, Estimate, Outgoing, Quality, StreamInfo, StreamRule, Target
from tests.support.validate import validate

S = 10**9
NOW_NS = 1_772_359_200 * S  # 2026-03-01T10:00:00Z
RULE = StreamRule(key="room", period_ns=60 * S, topics=("t",))
ROOM = Estimated(Target("occupancy", classes=("empty", "occupied")), "room@3f9a51c2")
OIL = Estimated(Target("oil", "°C"), "oil@3f9a51c2")


def context(estimated: Estimated) -> RenderContext:
    """Make the context of one stream with an estimator."""
    infos = [StreamInfo("room", "room", "t", None, 0)]
    return RenderContext("edgeseq", "attic", infos, {"room": RULE}, {}, {"room": estimated})


def estimate(numbers: list[float], quality: Quality = "ok") -> Estimate:
    """Make an estimate of step 17."""
    return Estimate(0, 0, 17, NOW_NS, quality, np.array(numbers))


def sent(estimated: Estimated, *events: Estimate | ClassChanged) -> list[tuple[Outgoing, Any]]:
    """Render, validate and read."""
    out = render(context(estimated), RenderState(), events)
    for outgoing in out:
        validate(outgoing.topic, outgoing.payload)
    return [(outgoing, json.loads(outgoing.payload)) for outgoing in out]


def test_class_estimate_payload() -> None:
    """Classes are told by name, with the probability of each; not retained, since it comes at the rate of readings."""
    ((outgoing, told),) = sent(ROOM, estimate([0.0312345678, 0.9687654]))
    assert (outgoing.topic, outgoing.retain, outgoing.qos) == ("edgeseq/attic/room/estimate", False, 0)
    assert told == {
        "schema": 1, "id": "room:17:3f9a51c2", "stream": "room", "target": "occupancy", "time": "2026-03-01T10:00:00Z",
        "quality": "ok", "state": "occupied", "probability": 0.96877,
        "probabilities": {"empty": 0.031235, "occupied": 0.96877}, "bundle": "room@3f9a51c2",
    }  # fmt: skip


def test_number_estimate_payload() -> None:
    """A number is told with its unit and interval, and none of the words for classes."""
    ((_, told),) = sent(OIL, estimate([40.123456, 42.5, 44.0], "degraded"))
    assert told == {
        "schema": 1, "id": "room:17:3f9a51c2", "stream": "room", "target": "oil", "time": "2026-03-01T10:00:00Z",
        "quality": "degraded", "unit": "°C", "value": 42.5, "lower": 40.123, "upper": 44.0, "coverage": 0.9,
        "bundle": "oil@3f9a51c2",
    }  # fmt: skip


@pytest.mark.parametrize(("estimated", "count"), [(ROOM, 2), (OIL, 3)])
def test_estimate_that_is_none_is_null(estimated: Estimated, count: int) -> None:
    """Without any input numbers, class and probabilities are null."""
    ((_, told),) = sent(estimated, estimate([float("nan")] * count, "missing"))
    assert told["quality"] == "missing"
    numbers = [told.get(name) for name in ("value", "lower", "upper", "state", "probability")]
    assert numbers == [None] * 5
    assert set(told.get("probabilities", {"none": None}).values()) == {None}


def test_class_is_retained_when_it_changes_and_told_again_to_a_new_broker() -> None:
    """The class that a room is in stays on the broker, and comes again after every connect."""
    state, room = RenderState(), context(ROOM)
    (outgoing,) = render(room, state, [ClassChanged(0, 0, 1, NOW_NS)])
    validate(outgoing.topic, outgoing.payload)
    assert (outgoing.topic, outgoing.retain, outgoing.qos) == ("edgeseq/attic/room/state", True, 1)
    assert json.loads(outgoing.payload) == {
        "schema": 1, "state": "occupied", "target": "occupancy", "since": "2026-03-01T10:00:00Z",
        "bundle": "room@3f9a51c2",
    }  # fmt: skip
    assert outgoing in announce(room, state)
    assert [o for o in announce(room, RenderState()) if o.topic.endswith("/state")] == []
