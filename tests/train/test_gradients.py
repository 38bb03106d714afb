"""Gradients by lag are those of the shipped cells, the tasks need memory, and training does what its options say."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from edgeseq.core.cells import CELLS, project
from edgeseq.core.ops import NUMPY
from edgeseq.core.types import F64
from edgeseq_train.gradient_flow import CellStart, Trained, Training, initial, norm_by_lag, score, train
from edgeseq_train.long_memory import Sequences, adding, recall

pytestmark = pytest.mark.training
STEPS, UNITS = 12, 4
STARTS = [
    CellStart("rnn", radius=1.2, units=UNITS),
    CellStart("gru", gate_bias=1.0, units=UNITS),
    CellStart("lstm", span=STEPS, units=UNITS),
]


def squared_error(kind: str, weights: dict[str, F64], sequences: Sequences, lag: int, nudge: F64) -> float:
    """Roll one sequence on the NumPy cells in float64, add a nudge to the states at a lag → loss of the last step."""
    states = tuple(np.zeros((1, UNITS)) for _ in CELLS[kind].states)
    for t, x in enumerate(sequences.x.astype(np.float64)):
        states = CELLS[kind].advance(NUMPY, weights, project(NUMPY, weights, x), states)
        if t == STEPS - 1 - lag:
            states = tuple(s + n for s, n in zip(states, nudge, strict=True))
    said = states[0] @ weights["readout"] + weights["readout_bias"]
    return float((said[0, 0] - sequences.target[-1, 0]) ** 2)


@pytest.mark.parametrize("start", STARTS, ids=lambda s: s.kind)
def test_norm_by_lag_is_the_slope_of_the_device_cells(start: CellStart) -> None:
    """The norm at each lag is that of finite differences through the NumPy cells in float64, within 0.1 %."""
    weights = initial(start, 2, np.random.default_rng(0))
    sequences = adding(np.random.default_rng(1), STEPS, 1)
    found = norm_by_lag(start.kind, weights, sequences)
    exact = {name: a.astype(np.float64) for name, a in weights.items()}
    width, eps = len(CELLS[start.kind].states), 1e-5
    for lag in (0, 1, 5, STEPS - 1):
        slopes = []
        for direction in np.eye(width * UNITS).reshape(-1, width, 1, UNITS):
            up, down = (
                squared_error(start.kind, exact, sequences, lag, s * eps * direction) for s in (1, -1)
            )
            slopes.append((up - down) / (2 * eps))
        assert found[lag] == pytest.approx(np.linalg.norm(slopes), rel=1e-3)


@pytest.mark.parametrize("radius", [0.5, 2.0])
def test_vanilla_gradient_is_a_power_of_the_radius_where_tanh_is_linear(radius: float) -> None:
    """With weights so small that tanh is linear, |∂L/∂h| at lag k is radius**k times that at lag 0: Pascanu's bound."""
    weights = initial(CellStart("rnn", radius=radius, units=UNITS), 2, np.random.default_rng(0))
    weights["kernel"] *= 1e-6
    found = norm_by_lag("rnn", weights, adding(np.random.default_rng(1), STEPS, 4))
    np.testing.assert_allclose(found / found[0], radius ** np.arange(STEPS), rtol=1e-4)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_gate_bias_holds_the_gradient_longer(kind: Literal["gru", "lstm"]) -> None:
    """A gate that starts open passes more gradient over the whole sequence, and biases for its length still more."""
    sequences = adding(np.random.default_rng(1), STEPS, 8)
    reach = []
    for start in (CellStart(kind), CellStart(kind, gate_bias=1.0), CellStart(kind, span=20 * STEPS)):
        norms = norm_by_lag(kind, initial(start, 2, np.random.default_rng(0)), sequences)
        reach.append(norms[-1] / norms[0])
    assert reach[0] < reach[1] < reach[2]


def test_adding_asks_for_the_sum_of_one_marked_number_in_each_half() -> None:
    """The target is due once, at the end: the two marked numbers together, one of each half."""
    sequences = adding(np.random.default_rng(0), 10, 200)
    number, mark = sequences.x[..., 0], sequences.x[..., 1]
    assert (mark[:5].sum(axis=0) == 1).all()
    assert (mark[5:].sum(axis=0) == 1).all()
    np.testing.assert_allclose((number * mark).sum(axis=0), sequences.target[-1], rtol=1e-6)
    assert sequences.due.sum() == sequences.due[-1].sum() == 200
    assert sequences.constant_loss == pytest.approx(1 / 6, rel=0.2)


def test_recall_asks_for_the_number_kept_so_many_steps_ago() -> None:
    """Wherever an answer is due it is the number kept `delay` steps before, and none was kept in between."""
    delay = 7
    sequences = recall(np.random.default_rng(0), 40, 50, delay, 5)
    number, keep, ask = np.moveaxis(sequences.x, 2, 0)
    due = np.argwhere(sequences.due)
    assert len(due) > 100
    assert np.array_equal(ask, sequences.due)
    for t, b in due:
        assert sequences.target[t, b] == number[t - delay, b]
        assert keep[t - delay : t, b].sum() == 1


def test_clipping_keeps_a_growing_gradient_from_ending_training() -> None:
    """Plain descent on a cell whose gradient grows leaves the finite numbers; clipped to norm 1 it does not."""
    weights = initial(CellStart("rnn", radius=2.0, units=8), 2, np.random.default_rng(0))

    def trained(clip_norm: float) -> Trained:
        rng = np.random.default_rng(3)
        training = Training(draws=60, optimizer="sgd", learning_rate=0.3, clip_norm=clip_norm)
        return train("rnn", weights, lambda: adding(rng, 20, 16), training)

    free, clipped = trained(0.0), trained(1.0)
    assert len(free.losses) < 60
    assert not np.isfinite(free.losses[-1] + free.norms[-1])
    assert len(clipped.losses) == 60
    assert np.isfinite(clipped.losses).all()
    assert clipped.norms.max() > 1.0


def test_segments_carry_the_state_but_not_the_gradient() -> None:
    """Without learning, segments give the loss of whole sequences (the state is carried), but not their gradient."""
    weights = initial(CellStart("gru", units=UNITS), 3, np.random.default_rng(0))
    sequences = recall(np.random.default_rng(1), 16, 8, 6, 4)
    whole, cut = (
        train("gru", weights, lambda: sequences, Training(draws=1, segment=segment, learning_rate=0.0))
        for segment in (0, 4)
    )
    assert cut.losses == pytest.approx(whole.losses, rel=1e-5)
    assert cut.norms != pytest.approx(whole.norms, rel=1e-2)


def test_score_of_a_silent_cell_is_that_of_a_constant_answer() -> None:
    """A readout that says the mean and nothing else scores 1."""
    sequences = adding(np.random.default_rng(0), 10, 400)
    weights = initial(CellStart("rnn", units=UNITS), 2, np.random.default_rng(0))
    weights["readout"] *= 0
    weights["readout_bias"][:] = sequences.target[-1].mean()
    assert score("rnn", weights, sequences) == pytest.approx(1.0, rel=1e-4)
