"""Laws of the network on NumPy; no training, no runtime. Weights are drawn, or set so that the outcome is known."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseq.core.forecast import initial_state
from edgeseq.core.front import CLIP_PATIENCE, CLIP_SCALES, COLD_READINGS
from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import (
    NetworkSpec,
    NetworkStepper,
    spec_from_manifest,
    state_spec,
    weight_shapes,
)

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
MEDIAN = LEVELS.index(0.5)
ARCHITECTURES = [
    (cell, layers, channels) for cell in ("rnn", "gru", "lstm") for layers, channels in ((1, 1), (2, 3))
]


def make_spec(
    cell: Any = "gru", layers: int = 1, channels: int = 1, *, seasons: tuple[int, ...] = (6,), rank: int = 0
) -> NetworkSpec:
    """Make a small network."""
    return NetworkSpec(
        layers=(LayerSpec(cell, 5),) * layers, channels=channels, horizon=4, levels=LEVELS, ring=20, seasons=seasons,
        half_life=50.0, taps=3, rank=rank,
    )  # fmt: skip


def make_weights(spec: NetworkSpec, seed: int = 1, size: float = 0.4) -> dict[str, Any]:
    """Draw weights."""
    rng = np.random.default_rng(seed)
    weights: dict[str, Any] = {
        name: (size * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in weight_shapes(spec).items()
    }
    weights["lead_scale"] = np.linspace(0.5, 1, spec.horizon).astype(np.float32)
    weights["roughness"] = np.full((spec.ring - 1, 2), 1 / spec.ring, np.float32)
    return weights


def silent_weights(spec: NetworkSpec) -> dict[str, Any]:
    """Make weights with which the median is the last value: no highway, no correction."""
    weights = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(spec).items()}
    return weights | {"lead_scale": np.ones(spec.horizon, np.float32)}


def roll(stepper: NetworkStepper, x: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Step through x (T, C) → quantiles (T, C, H, Q) and the named states after each step."""
    state = initial_state(stepper.state_spec, 1)
    quantiles, states = [], []
    for row in np.asarray(x, np.float32):
        q, state = stepper.step(row[None], state)
        quantiles.append(q[0])
        states.append({s.name: a[0] for s, a in zip(stepper.state_spec, state, strict=True)})
    return np.array(quantiles), states


def series(steps: int, channels: int = 1, seed: int = 0) -> Any:
    """Draw a noisy season with gaps."""
    rng = np.random.default_rng(seed)
    x = np.sin(np.arange(steps)[:, None]) + 0.3 * rng.standard_normal((steps, channels))
    x[rng.random(x.shape) < 0.1] = np.nan
    return x.astype(np.float32)


@pytest.mark.parametrize(("cell", "layers", "channels"), ARCHITECTURES)
def test_state_spec_names_the_state_that_step_returns(cell: str, layers: int, channels: int) -> None:
    """Every state comes back with its name's shape and dtype, and quantiles are (B, C, H, Q)."""
    spec = make_spec(cell, layers, channels)
    stepper = NetworkStepper(spec, make_weights(spec))
    state = initial_state(stepper.state_spec, 4)
    q, following = stepper.step(np.zeros((4, channels), np.float32), state)
    assert q.shape == (4, channels, spec.horizon, len(LEVELS))
    assert [(a.shape, a.dtype) for a in following] == [
        ((4, *s.shape), np.dtype(s.dtype)) for s in state_spec(spec)
    ]


@pytest.mark.parametrize("rank", [0, 3])
def test_spec_survives_the_manifest(rank: int) -> None:
    """A specification read back from a manifest is the same."""
    spec = make_spec(rank=rank)
    assert spec_from_manifest(msgspec.json.decode(msgspec.json.encode(spec))) == spec


wild = st.one_of(
    st.floats(-50, 50, width=32),
    st.sampled_from([np.nan, np.inf, -np.inf, 1e30, -1e30, 1e9, -1e9, 3e38, 1e-40]),
)


@settings(max_examples=60)
@given(st.lists(wild, min_size=1, max_size=80), st.sampled_from(["rnn", "gru", "lstm"]))
def test_any_input_leaves_all_finite_and_quantiles_ordered(values: list[float], cell: str) -> None:
    """No value, however absurd, makes a quantile or a state infinite or NaN, or lets quantiles cross."""
    spec = make_spec(cell)
    quantiles, states = roll(NetworkStepper(spec, make_weights(spec)), np.array(values)[:, None])
    assert np.isfinite(quantiles).all()
    assert all(np.isfinite(a).all() for state in states for a in state.values())
    assert (np.diff(quantiles, axis=-1) >= 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_one_bad_value_counts_as_missing(bad: float) -> None:
    """NaN, infinities and 1e30 are one and the same: a missing value."""
    spec = make_spec()
    stepper = NetworkStepper(spec, make_weights(spec))
    x = series(60)
    x[40], y = bad, x.copy()
    y[40] = np.nan
    np.testing.assert_array_equal(roll(stepper, x)[0], roll(stepper, y)[0])


@pytest.mark.parametrize(("cell", "layers", "channels"), ARCHITECTURES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_row_equals_itself_in_any_batch(cell: str, layers: int, channels: int, dtype: Any) -> None:
    """A stream's quantiles and states are bit for bit the same alone, in a batch of 2 and in one of 70."""
    spec = make_spec(cell, layers, channels)
    stepper = NetworkStepper(spec, make_weights(spec), dtype)
    rng = np.random.default_rng(2)
    x = rng.standard_normal((9, 70, channels)).astype(np.float32)
    for rows in ([0], [69, 0], list(range(70))):
        at = rows.index(0)
        state = initial_state(stepper.state_spec, len(rows))
        for row in x:
            q, state = stepper.step(row[rows], state)
        found = [q[at], *(a[at] for a in state)]
        if rows == [0]:
            expected = found
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("cell", "layers", "channels"), ARCHITECTURES)
def test_replay_equals_steps_cut_anywhere(cell: str, layers: int, channels: int) -> None:
    """Replay over a series equals its steps, and replay in two parts equals replay in one."""
    spec = make_spec(cell, layers, channels)
    stepper = NetworkStepper(spec, make_weights(spec))
    x = series(30, channels)[None]
    whole, end = stepper.replay(x, initial_state(stepper.state_spec, 1))
    _, middle = stepper.replay(x[:, :11], initial_state(stepper.state_spec, 1))
    parts, end_of_parts = stepper.replay(x[:, 11:], middle)
    np.testing.assert_array_equal(whole, parts)
    for a, b in zip(end, end_of_parts, strict=True):
        np.testing.assert_array_equal(a, b)


def test_step_leaves_its_arguments_alone() -> None:
    """Neither x nor the state is changed, and the result shares no memory with them."""
    spec = make_spec()
    stepper = NetworkStepper(spec, make_weights(spec))
    x, state = np.ones((2, 1), np.float32), initial_state(stepper.state_spec, 2)
    kept = [a.copy() for a in (x, *state)]
    _, following = stepper.step(x, state)
    for a, b in zip((x, *state), kept, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not any(np.shares_memory(a, b) for a in following for b in (x, *state))


def test_silent_network_forecasts_the_last_value() -> None:
    """Without highway and correction the median is the last value at every lead: the last-value form."""
    spec = make_spec()
    x = np.nan_to_num(series(50))
    quantiles, _ = roll(NetworkStepper(spec, silent_weights(spec)), x)
    np.testing.assert_allclose(quantiles[..., MEDIAN], np.repeat(x[:, :, None], spec.horizon, 2), atol=1e-6)


def test_highway_equals_its_formula() -> None:
    """With the correction silent the median is x_t + Σ_l W_hl (x_{t-l} - x_t) over the ring."""
    spec = make_spec()
    weights = silent_weights(spec)
    weights["highway"] = (
        np.random.default_rng(3).standard_normal((spec.ring, spec.horizon)).astype(np.float32)
    )
    x = np.nan_to_num(series(60)).astype(np.float64)
    quantiles, _ = roll(NetworkStepper(spec, weights, np.float64), x)
    ring = x[60 - spec.ring :, 0].astype(np.float32).astype(np.float64)
    expected = ring[-1] + (ring - ring[-1]) @ weights["highway"].astype(np.float64)
    np.testing.assert_allclose(quantiles[-1, 0, :, MEDIAN], expected, rtol=1e-12)


def test_ring_holds_the_last_values_in_order() -> None:
    """The ring is the last R values, oldest first."""
    spec = make_spec()
    x = np.nan_to_num(series(50))
    _, states = roll(NetworkStepper(spec, silent_weights(spec)), x)
    np.testing.assert_array_equal(states[-1]["ring"][0], x[-spec.ring :, 0])


def test_running_mean_and_scale_equal_the_formula() -> None:
    """Mean and variance are exponentially weighted with rate max(1/n, half-life's), starting from 0 and 1."""
    spec = make_spec()
    x = np.nan_to_num(series(120)).astype(np.float64)
    _, states = roll(NetworkStepper(spec, silent_weights(spec), np.float64), x)
    mean, variance = 0.0, 1.0
    for n, value in enumerate(x[:, 0].astype(np.float32).astype(float), start=2):
        rate = max(1 / n, 1 - 0.5 ** (1 / spec.half_life))
        deviation = value - mean
        mean += rate * deviation
        variance = (1 - rate) * (variance + rate * deviation**2)
    assert states[-1]["mean"].item() == pytest.approx(mean, rel=1e-9)
    assert states[-1]["variance"].item() == pytest.approx(variance, rel=1e-9)


def test_missing_values_leave_mean_scale_and_count_alone() -> None:
    """A gap moves no running statistic; its age is counted."""
    spec = make_spec()
    x = np.concatenate([np.nan_to_num(series(60)), np.full((7, 1), np.nan, np.float32)])
    _, states = roll(NetworkStepper(spec, silent_weights(spec)), x)
    for name in ("n", "mean", "variance"):
        np.testing.assert_array_equal(states[-1][name], states[59][name])
    assert states[-1]["age"].item() == 7


def test_gap_is_filled_from_last_value_towards_the_season() -> None:
    """The first missing value lies near the last one; later ones approach the values one season before."""
    spec = make_spec()
    season = np.array([0, 3, 1, -2, 4, -1], np.float32)
    x = np.tile(season, 20)[:, None]
    x[-5:] = np.nan
    _, states = roll(NetworkStepper(spec, silent_weights(spec)), x)
    filled = states[-1]["ring"][0][-5:]
    assert abs(filled[-1] - season[-1]) < 0.2
    assert abs(filled[0] - x[-6, 0]) <= abs(season[1] - x[-6, 0])


def _calm() -> Any:
    return np.tile(np.array([1.0, -1.0], np.float32), 60)[:, None]


@pytest.mark.parametrize("spike", [20.0, -1000.0, 1e9])
def test_lone_spike_is_as_if_the_reading_were_missing(spike: float) -> None:
    """Ring, age and expected value are those of a missing value; mean and scale learn 4 scales of it, no more."""
    spec = make_spec()
    stepper = NetworkStepper(spec, make_weights(spec))
    _, spiked = roll(stepper, np.concatenate([_calm(), [[spike]]]))
    _, missing = roll(stepper, np.concatenate([_calm(), [[np.nan]]]))
    for name in ("ring", "age", "seen", "expected"):
        np.testing.assert_array_equal(spiked[-1][name], missing[-1][name])
    assert spiked[-1]["age"].item() == spiked[-1]["streak"].item() == 1
    assert 1 < spiked[-1]["variance"].item() / missing[-1]["variance"].item() < 2
    assert abs(spiked[-1]["mean"].item()) < 0.2


@pytest.mark.parametrize("spike", [20.0, -20.0, 1000.0])
def test_forecasts_after_a_lone_spike_stay(spike: float) -> None:
    """With any weights a spike of 20 scales moves each later median by less than half a scale."""
    spec = make_spec()
    stepper = NetworkStepper(spec, make_weights(spec, size=0.2))
    x = np.tile(np.array([1.0, 0.5, -1.0, -1.2, 0.0, 0.8], np.float32), 30)[:, None]
    calm, states = roll(stepper, x)
    x[150] = spike
    spiked, _ = roll(stepper, x)
    scale = np.sqrt(states[149]["variance"].item())
    moved = np.abs(spiked - calm)[150:, 0, :, MEDIAN] / scale
    assert moved.max() < 0.5


def test_second_spike_in_a_row_is_believed_and_clipped_to_the_bound() -> None:
    """What follows a spike at 1000 scales enters the ring as 8."""
    spec = make_spec()
    x = np.concatenate([_calm(), [[1000.0], [1000.0]]])
    _, states = roll(NetworkStepper(spec, silent_weights(spec)), x)
    before = states[-2]
    bound = before["mean"].item() + CLIP_SCALES * np.sqrt(before["variance"].item())
    assert states[-1]["ring"][0, -1] == pytest.approx(bound, rel=1e-5)
    assert (states[-1]["streak"].item(), states[-1]["age"].item()) == (2, 0)


def test_new_level_is_accepted_after_the_patience() -> None:
    """A level shift of 40 scales is doubted once, then clipped, and is in the ring unclipped after the patience."""
    spec = make_spec()
    x = np.concatenate([_calm(), np.full((12, 1), 40.0)])
    quantiles, states = roll(NetworkStepper(spec, silent_weights(spec)), x)
    assert abs(states[120]["ring"][0, -1]) <= 1
    assert 8 <= states[121]["ring"][0, -1] < 12
    assert states[120 + int(CLIP_PATIENCE)]["ring"][0, -1] == pytest.approx(40.0)
    assert quantiles[-1, 0, 0, MEDIAN] == pytest.approx(40.0)


def test_shift_within_the_bound_takes_one_reading_more() -> None:
    """A shift of 8.5 scales, within the bound once it has been doubted, is forecast from its second reading on."""
    spec = make_spec()
    x = np.concatenate([_calm(), np.full((3, 1), 8.5)])
    quantiles, states = roll(NetworkStepper(spec, silent_weights(spec)), x)
    assert abs(quantiles[120, 0, 0, MEDIAN]) <= 1
    np.testing.assert_allclose(quantiles[121:, 0, :, MEDIAN], 8.5, rtol=1e-5)
    assert states[-1]["age"].item() == 0


def test_pulses_that_keep_coming_are_believed() -> None:
    """Every second reading a pulse of 30 scales: no two in a row, yet within 60 of them they are taken as they are."""
    spec = make_spec()
    pulses = np.tile(np.array([30.0, 0.0], np.float32), 60)[:, None]
    _, states = roll(NetworkStepper(spec, silent_weights(spec)), np.concatenate([_calm(), pulses]))
    assert states[120]["ring"][0, -1] < 2
    assert states[-2]["ring"][0, -1] == 30.0


def test_missing_reading_between_two_outside_keeps_the_doubt_of_one() -> None:
    """A new level is believed at its second reading, though one is missing between them."""
    spec = make_spec()
    x = np.concatenate([_calm(), [[8.5], [np.nan], [8.5]]])
    _, states = roll(NetworkStepper(spec, silent_weights(spec)), x)
    assert states[-1]["ring"][0, -1] == 8.5


def test_older_architecture_believes_a_lone_spike_as_it_did() -> None:
    """A bundle of highway-2 runs on NumPy as it was trained: the spike is in the ring, clipped to the bound."""
    spec = msgspec.structs.replace(make_spec(), architecture="highway-2")
    x = np.concatenate([_calm(), [[1000.0]]])
    _, states = roll(NetworkStepper(spec, silent_weights(spec)), x)
    assert states[-1]["ring"][0, -1] == pytest.approx(8.0, rel=0.01)
    assert states[-1]["age"].item() == 0


def test_unknown_architecture_is_refused_by_name() -> None:
    """A network of a later text is no network of this one."""
    later = msgspec.to_builtins(make_spec()) | {"architecture": "highway-9"}
    with pytest.raises(msgspec.ValidationError, match=r"highway-9.*architecture"):
        spec_from_manifest(later)


def test_first_readings_are_not_clipped_by_an_unknown_scale() -> None:
    """Before the running scale is known, a value of 20 units is taken as it is."""
    spec = make_spec()
    x = np.zeros((int(COLD_READINGS) // 2, 1), np.float32)
    x[-1] = 20.0
    _, states = roll(NetworkStepper(spec, silent_weights(spec)), x)
    assert states[-1]["ring"][0, -1] == 20.0


def test_cold_start_forecasts_stay_among_what_was_seen() -> None:
    """With a highway that averages the ring, the first forecasts lie within the values seen, not at the empty slots."""
    spec = make_spec()
    weights = silent_weights(spec)
    weights["highway"] = np.full((spec.ring, spec.horizon), 1 / spec.ring, np.float32)
    x = 5.0 + 0.1 * np.nan_to_num(series(8))
    quantiles, _ = roll(NetworkStepper(spec, weights), x)
    assert quantiles[1:, 0, :, MEDIAN].min() > 2.5
    assert quantiles[:, 0, :, MEDIAN].max() < 5.5


def test_factored_head_says_the_same_as_the_full_one() -> None:
    """A head of rank r equals the full head whose kernel is the product of its factors."""
    factored, full = make_spec(rank=3), make_spec()
    weights = make_weights(factored)
    product = weights["head.kernel"].astype(np.float64) @ weights["head.basis"].astype(np.float64)
    x = series(40)
    a, _ = roll(NetworkStepper(factored, weights, np.float64), x)
    b, _ = roll(NetworkStepper(full, weights | {"head.kernel": product}, np.float64), x)
    np.testing.assert_allclose(a, b, rtol=1e-9)
