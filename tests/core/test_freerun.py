"""A free run feeds a forecaster with its own next step."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseq.core.forecast import initial_state
from edgeseq.core.freerun import free_run
from edgeseq.testing.fake_stepper import FakeStepper


def test_free_run_is_step_after_step_on_its_own_medians() -> None:
    """Each value is the median of lead 1 of a step that was fed the value before; the state given is left alone."""
    stepper = FakeStepper(channels=2, rate=0.5)
    x, state = np.array([[4.0, 8.0], [1.0, 0.0]], np.float32), initial_state(stepper.state_spec, 2)
    before = [a.copy() for a in state]
    made = free_run(stepper, x, state, 3)
    assert made.shape == (2, 2, 3)
    fed, own = x, state
    for lead in range(3):
        quantiles, own = stepper.step(fed, own)
        fed = quantiles[:, :, 0, 1]
        np.testing.assert_array_equal(made[:, :, lead], fed)
    assert all(np.array_equal(a, b) for a, b in zip(before, state, strict=True))


@pytest.mark.parametrize("steps", [1, 40])
def test_free_run_may_be_longer_than_the_horizon(steps: int) -> None:
    """It has no end of its own: its first value is the direct forecast of lead 1."""
    stepper = FakeStepper(horizon=4)
    x, state = np.full((1, 1), 3.0, np.float32), initial_state(stepper.state_spec, 1)
    made = free_run(stepper, x, state, steps)
    assert made.shape == (1, 1, steps)
    assert made[0, 0, 0] == stepper.step(x, state)[0][0, 0, 0, 1]
