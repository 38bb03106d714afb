"""What every Stepper must do, whatever computes it."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseq.adapters.interpreter import (
    GuardedStepper,
    available_runtimes,
    open_stepper,
    runtime_fault,
    verify_golden,
)
from edgeseq.adapters.interpreter.calls import make_call
from edgeseq.adapters.interpreter.steppers import TFLiteStepper
from edgeseq.bundle import Bundle
from edgeseq.bundle.golden import golden_difference, load_golden
from edgeseq.core.forecast import RecurrentState, Stepper, initial_state, step_rows
from edgeseq.core.table import Column, Table
from edgeseq.core.types import F32
from tests.runtimes.conftest import MODELS, RUNTIME

BATCHES = (1, 2, 3, 8, 9, 63, 64, 65, 300, 511, 512, 513)


def make_x(stepper: Stepper, steps: int, batch: int, seed: int = 1) -> F32:
    """Draw inputs (T, B, C) with 10 % gaps."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((steps, batch, stepper.channels)).cumsum(axis=0)
    x[rng.random(x.shape) < 0.1] = np.nan
    return x.astype(np.float32)


def run(stepper: Stepper, x: F32, state: RecurrentState | None = None) -> tuple[F32, RecurrentState]:
    """Step through x (T, B, C)."""
    state = initial_state(stepper.state_spec, x.shape[1]) if state is None else state
    for row in x:
        quantiles, state = stepper.step(row, state)
    return quantiles, state


def assert_same(found: tuple[F32, RecurrentState], wanted: tuple[F32, RecurrentState]) -> None:
    """Compare quantiles and states bit by bit; NaN equals NaN."""
    for a, b in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True):
        np.testing.assert_array_equal(a, b)


def rows(result: tuple[F32, RecurrentState], selection: slice) -> tuple[F32, RecurrentState]:
    """Select rows of a batch."""
    return result[0][selection], tuple(a[selection] for a in result[1])


def test_environment_has_the_runtime_it_is_here_for() -> None:
    """The suite proves nothing about a runtime that is not installed."""
    assert runtime_fault(RUNTIME) is None
    assert available_runtimes() == (RUNTIME, "numpy")


@pytest.mark.parametrize("batch", [0, 1, 3, 70])
def test_shapes_and_types_are_those_of_the_specification(stepper: Stepper, batch: int) -> None:
    """Quantiles are (B, C, H, Q), each state (B, ...), all float32, for any batch and even none."""
    state = initial_state(stepper.state_spec, batch)
    quantiles, following = stepper.step(np.ones((batch, stepper.channels), np.float32), state)
    assert quantiles.shape == (batch, stepper.channels, stepper.horizon, len(stepper.levels))
    assert [a.shape for a in following] == [(batch, *spec.shape) for spec in stepper.state_spec]
    assert {a.dtype for a in (quantiles, *following)} == {np.dtype(np.float32)}


def test_arguments_are_not_changed_and_results_share_no_memory(stepper: Stepper) -> None:
    """A step is a function: nothing it was given changes, and nothing it gave changes later."""
    for batch in (1, 2, 5, 64):
        x = make_x(stepper, 2, batch)
        before = run(stepper, make_x(stepper, 3, batch, seed=2))[1]
        kept = [a.copy() for a in (x[0], *before)]
        result = stepper.step(x[0], before)
        copies = result[0].copy(), tuple(a.copy() for a in result[1])
        stepper.step(x[1], result[1])
        assert_same(result, copies)
        for given, copy in zip((x[0], *before), kept, strict=True):
            np.testing.assert_array_equal(given, copy)
            assert not any(np.may_share_memory(given, made) for made in (result[0], *result[1]))
        for i, made in enumerate((result[0], *result[1])):
            assert not any(np.shares_memory(made, other) for other in result[1][i:])


def test_row_equals_itself_in_any_batch(stepper: Stepper) -> None:
    """What a stream gets does not depend, in any bit, on who else is in its batch."""
    x = make_x(stepper, 4, max(BATCHES))
    whole = run(stepper, x)
    for batch in BATCHES:
        assert_same(run(stepper, x[:, :batch]), rows(whole, slice(0, batch)))
        assert_same(run(stepper, x[:, -batch:]), rows(whole, slice(max(BATCHES) - batch, None)))


@pytest.mark.parametrize("batch", [0, 1, 3, 64, 70, 513])
def test_rows_of_stored_states_are_stepped_as_any_others(stepper: Stepper, batch: int) -> None:
    """Where states are kept changes no bit of them; rows that are not asked for stay as they are."""
    x = make_x(stepper, 4, 2 * batch + 2)
    stored = run(stepper, x[:3])[1]
    places = np.random.default_rng(6).permutation(2 * batch + 2)
    at, into, left = places[:batch], places[batch : 2 * batch], np.delete(places, np.s_[batch : 2 * batch])
    before = tuple(a.copy() for a in stored)
    wanted = stepper.step(x[3, :batch], tuple(a[at] for a in before))
    quantiles = step_rows(stepper, x[3, :batch], stored, at, into)
    assert_same((quantiles, tuple(a[into] for a in stored)), wanted)
    assert_same((quantiles, tuple(a[left] for a in stored)), (quantiles, tuple(a[left] for a in before)))


@pytest.mark.parametrize("batch", [1, 8, 9, 64])
def test_states_beside_each_other_are_stepped_as_those_apart(stepper: Stepper, batch: int) -> None:
    """In the table of a group small states lie in one matrix: no bit of them changes for that."""
    x = make_x(stepper, 4, batch)
    names = [f"s.{spec.name}" for spec in stepper.state_spec]
    small = {spec.name for spec in stepper.state_spec if len(spec.shape) == 1}
    table = Table(
        {
            f"s.{s.name}": Column(
                (2, *s.shape), s.dtype, s.init, s.name not in small, "s." * (s.name in small)
            )
            for s in stepper.state_spec
        }
    )
    for _ in range(batch):
        table.add_row()
    state = run(stepper, x[:3])[1]
    for name, array in zip(names, state, strict=True):
        table[name][:, 0] = array
    at = 2 * np.arange(batch)
    assert small
    quantiles = step_rows(stepper, x[3], table.pairs("s."), at, at + 1)
    assert_same((quantiles, tuple(table[name][:, 1] for name in names)), stepper.step(x[3], state))
    assert_same((quantiles, tuple(table[name][:, 0] for name in names)), (quantiles, state))


def test_stepper_without_its_guard_steps_stored_rows_the_same(bundle: Bundle) -> None:
    """What trainers and benches use bare keeps to the protocol, too."""
    bare = TFLiteStepper(bundle.manifest, RUNTIME, bundle.files[bundle.manifest.variant("float32").file])
    x = make_x(bare, 1, 2)
    stored = initial_state(bare.state_spec, 4)
    wanted = bare.step(x[0], initial_state(bare.state_spec, 2))
    quantiles = step_rows(bare, x[0], stored, np.array([0, 1]), np.array([2, 3]))
    assert_same((quantiles, tuple(a[2:] for a in stored)), wanted)


def test_strided_views_are_as_good_as_arrays(stepper: Stepper) -> None:
    """The core gathers rows as it likes: memory layout changes nothing."""
    x = make_x(stepper, 5, 64)
    state = run(stepper, x[:4])[1]
    whole = stepper.step(x[4], state)
    strided = stepper.step(x[4, ::2], tuple(np.asfortranarray(a)[::2] for a in state))
    assert_same(strided, rows(whole, slice(0, None, 2)))


@pytest.mark.parametrize("steps", [1, 2, 64, 65, 66, 150])
def test_replay_equals_steps(stepper: Stepper, steps: int) -> None:
    """Catching up by replay gives the state and the forecast that steps would have given, bit for bit."""
    for batch in (1, 3, 9):
        x = make_x(stepper, steps, batch)
        start = run(stepper, make_x(stepper, 3, batch, seed=5))[1]
        replayed = stepper.replay(np.moveaxis(x, 0, 1), start)
        assert_same(replayed, run(stepper, x, start))


@pytest.mark.parametrize("variant", [v for r, v in MODELS if r == RUNTIME])
def test_replay_signature_computes_what_steps_compute(bundle: Bundle, variant: str) -> None:
    """The file's own loop agrees with steps: to the bit where the adapter uses it, else closely."""
    stepper = TFLiteStepper(bundle.manifest, RUNTIME, bundle.files[bundle.manifest.variant(variant).file])
    exact = RUNTIME == "litert" and variant != "float16"
    assert stepper._is_exact("replay") is exact
    shape = (8, 64, stepper.channels)
    x = np.random.default_rng(4).standard_normal(shape).astype(np.float32)
    call = make_call(
        bundle.manifest, "replay", RUNTIME, bundle.files[bundle.manifest.variant(variant).file], shape
    )
    looped = call.arrays((x, *initial_state(stepper.state_spec, 8)))
    quantiles, state = run(stepper, np.moveaxis(x, 1, 0))
    for a, b in zip(looped, (quantiles, *state), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=0 if exact else 0.02 * max(1, np.abs(b).max()))


def test_replay_may_be_cut_anywhere(stepper: Stepper) -> None:
    """Replaying in two parts equals replaying at once."""
    x = np.moveaxis(make_x(stepper, 130, 2), 0, 1)
    start = initial_state(stepper.state_spec, 2)
    whole = stepper.replay(x, start)
    for cut in (1, 64, 100):
        assert_same(stepper.replay(x[:, cut:], stepper.replay(x[:, :cut], start)[1]), whole)


def test_levels_and_quantiles_ascend(stepper: Stepper) -> None:
    """Quantiles never cross, not even after a spike."""
    x = make_x(stepper, 60, 3)
    x[30] *= 1e6
    assert list(stepper.levels) == sorted(set(stepper.levels))
    state = initial_state(stepper.state_spec, 3)
    for row in x:
        quantiles, state = stepper.step(row, state)
        assert not (np.diff(quantiles, axis=-1) < 0).any()


def test_gaps_only_leave_a_forecast_or_none_but_never_a_fault(stepper: Stepper) -> None:
    """A stream that has seen nothing but gaps stays usable."""
    gaps = np.full((40, 2, stepper.channels), np.nan, np.float32)
    state = run(stepper, gaps)[1]
    quantiles, _ = run(stepper, np.ones((3, 2, stepper.channels), np.float32), state)
    assert np.isfinite(quantiles).all()


HOSTILE = (np.nan, np.inf, -np.inf, 1e30, -1e30, 3e38, 2e9, -2e9, 1e-40)


@pytest.mark.parametrize("value", HOSTILE)
def test_no_input_poisons_a_model(model: GuardedStepper, value: float) -> None:
    """Whatever one reading is, state and forecasts stay finite, without the guard's help, and the row recovers."""
    x = make_x(model, 40, 2)
    state = run(model, x[:20])[1]
    struck = np.full((2, model.channels), value, np.float32)
    for row in (struck, struck, *x[20:]):
        quantiles, state = model.step(row, state)
        assert all(np.isfinite(a).all() for a in (quantiles, *state))
    assert model.faults == 0


def test_hostile_row_leaves_its_neighbours_alone(stepper: Stepper) -> None:
    """A poisoned row of a batch changes no bit of another."""
    x = make_x(stepper, 10, 9)
    clean = run(stepper, x)
    x[5, 4] = np.inf
    struck = run(stepper, x)
    assert_same(rows(struck, slice(0, 4)), rows(clean, slice(0, 4)))
    assert_same(rows(struck, slice(5, None)), rows(clean, slice(5, None)))


@pytest.mark.parametrize(("runtime", "variant"), MODELS, ids=lambda p: p)
def test_golden_roll_out_is_reproduced(bundle: Bundle, runtime: str, variant: str) -> None:
    """Each variant stays within its own tolerance of the float64 roll-out, over gaps, a spike and a shift."""
    stepper = open_stepper(bundle, runtime, variant)
    difference = verify_golden(stepper, bundle, variant)
    print(f"{runtime} {variant}: {difference:.3g} tolerances")
    assert difference <= 1


def test_golden_check_notices_a_changed_value(model: GuardedStepper, bundle: Bundle) -> None:
    """The proof can fail: one wrong quantile, state or NaN is seen."""
    golden = load_golden(bundle)
    quantiles = golden.quantiles.copy()
    quantiles[-2, 0, 0, 0] += 50 * golden.scale[-2, 0]
    changed = type(golden)(golden.x, quantiles, golden.scale, golden.state_steps, golden.states)
    assert golden_difference(model, changed) > 40
    states = {**golden.states, "mean": golden.states["mean"] + 100}
    changed = type(golden)(golden.x, golden.quantiles, golden.scale, golden.state_steps, states)
    assert golden_difference(model, changed) > 0.9
