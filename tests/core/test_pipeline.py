"""The core's laws: batches, restarts, duplicates and late readings."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from edgeseq.core import keeping, pipeline
from edgeseq.core.types import (
    Alerting,
    AlertKind,
    Forecast,
    Limits,
    Message,
    Options,
    Readings,
    StreamReset,
)
from edgeseq.testing.fake_stepper import FakeStepper
from tests.support.streams import (
    MEAN,
    MODEL,
    OPTIONS,
    PERIOD,
    PLAIN,
    SECOND,
    alerts,
    equal_states,
    fields,
    forecasts,
    message,
    node,
    pair_rule,
    plain,
    recurrent,
    run,
    wave,
)

# Examples are seeds, which do not shrink usefully, and each runs the whole core several times.
law = settings(max_examples=15, phases=[Phase.explicit, Phase.reuse, Phase.generate])

TOPICS = ("t/a", "t/b", "m/a", "m/b", "a/a", "p/flow", "p/level")


@st.composite
def traffic(draw: st.DrawFn) -> list[Message]:
    """Draw messages of all kinds of streams: irregular, out of order, repeated, with gaps and bad values."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    now = 1000.0
    messages = []
    for _ in range(draw(st.integers(1, 160))):
        now += float(rng.choice([0, 5, 20, 60, 90, 400, 4000], p=[0.2, 0.2, 0.2, 0.25, 0.1, 0.04, 0.01]))
        at = now - float(rng.choice([0, 0, 0, 0, 70]))
        value = float(np.round(rng.normal() + 10 * rng.random(), 1))
        value = float(rng.choice([value, 5.0, 500.0], p=[0.9, 0.08, 0.02]))
        sent = message(str(rng.choice(TOPICS)), at, None if rng.random() < 0.03 else value)
        messages += [sent] * int(rng.choice([1, 2], p=[0.95, 0.05]))
    return messages


@law
@given(traffic(), st.data())
def test_advance_cut_anywhere_same_events_and_state(messages: list[Message], data: st.DataObject) -> None:
    """Cutting the messages into batches anywhere changes neither events nor state."""
    cuts = data.draw(st.lists(st.integers(0, len(messages)), max_size=6))
    whole, cut, single = node(), node(), node()
    expected = plain(run(whole, messages))
    assert plain(run(cut, messages, cuts)) == expected
    assert plain(run(single, messages, list(range(len(messages))))) == expected
    assert equal_states(whole, cut)
    assert equal_states(whole, single)


def test_stream_that_no_model_serves_has_the_same_state_beside_one_that_a_model_does() -> None:
    """A stream that never moves has no unit to scale by, and so no model; alone in its batch nothing is chosen."""
    moving, still = wave(60, topic="m/a"), [message("m/b", 60 * k, 5.0) for k in range(60)]
    messages = [sent for pair in zip(moving, still, strict=True) for sent in pair]
    together, single = node(MODEL), node(MODEL)
    expected = plain(run(together, messages))
    assert together.groups[0].table["model_warm"].tolist() == [1, 0]
    assert plain(run(single, messages, list(range(len(messages))))) == expected
    assert equal_states(together, single)


@law
@given(traffic(), st.data())
def test_state_kept_and_brought_back_anywhere_goes_on_equal(
    messages: list[Message], data: st.DataObject
) -> None:
    """A state dumped and loaded at any message goes on exactly like the one that was never stopped."""
    cut = data.draw(st.integers(0, len(messages)))
    whole, before, after = node(), node(), node()
    expected = run(whole, messages)
    early = run(before, messages[:cut])
    header, arrays = keeping.dump(before)
    assert keeping.load(after, json.loads(json.dumps(header)), arrays) == []
    late = run(after, messages[cut:])
    assert plain(early + late) == plain(expected)
    assert equal_states(whole, after)


@law
@given(traffic())
def test_recover_of_accepted_readings_equals_live(messages: list[Message]) -> None:
    """Recovering what was journaled, after a start from nothing, gives the live state and events."""
    live, recovered = node(), node()
    journal, expected, got = [], [], []
    for start in range(0, len(messages), 17):
        batch = pipeline.accept(live, messages[start : start + 17])
        journal.append(batch)
        expected += pipeline.advance(live, batch.readings)
    for batch in journal:
        got += pipeline.recover(recovered, batch.created, batch.readings)
    assert plain(got) == plain(expected)
    assert equal_states(live, recovered)


@law
@given(traffic())
def test_redelivery_of_everything_changes_nothing(messages: list[Message]) -> None:
    """Each message delivered twice in a row has the effect of one, and the second is counted as a duplicate."""
    once, twice = node(), node()
    run(once, messages)
    run(twice, [m for m in messages for _ in range(2)])
    assert equal_states(once, twice)
    total = twice.counts
    assert total.received == total.applied + total.late + total.duplicate + sum(total.rejected.values())


@law
@given(traffic())
def test_stream_events_do_not_depend_on_other_streams(messages: list[Message]) -> None:
    """A stream alone gets the forecasts that it gets among others, bit for bit."""
    together, alone = node(), node()
    only = [m for m in messages if m.topic == "m/a"]
    among = [e for e in run(together, messages) if isinstance(e, Forecast) and _topic(together, e) == "m/a"]
    apart = [e for e in run(alone, only) if isinstance(e, Forecast)]
    assert [_apart(e) for e in among] == [_apart(e) for e in apart]


def _apart(event: Forecast) -> dict[str, object]:
    return {name: value for name, value in fields(event).items() if name not in ("order", "stream")}


def _topic(state: pipeline.State, event: Forecast) -> str:
    return state.registry.infos[event.stream].topic


def test_late_reading_counted_and_state_untouched() -> None:
    """A reading of an older step is counted and changes nothing but the rhythm of arrivals."""
    state = node(PLAIN)
    run(state, [message("t/a", 0, 1.0), message("t/a", 120, 2.0)])
    before = state.groups[0].table.row(0)
    assert run(state, [message("t/a", 60, 9.0)]) == []
    after = state.groups[0].table.row(0)
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed <= {
        "recent_ids",
        "recent_position",
        "arrivals",
        "gap_q90_ns",
        "mean_gap_ns",
        "last_seen_ns",
        "deadline_ns",
    }
    assert state.counts.late == 1


def test_spike_opens_at_once_and_clears_after_six_good_samples() -> None:
    """One reading outside the band opens a spike; six inside clear it; the season raises nothing."""
    only_spikes = Alerting(kinds=(AlertKind.SPIKE,))
    state = node(msgspec.structs.replace(PLAIN, season_steps=0, alerting=only_spikes))
    messages = wave(500)
    # A stream of seven hours has shown little of itself: what is to be told then must lie far outside.
    messages[400] = message("t/a", 60 * 400, 80.0)
    # The reading after a spike is judged against the spike itself, and so is the first of the six that is bad.
    events = run(state, messages)
    spikes = alerts(events, AlertKind.SPIKE)
    assert [e.event_type for e in spikes] == ["opened", "cleared"]
    assert spikes[0].opened_ns == 60 * 400 * SECOND
    assert spikes[1].time_ns == spikes[0].opened_ns + 7 * PERIOD
    assert spikes[0].observed == pytest.approx(80.0)
    assert spikes[0].p_value < 0.001
    assert [e.seq for e in spikes] == [1, 2]


def test_learning_stream_raises_no_spike() -> None:
    """Before 336 outcomes a spike is not an alert: nothing is known of the tail."""
    state = node(PLAIN)
    messages = wave(300)
    messages[100] = message("t/a", 60 * 100, 40.0)
    assert alerts(run(state, messages), AlertKind.SPIKE) == []


def test_stuck_opens_at_the_third_equal_value_and_clears_when_it_moves() -> None:
    """Three equal readings are stuck where the stream never repeats; changing values clear it."""
    state = node(PLAIN)
    messages = wave(500)
    for i in range(400, 410):
        messages[i] = message("t/a", 60 * i, 12.0)
    stuck = alerts(run(state, messages), AlertKind.STUCK)
    assert [e.event_type for e in stuck] == ["opened", "cleared"]
    assert stuck[0].opened_ns == 60 * 402 * SECOND


def test_steady_sensor_that_often_repeats_is_not_stuck() -> None:
    """A sensor of coarse resolution repeats itself all the time: runs it is used to are no alert."""
    rng = np.random.default_rng(3)
    values = np.round(20 + np.cumsum(rng.normal(0, 0.1, 1500)), 0)
    state = node(PLAIN)
    events = run(state, [message("t/a", 60 * i, float(v)) for i, v in enumerate(values)])
    assert len([e for e in alerts(events, AlertKind.STUCK) if e.event_type == "opened"]) <= 2


def test_silent_noticed_by_another_streams_reading_and_cleared_by_its_own() -> None:
    """Silence opens at six periods after the last reading, told with that time, and clears at the next reading."""
    state = node(PLAIN)
    both = [m for pair in zip(wave(50), wave(50, topic="t/b"), strict=True) for m in pair]
    events = run(state, [m for m in both if m.topic == "t/b" or json.loads(m.payload)["time"] <= 600])
    silent = alerts(events, AlertKind.SILENT)
    assert [e.event_type for e in silent] == ["opened"]
    assert 600 * SECOND + 6 * PERIOD <= silent[0].time_ns <= 600 * SECOND + 7 * PERIOD
    again = alerts(run(state, [message("t/a", 60 * 50, 11.0)]), AlertKind.SILENT)
    assert [e.event_type for e in again] == ["cleared"]
    assert again[0].opened_ns == silent[0].opened_ns


def test_silence_does_not_depend_on_ticks() -> None:
    """With the wall clock, ticks only bring the same silence forward: events and their times are equal."""
    options = Options(clock="wall", synchronised=False)
    ticked, not_ticked = node(PLAIN, options=options), node(PLAIN, options=options)
    messages = [*wave(20), message("t/a", 60 * 40, 10.0)]
    seen = run(ticked, messages[:20])
    for second in range(20 * 60, 40 * 60):
        seen += pipeline.tick(ticked, second * SECOND)
    seen += run(ticked, messages[20:])
    assert plain(alerts(seen, AlertKind.SILENT)) == plain(alerts(run(not_ticked, messages), AlertKind.SILENT))
    assert len(alerts(seen, AlertKind.SILENT)) == 2


def test_limits_raise_out_of_range_from_the_first_reading() -> None:
    """Configured limits hold at once, also while learning."""
    rule = msgspec.structs.replace(PLAIN, limits={"value": Limits(max=11.0)})
    opened = alerts(run(node(rule), [message("t/a", 0, 12.0)]), AlertKind.OUT_OF_RANGE)
    assert [(np.isnan(e.lower), e.upper) for e in opened] == [(True, 11.0)]
    assert [e.event_type for e in opened] == ["opened"]


def test_missing_data_never_clears_an_alert() -> None:
    """Null values after a spike, however many, leave the alert open."""
    state = node(PLAIN)
    messages = wave(460)
    messages[400] = message("t/a", 60 * 400, 40.0)
    for i in range(401, 460):
        messages[i] = message("t/a", 60 * i, None)
    assert [e.event_type for e in alerts(run(state, messages), AlertKind.SPIKE)] == ["opened"]


def test_two_readings_of_one_step_count_once() -> None:
    """Re-reading the open step publishes again but commits once: the state is that of the last value alone."""
    twice, once = node(PLAIN), node(PLAIN)
    events = run(
        twice,
        [message("t/a", 0, 1.0), message("t/a", 60, 5.0), message("t/a", 70, 2.0), message("t/a", 120, 3.0)],
    )
    run(once, [message("t/a", 0, 1.0), message("t/a", 70, 2.0), message("t/a", 120, 3.0)])
    assert [f.step for f in forecasts(events)] == [0, 1, 1, 2]
    for name in ("history", "baseline.states.last", "baseline.which", "pending", "offset_scales", "error"):
        assert twice.groups[0].table[name].tobytes() == once.groups[0].table[name].tobytes()


def test_mean_aggregate_forecasts_once_when_the_step_closes() -> None:
    """With an aggregate other than last a step is told once, with its aggregate, when the next step begins."""
    state = node(MEAN)
    events = run(state, [message("a/a", 0, 1.0), message("a/a", 30, 3.0), message("a/a", 60, 9.0)])
    told = forecasts(events)
    assert [(f.step, float(f.observed[0])) for f in told] == [(0, 2.0)]
    assert told[0].origin_ns == PERIOD


def test_two_channels_step_when_both_are_seen() -> None:
    """A stream of two channels waits for both; a channel that did not come is missing when the step closes."""
    state = node(pair_rule())
    events = run(state, [message("p/flow", 0, 1.0), message("p/level", 10, 2.0), message("p/flow", 60, 3.0)])
    assert [f.observed.tolist() for f in forecasts(events)] == [[1.0, 2.0]]
    events = run(state, [message("p/flow", 120, 4.0)])
    assert [np.isnan(f.observed).tolist() for f in forecasts(events)] == [[False, True]]


def test_counter_is_differenced_and_survives_a_reset() -> None:
    """A counter gives rises; a fall is a restart from zero."""
    rule = msgspec.structs.replace(PLAIN, key="c", kind="counter", aggregate="sum")
    state = node(rule)
    values = [100.0, 103.0, 110.0, 2.0, 5.0, 6.0]
    events = run(state, [message("t/a", 60 * i, v) for i, v in enumerate(values)])
    observed = [float(f.observed[0]) for f in forecasts(events)]
    assert np.isnan(observed[0])
    assert observed[1:] == [3.0, 7.0, 2.0, 3.0]


def test_gap_longer_than_the_ring_resets_the_stream() -> None:
    """After a gap that outlasts the history the stream starts anew, and says so."""
    state = node(PLAIN)
    events = run(state, [*wave(70), message("t/a", 60 * 1000, 10.0)])
    assert [e.gap_steps for e in events if isinstance(e, StreamReset)] == [930]
    assert np.isfinite(state.groups[0].table["history"]).sum() == 0


def test_model_joins_after_warm_readings_and_serves_when_better() -> None:
    """The model is warmed from history after 32 values and serves once its error is below the baseline's."""
    state = node(MODEL)
    noise = np.random.default_rng(1).normal(0, 1, 300)
    events = run(state, [message("m/a", 60 * i, float(50 + v)) for i, v in enumerate(noise)])
    sources = [f.source for f in forecasts(events)]
    assert sources[:40] == ["baseline"] * 40
    assert sources[-1] == "model"
    assert forecasts(events)[-1].skill[0] > 0


def test_warm_model_state_equals_stepping_from_the_first_reading() -> None:
    """The model that joined late has the state it would have if it had been there from the start."""
    from edgeseq.core.features import normalise
    from edgeseq.core.forecast import initial_state

    state = node(MODEL)
    run(state, wave(60, topic="m/a"))
    table = state.groups[0].table
    model = FakeStepper()
    values = np.array([json.loads(m.payload)["v"] for m in wave(60)])
    x = normalise(values[:, None], table["anchor"][0], table["unit"][0])
    _, expected = model.replay(x[None, :-1], initial_state(model.state_spec, 1))
    assert recurrent(state, "level") == pytest.approx(expected[0][0], abs=1e-6)


def test_another_model_keeps_the_stream_and_warms_from_history() -> None:
    """A new bundle for a running stream replaces only the model's part; history and baseline stay."""
    old, new = node(MODEL), pipeline.new_state((MODEL,), {"fake": FakeStepper(ring=90, rate=0.1)}, OPTIONS)
    new.groups[0].steppers[1].name = "fake@11111111"
    messages = wave(120, topic="m/a")
    run(old, messages[:80])
    header, arrays = keeping.dump(old)
    assert keeping.load(new, header, arrays) == []
    assert not new.groups[0].table["model_warm"].any()
    events = run(new, messages[80:])
    assert new.groups[0].table["model_warm"].all()
    assert all(np.isfinite(f.value).all() for f in forecasts(events))


def test_stream_of_a_removed_rule_keeps_its_number_only() -> None:
    """After a rule is gone its streams' journaled readings go nowhere and other streams are untouched."""
    old, new = node(PLAIN, MEAN), node(MEAN)
    run(old, [message("t/a", 0, 1.0), message("a/a", 0, 1.0)])
    header, arrays = keeping.dump(old)
    assert keeping.load(new, header, arrays) == ["t-a-v"]
    readings = Readings.from_rows(
        [(0, 0, 0, 60 * SECOND, 0, 1.0, 0, False), (0, 1, 0, 60 * SECOND, 0, 1.0, 0, False)]
    )
    events = pipeline.recover(new, [], readings)
    assert {e.stream for e in events} == {1}
