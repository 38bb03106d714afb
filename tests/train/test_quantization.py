"""Which variant ships by default, and what each way of storing a network keeps exact and what it rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq.core.forecast import initial_state
from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import NetworkStepper
from edgeseq.core.types import F32
from edgeseq.errors import ConfigError
from edgeseq_train import bare_cell, export, ladder, quantization
from edgeseq_train.closed_loop import closed_loop
from edgeseq_train.fit import fit
from edgeseq_train.ladder import Bounds, Rung
from edgeseq_train.parts import Recording
from edgeseq_train.produce import produce
from edgeseq_train.recipe import QuantizationRecipe
from edgeseq_train.recipe_files import read_recipe
from tests.support.tiny_model import SPEC, make_series, make_weights
from tests.train import conftest

pytestmark = pytest.mark.training

BOUNDS = Bounds(loss_percent=0.3, difference=0.2)
FLOAT32 = Rung("float32", 300, {1: 0.0, 24: 0.0}, 0.0)
FLOAT16 = Rung("float16", 200, {1: 0.01, 24: 0.0}, 0.003, 0.001, 0.001)
INT8 = Rung("int8_weights", 100, {1: 0.1, 24: -0.2}, 0.05, 0.01, 0.012)


# --- the choice ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({}, "int8_weights"),
        ({"loss_percent": {1: 0.31, 24: 0.0}}, "float16"),
        ({"loss_percent": {1: 0.0, 24: 0.31}}, "float16"),
        ({"difference": 0.21}, "float16"),
        ({"early": 0.01, "late": 0.03}, "float16"),
        ({"early": 0.0001, "late": 0.0009}, "int8_weights"),
        ({"loss_percent": {1: float("nan"), 24: 0.0}}, "float16"),
        ({"size": 250}, "float16"),
    ],
    ids=["all well", "lead 1", "lead 24", "difference", "growth", "growth of nothing", "no target", "larger"],
)
def test_default_is_the_smallest_variant_within_the_bounds(changes: dict[str, Any], chosen: str) -> None:
    """The smallest ships while it loses little at every horizon, stays near and does not grow; else the next."""
    assert ladder.choose([FLOAT32, FLOAT16, INT8._replace(**changes)], BOUNDS).name == chosen


def test_where_none_is_within_the_bounds_the_nearest_ships() -> None:
    """A bundle without float32 whose variants all lose too much ships the one that differs least."""
    lossy = [r._replace(loss_percent={1: 2.0}) for r in (INT8, FLOAT16)]
    assert ladder.choose(lossy, BOUNDS).name == "float16"


def two_networks() -> dict[str, NetworkStepper]:
    """Make a network, and another whose layers say it a tenth louder."""
    weights = make_weights(SPEC)
    louder = {k: a * np.float32(1.1 if k.startswith("layer") else 1.0) for k, a in weights.items()}
    return {"float32": NetworkStepper(SPEC, weights), "other": NetworkStepper(SPEC, louder)}


def test_climb_looks_at_nothing_after_the_validation_part() -> None:
    """Other readings in the test part change no figure; the reference loses nothing, a perturbed network something."""
    steppers = two_networks()
    sizes, x = {"float32": 2, "other": 1}, make_series(300, 4).reshape(300, 2, 2)
    changed = x.copy()
    changed[250:] = 1e6
    both = [ladder.climb(steppers, sizes, a, np.ones((2, 2)), slice(200, 250)) for a in (x, changed)]
    assert both[0] == both[1]
    exact, other = both[0]
    assert (exact.worst_loss, exact.difference, exact.late) == (0.0, 0.0, 0.0)
    assert other.difference > other.late > 0
    assert set(other.loss_percent) == {1, SPEC.horizon}
    assert any(other.loss_percent.values())


def test_closed_loop_is_each_variant_stepped_alone() -> None:
    """Errors and differences side by side are those of roll-outs one after the other."""
    x = make_series(60, 4).reshape(60, 2, 2)
    targets = np.random.default_rng(0).standard_normal((40, 2, 2, SPEC.horizon)).astype(np.float32)
    targets[5] = np.nan
    steppers = two_networks()
    trails, states = closed_loop(steppers, x, targets, watch=("h0",))
    rolled = {name: _rolled(stepper, x) for name, stepper in steppers.items()}
    error = np.nanmean(np.abs(rolled["other"][0][:40, ..., 2] - targets), axis=0)
    np.testing.assert_allclose(trails["other"].error, error, rtol=1e-5)
    moved = np.abs(rolled["other"][1] - rolled["float32"][1]).max(axis=2)
    np.testing.assert_array_equal(trails["other"].states["h0"], moved)
    np.testing.assert_array_equal(states["other"][-2], rolled["other"][1][-1])
    assert (trails["float32"].output == 0).all()
    scale = np.sqrt(rolled["float32"][2])[:, :, :, None, None]
    apart = np.abs(rolled["other"][0] - rolled["float32"][0]) / scale
    np.testing.assert_allclose(trails["other"].mean, apart.mean(axis=(2, 3, 4)), rtol=1e-5)
    np.testing.assert_allclose(trails["other"].output, apart.max(axis=(2, 3, 4)), rtol=1e-5)


def _rolled(stepper: NetworkStepper, x: F32) -> tuple[F32, F32, F32]:
    """Step through x → quantiles, the first layer's state (T, B, U), and the running variance (T, B, C)."""
    names = [s.name for s in stepper.state_spec]
    state = initial_state(stepper.state_spec, x.shape[1])
    quantiles, states, variances = [], [], []
    for row in x:
        q, state = stepper.step(row, state)
        quantiles.append(q)
        states.append(state[names.index("h0")])
        variances.append(state[names.index("variance")])
    return np.array(quantiles), np.array(states), np.array(variances)


# --- the recipe -----------------------------------------------------------------------------------------------------


def test_bundle_carries_what_the_recipe_names_and_the_choice_is_among_them() -> None:
    """With two variants in the recipe, file, manifest and default are of these; the table has float32 beside them."""
    recipe = msgspec.structs.replace(
        conftest.small_recipe(steps=2),
        quantization=QuantizationRecipe(variants=("float16", "dynamic"), loss_percent=0.0, difference=1e-9),
    )
    recording = Recording(conftest.make_series(700)[:, :, None], ("a", "b"), conftest.HOUR_NS)
    fitted = fit(recording, conftest.HORIZON, recipe, lambda *_: None, lambda _: None)
    told: list[str] = []
    manifest, files, _ = produce(recording, fitted, recipe, "house", told.append)
    assert [v.name for v in manifest.variants] == ["float16", "dynamic"]
    assert {v.file for v in manifest.variants} == {name for name in files if name.endswith(".tflite")}
    rungs = {rung["name"]: rung for rung in manifest.training["ladder"]}
    assert manifest.default_variant == min(rungs, key=lambda name: rungs[name]["difference"])
    assert any(line.startswith(f"the default is {manifest.default_variant}: MASE") for line in told)
    measured = [row["forecaster"] for row in manifest.training["table"] if "loss" in row]
    assert measured == ["model float32", "model float16", "model dynamic"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("variants = []", "length >= 1"),
        ('variants = ["int4"]', "found:  int4"),
        ("loss_percent = -1", ">= 0"),
        ("difference = 0", "> 0"),
    ],
)
def test_wrong_quantization_in_a_recipe_is_told(line: str, says: str, tmp_path: Path) -> None:
    """No variant, an unknown one and bounds that nothing can meet are refused with the place."""
    path = tmp_path / "recipe.toml"
    path.write_text(f"[quantization]\n{line}\n")
    with pytest.raises(ConfigError, match=r"unknown key|wrong value") as raised:
        read_recipe(path)
    assert says in str(raised.value)
    assert f"{path}: quantization" in str(raised.value.where)


# --- what is rounded ------------------------------------------------------------------------------------------------


def test_dynamic_rounds_learned_products_only(tmp_path: Path) -> None:
    """Of the dynamic variant's weights, those of layers and head are int8; those of highway and taps stay float32."""
    from ai_edge_litert.interpreter import Interpreter

    spec = msgspec.structs.replace(SPEC, layers=(LayerSpec("gru", 32),), ring=96, horizon=24, taps=16)
    with hushed(lambda _: True):
        export.save(spec, make_weights(spec), str(tmp_path), hide_exact=True)
        model = export.dynamic(str(tmp_path))
    details = Interpreter(model_content=model).get_tensor_details()
    rounded = {tuple(d["shape"]) for d in details if d["dtype"] is np.int8 and len(d["shape"]) == 2}
    assert (3 * 32, spec.features) in rounded
    assert not rounded & {(24, 96), (96, 24), (16, 96), (96, 16)}


BARE = msgspec.structs.replace(SPEC, layers=(LayerSpec("lstm", 24),))


SHIFT_AT = 200


@pytest.fixture(scope="module")
def rolled_bare() -> dict[str, dict[str, F32]]:
    """Roll every mode of a bare LSTM, calibrated before a level shift, along all of a series → mode → states."""
    weights = make_weights(BARE)
    x = np.tanh(make_series(2 * SHIFT_AT, 6)).reshape(2 * SHIFT_AT, 3, 2)
    samples = bare_cell.representative(BARE, weights, x[:SHIFT_AT], 600, np.random.default_rng(0))
    with hushed(lambda _: True):
        models = quantization.bare_variants(BARE, weights, samples)
    seen = bare_cell.views(BARE, weights, x)
    rolled = {}
    for mode, model in models.items():
        signature = quantization.bare_signature(model, BARE)
        advance = bare_cell.open_cell("litert", model, signature, BARE, 3)
        rolled[mode] = bare_cell.roll(BARE, advance, seen)
    rolled["numpy"] = bare_cell.roll(BARE, bare_cell.exact(BARE, weights), seen)
    return rolled


def apart(rolled: dict[str, dict[str, F32]], steps: slice, q: float) -> dict[str, float]:
    """Mode → quantile of the differences to float32, of the state where it is largest."""
    exact = rolled["float32"]
    return {
        mode: max(float(np.quantile(np.abs(a[steps] - exact[k][steps]), q)) for k, a in states.items())
        for mode, states in rolled.items()
    }


def test_bare_cell_in_float32_is_the_cell_of_the_network(rolled_bare: dict[str, dict[str, F32]]) -> None:
    """The cell cut out and run by the runtime has the states of the network on NumPy, step by step."""
    for name, states in rolled_bare["numpy"].items():
        np.testing.assert_allclose(rolled_bare["float32"][name], states, atol=1e-4)


def test_modes_of_the_bare_cell_stand_in_the_order_of_their_precision(
    rolled_bare: dict[str, dict[str, F32]],
) -> None:
    """Where they were calibrated all modes follow: float16 closest, int16x8 closer than full int8, at the median."""
    found = apart(rolled_bare, slice(0, SHIFT_AT), 0.5)
    assert 0 < found["float16"] < found["int16x8"] < found["full_int8"]
    assert found["float16"] < found["int8_weights"] < found["full_int8"]
    assert found["float16"] < found["dynamic"] < found["full_int8"]


def test_integer_modes_clip_what_they_were_not_calibrated_for(
    rolled_bare: dict[str, dict[str, F32]],
) -> None:
    """After a level shift the LSTM's state leaves the calibrated range: both integer modes lose it, others follow."""
    found = apart(rolled_bare, slice(SHIFT_AT, None), 1.0)
    followed = max(found[mode] for mode in ("float16", "int8_weights", "dynamic"))
    assert min(found["full_int8"], found["int16x8"]) > 5 * followed


def test_whole_forecast_of_a_bare_cell_is_that_of_the_network() -> None:
    """Front, cell and head apart, joined again, forecast what the network does."""
    weights = make_weights(BARE)
    x = make_series(40, 4).reshape(40, 2, 2)
    seen = bare_cell.views(BARE, weights, x)
    states = bare_cell.roll(BARE, bare_cell.exact(BARE, weights), seen)
    joined = np.concatenate(list(bare_cell.forecasts(BARE, weights, seen, states["h0"])))
    stepper = NetworkStepper(BARE, weights)
    state = initial_state(stepper.state_spec, 2)
    for t, row in enumerate(x):
        q, state = stepper.step(row, state)
        np.testing.assert_allclose(joined[t], q, rtol=1e-4, atol=1e-4)
