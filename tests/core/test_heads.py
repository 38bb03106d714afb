"""What a network says in the end, and what an estimator may look at."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgeseq.core import heads
from edgeseq.core.forecast import initial_state
from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import NetworkSpec, NetworkStepper
from edgeseq.core.ops import NUMPY
from edgeseq.core.types import F32
from tests.support.estimators import CLASSIFY, ESTIMATE, make_weights

CONTROL = (LayerSpec("dense", 4),)
MEMORYLESS = [
    msgspec.structs.replace(spec, memory=False, layers=CONTROL, ring=2, taps=1)
    for spec in (CLASSIFY, ESTIMATE)
]


def roll(spec: NetworkSpec, x: F32) -> F32:
    """Step a network of these weights through x (T, C) → what it says (T, Q or N)."""
    stepper = NetworkStepper(spec, make_weights(spec), np.float64)
    state, told = initial_state(stepper.state_spec, 1), []
    for row in x:
        said, state = stepper.step(row[None], state)
        told.append(said[0, 0, 0])
    return np.array(told)


def series(steps: int, seed: int = 0) -> F32:
    """Draw values (T, 2) with gaps and spikes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 2, (steps, 2))
    x[rng.random(x.shape) < 0.1] = np.nan
    x[rng.random(x.shape) < 0.02] = 1e30
    return x.astype(np.float32)


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    """Highway and layers add up to logits; their softmax is what is said, to the last digits."""
    rng = np.random.default_rng(1)
    features, output = rng.normal(size=(5, 3)), rng.normal(size=(5, 4))
    w = {name: rng.normal(size=shape) for name, shape in heads.weights(3, 4, 3, is_classifier=True).items()}
    logits = features @ w["highway"] + output @ w["head.kernel"] + w["head.bias"]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(heads.classify(NUMPY, w, features, output)[:, 0, 0], expected, rtol=1e-12)


def test_median_is_the_highway_and_the_correction_in_its_errors() -> None:
    """With Q levels the middle one is the linear answer plus the layers' in units of its typical error."""
    rng = np.random.default_rng(2)
    features, output = rng.normal(size=(5, 3)), rng.normal(size=(5, 4))
    w = {name: rng.normal(size=shape) for name, shape in heads.weights(3, 4, 5, is_classifier=False).items()}
    w["error_scale"] = np.array([0.25])
    said = heads.estimate(NUMPY, w, features, output)
    assert said.shape == (5, 1, 1, 5)
    correction = (output @ w["head.kernel"] + w["head.bias"])[:, 0]
    np.testing.assert_allclose(
        said[:, 0, 0, 2], (features @ w["highway"])[:, 0] + 0.25 * correction, rtol=1e-12
    )
    assert (np.diff(said[:, 0, 0], axis=1) > 0).all()


def test_logits_of_any_size_give_probabilities() -> None:
    """However sure the weights are, probabilities are finite, positive and add up to 1 in float32."""
    features, output = np.array([[3e30], [-3e30], [0.0]], np.float32), np.zeros((3, 1), np.float32)
    w = {"highway": np.array([[-1.0, 0.0, 1.0]], np.float32), "head.kernel": np.zeros((1, 3), np.float32)}
    said = heads.classify(NUMPY, {**w, "head.bias": np.zeros(3, np.float32)}, features, output)[:, 0, 0]
    assert np.isfinite(said).all()
    assert (said > 0).all()
    np.testing.assert_allclose(said.sum(axis=1), 1.0, rtol=1e-6)
    assert said.argmax(axis=1).tolist()[:2] == [2, 0]


@pytest.mark.parametrize("spec", MEMORYLESS, ids=["classify", "estimate"])
def test_control_without_memory_knows_the_present_only(spec: NetworkSpec) -> None:
    """One-to-one: whatever came before, and in whatever order, equal inputs give equal answers."""
    x = series(80)
    order = np.random.default_rng(5).permutation(80)
    np.testing.assert_array_equal(roll(spec, x)[order], roll(spec, x[order]))


@pytest.mark.parametrize("spec", [CLASSIFY, ESTIMATE], ids=["classify", "estimate"])
def test_estimator_with_memory_knows_the_past(spec: NetworkSpec) -> None:
    """Many-to-one: the same present after another past is another answer."""
    x = series(80)
    x[-1] = 0.0
    past = np.concatenate([series(79, seed=9), x[-1:]])
    assert np.abs(roll(spec, x)[-1] - roll(spec, past)[-1]).max() > 1e-4


@pytest.mark.parametrize("spec", [CLASSIFY, ESTIMATE, *MEMORYLESS])
def test_answers_are_finite_whatever_comes(spec: NetworkSpec) -> None:
    """Gaps, infinities and values of any size leave the answer finite, also when nothing else ever came."""
    x = series(60)
    x[20:40] = np.nan
    x[45], x[46] = np.inf, -1e38
    assert np.isfinite(roll(spec, x)).all()
    assert np.isfinite(roll(spec, np.full((30, 2), np.nan, np.float32))).all()


def test_present_value_is_not_clipped_to_the_running_scale() -> None:
    """A lamp that goes on after a long night is seen as bright as it is, at once."""
    x = np.zeros((400, 2), np.float32)
    x[:, 0] = np.random.default_rng(0).normal(0, 0.1, 400)
    x[-1, 1] = 3.0
    assert roll(CLASSIFY, x)[-1, 1] > 0.99
    assert roll(CLASSIFY, x)[-2, 1] < 0.7
