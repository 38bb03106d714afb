"""What is refused because nothing could be measured by it, and what a search may take out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgeseq.errors import ConfigError, InputError
from edgeseq_train.lengths import check_measurable, check_parts
from edgeseq_train.loop import Trainer, believable
from edgeseq_train.parts import Recording, naive_error, split_rows
from edgeseq_train.recipe import Recipe, SplitRecipe
from edgeseq_train.report import fallen_behind
from edgeseq_train.seasons import detect
from edgeseq_train.tuning.study import task_of
from tests.train.conftest import HORIZON, HOUR_NS, make_series, small_recipe
from tests.train.small_trainer import make_trainer

SPLIT = split_rows(1000, Recipe().split)


def test_a_search_may_train_without_the_test_part() -> None:
    """What a search sees of a recording is refused for no part that was taken out of it on purpose."""
    recording = Recording(make_series(1000)[:, :, None], ("a", "b"), HOUR_NS)
    task = task_of(recording, HORIZON, small_recipe())
    assert np.isnan(task.recording.values[SPLIT.validation :]).all()
    check_parts(task.recording, SPLIT, HORIZON)


def test_a_recording_without_a_test_part_is_refused_where_it_is_to_be_measured() -> None:
    """Readings that end before the test part, beside known inputs that go on, leave nothing to measure by."""
    values = make_series(1000)[:, :, None]
    recording = Recording(values, ("a", "b"), HOUR_NS, start_ns=0)
    values[801:] = np.nan
    check_measurable(recording, SPLIT)
    values[800:] = np.nan
    with pytest.raises(InputError, match="the test part is empty") as raised:
        check_measurable(recording, SPLIT)
    assert raised.value.found == "no value in its 200 steps, from 1970-02-03T08:00:00Z on"
    assert "--until" in str(raised.value.do)


@pytest.mark.parametrize(
    ("error", "said"), [(0.5, None), (1.01, None), (1.5, "50.0 % more error than ridge")]
)
def test_a_network_worse_than_ridge_on_the_test_part_is_told(error: float, said: str | None) -> None:
    """What validation chose may fail later: the last line of a training does not hide it."""
    errors = {"persistence": 3.0, "ridge 48": 1.0, "model float32": 9.0, "model int8_weights": error}
    rows = [{"forecaster": name, "mase": {"1": 1.0, "24": value}} for name, value in errors.items()]
    text = fallen_behind(rows, "int8_weights")
    assert (text is None) if said is None else (text is not None and said in text)


@pytest.mark.parametrize("size", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_split_that_is_no_size_is_refused(size: float) -> None:
    """Sizes of parts are positive and finite."""
    with pytest.raises(ConfigError, match="a part of the split is empty"):
        split_rows(100, SplitRecipe(train=size, validation=2, test=2))


@pytest.mark.filterwarnings("error")
def test_values_that_are_never_a_lag_apart_are_compared_with_those_before_them() -> None:
    """A reading at every fifth step has no lag of 1: its error is that of the last known value."""
    x = np.full((100, 1, 2), np.nan, np.float32)
    x[::5, 0, 0] = np.arange(20) * 3
    x[:, 0, 1] = np.arange(100)
    assert naive_error(x, 1).tolist() == [[3.0, 1.0]]
    assert naive_error(x, 5).tolist() == [[3.0, 5.0]]


@pytest.mark.parametrize("wild", [-9999.0, 65535.0, 2.0**32 - 1, 1e300])
def test_a_single_wild_reading_hides_no_season(wild: float) -> None:
    """What a broken sensor says once does not decide which seasons a recording has."""
    values = make_series(720)
    assert detect(values, HOUR_NS) == (24,)
    values[100] = wild
    assert detect(values, HOUR_NS) == (24,)


def test_what_a_broken_sensor_says_once_rules_neither_scale_nor_loss() -> None:
    """One sentinel in the training part leaves the unit of errors where it was, and is no target."""
    plain = np.abs(np.random.default_rng(5).standard_normal((400, 1, 1))).astype(np.float32)
    wild = plain.copy()
    wild[100] = 4e9
    assert naive_error(wild, 1)[0, 0] < 10 * naive_error(plain, 1)[0, 0]
    clean, variance = plain[:, 0], np.ones_like(plain[:, 0])
    target = believable(clean, wild[:, 0], variance)
    assert np.flatnonzero(np.isnan(target)).tolist() == [100]
    assert np.array_equal(np.delete(target, 100), np.delete(plain[:, 0], 100))


def test_a_grid_finer_than_the_readings_hides_no_season() -> None:
    """Where two thirds of all steps are empty, what is known still shows the day; so few pairs that they tell nothing
    show none.
    """
    minutes_5 = HOUR_NS // 12
    rng = np.random.default_rng(2)
    values = np.sin(np.arange(288 * 10) / 288 * 2 * np.pi)[:, None] + 0.2 * rng.standard_normal((2880, 1))
    values[rng.random(values.shape) < 0.65] = np.nan
    known = np.isfinite(values[:, 0])
    assert 200 < (known[288:] & known[:-288]).sum() < 2 * 288
    assert detect(values, minutes_5) == (288,)
    values[rng.random(values.shape) < 0.5] = np.nan
    assert detect(values, minutes_5) == ()


def test_training_takes_no_wild_reading_for_a_target() -> None:
    """What is far beyond the front's widest bound is unknown to the trainer, and all else is as it was read."""
    plain = make_trainer()
    rows = dataclasses.replace(plain.rows, target=plain.rows.target.copy())
    at = int(np.flatnonzero(np.isfinite(rows.target[:, 0]))[40])
    rows.target[at, 0] = 4e9
    weights = {k: v.numpy() for k, v in {**plain.fixed, **plain.descent.variables}.items()}
    taken = Trainer(rows, weights, np.ones(plain.spec.horizon), plain.recipe, 0).data.target.numpy()
    assert np.isnan(taken[at, 0])
    assert np.array_equal(np.delete(taken, at), np.delete(plain.data.target.numpy(), at), equal_nan=True)
