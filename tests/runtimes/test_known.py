"""Inputs that are known for the future too: what holds of steps holds with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeseq.adapters.interpreter import open_stepper, verify_golden
from edgeseq.adapters.interpreter.steppers import TFLiteStepper
from edgeseq.bundle import Bundle
from edgeseq.core.forecast import RecurrentState, Stepper, initial_state
from edgeseq.core.types import F32
from tests.runtimes.conftest import MODELS, RUNTIME
from tests.support.tiny_bundle import known_twin, read_tiny_bundle

KNOWN_MODELS = [m for m in MODELS if m[1] in ("float32", "int8_weights")]


@pytest.fixture(scope="module")
def known_bundle(bundle_path: Path) -> Bundle:
    """Give the tiny bundle with two known inputs, verified."""
    return read_tiny_bundle(known_twin(bundle_path))


@pytest.fixture(params=KNOWN_MODELS, ids=lambda p: f"{p[0]}-{p[1]}")
def model(request: pytest.FixtureRequest, known_bundle: Bundle) -> Stepper:
    """Give each stepper in turn."""
    return open_stepper(known_bundle, *request.param)


def make_inputs(stepper: Stepper, steps: int, batch: int) -> tuple[F32, F32]:
    """Draw x (B, T, C) with 10 % gaps and known (B, T + H, K)."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((batch, steps, stepper.channels)).cumsum(axis=1)
    x[rng.random(x.shape) < 0.1] = np.nan
    known = rng.standard_normal((batch, steps + stepper.horizon, stepper.known))
    return x.astype(np.float32), known.astype(np.float32)


def run(stepper: Stepper, x: F32, known: F32) -> tuple[F32, RecurrentState]:
    """Step through all of it."""
    state = initial_state(stepper.state_spec, len(x))
    for t in range(x.shape[1]):
        quantiles, state = stepper.step(x[:, t], state, known[:, t : t + 1 + stepper.horizon])
    return quantiles, state


def assert_same(found: tuple[F32, RecurrentState], wanted: tuple[F32, RecurrentState]) -> None:
    """Compare quantiles and states bit by bit."""
    for a, b in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_row_equals_itself_in_any_batch(model: Stepper) -> None:
    """With known inputs, too, no bit of a stream's forecast depends on who else is in its batch."""
    x, known = make_inputs(model, 4, 70)
    quantiles, state = run(model, x, known)
    for batch in (1, 2, 9, 65):
        assert_same(
            run(model, x[:batch], known[:batch]), (quantiles[:batch], tuple(a[:batch] for a in state))
        )


@pytest.mark.parametrize("steps", [1, 65, 130])
def test_replay_equals_steps_and_may_be_cut(model: Stepper, steps: int) -> None:
    """Replay takes T + H known inputs and gives, bit for bit, what T steps give; cut anywhere, the same."""
    x, known = make_inputs(model, steps, 3)
    start = initial_state(model.state_spec, 3)
    whole = model.replay(x, start, known)
    assert_same(whole, run(model, x, known))
    cut = steps // 2
    if cut:
        _, middle = model.replay(x[:, :cut], start, known[:, : cut + model.horizon])
        assert_same(model.replay(x[:, cut:], middle, known[:, cut:]), whole)


def test_replay_signature_is_used(known_bundle: Bundle) -> None:
    """The file's own loop takes the known inputs as steps do: to the bit in litert, where the adapter then uses it."""
    model = known_bundle.files[known_bundle.manifest.variant("float32").file]
    assert TFLiteStepper(known_bundle.manifest, RUNTIME, model)._is_exact("replay") is (RUNTIME == "litert")


def test_a_known_lead_moves_its_own_forecast_only(model: Stepper) -> None:
    """What is known of lead 2 changes the quantiles of lead 2, and neither another lead nor the state."""
    x, known = make_inputs(model, 6, 1)
    changed = known.copy()
    changed[:, 6 + 1] += 1.0
    (before, state), (after, other) = run(model, x, known), run(model, x, changed)
    assert [bool((before[:, :, h] != after[:, :, h]).all()) for h in range(3)] == [False, True, False]
    assert_same((before[:, :, 0], state), (after[:, :, 0], other))


def test_what_is_known_of_now_enters_the_state(model: Stepper) -> None:
    """The known inputs of the present step are features of the first layer."""
    x, known = make_inputs(model, 6, 1)
    changed = known.copy()
    changed[:, 5] += 1.0
    (_, state), (_, other) = run(model, x, known), run(model, x, changed)
    at = [spec.name for spec in model.state_spec].index("h0")
    assert (state[at] != other[at]).any()


@pytest.mark.parametrize(("runtime", "variant"), KNOWN_MODELS, ids=lambda p: p)
def test_golden_roll_out_with_known_inputs_is_reproduced(
    known_bundle: Bundle, runtime: str, variant: str
) -> None:
    """The proof of a bundle rolls the known inputs out, too."""
    assert verify_golden(open_stepper(known_bundle, runtime, variant), known_bundle, variant) <= 1
