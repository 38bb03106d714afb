"""Filling gaps and re-labelling with a lag: what is seen, what is hidden, what is chosen, equal on all runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeseq.core.types import F32, F64
from edgeseq.errors import ConfigError, InputError
from edgeseq_train import impute as impute_package
from edgeseq_train.impute import baselines, fitting, hiding, lagging, results, sight, windows
from edgeseq_train.impute.choosing import Choice, Rule, apply, choose
from edgeseq_train.impute.filling import NETWORK, Estimates, Frame, fill_estimates
from edgeseq_train.impute.imputer import Imputer, LagRule, check_fits, load, save
from edgeseq_train.impute.network import ImputerSpec, Passes, impute, initial_weights, numpy_passes
from edgeseq_train.impute.settings import TrainingPlan
from edgeseq_train.impute.trials import Trials, measure
from tests.train.conftest import HOUR_NS, make_series

LONGEST, LAG, SEASON = 6, 3, 24


def some_weights(spec: ImputerSpec, seed: int = 0) -> dict[str, F32]:
    """Draw weights whose head is not silent."""
    rng = np.random.default_rng(seed)
    drawn = initial_weights(spec, rng)
    return {name: (a + 0.2 * rng.standard_normal(a.shape)).astype(np.float32) for name, a in drawn.items()}


def tiny(values: F64, units: int = 4) -> tuple[Frame, Passes]:
    """Make an untrained network for values (T, S), which has something to say all the same."""
    anchor, unit = np.nanmedian(values, axis=0), np.nanstd(values, axis=0)
    near = windows.plan((values - anchor) / unit, (SEASON,))
    spec = ImputerSpec("gru", units, sight.feature_count(near.near, values.shape[1]), 2 * near.near)
    frame = Frame(spec, near, tuple(anchor.tolist()), tuple(unit.tolist()), LONGEST)
    return frame, numpy_passes(spec, some_weights(spec))


def imputer_of(frame: Frame, lag: int | None = None, method: str = NETWORK) -> Imputer:
    """Make an imputer that fills everything by one method; its model is no model."""
    channels = len(frame.anchor)
    choice = Choice((LONGEST,), ((Rule(method, 1.0, 1.0),),) * channels)
    rules = (LagRule(1.0, 1.0, 2.0),) * channels if lag else ()
    return Imputer(("a", "b")[:channels], HOUR_NS, frame, choice, lag, rules, b"no model")


# --- what a window shows ------------------------------------------------------------------------------------------


def test_line_is_linear_interpolation_and_flat_beyond_the_last_known_value() -> None:
    """Between known values the line is NumPy's interpolation, beyond them the nearest one."""
    x = make_series(60, 1)[:, 0]
    x[[0, 1, 5, 6, 7, 30, 58, 59]] = np.nan
    known = np.isfinite(x)
    left, right = sight.edges(known[None])
    drawn = sight.between(x[None], left, right, 0.0)[0]
    assert drawn == pytest.approx(np.interp(np.arange(60), np.flatnonzero(known), x[known]))


def test_window_without_any_known_value_is_finite() -> None:
    """Nothing known is no fault: the line is the channel's median, and all inputs are finite."""
    s = sight.look(np.full((1, 9), np.nan), np.full((1, 9, 3), np.nan), np.ones((1, 1), np.float32))
    assert np.isfinite(s.features).all()
    assert s.features.shape[-1] == sight.feature_count(3, 1)
    assert np.all(s.line == 0.0)
    assert np.all(s.moves == 0.0)


def test_near_value_that_is_off_by_a_constant_tells_the_same() -> None:
    """Relations between channels drift: only how a near value moves counts, not where it stands."""
    x = make_series(200, 1).T
    near = make_series(200, 1, seed=1).T[..., None]
    known = np.isfinite(x)
    first, moved = (sight._unbiased(x, known, near + off) for off in (0.0, 10.0))
    assert np.abs(moved - first).max() < 0.3
    assert moved.mean() == pytest.approx(x.mean(), abs=0.3)


def test_near_values_are_the_nearest_known_ones_of_the_phase_and_their_mean() -> None:
    """A missing season is skipped; the mean takes all that are known within seven seasons."""
    x = np.arange(240, dtype=float)[:, None]
    x[[120 - SEASON, 120 + SEASON, 120 + 2 * SEASON]] = np.nan
    frame, _ = tiny(x)
    one = windows.whole(np.array([0]), np.array([120]), len(x))
    _, near, _ = windows.cut(x, frame.near, one, 1)
    phase = [
        v
        for k in range(-5, 6)
        if k and np.isfinite(v := x[120 + k * SEASON, 0] if 120 + k * SEASON < 240 else np.nan)
    ]
    assert near[0, 0].tolist() == [120 - 2 * SEASON, 120 + 3 * SEASON, np.mean(phase)]


def test_companion_is_a_linear_estimate_of_the_channel() -> None:
    """A channel that is a linear map of another is estimated exactly from it."""
    a = make_series(200, 1)
    x = np.concatenate([a, 3 * a - 5], axis=1)
    frame, _ = tiny(x)
    plan = windows.plan(x, ())
    _, near, _ = windows.cut(x, plan, windows.whole(np.array([1]), np.array([10]), 200), 20)
    assert near[0, :, 0] == pytest.approx(x[10:30, 1])
    assert frame.near.near == 3 + 1


def test_window_sees_nothing_from_its_stop_on_nor_its_own_hidden_reading() -> None:
    """Whatever stands at or after `stop`, and at the step left out, changes no value and no near value."""
    x = make_series(300, 2)
    frame, _ = tiny(x)
    one = windows.Windows(np.array([0]), np.array([80]), np.array([130]), np.array([110]))
    seen = windows.cut(x, frame.near, one, 60)
    x[130:] += 100
    x[110, 0] -= 100
    for before, after in zip(seen, windows.cut(x, frame.near, one, 60), strict=True):
        np.testing.assert_array_equal(before, after)
    x[110, 1] -= 100  # the other channel's reading of that step is seen
    assert not np.array_equal(seen[1], windows.cut(x, frame.near, one, 60)[1], equal_nan=True)


# --- hiding -------------------------------------------------------------------------------------------------------


def test_only_known_and_allowed_values_are_hidden_with_room_between() -> None:
    """Hidden stretches lie in the allowed part, have the lengths asked for, and keep their distance."""
    rng = np.random.default_rng(0)
    known = rng.random((500, 2)) < 0.95
    allowed = np.arange(500) % 100 < 60
    hidden = hiding.hide(np.ones_like(known), allowed, np.full(200, 5), 0.3, 4, rng)
    assert hidden.any(axis=0).all()
    assert not hidden[~allowed].any()
    for column in hidden.T:
        found = hiding.runs(column)
        assert set((found[:, 1] - found[:, 0]).tolist()) == {5}
        assert (found[1:, 0] - found[:-1, 1]).min() >= 4
    assert not (hiding.hide(known, allowed, np.full(200, 5), 0.3, 4, rng) & ~known).any()


def test_drawn_lengths_are_the_recordings_own_and_up_to_the_longest() -> None:
    """Half of the stretches are as long as the recording's gaps, none is longer than what is filled."""
    drawn = hiding.draw_lengths(np.array([17, 400]), 20, 4000, np.random.default_rng(1))
    assert np.mean(drawn == 17) == pytest.approx(0.5, abs=0.05)
    assert (drawn.min(), drawn.max()) == (1, 20)


def test_gaps_lie_between_known_values() -> None:
    """What is missing before the first reading and after the last one is no gap."""
    x = np.array([[np.nan], [1.0], [np.nan], [np.nan], [2.0], [np.nan]])
    assert hiding.gaps(x).tolist() == [[0, 2, 4]]


# --- baselines ----------------------------------------------------------------------------------------------------


def test_baselines_are_what_they_are_called() -> None:
    """Last value, straight line, mean of the seasons, and the season's shape on the line, by hand."""
    x = np.array([[2.0, np.nan, np.nan, 8.0]])
    near = np.stack([np.array([[0.0, 10.0, 0.0, 0.0]]), np.array([[0.0, 20.0, np.nan, 0.0]])], axis=-1)
    found = baselines.estimates(x, near, seasonal=True)
    assert found[baselines.HOLD].tolist() == [[2.0, 2.0, 2.0, 8.0]]
    assert found[baselines.LINEAR].tolist() == [[2.0, 4.0, 6.0, 8.0]]
    assert found[baselines.SEASONAL].tolist() == [[0.0, 15.0, 0.0, 0.0]]
    assert found[baselines.BOTH].tolist() == [[2.0, 19.0, 6.0, 8.0]]
    assert list(found) == list(baselines.names(seasonal=True))


# --- choosing -----------------------------------------------------------------------------------------------------


def made_up(errors: dict[str, float], gap: int, count: int, seed: int = 0) -> Trials:
    """Make trials of one channel in which each method errs by so much on average, around a truth of 0."""
    rng = np.random.default_rng(seed)
    values = {name: size * rng.standard_normal(count) for name, size in errors.items()}
    truth, step = np.zeros(count), np.arange(count)
    median = values[NETWORK]
    estimates = Estimates(step, np.zeros(count, int), np.full(count, gap), values, median - 0.5, median + 0.5)
    return Trials(estimates, truth, step)


def test_method_with_the_least_error_is_chosen_and_its_band_holds_nine_of_ten() -> None:
    """By class of gap lengths; the band of network and baselines alike holds 90 % of the hidden values."""
    for best in (NETWORK, baselines.LINEAR):
        errors = {baselines.HOLD: 3.0, baselines.LINEAR: 2.0, NETWORK: 2.5} | {best: 1.0}
        trials = made_up(errors, 1, 2000)
        choice = choose(trials, (1, 3), 1)
        assert choice.rules[0][0].method == best
        value, lower, upper, methods = apply(choice, made_up(errors, 1, 2000, seed=1).estimates)
        assert set(methods) == {best}
        assert np.all((lower <= value) & (value <= upper))
        assert np.mean((lower <= 0) & (upper >= 0)) == pytest.approx(0.9, abs=0.03)


def test_class_without_evidence_takes_the_rule_of_the_shorter_one() -> None:
    """Too few stretches decide nothing; where there is no shorter class either, linear interpolation fills."""
    errors = {baselines.HOLD: 0.1, baselines.LINEAR: 2.0, NETWORK: 2.5}
    assert [r.method for r in choose(made_up(errors, 1, 50), (1, 3), 1).rules[0]] == [baselines.HOLD] * 2
    assert [r.method for r in choose(made_up(errors, 3, 5), (1, 3), 1).rules[0]] == [baselines.LINEAR] * 2


# --- filling ------------------------------------------------------------------------------------------------------


def gappy(steps: int = 400) -> F64:
    """Make two channels with gaps of 1 to 6 steps, one of 20, and nothing known at the start."""
    values = make_series(steps, 2)
    for start, stop, channel in ((50, 51, 0), (70, 76, 0), (75, 78, 1), (100, 120, 0), (390, 394, 1)):
        values[start:stop, channel] = np.nan
    values[:4, 1] = np.nan
    return values


def test_measured_values_are_untouched_and_long_gaps_stay_empty() -> None:
    """Filled are exactly the gaps that are not too long; all else is what was measured, bit for bit."""
    values = gappy()
    frame, passes = tiny(values)
    filled = results.fill(imputer_of(frame), passes, values)
    known = np.isfinite(values)
    np.testing.assert_array_equal(filled.values[known], values[known])
    wanted = ~known
    wanted[100:120, 0] = wanted[:4, 1] = False
    np.testing.assert_array_equal(filled.filled, wanted)
    np.testing.assert_array_equal(np.isfinite(filled.values), known | wanted)
    np.testing.assert_array_equal(np.isfinite(filled.lower), wanted)
    assert filled.left.tolist() == [[0, 100, 120]]


def test_a_chosen_baseline_fills_by_that_baseline() -> None:
    """Where linear interpolation was chosen, the filled values are on the line."""
    values = gappy()
    frame, passes = tiny(values)
    filled = results.fill(imputer_of(frame, method=baselines.LINEAR), passes, values)
    line = np.interp(np.arange(70, 76), [69, 76], values[[69, 76], 0])
    assert filled.values[70:76, 0] == pytest.approx(line)


def test_estimates_do_not_depend_on_how_windows_are_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    """One window at a time or all at once give the same."""
    values = gappy()
    frame, passes = tiny(values)
    together = fill_estimates(frame, passes, values, ~np.isfinite(values))
    monkeypatch.setattr("edgeseq_train.impute.filling.BATCH_STEPS", 1)
    alone = fill_estimates(frame, passes, values, ~np.isfinite(values))
    assert alone.values[NETWORK] == pytest.approx(together.values[NETWORK], nan_ok=True)
    np.testing.assert_array_equal(alone.step, together.step)


# --- fixed lag ----------------------------------------------------------------------------------------------------


def test_nothing_said_of_a_step_depends_on_readings_after_the_lag() -> None:
    """Changing all values after t + lag changes nothing up to t; changing the one before that does."""
    values = gappy(120)
    frame, passes = tiny(values)
    imputer = imputer_of(frame, LAG)
    before = results.look_again(imputer, passes, values)
    t = 80
    changed = values.copy()
    changed[t + LAG + 1 :] = 1e4
    after = results.look_again(imputer, passes, changed)
    for ours, theirs in ((before[0][:4], after[0][:4]), (before[1], after[1])):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a[: t + 1], b[: t + 1])
    changed = values.copy()
    changed[t + LAG - 1] += 1.0
    moved = results.look_again(imputer, passes, changed)[1].smoothed[t] != before[1].smoothed[t]
    assert moved.all()


def test_an_estimate_does_not_see_the_reading_it_judges() -> None:
    """However wrong a reading is, what it should have been stays the same; only its score changes."""
    values = gappy(120)
    frame, passes = tiny(values)
    imputer = imputer_of(frame, LAG)
    again = results.look_again(imputer, passes, values)[1]
    values[60, 0] += 1e3
    wrong = results.look_again(imputer, passes, values)[1]
    assert wrong.smoothed[60, 0] == again.smoothed[60, 0]
    assert wrong.outside[60, 0]
    assert wrong.score[60, 0] > again.score[60, 0]


def test_a_spike_is_told_and_its_echo_is_not() -> None:
    """Of neighbours outside on opposite sides only the farther one is told; on the same side both are."""
    score = np.array([[0.0, 0.0], [-3.0, 3.0], [9.0, 9.0], [-4.0, 4.0], [0.0, 0.0], [5.0, 0.0]])
    outside = lagging._outside(score, np.array([2.0, 2.0]))
    assert outside[:, 0].tolist() == [False, False, True, False, False, True]
    assert outside[:, 1].tolist() == [False, True, True, True, False, False]


def test_lagged_filling_ends_after_the_longest_gap() -> None:
    """In a gap estimates are made from what was seen before it for as long as gaps are filled, then no longer."""
    values = gappy()
    frame, passes = tiny(values)
    filled, _ = results.look_again(imputer_of(frame, LAG), passes, values)
    assert np.flatnonzero(filled.filled[100:120, 0]).tolist() == list(range(LONGEST))
    assert filled.filled[70:76, 0].all()
    assert filled.left.tolist() == [[0, 100, 120]]


def test_calibrated_band_holds_nine_of_ten_readings() -> None:
    """The band's factors make it so on the readings it is calibrated on, and the edge lies outside of it."""
    values = make_series(400, 2)
    frame, passes = tiny(values)
    estimates = lagging.estimate(frame, passes, values, LAG, np.ones(values.shape, bool))
    rules = lagging.calibrate(estimates, values)
    again = lagging.relabel(rules, estimates, values, LONGEST)
    inside = (again.lower <= values) & (values <= again.upper)
    assert inside[1:].mean() == pytest.approx(0.9, abs=0.03)
    assert again.outside.mean() < 0.03


# --- the imputer's file -------------------------------------------------------------------------------------------


def test_imputer_is_read_as_it_was_written(tmp_path: Path) -> None:
    """All fields survive."""
    imputer = imputer_of(tiny(make_series(100, 2))[0], LAG)
    save(imputer, tmp_path / "a.imputer")
    assert load(tmp_path / "a.imputer") == imputer
    assert [p.name for p in tmp_path.iterdir()] == ["a.imputer"]


@pytest.mark.parametrize("damage", ["model", "cut", "none"])
def test_damaged_imputer_is_refused(tmp_path: Path, damage: str) -> None:
    """A changed model, half a file and a file of something else are named as unusable."""
    path = tmp_path / "a.imputer"
    save(imputer_of(tiny(make_series(100, 2))[0]), path)
    whole = path.read_bytes()
    wrong = {
        "model": whole.replace(b"no model", b"nu model"),
        "cut": whole[: len(whole) // 2],
        "none": b"time,a",
    }
    path.write_bytes(wrong[damage])
    with pytest.raises(InputError, match="the imputer cannot be used"):
        load(path)


def test_imputer_of_another_recording_is_refused(tmp_path: Path) -> None:
    """Other channels, another period and another lag are said, each with what to do."""
    imputer = imputer_of(tiny(make_series(100, 2))[0], LAG)
    check_fits(imputer, ("a", "b"), HOUR_NS, LAG, tmp_path)
    check_fits(imputer, ("a", "b"), HOUR_NS, None, tmp_path)
    with pytest.raises(InputError, match="made for other channels"):
        check_fits(imputer, ("b", "a"), HOUR_NS, LAG, tmp_path)
    with pytest.raises(InputError, match="made for another period"):
        check_fits(imputer, ("a", "b"), HOUR_NS // 2, LAG, tmp_path)
    with pytest.raises(ConfigError, match="made for another lag"):
        check_fits(imputer, ("a", "b"), HOUR_NS, LAG + 1, tmp_path)


def test_channel_that_teaches_nothing_is_refused() -> None:
    """Too few values and a constant are named with the channel."""
    values = make_series(1000, 2)
    values[:, 1] = 7.0
    with pytest.raises(InputError, match="a channel never changes") as fault:
        fitting.settle(values, ("a", "b"))
    assert fault.value.where == "b"
    values[200:, 0] = np.nan
    with pytest.raises(InputError, match="too few values") as fault:
        fitting.settle(values, ("a", "b"))
    assert fault.value.where == "a"


def test_no_forecaster_looks_ahead() -> None:
    """Nothing imports the package but itself: what looks ahead takes no part in any forecast."""
    package = Path(impute_package.__file__).parent
    others = [p for p in package.parent.rglob("*.py") if package not in p.parents]
    assert len(others) > 10
    assert [str(p) for p in others if "edgeseq_train.impute" in p.read_text(encoding="utf-8")] == []


# --- training and runtimes ----------------------------------------------------------------------------------------


@pytest.mark.training
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_numpy_tensorflow_and_runtime_agree(cell: str) -> None:
    """One set of weights gives the same quantiles in the oracle, in training and in the runtime; int8 nearly so."""
    import tensorflow as tf

    from edgeseq_train.impute import export, runtime, training

    spec = ImputerSpec(cell, 12, 9, 4)  # type: ignore[arg-type]
    weights, rng = some_weights(spec), np.random.default_rng(1)
    features, moves = (rng.standard_normal((3, 30, n)).astype(np.float32) for n in (9, 4))
    exact = impute(numpy_passes(spec, weights), features, moves)
    assert exact.std() > 0.3
    first = [tf.constant(np.swapaxes(a, 0, 1)) for a in (features, moves)]
    trained = training.unrolled(spec, {k: tf.constant(a) for k, a in weights.items()}, *first).numpy()
    assert np.swapaxes(trained, 0, 1) == pytest.approx(exact, abs=1e-5)
    model = export.float32(spec, weights)
    assert impute(runtime.open_passes(model, spec), features, moves) == pytest.approx(exact, abs=1e-5)
    small = impute(runtime.open_passes(export.int8_weights(model), spec), features, moves)
    assert np.sqrt(np.mean((small - exact) ** 2)) < 0.03 * exact.std()
    assert not np.array_equal(small, exact.astype(np.float32))


@pytest.mark.training
def test_network_learns_to_beat_the_straight_line() -> None:
    """On days with weather it fills long gaps better than linear interpolation, on a part it never learned from."""
    values = make_series(1600, 2)
    how = TrainingPlan(units=12, steps=60, rows=2000, validate_every=30, learning_rate=1e-2)
    notes: list[float] = []
    fitted = fitting.fit(
        values, ("a", "b"), HOUR_NS, how, longest=12, progress=lambda *note: notes.append(note[2])
    )  # fmt: skip
    assert fitted.imputer.frame.near.seasons == (SEASON,)
    assert fitted.summary["validation_loss"] < 0.8 * fitted.summary["start_loss"]
    allowed = hiding.parts(len(values), 12)["test"]
    trials = measure(
        fitted.imputer.frame, fitted.passes, values, allowed, [(12, 12)], np.random.default_rng(0)
    )
    errors = {name: np.nanmean(e) for name, e in trials.errors().items()}
    assert errors[NETWORK] < 0.6 * errors[baselines.LINEAR]
    assert len(notes) == 2
