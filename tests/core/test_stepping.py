"""Stepping: extreme values, resets, models that fail, streams that hardly move."""

from __future__ import annotations

import itertools
import json
import math

import msgspec
import numpy as np
import pytest

from edgeseq.core import pipeline
from edgeseq.core.forecast import RecurrentState
from edgeseq.core.types import (
    F32,
    Alerting,
    AlertKind,
    Message,
    Options,
    StreamReset,
    StreamRule,
    StreamSwitched,
)
from edgeseq.testing.fake_stepper import FakeStepper
from tests.support.streams import (
    MODEL,
    OPTIONS,
    PERIOD,
    PLAIN,
    alerts,
    forecasts,
    message,
    node,
    pair_rule,
    run,
    wave,
)

UNSEASONAL = msgspec.structs.replace(PLAIN, season_steps=0)


def moved(messages: list[Message], offset: float, scale: float) -> list[Message]:
    """Scale and shift the values of messages."""
    return [
        message(m.topic, m.received_ns / 1e9, json.loads(m.payload)["v"] * scale + offset) for m in messages
    ]


# --- extreme values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [1e6, 65535.0, -1e12, 1.7e308])
def test_wild_first_reading_does_not_spoil_the_baseline(first: float) -> None:
    """Persistence is exact from the second reading on, whatever the first one was."""
    events = run(node(UNSEASONAL), [message("t/a", 0, first), *wave(20, 60)])
    for forecast in forecasts(events)[1:]:
        assert forecast.value[0, 0] == forecast.observed[0]


def test_baseline_resolves_small_moves_on_a_large_offset() -> None:
    """A season of 1e-4 on 1e7 is forecast to the float64 it came in."""
    events = forecasts(run(node(PLAIN), moved(wave(200), 1e7, 1e-4)))
    errors = [abs(b.observed[0] - a.value[0, 0]) for a, b in itertools.pairwise(events[100:])]
    assert np.mean(errors) < 3e-5


@pytest.mark.parametrize("rule", [PLAIN, MODEL, msgspec.structs.replace(PLAIN, aggregate="sum")])
@pytest.mark.parametrize("kind", ["gauge", "counter"])
def test_largest_floats_warn_of_nothing_and_leave_no_trace(rule: StreamRule, kind: str) -> None:
    """Readings of ±1.7e308 raise no warning and forecasts are sane again after the season has passed."""
    rule = msgspec.structs.replace(rule, kind=kind)
    topic = rule.topics[0].replace("+", "a")
    messages = wave(140, topic=topic)
    for k in range(50, 60):
        messages[k] = message(topic, 60 * k, math.copysign(1.7e308, (-1) ** k))
        messages.append(message(topic, 60 * k, math.copysign(1.7e308, (-1) ** (k + 1))))
    messages.sort(key=lambda m: m.received_ns)
    last = forecasts(run(node(rule), messages))[-1]
    assert np.isfinite(last.value).all()
    assert np.abs(last.value).max() < 100


def test_sum_beyond_float_is_missing() -> None:
    """An aggregate that overflowed is no reading; the next step is one again."""
    rule = msgspec.structs.replace(PLAIN, aggregate="sum")
    at = [(0, 1.0), (60, 1.7e308), (70, 1.7e308), (120, 2.0), (180, 0.0)]
    observed = [f.observed[0] for f in forecasts(run(node(rule), [message("t/a", s, v) for s, v in at]))]
    assert np.array_equal(observed, [1.0, np.nan, 2.0], equal_nan=True)


@pytest.mark.parametrize("on_gap", ["missing", "hold"])
def test_channel_never_seen_is_unknown_not_zero(on_gap: str) -> None:
    """A channel that never reported has neither forecast nor score, and its neighbour has both."""
    rule = msgspec.structs.replace(pair_rule(), on_gap=on_gap)
    events = forecasts(run(node(rule), wave(60, topic="p/flow")))
    assert np.isfinite(events[-1].value[0]).all()
    assert np.isfinite(events[-1].score[0])
    assert np.isnan(events[-1].value[1]).all()
    assert np.isnan(events[-1].score[1])


# --- streams that hardly move ---------------------------------------------------------------------------------


def test_coarse_sensor_moving_by_its_resolution_is_no_spike() -> None:
    """A sensor that repeats itself nine times in ten and then moves by its resolution raises next to nothing."""
    rng = np.random.default_rng(2)
    moves = np.where(rng.random(3000) < 0.07, rng.choice([-0.1, 0.1], 3000), 0)
    values = np.round(20 + np.cumsum(moves), 1)
    events = run(node(UNSEASONAL), [message("t/a", 60 * k, float(v)) for k, v in enumerate(values)])
    opened = [e for e in alerts(events, AlertKind.SPIKE) if e.event_type == "opened"]
    assert len(opened) <= 3


def test_coarse_sensor_still_shows_a_real_spike() -> None:
    """A jump of fifty resolutions is a spike where single ones are not."""
    values = np.round(20 + 0.1 * (np.arange(1000) // 12 % 2), 1)
    values[800] = 25.0
    events = run(node(UNSEASONAL), [message("t/a", 60 * k, float(v)) for k, v in enumerate(values)])
    opened = [e for e in alerts(events, AlertKind.SPIKE) if e.event_type == "opened"]
    assert [e.observed for e in opened] == [25.0]


def test_constant_stream_that_begins_to_switch_raises_one_spike() -> None:
    """The first move of a stream that was constant is a spike; moves of that size are known from then on."""
    values = [5.0] * 400 + [6.0 if k // 20 % 2 == 0 else 5.0 for k in range(600)]
    only_spikes = msgspec.structs.replace(UNSEASONAL, alerting=Alerting(kinds=(AlertKind.SPIKE,)))
    events = run(node(only_spikes), [message("t/a", 60 * k, v) for k, v in enumerate(values)])
    spikes = alerts(events, AlertKind.SPIKE)
    assert [e.event_type for e in spikes] == ["opened", "cleared"]
    assert spikes[0].time_ns == 400 * PERIOD
    assert spikes[0].p_value < 0.001


# --- resets ---------------------------------------------------------------------------------------------------


def test_run_of_equal_values_does_not_span_a_reset() -> None:
    """Two equal readings before an outage that reset the stream and one after it are not stuck."""
    messages = wave(500)
    messages[498:500] = [message("t/a", 60 * k, 12.0) for k in (498, 499)]
    events = run(node(PLAIN), [*messages, message("t/a", 60 * 5000, 12.0)])
    assert len([e for e in events if isinstance(e, StreamReset)]) == 1
    assert alerts(events, AlertKind.STUCK) == []


def test_nothing_is_scored_across_a_reset() -> None:
    """No forecast made before a reset is scored after it, whatever slot it waited in."""
    state = node(PLAIN)
    run(state, wave(200))
    table = state.groups[0].table
    before = table["scored"][0].copy()
    run(state, wave(2, 60 * 5000))
    assert np.array_equal(table["scored"][0], before)
    assert int(table["first_step"][0]) == 5000


def test_model_waits_for_a_settled_history_after_a_reset() -> None:
    """After a reset the model is as cold as at first: the baseline serves until 32 values have warmed it."""
    noise = np.random.default_rng(1).normal(50, 1, 400)
    state = node(MODEL)
    early = [message("m/a", 60 * k, float(v)) for k, v in enumerate(noise[:300])]
    assert forecasts(run(state, early))[-1].source == "model"
    again = [message("m/a", 60 * (1000 + k), float(v)) for k, v in enumerate(noise[300:])]
    sources = [f.source for f in forecasts(run(state, again))]
    assert sources.index("model") == 32


# --- models ---------------------------------------------------------------------------------------------------


class Breaking(FakeStepper):
    """A model whose output is not finite after it saw a value above `breaks_at`, for as long as it remembers."""

    breaks_at = 20.0

    def step(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Smooth, and break for good on a large value."""
        quantiles, (level, steps) = super().step(x, state)
        broken = (x > self.breaks_at).any(axis=1) | np.isnan(level).any(axis=1)
        level[broken] = np.nan
        quantiles[broken] = np.nan
        return quantiles, (level, steps)


def test_model_that_breaks_is_replaced_by_the_baseline_and_warmed_again() -> None:
    """A model whose output is not finite stops to serve at once, alerts go on, and it joins again later."""
    state = pipeline.new_state((MODEL,), {"fake": Breaking()}, OPTIONS)
    noise = np.random.default_rng(1).normal(50, 1, 900)
    noise[400], noise[410] = 90.0, 95.0
    events = run(state, [message("m/a", 60 * k, float(v)) for k, v in enumerate(noise)])
    told = forecasts(events)
    assert told[399].source == "model"
    assert {f.source for f in told[400:450]} == {"baseline"}
    assert told[-1].source == "model"
    assert all(np.isfinite(f.value).all() for f in told)
    assert all(np.isfinite(f.score).all() for f in told[2:])
    assert 400 * PERIOD in {e.time_ns for e in alerts(events, AlertKind.SPIKE)}
    sources = [source for source, _ in itertools.groupby(f.source for f in told)]
    assert sources == ["baseline", "model", "baseline", "model"]
    switched = [e for e in events if isinstance(e, StreamSwitched)]
    assert [e.source for e in switched] == sources[1:]
    assert switched[0].skill > 0


class Counting(FakeStepper):
    """A model that counts how often it is warmed."""

    replays = 0

    def replay(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Count and replay."""
        self.replays += 1
        return super().replay(x, state)


def test_model_that_never_recovers_costs_little() -> None:
    """A model that always breaks is tried again only when its whole history is another."""

    class Broken(Counting):
        def replay(
            self, x: F32, state: RecurrentState, known: F32 | None = None
        ) -> tuple[F32, RecurrentState]:
            """Replay to nothing."""
            quantiles, state = super().replay(x, state)
            return quantiles * np.float32(np.nan), state

    model = Broken()
    state = pipeline.new_state((MODEL,), {"fake": model}, OPTIONS)
    told = forecasts(run(state, wave(500, topic="m/a")))
    assert {f.source for f in told} == {"baseline"}
    assert 1 <= model.replays <= 1 + 500 // state.groups[0].ring


def test_constant_stream_is_served_by_the_baseline_until_it_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that never moved has no unit for the model; soon after it moves the model joins."""
    state = node(MODEL)
    run(state, [message("m/a", 60 * k, 5.0) for k in range(200)])
    assert not state.groups[0].table["model_warm"][0]
    run(state, [message("m/a", 60 * k, 5.0 + k % 3) for k in range(200, 210)])
    assert state.groups[0].table["model_warm"][0]


def test_equal_errors_of_zero_are_no_skill() -> None:
    """Where neither forecaster ever erred nothing is known of their ratio, and the baseline serves."""
    events = forecasts(run(node(MODEL), [message("m/a", 60 * k, 5.0) for k in range(100)]))
    assert {f.source for f in events} == {"baseline"}
    assert all(f.skill[0] == 0 for f in events)


# --- counters -------------------------------------------------------------------------------------------------

COUNTER = msgspec.structs.replace(PLAIN, kind="counter", aggregate="sum", season_steps=0)


def counted(at: list[tuple[float, float | None]]) -> list[float]:
    """Run a counter → what was observed in each told step."""
    events = run(node(COUNTER), [message("t/a", s, v) for s, v in at])
    return [float(f.observed[0]) for f in forecasts(events)]


def test_counter_rise_over_a_pause_is_spread() -> None:
    """A rise of 12 over four steps is 3 in the newest one; the steps between are missing."""
    assert counted([(0, 10.0), (60, 11.0), (300, 23.0), (360, 24.0)])[1:] == [1.0, 3.0]


def test_counter_bad_reading_takes_nothing_from_the_next_rise() -> None:
    """A null between two readings is missing, and the rise over both steps is halved into the newest."""
    observed = counted([(0, 10.0), (60, None), (120, 14.0), (180, 15.0)])
    assert np.array_equal(observed, [np.nan, np.nan, 2.0], equal_nan=True)


def test_counter_rises_within_a_step_add_up() -> None:
    """Several readings in a step give the sum of their rises."""
    assert counted([(0, 10.0), (60, 11.0), (80, 13.0), (100, 14.0), (120, 15.0)])[1:] == [4.0]


# --- held values ----------------------------------------------------------------------------------------------


def test_held_value_is_kept_over_a_gap_and_judged_by_nobody() -> None:
    """With hold a pause is a constant: forecasts stay, nothing is observed, nothing is stuck."""
    rule = msgspec.structs.replace(UNSEASONAL, on_gap="hold")
    state = node(rule)
    events = run(state, [*wave(400), message("t/a", 60 * 450, 12.0)])
    history = state.groups[0].table["history"][0, 0]
    last = json.loads(wave(400)[-1].payload)["v"]
    steps = np.arange(400, 449) % len(history)
    assert (history[steps] == last).all()
    assert alerts(events, AlertKind.STUCK) == []


def test_period_and_times_at_the_ends_of_the_allowed_range() -> None:
    """Periods of a year, and readings 146 years apart on both sides of 1970, raise and warn of nothing."""
    rule = msgspec.structs.replace(PLAIN, period_ns=366 * 86400 * 10**9)
    for options in (OPTIONS, Options(clock="wall", synchronised=False)):
        state = node(rule, options=options)
        limit_s = 2**62 // 10**9 - 1
        run(state, [message("t/a", s, 1.0) for s in (-limit_s, 0, limit_s, limit_s, 5, -limit_s)])
        assert state.counts.applied + state.counts.late + state.counts.duplicate == 6
