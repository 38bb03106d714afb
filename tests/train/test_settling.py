"""Anchor and unit: training settles them at the very step where the device does, whatever gaps come before."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from edgeseq.config.rules import SEASON_STEPS
from edgeseq.core import pipeline
from edgeseq.core.group import new_group
from edgeseq.core.types import F64, ChannelSource, Message, Options, StreamRule
from edgeseq.errors import InputError
from edgeseq_train import prepare
from edgeseq_train.fit import fit
from edgeseq_train.parts import Recording
from edgeseq_train.recipe import FrontRecipe
from tests.train.conftest import HOUR_NS, make_series, small_recipe
from tests.train.test_train_command import LoggingStepper

RING = 64


class TwoChannels(LoggingStepper):
    """A stepper of two channels that forecasts nothing."""

    channels = 2

    def step(self, x: Any, state: Any, known: Any = None) -> Any:
        """Forecast 0."""
        return np.zeros((len(x), 2, self.horizon, 3), np.float32), state


def _device(values: F64) -> F64:
    """Send a recording (T, C) through the core; give anchor and unit (2, C)."""
    names = "ab"[: values.shape[1]]
    rule = StreamRule(
        key="r", name="s", period_ns=HOUR_NS, channels={n: ChannelSource(n, "v") for n in names}, time_field="t",
        bundle="log", season_steps=24, horizon=6,
    )  # fmt: skip
    stepper = TwoChannels() if len(names) == 2 else LoggingStepper()
    state = pipeline.new_state([rule], {"log": stepper}, Options(clock="readings", synchronised=False))
    assert state.groups[0].ring == RING
    for t, c in np.argwhere(np.isfinite(values)).tolist():
        time = f"{np.datetime64('2026-01-01T00:00:00') + np.timedelta64(t, 'h')}Z"
        payload = f'{{"t":"{time}","v":{float(values[t, c])!r}}}'.encode()
        pipeline.advance(state, pipeline.accept(state, [Message(names[c], payload, received_ns=t)]).readings)
    table = state.groups[0].table
    return np.stack([table["anchor"][0], table["unit"][0]])


def _trained(values: F64) -> F64:
    """Settle as training does; a recording that is refused settles nothing."""
    try:
        anchor, unit = prepare.settle(values[:, None], tuple("ab"), RING)
    except InputError:
        return np.full((2, values.shape[1]), np.nan)
    return np.concatenate([anchor, unit])


def _walk(steps: int, channels: int = 1, seed: int = 0) -> F64:
    return np.random.default_rng(seed).standard_normal((steps, channels)).cumsum(axis=0) + 50


@pytest.mark.parametrize("gap", [20, RING - 1, RING, RING + 1, 3 * RING])
@pytest.mark.parametrize("before", [5, 31, 32, 33])
def test_gap_before_the_first_values_settles_as_on_the_device(before: int, gap: int) -> None:
    """Values count as long as they are in the ring and no longer gap has come, unless they had settled the stream."""
    values = _walk(before + gap + 80)
    values[before : before + gap] = np.nan
    # The last reading is of an open step, which the device does not know yet.
    expected = _device(values)
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(_trained(values[:-1]), expected)
    # The 32nd value is history once a later step comes, and a gap longer than the ring is no step.
    forgets = gap > 20 if before < 32 else gap > RING and before == 32
    assert (expected[0] == prepare.settle(values[:-1, None], ("a",))[0]).all() != forgets


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seed", range(8))
def test_any_recording_settles_as_on_the_device(seed: int, channels: int) -> None:
    """Seldom values, long gaps, still starts, channels that are missing at other steps: bit for bit the same."""
    rng = np.random.default_rng(seed)
    values = np.round(_walk(500, channels, seed), 2)
    values[: rng.integers(0, 90), 0] = 50.0
    values[rng.random(values.shape) < rng.choice([0.1, 0.4, 0.6])] = np.nan
    for start in rng.integers(0, 200, 2).tolist():
        values[start : start + int(rng.integers(20, 150))] = np.nan
    values[-1] = 50
    np.testing.assert_array_equal(_trained(values[:-1]), _device(values))


def test_recording_that_no_device_would_settle_is_refused() -> None:
    """Where values are too seldom for the device's history, the error says so, with what it keeps."""
    values = np.full((900, 1, 1), np.nan)
    values[::3] = _walk(300)[:, :, None]
    assert np.isnan(_device(values[:, 0])).all()
    with pytest.raises(InputError, match="a device would never let the model join") as raised:
        prepare.settle(values, ("hall",), RING)
    assert raised.value.wanted == "32 valid values of each channel within 64 steps, the history of a device"
    assert np.isfinite(prepare.settle(values, ("hall",))).all()


@pytest.mark.parametrize("period_s", [1, 30, 60, 3600, 7000, 86_400])
@pytest.mark.parametrize(("horizon", "ring"), [(6, 48), (96, 336)])
def test_history_that_training_reckons_with_is_the_devices(period_s: int, horizon: int, ring: int) -> None:
    """Of a stream that is configured with nothing but its period, the device keeps so many steps."""
    day, rest = divmod(86_400, period_s)
    season = day if not rest and day in SEASON_STEPS else 0
    rule = StreamRule(key="r", period_ns=period_s * 10**9, horizon=horizon, season_steps=season)
    stepper = LoggingStepper()
    stepper.ring, stepper.horizon = ring, horizon
    assert prepare.kept_steps(ring, horizon, rule.period_ns) == new_group(rule, stepper).ring


@pytest.mark.training
def test_training_settles_by_the_history_of_the_ring_it_chose() -> None:
    """A gap that the longest lags tried would bridge, but those that were chosen do not, moves the anchor."""
    values = np.random.default_rng(1).standard_normal((6000, 4)).cumsum(axis=0)[:, :, None]
    values[20:320] = np.nan
    recipe = msgspec.structs.replace(small_recipe(steps=2, lanes=6, validate_every=2), front=FrontRecipe())
    fitted = fit(Recording(values, tuple("abcd"), HOUR_NS), 12, recipe, lambda *_: None, lambda _: None)
    kept = prepare.kept_steps(fitted.spec.ring, 12, HOUR_NS)
    assert kept < 300
    np.testing.assert_array_equal(fitted.anchor, prepare.settle(values[:3600], tuple("abcd"), kept)[0])
    assert (fitted.anchor != prepare.settle(values[:3600], tuple("abcd"), 336)[0]).all()


def test_make_series_settles_at_once() -> None:
    """Without gaps anchor and unit are those of the first 32 values."""
    values = make_series(200)[:, :, None]
    np.testing.assert_array_equal(
        prepare.settle(values, ("a", "b"), RING), prepare.settle(values[:32], ("a", "b"))
    )
