"""What training may ship, and that it is repeatable and honest about the future."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseq.core import features
from edgeseq.core.forecast import initial_state
from edgeseq.core.network import NetworkStepper, weight_shapes
from edgeseq.errors import InputError
from edgeseq_train import prepare
from edgeseq_train.evaluate import ridge_forecast
from edgeseq_train.fit import fit
from edgeseq_train.parts import Recording
from tests.train.conftest import HORIZON, HOUR_NS, make_series, small_recipe, train_small

pytestmark = pytest.mark.training
VALUES = make_series(1000)[:, :, None]


def test_untrained_network_is_ridge_and_says_so() -> None:
    """Where training finds nothing better on validation, what ships forecasts as ridge does, and says so."""
    fitted = train_small(VALUES, small_recipe(steps=4, learning_rate=0.0))
    assert fitted.summary["recurrent"] is False
    x = features.normalise(VALUES, fitted.anchor, fitted.unit)
    stepper = NetworkStepper(fitted.spec, fitted.weights, np.float64)
    state, medians = initial_state(stepper.state_spec, 2), []
    for row in x:
        q, state = stepper.step(row, state)
        medians.append(q[..., 3])
    wanted = slice(500, 900)
    clean = prepare.track(fitted.spec, x).clean
    expected = ridge_forecast(clean, fitted.ridge.lags, fitted.ridge.weights, wanted)
    np.testing.assert_allclose(np.array(medians)[wanted], expected, atol=1e-5)


def test_trained_network_beats_ridge_on_validation() -> None:
    """On a series whose spread and noise the cell can learn, the loss falls below that of ridge."""
    fitted = train_small(VALUES, small_recipe(steps=40))
    assert fitted.summary["recurrent"] is True
    assert float(str(fitted.summary["validation_loss"])) < float(str(fitted.summary["ridge_validation_loss"]))


def test_same_seed_same_weights_other_seed_others() -> None:
    """Training repeats itself with a seed, and depends on it."""
    a, b, c = (train_small(VALUES, small_recipe(steps=6, seed=s)) for s in (1, 1, 2))
    for name in a.weights:
        np.testing.assert_allclose(a.weights[name], b.weights[name], atol=1e-5)
    assert np.abs(a.weights["layer0.kernel"] - c.weights["layer0.kernel"]).max() > 1e-3


def test_test_part_has_no_influence_on_the_model() -> None:
    """Other values in the test part leave every weight as it is."""
    changed = VALUES.copy()
    changed[800:] = 1e6
    a, b = (train_small(v, small_recipe(steps=4)) for v in (VALUES, changed))
    for name in a.weights:
        np.testing.assert_allclose(a.weights[name], b.weights[name], atol=1e-5)


@pytest.mark.parametrize("multichannel", [False, True])
def test_model_has_the_weights_its_specification_names(multichannel: bool) -> None:
    """Weights are exactly those of weight_shapes, for streams and for channels, and at most 100,000."""
    values = VALUES.reshape(1000, 1, 2) if multichannel else VALUES
    fitted = train_small(values, small_recipe(steps=2))
    assert {k: a.shape for k, a in fitted.weights.items()} == weight_shapes(fitted.spec)
    assert fitted.spec.channels == (2 if multichannel else 1)
    assert sum(a.size for a in fitted.weights.values()) <= 100_000


def test_constant_channel_is_named() -> None:
    """A channel that never changes cannot be learned, and the error names it."""
    values = VALUES.copy()
    values[:, 1] = 3.0
    with pytest.raises(InputError, match="never changes") as raised:
        train_small(values, small_recipe(steps=2))
    assert "c1" in str(raised.value)


def test_short_recording_is_refused() -> None:
    """A training part shorter than a few horizons is an InputError that tells rows given and days to record."""
    recording = Recording(VALUES[:200], ("a", "b"), HOUR_NS)
    with pytest.raises(InputError, match="too short") as raised:
        fit(recording, HORIZON, small_recipe(), lambda *_: None, lambda _: None)
    assert raised.value.found == "120 steps, 60 % of the recording's 200 (8.3 days)"
    assert raised.value.wanted == "at least 248 steps for a horizon of 12: a recording of 414 steps"
    assert str(raised.value.do).startswith("record for 18 days")


def test_training_stops_at_the_first_loss_that_is_not_finite() -> None:
    """A diverging training ends with the step and what to change, at once and not in what comes after."""
    told: list[int] = []
    recording = Recording(VALUES, ("a", "b"), HOUR_NS)
    recipe = small_recipe(steps=60, learning_rate=1e30)
    with pytest.raises(InputError, match="left the finite numbers") as raised:
        fit(recording, HORIZON, recipe, lambda step, *_: told.append(step), lambda _: None)
    assert "at step" in str(raised.value.found)
    assert "learning_rate" in str(raised.value.do)
    assert told == []
