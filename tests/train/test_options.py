"""Each technique of training does to a tiny network what it is there for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from edgeseq.core import network
from edgeseq.core.decoder import DecoderSpec
from edgeseq.core.layers import LayerSpec
from edgeseq.errors import ConfigError
from edgeseq_train.course import train
from edgeseq_train.history import Note
from edgeseq_train.loop import Trainer
from edgeseq_train.recipe import TrainingRecipe
from edgeseq_train.schedules import SCHEDULES, truth_share
from edgeseq_train.tf_ops import TENSORFLOW
from tests.train.small_trainer import HORIZON, TRAIN, make_spec, make_trainer

pytestmark = pytest.mark.training

WHOLE = TRAIN - HORIZON


def step(trainer: Trainer, states: list[Any] | None = None) -> tuple[float, float, list[Any]]:
    """Take one step at a rate of 0 → loss, gradient norm, last states; the gradient is in the first moment × 10."""
    start, burn, keep = trainer.lanes.next()
    states = states or trainer.zero_states(len(start))
    states = [s * keep[:, None] for s in states]
    numbers = (tf.constant(0), tf.constant(0.0), tf.constant(0.0))
    loss, norm, states = trainer.train_step(tf.constant(start), tf.constant(burn), *numbers, states)
    return float(loss), float(norm), states


def begin_with_runs(trainer: Trainer) -> None:
    """Seat one lane at the start of each run: none has to burn in."""
    trainer.lanes.position[:] = [run.start for run in trainer.rows.runs]
    trainer.lanes.end[:] = [run.train_stop for run in trainer.rows.runs]


def gradient(trainer: Trainer, name: str) -> Any:
    """Give the gradient of the first step taken, as the optimizer had it."""
    return 10 * trainer.descent.first[name].numpy()


def quietly(trainer: Trainer) -> tuple[dict[str, Any], list[Note]]:
    """Train without a word."""
    return train(trainer, lambda *_: None)


def walk(
    trainer: Trainer, scores: Iterator[float] | None = None
) -> tuple[list[float], list[float], list[Note]]:
    """Train without a step being taken, with given validation losses → rates and shares of truth asked for, notes."""
    rates, told = [], []

    def take(start: Any, burn: Any, offset: Any, rate: Any, share: Any, states: Any) -> Any:
        rates.append(float(rate))
        told.append(float(share))
        return 1.0, 1.0, states

    trainer.train_step = take
    trainer.validate = lambda: next(scores) if scores else 1.0  # type: ignore[method-assign]
    _, notes = quietly(trainer)
    return rates, told, notes


# --- back-propagation ---------------------------------------------------------------------------------------------


def whole_loss(trainer: Trainer) -> float:
    """Loss over whole runs from a cold start, without any gradient."""
    starts = np.array([run.start for run in trainer.rows.runs])
    output = trainer.roll(tf.constant(starts), tf.constant(WHOLE))
    index = tf.reshape(starts[None, :] + np.arange(WHOLE)[:, None], (-1,))
    return float(trainer.score(index, tf.reshape(output, (-1, output.shape[-1]))))


def measured_slope(trainer: Trainer, name: str, direction: Any) -> float:
    """Slope of the loss over whole runs along a direction of one weight, by finite differences."""
    variable, losses = trainer.average[name], []
    before = variable.numpy()
    for sign in (1, -1):
        variable.assign(before + sign * 1e-2 * direction)
        losses.append(whole_loss(trainer))
    variable.assign(before)
    return (losses[0] - losses[1]) / 2e-2


def test_full_back_propagation_sees_whole_runs_and_truncated_one_does_not() -> None:
    """With segment = 0 the gradient is the slope of the loss over whole runs; segments of 4 steps miss part of it."""
    spec = make_spec(LayerSpec("rnn", 6))
    direction = np.random.default_rng(1).standard_normal((6, 6)).astype(np.float32)
    full = make_trainer(spec, segment=0, clip_norm=0.0)
    assert full.lanes.segment == WHOLE
    step(full)
    slope = measured_slope(full, "layer0.recurrent", direction)
    assert np.sum(gradient(full, "layer0.recurrent") * direction) == pytest.approx(slope, rel=0.05)
    truncated, found = make_trainer(spec, segment=4, lanes=2, clip_norm=0.0), 0.0
    begin_with_runs(truncated)
    states = truncated.zero_states(2)
    for _ in range(WHOLE // 4):
        truncated.descent.first["layer0.recurrent"].assign(np.zeros((6, 6)))
        _, _, states = step(truncated, states)
        found += 4 / WHOLE * float(np.sum(gradient(truncated, "layer0.recurrent") * direction))
    assert abs(found - slope) > 0.1 * abs(slope)


def test_segment_longer_than_any_run_is_refused() -> None:
    """A segment that no run can hold is a ConfigError that names the longest possible."""
    with pytest.raises(ConfigError, match="as long as a segment") as raised:
        make_trainer(segment=WHOLE + 1)
    assert str(WHOLE) in str(raised.value.wanted)


def test_gradient_is_clipped_to_the_norm_and_not_at_zero() -> None:
    """The optimizer gets a gradient of the given norm and direction; with clip_norm = 0 it gets the whole one."""
    clipped, free = (make_trainer(clip_norm=norm, lanes=2) for norm in (1e-3, 0.0))
    for trainer in (clipped, free):
        begin_with_runs(trainer)
        _, norm, _ = step(trainer)
    names = list(free.descent.variables)
    whole, short = (np.concatenate([gradient(t, n).ravel() for n in names]) for t in (free, clipped))
    assert norm > 1e-2
    assert np.linalg.norm(whole) == pytest.approx(norm, rel=1e-4)
    np.testing.assert_allclose(short, whole * 1e-3 / norm, rtol=1e-3, atol=1e-9)


# --- dropout ------------------------------------------------------------------------------------------------------


def bare_recurrence(**options: Any) -> Any:
    """Unroll h' = tanh(0.4 + 0.3 h) of 6 units as training does: outputs (T, B, U)."""
    trainer = make_trainer(make_spec(LayerSpec("rnn", 6)), **options)
    weights = {**trainer.fixed, **{k: tf.convert_to_tensor(v) for k, v in trainer.descent.variables.items()}}
    weights["layer0.kernel"] *= 0.0
    weights |= {"layer0.bias": tf.fill((6,), 0.4), "layer0.recurrent": 0.3 * tf.eye(6)}
    rows = tf.range(16, dtype=tf.int64)[:, None] + np.full(40, trainer.rows.runs[0].start)
    return trainer.unroll(weights, rows, trainer.zero_states(tf.constant(40)), training=True)[0].numpy()


def test_recurrent_dropout_drops_the_same_units_at_every_step() -> None:
    """A dropped unit never hears of its past, at any step of the segment; the others hear of it 1 / (1 - p) times."""
    found = bare_recurrence(recurrent_dropout=0.5)
    deaf = np.isclose(found, np.tanh(0.4)).all(axis=0)
    heard = np.zeros(16)
    for t in range(16):
        heard[t] = np.tanh(0.4 + 0.6 * (heard[t - 1] if t else 0.0))
    np.testing.assert_allclose(found[:, ~deaf], np.repeat(heard[:, None], (~deaf).sum(), 1), rtol=1e-4)
    assert 0.35 < deaf.mean() < 0.65
    assert not (deaf == deaf[0]).all()  # each lane drops units of its own


def test_layer_dropout_drops_outputs_anew_at_every_step() -> None:
    """A share of the outputs is 0, others at each step, and what is left is scaled up; no memory is touched."""
    plain, found = bare_recurrence(), bare_recurrence(dropout=0.25)
    gone = found == 0
    assert 0.2 < gone.mean() < 0.3
    assert (gone.mean(axis=0) < 1).all()
    np.testing.assert_allclose(found[~gone], (plain / 0.75)[~gone], rtol=1e-5)


def test_validation_drops_nothing() -> None:
    """Dropout of both kinds leaves what is validated alone."""
    wet, dry = make_trainer(dropout=0.5, recurrent_dropout=0.5), make_trainer()
    assert wet.validate() == dry.validate()


# --- rate, average, patience --------------------------------------------------------------------------------------


def test_schedules_are_what_their_names_say() -> None:
    """One cycle rises and falls, cosine falls all the way, constant stays, all within (0, 1.01]."""
    at = np.linspace(0, 1, 101)
    rates = {name: np.array([rate(p) for p in at]) for name, rate in SCHEDULES.items()}
    assert all((r > 0).all() and r.max() <= 1.01 for r in rates.values())
    assert rates["one_cycle"].argmax() == 15
    assert (np.diff(rates["one_cycle"][15:]) < 0).all()
    assert (np.diff(rates["cosine"]) < 0).all()
    assert (rates["constant"] == 1).all()


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
def test_rate_follows_the_schedule(schedule: Any) -> None:
    """The rate at which the weights move is the schedule's at each step, and so it is noted."""
    rates, _, notes = walk(make_trainer(schedule=schedule, learning_rate=0.01))
    assert rates == pytest.approx([0.01 * SCHEDULES[schedule](step / 12) for step in range(1, 13)])
    assert [n.learning_rate for n in notes[1:]] == pytest.approx(rates[3::4])


def test_plateau_halves_the_rate_where_validation_stalls() -> None:
    """Each `plateau_steps` without a gain halve the rate; a gain starts the waiting anew."""
    trainer = make_trainer(schedule="plateau", plateau_steps=8, steps=32, learning_rate=0.01)
    rates, _, _ = walk(trainer, iter([9.0, 9.0, 9.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0]))
    assert rates[3::4] == pytest.approx([0.01, 0.01, 0.005, 0.005, 0.005, 0.0025, 0.0025, 0.00125])


def test_training_stops_when_patience_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No better validation for `patience` steps ends it, and the weights of the best one come back."""
    trainer = make_trainer(steps=40, patience=8)
    scores, seen = iter([9.0, 8.0, 8.5, 8.5, 8.5]), []

    def validate() -> float:
        seen.append(trainer.weights())
        return next(scores)

    monkeypatch.setattr(trainer, "validate", validate)
    kept, notes = quietly(trainer)
    assert [n.step for n in notes] == [0, 4, 8, 12]
    for name, a in kept.items():
        np.testing.assert_array_equal(a, seen[1][name])


def test_average_lags_behind_the_weights_and_zero_means_none() -> None:
    """What is validated and shipped is a running average; with average = 0 it is the weights themselves."""
    for average, alike in ((0.98, False), (0.0, True)):
        trainer = make_trainer(average=average)
        quietly(trainer)
        pairs = zip(trainer.descent.variables.values(), trainer.average.values(), strict=True)
        assert all(np.array_equal(v, a) for v, a in pairs) is alike


# --- teacher forcing ----------------------------------------------------------------------------------------------


def told_shares(**options: Any) -> list[float]:
    """Say how often an encoder-decoder is told the truth at each step of training."""
    _, told, _ = walk(make_trainer(make_spec(decoder=DecoderSpec(units=4)), **options))
    return told


def test_teacher_forcing_goes_from_the_truth_to_its_own_output() -> None:
    """`linear` feeds the true value always at the beginning and never at the end, less often at each step between."""
    told = told_shares(teacher_forcing="linear", teacher_forcing_start=0.25, teacher_forcing_end=0.75)
    assert told[:3] == [1, 1, 1]
    assert told[8:] == [0, 0, 0, 0]
    assert all(1 > a > b > 0 for a, b in itertools.pairwise(told[3:7]))
    assert truth_share(TrainingRecipe(), 0.0) == 1
    assert truth_share(TrainingRecipe(), 1.0) == 0


@pytest.mark.parametrize(("forcing", "share"), [("none", 0.0), ("always", 1.0)])
def test_teacher_forcing_can_be_never_or_always(forcing: str, share: float) -> None:
    """`none` never tells the truth, `always` does at each step."""
    assert set(told_shares(teacher_forcing=forcing, steps=4)) == {share}


def test_truth_that_is_told_is_the_true_value_in_running_scales() -> None:
    """Told always, each lead is fed (true value - present one) / scale; half the time half of them; NaN where not."""
    trainer = make_trainer(make_spec(decoder=DecoderSpec(units=4)))
    index = tf.constant(trainer.rows.runs[0].start + np.arange(100))
    view = trainer.view(index)
    y = tf.transpose(tf.gather(trainer.data.target, index[:, None] + trainer.lead), (0, 2, 1))
    wanted = ((y - view.base[:, :, None]) / view.scale[:, :, None]).numpy().reshape(100, HORIZON, 1)
    told = {share: trainer._taught(view, y, tf.constant(share)).numpy() for share in (0.0, 0.5, 1.0)}
    np.testing.assert_array_equal(told[1.0], wanted)
    assert np.isnan(told[0.0]).all()
    assert 0.4 < np.isnan(told[0.5]).mean() < 0.6


def test_nobody_tells_the_truth_after_training() -> None:
    """Trained with `always`, it is validated, as it is run, on its own output: no target changes what it forecasts."""
    trainer = make_trainer(make_spec(decoder=DecoderSpec(units=4)), teacher_forcing="always", steps=4)
    quietly(trainer)
    weights = {**trainer.fixed, **trainer.average}
    index = tf.constant(trainer.rows.runs[0].start + np.arange(50))
    output = tf.zeros((50, 6))
    q = network.head(TENSORFLOW, trainer.spec, weights, trainer.view(index), output).numpy()
    y = trainer.data.target.numpy()[index.numpy()[:, None] + trainer.lead.numpy()][..., 0]
    error, levels = y[..., None] - q[:, 0], np.array(trainer.spec.levels)
    by_lead = np.maximum(levels * error, (levels - 1) * error) @ trainer.level_weights.numpy()
    expected = np.mean(2 * by_lead @ trainer.lead_weights.numpy())
    assert float(trainer.score(index, output)) == pytest.approx(expected, rel=1e-4)
    told = trainer.loss(weights, index, output, tf.ones(50), tf.constant(1.0))
    assert abs(float(told) - expected) > 1e-3 * expected
