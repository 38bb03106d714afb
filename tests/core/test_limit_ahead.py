"""limit_ahead: a crossing is told before it happens, with its time, and flat noise tells nothing."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from edgeseq.core import pipeline
from edgeseq.core.alert_payload import crossing_of
from edgeseq.core.detect import limit_ahead, trend
from edgeseq.core.types import F64, AlertEvent, AlertKind, Limits
from edgeseq.core.wording import sentence
from tests.support.streams import OPTIONS, PERIOD, PLAIN, alerts, message, run

LIMIT = 20.0
TANK = msgspec.structs.replace(PLAIN, season_steps=0, horizon=24, limits={"value": Limits(max=LIMIT)})
LEARNED = 500


def filling(slope: float, noise: float, steps: int = 120, seed: int = 1) -> F64:
    """Make a level that is flat until live, then rises."""
    rng = np.random.default_rng(seed)
    level = np.concatenate([np.zeros(LEARNED), slope * np.arange(1, steps + 1)])
    return level + noise * rng.normal(size=len(level))


def heard(values: F64, rule: object = TANK) -> list[AlertEvent]:
    """Play values and give the events of this kind."""
    state = pipeline.new_state((rule,), {}, OPTIONS)  # type: ignore[arg-type]  # a StreamRule
    topic = TANK.topics[0].replace("+", "a")
    events = run(state, [message(topic, PERIOD // 10**9 * k, float(v)) for k, v in enumerate(values)])
    return list(alerts(events, AlertKind.LIMIT_AHEAD))


@pytest.mark.parametrize("slope", [0.5, 1.0])
def test_ramp_is_told_long_before_its_limit_with_its_time(slope: float) -> None:
    """The alert comes in the first half of the ramp or of the horizon; its interval holds the truth."""
    first = heard(filling(slope, noise=0.3))[0]
    crossing_step = LEARNED - 1 + LIMIT / slope
    assert first.event_type == "opened"
    assert crossing_step - first.opened_step >= min(24, LIMIT / slope) / 2
    assert first.crossing_steps is not None
    _, earliest, latest = first.crossing_steps
    assert earliest is not None
    assert first.opened_step + earliest - 1 <= crossing_step
    assert latest is None or crossing_step <= first.opened_step + latest + 1


def test_noise_below_its_limit_tells_next_to_nothing() -> None:
    """Noise ten deviations below, and a slow wander as far below: one alert at most in 4,000 readings, half a year."""
    rng = np.random.default_rng(2)
    wander = np.convolve(rng.normal(size=4100), np.ones(100) / 10, "valid")
    for values in (10 + rng.normal(size=4000), wander[:4000] * 2):
        assert sum(event.event_type == "opened" for event in heard(values)) <= 1


def test_stream_that_is_still_learning_says_nothing() -> None:
    """A new stream stays quiet until its own calibration holds."""
    assert heard(filling(1.0, 0.3)[LEARNED - 100 :]) == []


def test_crossing_that_does_not_come_is_cleared_and_does_not_flap() -> None:
    """A ramp that stops short of its limit opens one alert and clears it."""
    values = np.concatenate([filling(1.0, 0.3, steps=12), np.full(200, 12.0)])
    values[LEARNED + 12 :] += 0.3 * np.random.default_rng(5).normal(size=200)
    assert [e.event_type for e in heard(values) if e.event_type != "updated"] == ["opened", "cleared"]


def test_probability_falls_with_distance_and_is_a_half_at_the_limit() -> None:
    """At the limit itself the probability is one half, a deviation below it a sixth."""
    value = np.array([20.0, 19.0, 17.0]).reshape(1, 3, 1)
    one = np.ones_like(value)
    found = limit_ahead.beyond(limit_ahead.Ahead(value, one, one), np.array([[-np.inf, LIMIT]]))[0, :, 0]
    assert found == pytest.approx([0.5, 0.1587, 0.00135], abs=5e-4)
    assert all(a > b for a, b in pairwise(found.tolist()))


def test_line_is_found_in_a_ramp_and_not_in_noise_or_a_random_walk() -> None:
    """The slope of a ramp is told within its error; of flat series one window in fifty at most seems to have one."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(400, 1, 48))
    *_, ramps = trend.fit(0.5 * np.arange(48.0) + noise)
    assert np.isfinite(ramps.slope).mean() > 0.99
    assert np.mean(np.abs(ramps.slope - 0.5) < 3 * ramps.slope_error) > 0.97
    assert np.isfinite([line.slope for line in trend.fit(noise)]).mean() < 0.02


def test_alert_says_when_the_limit_is_crossed_and_how_sure_that_is() -> None:
    """Payload and sentence name the time of the crossing and its interval."""
    start_ns = 1_772_368_800 * 10**9  # 2026-03-01T12:40:00Z
    event = AlertEvent(
        0, 0, 0, AlertKind.LIMIT_AHEAD, "opened", 0, start_ns, start_ns, None, 12.0, math.nan, math.nan, LIMIT,
        math.nan, 1, "baseline", score=1.2, crossing_steps=(40.0, 30.0, 50.25),
    )  # fmt: skip
    crossing = crossing_of(event, TANK)
    assert crossing is not None
    assert msgspec.to_builtins(crossing) == {
        "time": "2026-03-01T13:20:00Z",
        "earliest": "2026-03-01T13:10:00Z",
        "latest": "2026-03-01T13:30:15Z",
        "probability": 0.6,
    }
    told = sentence(event, "tank", "m", Limits(max=LIMIT), (), TANK.period_ns)
    assert told == (
        "tank is 12 m, allowed at most 20 m, heading for its limit about 2026-03-01 13:20 UTC (13:10 to 13:30)"
    )
    later = msgspec.structs.replace(event, crossing_steps=(40.0, 30.0, None))
    assert sentence(later, "tank", "m", Limits(max=LIMIT), (), TANK.period_ns).endswith("(not before 13:10)")
    assert crossing_of(msgspec.structs.replace(event, event_type="cleared"), TANK) is None
