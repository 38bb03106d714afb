"""What messages give of known covariates: taken item by item, bounded, counted where it cannot be used."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest

from edgeseq.core import pipeline
from edgeseq.core.known import new_known, take
from edgeseq.core.types import (
    KnownSource,
    Message,
    Reason,
)
from edgeseq.testing.fake_stepper import FakeStepper
from tests.support.streams import (
    OPTIONS,
    SECOND,
    run,
)
from tests.support.weather import HOUR, INPUTS, ONE, RULE, START_S, hours, house, known_of, reading, weather


def test_an_array_of_times_and_values_is_taken_item_by_item() -> None:
    """What cannot be used of an array is refused with its reason, and the other items count."""
    items = [
        {"at": "2026-03-02T01:00:00Z", "outdoor": 1.5, "wind": 3},
        {"at": "soon", "outdoor": 2},
        {"at": START_S + 7200, "outdoor": "warm", "wind": 4},
        7,
        {"at": START_S + 10800, "wind": None},
    ]
    state = house()
    sent = Message("weather", json.dumps({"hours": items}).encode(), START_S * SECOND)
    batch = pipeline.accept(state, [sent])
    pipeline.advance(state, batch.readings)
    outdoor, wind = known_of(state).given
    assert (outdoor.time_ns.tolist(), outdoor.value.tolist()) == (hours(1).tolist(), [1.5])
    assert (wind.time_ns.tolist(), wind.value.tolist()) == (hours(1, 2).tolist(), [3, 4])
    reasons = [r.reason for r in batch.rejections]
    assert sorted(set(reasons)) == [Reason.BAD_TIME, Reason.NO_FIELD, Reason.WRONG_TYPE]
    assert state.counts.applied == 4


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"[1,", Reason.MALFORMED_JSON), (b"\xff", Reason.BAD_UTF8), (b"[]", Reason.NO_FIELD),
        (b'{"days": []}', Reason.NO_FIELD), (b'{"hours": 3}', Reason.WRONG_TYPE),
    ],
)  # fmt: skip
def test_a_payload_without_the_array_is_refused(payload: bytes, reason: Reason) -> None:
    """A payload that holds no such array is counted by its reason, once for each covariate at most."""
    batch = pipeline.accept(house(), [Message("weather", payload, START_S * SECOND)])
    assert {r.reason for r in batch.rejections} == {reason}
    assert len(batch.readings) == 0


def columns(**more: Any) -> dict[str, Any]:
    """Make a forecast of two hours the way weather services publish it."""
    return {"at": ["2026-03-02T01:00", START_S + 7200], "outdoor": [1.5, 2.5], "wind": [3, None], **more}


def test_an_object_of_arrays_says_the_same_as_an_array_of_objects() -> None:
    """Times and values in columns give the readings, and in rows: bit for bit the same, nulls included."""
    two = columns()
    rows = [dict(zip(two, item, strict=True)) for item in zip(*two.values(), strict=True)]
    told = []
    for content in (two, rows):
        state = house()
        sent = Message("weather", json.dumps({"hours": content}).encode(), START_S * SECOND)
        batch = pipeline.accept(state, [sent])
        assert batch.rejections == []
        assert len(batch.readings) == 4
        pipeline.advance(state, batch.readings)
        told.append([(g.time_ns.tolist(), g.value.tolist()) for g in known_of(state).given])
    assert told[0] == told[1] == [(hours(1, 2).tolist(), [1.5, 2.5]), (hours(1).tolist(), [3])]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (columns(outdoor=[1.5]), {(Reason.WRONG_TYPE, "2 of at, 1 of outdoor"): 1}),
        (columns(outdoor=7), {(Reason.WRONG_TYPE, "outdoor is a number, not an array"): 1}),
        ({"outdoor": [], "wind": []}, {(Reason.NO_FIELD, "wanted at"): 2}),
        ({"at": [START_S], "wind": [1]}, {(Reason.NO_FIELD, "wanted outdoor"): 1}),
        (columns(at="now"), {(Reason.WRONG_TYPE, "at is a string, not an array"): 2}),
        (columns(outdoor=["warm", 2.5]), {(Reason.WRONG_TYPE, "outdoor is a string"): 1}),
        (columns(at=["soon", START_S]), {
            (Reason.BAD_TIME, "at of an item of outdoor"): 1, (Reason.BAD_TIME, "at of an item of wind"): 1,
        }),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_used_are_counted(
    content: dict[str, Any], found: dict[tuple[Reason, str], int]
) -> None:
    """Each fault of an object of arrays has its reason and words, and leaves the other covariate alone."""
    batch = pipeline.accept(
        house(), [Message("weather", json.dumps({"hours": content}).encode(), START_S * SECOND)]
    )
    assert Counter((r.reason, r.detail) for r in batch.rejections) == found
    assert len(batch.readings) + sum(found.values()) <= 4


def test_an_object_of_arrays_may_be_the_payload_itself() -> None:
    """Without a field the payload is the object of arrays."""
    source = KnownSource("sky", value="temperature")
    rule = msgspec.structs.replace(RULE, known={"outdoor": source, "wind": source})
    state = pipeline.new_state((rule,), {"fake": FakeStepper(known=2)}, OPTIONS, inputs={"fake": INPUTS})
    payload = json.dumps({"time": [START_S], "temperature": [4]}).encode()
    run(state, [Message("sky", payload, START_S * SECOND)])
    assert [given.value.tolist() for given in known_of(state).given] == [[4], [4]]


def test_an_array_may_be_the_payload_itself_and_may_be_retained() -> None:
    """Without a field the payload is the array; retained forecasts count, though retained readings do not."""
    rule = msgspec.structs.replace(RULE, known={"outdoor": KnownSource("sky"), "wind": KnownSource("sky")})
    state = pipeline.new_state((rule,), {"fake": FakeStepper(known=2)}, OPTIONS, inputs={"fake": INPUTS})
    payload = json.dumps([{"time": START_S, "value": 4}]).encode()
    run(state, [Message("sky", payload, START_S * SECOND, retained=True)])
    assert [given.value.tolist() for given in known_of(state).given] == [[4], [4]]


def test_the_newest_message_wins_and_null_takes_back() -> None:
    """A later forecast of the same hour replaces the earlier one; null leaves the hour to be filled."""
    state = house()
    run(state, [weather(0, {1: 5.0, 2: 6.0, 3: 7.0}), weather(1, {2: 8.0, 3: None})])
    outdoor = known_of(state).given[0]
    assert dict(zip(outdoor.time_ns.tolist(), outdoor.value.tolist(), strict=True)) == {
        int(hours(1)[0]): 5.0, int(hours(2)[0]): 8.0,
    }  # fmt: skip


def test_what_is_kept_is_bounded_whatever_is_sent() -> None:
    """A year of minutes, in one message or in many, leaves no more values than there are steps around the present."""
    known = new_known(INPUTS, HOUR, horizon=24, history=64)
    minutes = START_S * SECOND + 60 * SECOND * np.arange(500_000, dtype=np.int64)
    take(
        known,
        np.zeros(len(minutes), np.int64),
        minutes,
        np.ones(len(minutes)),
        np.zeros(len(minutes), np.int64),
    )
    bound = 64 + 24 + 2 * 7 * 24 + 1
    assert len(known.given[0].time_ns) == bound
    for start in range(0, 500_000, 50_000):
        part = minutes[start : start + 50_000]
        take(known, np.zeros(len(part), np.int64), part, np.ones(len(part)), np.zeros(len(part), np.int64))
    assert len(known.given[0].time_ns) <= bound


def test_a_message_may_begin_long_ago_and_reach_far() -> None:
    """Of a service that tells three months of the past and a year ahead, what lies around the present is kept."""
    known = new_known(ONE, HOUR, horizon=24, history=64)
    day = 24 * HOUR
    at = START_S * SECOND + np.arange(-92 * 24, 365 * 24, dtype=np.int64) * HOUR
    take(
        known,
        np.zeros(len(at), np.int64),
        at,
        np.ones(len(at)),
        np.zeros(len(at), np.int64),
        START_S * SECOND,
    )
    kept = known.given[0].time_ns
    assert (kept[0], kept[-1]) == (START_S * SECOND - 7 * day - 64 * HOUR, START_S * SECOND + 8 * day)


def test_a_wild_time_starves_nobody() -> None:
    """Values of the year 2200, sent before any reading, give way to the first forecast after it."""
    state = house()
    far = {24 * 365 * 174 + k: 1.0 for k in range(1500)}
    run(state, [weather(-2, far), reading(0, 20.0), weather(0, {1: 5.0})])
    outdoor = known_of(state).given[0]
    assert (outdoor.time_ns.tolist(), outdoor.value.tolist()) == (hours(1).tolist(), [5.0])
