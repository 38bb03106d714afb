"""Covariates known for the future: what messages give, what is filled, and batches and restarts change nothing."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from edgeseq.adapters.journal import Record, record_of
from edgeseq.adapters.log import CATALOGUE
from edgeseq.core import keeping, pending, pipeline
from edgeseq.core import known as k
from edgeseq.core.known import Covariate, KnownInputs, fill, look, new_known, take
from edgeseq.core.packing import unpack
from edgeseq.core.render import RenderContext, RenderState, render
from edgeseq.core.types import (
    F64,
    I64,
    AlertKind,
    Event,
    InputsFilled,
    KnownSource,
    Message,
    Options,
    Reason,
    StreamRule,
)
from edgeseq.reporting import tell_events
from edgeseq.testing.fake_stepper import FakeStepper
from tests.support.streams import (
    OPTIONS,
    SECOND,
    alerts,
    equal_states,
    forecasts,
    message,
    one_forecast,
    plain,
    recurrent,
    run,
)

HOUR = 3600 * SECOND
START_S = int(dt.datetime(2026, 3, 2, tzinfo=dt.UTC).timestamp())
INPUTS = KnownInputs(covariates=(Covariate("outdoor", 10.0, 2.0), Covariate("wind", 0.0, 1.0)))
RULE = StreamRule(
    key="house", period_ns=HOUR, topics=("m/+",), fields=("v",), time_field="time", bundle="fake",
    known={
        "wind": KnownSource("weather", field="hours", time="at", value="wind"),
        "outdoor": KnownSource("weather", field="hours", time="at", value="outdoor"),
    },
)  # fmt: skip
law = settings(max_examples=4, phases=[Phase.explicit, Phase.reuse, Phase.generate])


def hours(*steps: int) -> I64:
    """Give times of steps since the start."""
    return (START_S + 3600 * np.array(steps, dtype=np.int64)) * SECOND


def weather(hour: float, values: dict[int, Any], sent_s: float = 0, **more: Any) -> Message:
    """Make a forecast that arrives at an hour: step → outdoor temperature, or (outdoor, wind)."""
    items = []
    for step, value in values.items():
        outdoor, wind = value if isinstance(value, tuple) else (value, 0.0)
        at = dt.datetime.fromtimestamp(START_S + 3600 * step, dt.UTC).isoformat()
        items.append({"at": at, "outdoor": outdoor, "wind": wind})
    received_ns = int((START_S + 3600 * hour + sent_s) * SECOND)
    return Message("weather", json.dumps({"hours": items}).encode(), received_ns, **more)


def reading(hour: float, value: float, topic: str = "m/a") -> Message:
    """Make a reading at an hour."""
    return message(topic, START_S + 3600 * hour, value)


def house(options: Options = OPTIONS) -> pipeline.State:
    """Make a state whose model takes two known covariates."""
    model = FakeStepper(known=2)
    return pipeline.new_state((RULE,), {"fake": model}, options, inputs={"fake": INPUTS})


def known_of(state: pipeline.State) -> k.Known:
    """Give what the rule has been told."""
    known = state.groups[0].known
    assert known is not None
    return known


def days(start: int = 0, stop: int = 60) -> list[Message]:
    """Make hourly readings of noise, and each six hours a forecast for the next ten."""
    noise = np.random.default_rng(5).normal(20, 1, stop)
    made = []
    for hour in range(start, stop):
        if hour % 6 == 0:
            made.append(weather(hour, {s: (10.0 + s % 5, 0.5) for s in range(hour, hour + 11)}, sent_s=-10))
        made.append(reading(hour, float(noise[hour])))
    return made


# --- messages -----------------------------------------------------------------------------------------------------


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


# --- filling ------------------------------------------------------------------------------------------------------

ONE = KnownInputs(covariates=(Covariate("outdoor", 10.0, 2.0),))


def filled(values: dict[int, float], steps: int, period_ns: int = HOUR) -> tuple[F64, list[int]]:
    """Fill a series given at some steps; give it, and the steps that needed more than the value before."""
    laid = np.full((1, steps, 1), np.nan)
    for step, value in values.items():
        laid[0, step] = value
    result, needed = fill(ONE, laid, period_ns)
    return result[0, :, 0], np.flatnonzero(needed[0, :, 0]).tolist()


def test_a_value_holds_until_the_next_within_six_hours() -> None:
    """Forecasts every three or six hours are as good as hourly ones; of seven hours the gap is filled."""
    values, needed = filled({0: 1.0, 3: 2.0, 9: 3.0, 16: 4.0}, 17)
    assert values[:10].tolist() == [1, 1, 1, 2, 2, 2, 2, 2, 2, 3]
    assert needed == [10, 11, 12, 13, 14, 15]


def test_beyond_what_is_given_the_day_before_stands_in() -> None:
    """The same hour of the nearest day before that was given, up to seven days; not one that was filled itself."""
    day = {h: float(h) for h in range(24)}
    values, needed = filled(day, 24 * 9)
    assert values[24 : 24 * 8].tolist() == [float(h) for h in range(24)] * 7
    assert needed[0] == 24
    newer = day | {h + 24: 100.0 + h for h in range(12)}
    assert filled(newer, 72)[0][[48 + 6, 48 + 18]].tolist() == [106, 18]


def test_without_a_day_before_the_last_value_holds_and_then_the_mean() -> None:
    """A lone value holds for seven days; what nothing was ever said of is the training mean."""
    values, needed = filled({5: 3.0}, 200)
    assert values[:5].tolist() == [10.0] * 5
    assert set(values[5:174].tolist()) == {3.0}
    assert set(values[174:].tolist()) == {10.0}
    assert len(needed) == 199


def test_a_period_that_parts_no_day_has_no_day_before() -> None:
    """Steps of 7 hours cannot name the same time of yesterday: the last value holds."""
    assert filled({0: 1.0, 1: 2.0}, 6, 7 * HOUR)[0].tolist() == [1, 2, 2, 2, 2, 2]


def test_inputs_are_scaled_and_bounded() -> None:
    """A covariate comes in training scales; a wild forecast counts as eight of them."""
    known = new_known(ONE, HOUR, horizon=2, history=8)
    message_of = np.zeros(2, np.int64)
    take(known, np.zeros(2, np.int64), hours(0, 1), np.array([14.0, 1e9]), message_of)
    found, needed = look(known, hours(0) - HOUR // 2, np.array([0]), 3, hours(0))
    assert found[0, :, 0].tolist() == [2.0, 8.0, 8.0]
    assert needed[0].tolist() == [False, False, True]


def test_steps_take_the_latest_value_that_lies_in_them() -> None:
    """Of forecasts finer than the grid, each row takes the last one of its own step."""
    known = new_known(ONE, HOUR, horizon=2, history=8)
    at = START_S * SECOND + np.arange(0, 6) * HOUR // 2
    take(known, np.zeros(6, np.int64), at, 10 + 2 * np.arange(6.0), np.zeros(6, np.int64))
    phases = np.array([START_S * SECOND, START_S * SECOND - HOUR // 2])
    found, _ = look(known, phases, np.array([0, 0]), 2, phases)
    assert found[:, :, 0].tolist() == [[1, 3], [0, 2]]


# --- the pipeline -------------------------------------------------------------------------------------------------


def test_the_model_is_told_of_each_lead_what_messages_gave() -> None:
    """The forecast of a lead carries its own known value, and the state that of the present step."""
    state = house()
    run(state, [*days(0, 47), weather(47, dict.fromkeys(range(47, 52), 12.0))])
    run(state, [reading(47, 20.0)])
    level = recurrent(state, "level", "next")[0]
    unit, anchor = (state.groups[0].table[name][0, 0] for name in ("unit", "anchor"))
    group = state.groups[0]
    target = group.table["next_step"] + group.leads[1]
    waiting = pending.due(
        group.table, group.leads, np.array([0]), target, anchor[None, None], unit[None, None]
    )
    np.testing.assert_allclose(waiting.value[pending.MODEL, 0, 1], anchor + unit * (level + 1.0))
    committed, following = (recurrent(state, "steps", which)[0] for which in ("committed", "next"))
    assert following == committed + 1 + 1.0


def test_forecasts_given_before_the_stream_exists_are_not_lost() -> None:
    """A retained forecast that arrives before the first reading serves the streams that come after it."""
    state = house()
    run(state, [weather(-1, dict.fromkeys(range(100), 12.0))])
    events = run(state, [reading(h, 20 + h % 3) for h in range(40)])
    assert state.groups[0].table["model_warm"][0]
    assert not any(isinstance(e, InputsFilled) for e in events)


def test_late_forecasts_are_told_once_with_the_leads_that_were_filled() -> None:
    """When the forecast ends before the horizon the payload says how many leads were filled; the log says when."""
    state = house()
    events = run(
        state, [weather(0, dict.fromkeys(range(50), 12.0)), *(reading(h, 20 + h % 3) for h in range(60))]
    )
    told = [(e.leads) for e in events if isinstance(e, InputsFilled)]
    assert told == [1]
    counts = [f.leads_filled for f in forecasts(events)]
    assert counts[:46] == [0] * 46
    again = run(state, [weather(60, dict.fromkeys(range(60, 90), 12.0)), reading(60, 20.0)])
    assert [e.leads for e in again if isinstance(e, InputsFilled)] == [0]


def test_the_log_tells_when_inputs_are_filled_and_given_again() -> None:
    """An operator reads of both in words of the catalogue."""
    lines: list[tuple[str, dict[str, Any]]] = []

    class Node:
        context = RenderContext("e", "n", house().registry.infos, {}, {})

    state = house()
    run(state, [reading(0, 1.0)])
    Node.context = RenderContext("e", "n", state.registry.infos, state.registry.rules, {})
    events: list[Event] = [InputsFilled(0, 0, 3), InputsFilled(0, 0, 0)]
    tell_events(lambda event, **fields: lines.append((event, fields)), Node(), events)  # type: ignore[arg-type]
    (filled, said), (again, _) = lines
    assert (filled, again) == ("inputs.filled", "inputs.given")
    assert (said["leads_filled"], said["topics"]) == (3, ["weather"])
    assert "older values" in said["detail"]
    assert {name for name, _ in lines} <= set(CATALOGUE)


def test_forecasts_published_by_the_model_say_how_many_leads_were_filled() -> None:
    """The payload has the number while it is not 0, and only where the model made the forecast."""
    state = house()
    run(state, [reading(0, 20.0)])
    context = RenderContext("e", "n", state.registry.infos, state.registry.rules, {"house": "fake@0"})
    found = {}
    one, path = np.array([1.0]), np.array([[1.0] * 4])
    columns = {"observed": one, "lower": path, "value": path, "upper": path, "score": one, "skill": one}
    for count in (0, 3):
        event = one_forecast(columns, source="model", leads_filled=count)
        payload = json.loads(render(context, RenderState(), [event])[0].payload)
        found[count] = payload.get("leads_filled")
    assert found == {0: None, 3: 3}


@law
@given(st.lists(st.integers(0, 60), min_size=1, max_size=6))
def test_cut_anywhere_same_events_and_state(cuts: list[int]) -> None:
    """Forecasts count from their place among the readings on, whatever the batches are."""
    sent = [*days(0, 45), weather(45, {46: 3.0}), *days(46, 50)]
    whole, cut = house(), house()
    assert plain(run(cut, sent, [c for c in cuts if c <= len(sent)])) == plain(run(whole, sent))
    assert equal_states(whole, cut)


@pytest.mark.parametrize("stop", [0, 1, 30, 55, 70])
def test_journal_and_snapshot_bring_back_what_was_given(stop: int) -> None:
    """Replaying the journal's bytes after a snapshot gives the same state, bit for bit, hidden streams included."""
    sent = days()
    live, back = house(), house()
    run(live, sent[:stop])
    header, arrays = keeping.dump(live)
    records = []
    for one in sent[stop:]:
        batch = pipeline.accept(live, [one])
        records.append(msgspec.msgpack.encode(record_of(batch.created, batch.readings)))
        pipeline.advance(live, batch.readings)
    assert keeping.load(back, json.loads(json.dumps(header)), arrays) == []
    for data in records:
        record = msgspec.msgpack.decode(data, type=Record)
        assert record.packed is not None
        pipeline.recover(back, record.created, unpack(record.packed))
    assert equal_states(live, back)


def test_hidden_streams_are_neither_counted_nor_told() -> None:
    """What brings the future is no stream to anybody outside: no row, no topic, no place under the limit."""
    state = house(Options(clock="readings", synchronised=False, max_streams=1))
    events = run(state, days(0, 12))
    assert state.registry.streams == 1
    assert state.groups[0].table.rows == 1
    context = RenderContext("e", "n", state.registry.infos, state.registry.rules, {"house": "fake@0"})
    topics = {out.topic for out in render(context, RenderState(), [*events, *pipeline.describe(state)])}
    assert topics
    assert not any("known" in topic or "weather" in topic for topic in topics)


@pytest.mark.parametrize("clock", ["readings", "wall"])
def test_times_of_the_future_silence_nobody(clock: Any) -> None:
    """A forecast for next week moves no clock: a stream falls silent by its own deadline only."""
    state = house(Options(clock=clock, synchronised=False))
    quick = [reading(h, 20 + h % 3) for h in range(60)]
    events = run(state, [*quick, weather(60, dict.fromkeys(range(60, 300), 1.0), sent_s=-1), reading(60, 20)])
    assert alerts(events, AlertKind.SILENT) == []


def test_a_rule_that_lost_its_covariate_ignores_what_the_journal_says_of_it() -> None:
    """Records of a covariate that the configuration no longer names go nowhere, and the streams' numbers stay."""
    live = house()
    run(live, days(0, 12))
    plain_rule = msgspec.structs.replace(RULE, known={}, bundle=None)
    after = pipeline.new_state((plain_rule,), {}, OPTIONS)
    keeping.load(after, *keeping.dump(live))
    assert [info.id for info in after.registry.infos] == ["~0", "~1", "m-a-v"]
    assert len(forecasts(run(after, days(12, 20)))) == 8
