"""Covariates known for the future: what messages give, what is filled, and batches and restarts change nothing."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.adapters.journal import Record, record_of
from edgeseq.adapters.log import CATALOGUE
from edgeseq.core import keeping, pending, pipeline
from edgeseq.core.known import fill, look, new_known, take
from edgeseq.core.packing import unpack
from edgeseq.core.render import RenderContext, RenderState, render
from edgeseq.core.types import (
    F64,
    AlertKind,
    Event,
    InputsFilled,
    Options,
)
from edgeseq.reporting import tell_events
from tests.support.streams import (
    OPTIONS,
    SECOND,
    alerts,
    equal_states,
    forecasts,
    one_forecast,
    plain,
    recurrent,
    run,
)
from tests.support.weather import HOUR, ONE, RULE, START_S, days, hours, house, law, reading, weather

# --- filling ------------------------------------------------------------------------------------------------------


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
