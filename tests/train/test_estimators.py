"""Estimators from a recording to a bundle: what is learned, what may ship, and the same arithmetic on both sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from edgeseq.adapters.interpreter import open_stepper, verify_golden
from edgeseq.adapters.interpreter.steppers import TFLiteStepper
from edgeseq.bundle import Bundle, TrustedKeys, read_bundle
from edgeseq.bundle.keys import load_signing_key
from edgeseq.commands.bundle import bundle as bundle_command
from edgeseq.core import features, network
from edgeseq.core.forecast import initial_state
from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import NetworkSpec, NetworkStepper, state_spec, weight_shapes
from edgeseq.core.types import F32, F64
from edgeseq.errors import ConfigError, InputError, OperatorError
from edgeseq_train import export, prepare
from edgeseq_train.cli import train
from edgeseq_train.estimators import labels, regression, scores
from edgeseq_train.estimators.fit import FittedEstimator, class_weights, fit, start
from edgeseq_train.estimators.labels import Labelled
from edgeseq_train.estimators.produce import roll
from edgeseq_train.estimators.rows import prepare_rows
from edgeseq_train.parts import split_rows
from edgeseq_train.recipe import CellRecipe, FrontRecipe, Recipe, TrainingRecipe
from edgeseq_train.recipe_files import read_recipe
from tests.support.estimators import ESTIMATE, make_weights
from tests.support.other_runtime import roll_on_tflite_runtime

pytestmark = pytest.mark.training
MINUTE_NS = 60 * 10**9
STEPS = 900
TINY = TrainingRecipe(steps=8, lanes=8, validate_every=4, segment=16)


def room(steps: int = STEPS, seed: int = 0) -> pl.DataFrame:
    """Draw minutes of a room: CO2 that follows people slowly, light that does not always, and who is there."""
    rng = np.random.default_rng(seed)
    there = (np.arange(steps) // 45 % 3 == 1) ^ (rng.random(steps) < 0.02)
    co2 = np.zeros(steps)
    for k in range(1, steps):
        co2[k] = 0.93 * co2[k - 1] + 40 * there[k] + rng.normal(0, 5)
    light = 400 * there * (rng.random(steps) < 0.8) + rng.normal(0, 10, steps)
    light[rng.random(steps) < 0.03] = np.nan
    time = np.datetime64("2026-01-01T00:00:00") + np.arange(steps) * np.timedelta64(1, "m")
    names = np.where(there, "in", "out")
    frame = {
        "time": [f"{t}Z" for t in time],
        "co2": 500 + co2,
        "light": light,
        "who": names,
        "heat": 20 + co2 / 100,
    }
    return pl.DataFrame(frame).with_columns(pl.col("light").fill_nan(None))


def labelled(task: Any = "classify", frame: pl.DataFrame | None = None, **options: Any) -> Labelled:
    """Read the room with its truth."""
    target = "who" if task == "classify" else "heat"
    inputs = {"columns": ("co2", "light"), **options}
    return labels.from_frame(room() if frame is None else frame, MINUTE_NS, "last", target, task, **inputs)


def small(**changes: Any) -> Recipe:
    """Make a recipe that trains in a second."""
    recipe = Recipe(
        cell=CellRecipe(units=6), front=FrontRecipe(ring=8), training=TINY, levels=(0.05, 0.5, 0.95)
    )
    return msgspec.structs.replace(recipe, **changes)


def fitted(source: Labelled, recipe: Recipe) -> FittedEstimator:
    """Fit without a word."""
    return fit(source, recipe, lambda *_: None, lambda _: None)


# --- reading ------------------------------------------------------------------------------------------------------


def test_classes_may_be_text_or_numbers_and_be_called_otherwise() -> None:
    """Their names come from the column, sorted, and may be replaced; gaps are unknown."""
    frame = room().with_columns(code=pl.when(pl.col("who") == "in").then(2).otherwise(1))
    told = labelled(frame=frame)
    assert told.target.classes == ("in", "out")
    assert told.inputs.names == ("co2", "light")
    expected = (frame["who"] == "out").to_numpy().astype(float)
    np.testing.assert_array_equal(told.truth, expected)
    by_number = labels.from_frame(frame.drop("who"), MINUTE_NS, "last", "code", "classify", columns=("co2",))
    assert by_number.target.classes == ("1", "2")
    assert labels.named(by_number, ["1=out", "2=in"]).target.classes == ("out", "in")
    np.testing.assert_array_equal(by_number.truth, 1 - expected)


def test_class_of_a_step_is_the_most_frequent_of_its_readings() -> None:
    """Where inputs are averaged over a step, its class is decided by majority."""
    told = labels.from_frame(room(), 3 * MINUTE_NS, "mean", "who", "classify", columns=("co2",))
    votes = (room()["who"] == "out").to_numpy()[: STEPS // 3 * 3].reshape(-1, 3).sum(axis=1)
    np.testing.assert_array_equal(told.truth, (votes >= 2).astype(float))


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"target": "co2", "columns": ("co2",)}, ConfigError, "the target is among the inputs"),
        ({"target": "who", "aggregate": "max"}, ConfigError, "classes have no maximum"),
        ({"target": "whom"}, InputError, "no such column"),
        ({"target": "co2"}, InputError, "too many classes"),
        ({"target": "same"}, InputError, "the target has only one class"),
        ({"target": "who", "task": "estimate"}, InputError, "the target holds no numbers"),
        ({"target": "who", "columns": ("word",)}, InputError, "there are no numbers"),
    ],
)
def test_target_that_cannot_be_learned_is_refused(
    arguments: dict[str, Any], error: type[ConfigError | InputError], says: str
) -> None:
    """What is wrong with a target or its inputs is said before anything is trained."""
    given = {"aggregate": "last", "task": "classify", "columns": ("light",), **arguments}
    frame = room().with_columns(same=pl.lit(1), word=pl.lit("a"))
    target, aggregate, task = (given.pop(name) for name in ("target", "aggregate", "task"))
    with pytest.raises(error, match=says):
        labels.from_frame(frame, MINUTE_NS, aggregate, target, task, **given)


@pytest.mark.parametrize("names", [["in"], ["inside=1"], ["in=out"]])
def test_names_that_fit_no_class_are_refused(names: list[str]) -> None:
    """A name must stand for a class that is there, and be no other's."""
    with pytest.raises(ConfigError, match="the names of the classes do not fit"):
        labels.named(labelled(), names)


def truth_only_after(step: int, otherwise: str | None) -> pl.DataFrame:
    """Draw the room, but say who is there only from a step on."""
    return room().with_columns(
        who=pl.when(pl.int_range(STEPS) > step).then(pl.col("who")).otherwise(pl.lit(otherwise))
    )


@pytest.mark.parametrize(
    ("frame", "changes", "says"),
    [
        (room(300), {}, "the training part is too short"),
        (truth_only_after(700, None), {}, "the training part is too short"),
        (truth_only_after(600, "out"), {}, "the training part has only one class"),
        (
            room().with_columns(light=pl.when(pl.int_range(STEPS) > 700).then(1.0).otherwise(0.0)),
            {},
            "never changes",
        ),
        (
            room(),
            {"memory": False, "layers": (LayerSpec("gru", 4),)},
            "a layer remembers, but no memory is wanted",
        ),
    ],
)
def test_recording_that_cannot_teach_is_refused(
    frame: pl.DataFrame, changes: dict[str, Any], says: str
) -> None:
    """Too few known steps, one class alone, a still channel, or memory where none is wanted: each says so."""
    recipe = small(**changes)
    with pytest.raises(OperatorError, match=says):
        prepare_rows(labelled(frame=frame), split_rows(len(frame), recipe.split), recipe)


# --- regression and scores ------------------------------------------------------------------------------------------


def test_least_squares_finds_the_plane() -> None:
    """On exact data the penalty with the least error gives the weights back."""
    x = np.random.default_rng(0).normal(size=(300, 3))
    solved = regression.least_squares(x, x @ [1.0, -2.0, 0.5] + 3.0, 200)
    np.testing.assert_allclose([*solved.weights[:, 0], *solved.offset], [1.0, -2.0, 0.5, 3.0], atol=1e-3)


def test_logistic_regression_is_where_the_slope_vanishes() -> None:
    """Its solution has no slope left but the penalty's: classes are told as often as they occur."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 2))
    labels_ = (rng.random(3000) < 1 / (1 + np.exp(-2 * x[:, 0] - 0.5))).astype(int)
    solved = regression.logistic(x, labels_, 2, np.ones(3000), 2000)
    told = regression.softmax(solved(x[:2000]))
    assert told[:, 1].mean() == pytest.approx(labels_[:2000].mean(), abs=1e-3)
    assert solved.weights[0, 1] - solved.weights[0, 0] == pytest.approx(2.0, abs=0.3)


def test_larger_model_must_pay_by_more_than_one_standard_error() -> None:
    """A steady gain counts, one that a single stretch brings does not."""
    loss = np.random.default_rng(0).random(1000)
    assert regression.pays(loss, loss - 0.01)
    assert not regression.pays(loss, loss)
    assert not regression.pays(loss, np.where(np.arange(1000) < 100, loss - 0.1, loss + 0.005))


def test_scores_of_classes_by_hand() -> None:
    """Four rows of two classes, three of them right."""
    told = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    measured = scores.of_classes(told, np.array([0, 0, 1, 0]))
    assert measured["accuracy"] == 0.75
    assert measured["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert measured["f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert measured["log_loss"] == pytest.approx(-np.log([0.9, 0.6, 0.8, 0.3]).mean())
    assert measured["brier"] == pytest.approx((0.02 + 0.32 + 0.08 + 0.98) / 4)


def test_scores_of_numbers_by_hand() -> None:
    """Error, bias and coverage of three numbers."""
    measured = scores.of_numbers(
        np.array([1.0, 2.0, 5.0]), np.array([0.0, 2.0, 3.0]), np.zeros(3), np.full(3, 2.5)
    )
    assert (measured["mae"], measured["bias"]) == (1.0, 1.0)
    assert measured["coverage"] == pytest.approx(2 / 3)
    assert scores.pinball(np.array([[0.0, 1.0]]), np.array([2.0]), (0.1, 0.5)) == pytest.approx(
        (0.4 + 1.0) / 2
    )


# --- what is trained ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [True, False])
def test_training_features_equal_the_devices_bit_for_bit(memory: bool) -> None:
    """Each row's features are those that the network makes of it, reading by reading, gaps included."""
    source, recipe = labelled(), small(memory=memory)
    split = split_rows(STEPS, recipe.split)
    ready = prepare_rows(source, split, recipe)
    spec, run = ready.rows.spec, ready.rows.runs[0]
    x = features.normalise(source.inputs.values[: split.validation, 0], ready.anchor, ready.scale)
    assert np.isnan(x).sum() > 10
    front = [s for s in state_spec(spec) if s.name in network.FRONT_STATES]
    state: tuple[Any, ...] = initial_state(tuple(front), 1)
    for t, row in enumerate(x):
        view, state = network.front(prepare.BLAS, spec, ready.fixed, row[None], state)
        np.testing.assert_array_equal(view.features[0], ready.rows.features[run.start + t])


def test_untrained_network_is_the_regression_and_ships_as_such() -> None:
    """Where training finds nothing better, what ships answers as the regression does, and says so."""
    source, recipe = labelled("estimate"), small(training=TrainingRecipe(steps=0, lanes=8))
    found = fitted(source, recipe)
    assert found.summary["recurrent"] is False
    assert {k: a.shape for k, a in found.weights.items()} == weight_shapes(found.spec)
    split = split_rows(STEPS, recipe.split)
    ready = prepare_rows(source, split, recipe)
    run = ready.rows.runs[0]
    linear = ready.rows.features[run.start : run.stop] @ found.weights["highway"].astype(float)
    x = features.normalise(source.inputs.values[: split.validation, 0], found.anchor, found.scale)
    said = roll(NetworkStepper(found.spec, found.weights, np.float64), x)[:, [1]]
    np.testing.assert_allclose(
        said, linear + found.weights["error_scale"] * found.weights["head.bias"][0], atol=1e-5
    )


def test_training_is_given_no_word_of_the_test_part() -> None:
    """Rows, truth, scales and fixed weights are the same, whatever stands in the test part."""
    later = pl.when(pl.int_range(STEPS) > 720).then(1e4).otherwise(pl.col("co2"))
    recipe = small()
    a, b = (
        prepare_rows(labelled(frame=frame), split_rows(STEPS, recipe.split), recipe)
        for frame in (room(), room().with_columns(co2=later))
    )
    np.testing.assert_array_equal(a.rows.features, b.rows.features)
    np.testing.assert_array_equal(a.truth, b.truth)
    assert (a.anchor.tolist(), a.scale.tolist()) == (b.anchor.tolist(), b.scale.tolist())


def test_rare_class_weighs_as_much_as_another_where_asked() -> None:
    """Balanced weights raise the probability of the class that is seldom."""
    seldom = pl.when(pl.int_range(STEPS) % 90 < 80).then(pl.lit("out")).otherwise(pl.col("who"))
    source, share = labelled(frame=room().with_columns(who=seldom)), {}
    for weights in ("none", "balanced"):
        recipe = small(class_weights=weights)
        ready = prepare_rows(source, split_rows(STEPS, recipe.split), recipe)
        begun = start(ready, class_weights(ready, recipe))
        highway = begun["highway"].astype(np.float64)
        logits = ready.rows.features.astype(np.float64) @ highway + begun["head.bias"].astype(np.float64)
        share[weights] = regression.softmax(logits)[:, 0].mean()
    assert share["balanced"] > share["none"] + 0.05


# --- bundle and command -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the command once for a class, with the usual sizes of ring and cell; give the folder of its files."""
    folder = tmp_path_factory.mktemp("estimators")
    room().write_csv(folder / "room.csv")
    (folder / "tiny.toml").write_text("[training]\nsteps = 4\nlanes = 8\nvalidate_every = 2\n")
    arguments = [
        "room.csv", "tiny.toml", "--every", "1m", "--classify", "who", "--columns", "co2,light", "--class-names",
        "in=occupied,out=empty", "--key", "signing.key", "-o", "room.edgeseq",
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(train, arguments, catch_exceptions=False)
    (folder / "output.txt").write_text(result.output)
    assert result.exit_code == 0
    return folder


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    """Read the bundle as a device that trusts the key."""
    return read_bundle(
        folder / "room.edgeseq", TrustedKeys.of(load_signing_key(folder / "signing.key").public_key())
    )


def test_bundle_of_a_class_proves_itself_in_every_variant_and_tells_what_it_is(
    bundle: Bundle, folder: Path
) -> None:
    """Each quantization, and NumPy, answers within its tolerance of the float64 roll-out; names and scales are kept."""
    manifest = bundle.manifest
    assert manifest.target is not None
    assert (manifest.target.name, manifest.target.classes) == ("who", ("occupied", "empty"))
    assert [(c.name, c.anchor is not None, c.scale in 2.0 ** np.arange(-8, 12)) for c in manifest.channels] == [
        ("co2", True, True), ("light", True, True),
    ]  # fmt: skip
    for variant in manifest.variants:
        assert verify_golden(open_stepper(bundle, "litert", variant.name), bundle, variant.name) <= 1
        assert variant.tolerance < 0.05
    assert verify_golden(open_stepper(bundle, "numpy"), bundle, "float32") <= 1
    recipe = read_recipe(folder / "room.recipe.toml")
    assert (recipe.classify, recipe.class_names) == ("who", ("in=occupied", "out=empty"))


def test_table_has_every_peer_and_variant_and_says_what_nobody_is_told(bundle: Bundle, folder: Path) -> None:
    """What always says the same, regression, and each quantization stand on the terminal and in the manifest."""
    rows = {row["estimator"]: row for row in bundle.manifest.training["table"]}
    peers = ["majority", "regression, present values", "… and lagged values"]
    assert list(rows) == [*peers, *(f"model {v.name}" for v in bundle.manifest.variants)]
    output = (folder / "output.txt").read_text()
    assert all(name in output for name in rows)
    assert rows["majority"]["balanced_accuracy"] == 0.5
    assert rows["model int8_weights"]["balanced_accuracy"] > 0.7
    assert "nothing here was told the last known value" in output


def test_same_answers_on_tflite_runtime(bundle: Bundle, tmp_path: Path) -> None:
    """The other runtime gives the same probabilities over readings with gaps."""
    x = np.random.default_rng(0).normal(0, 2, (40, 2, 2)).astype(np.float32)
    x[5:9, 0], x[20, 1] = np.nan, 1e20
    models = {"int8_weights": bundle.files["int8_weights.tflite"]}
    (there,) = roll_on_tflite_runtime(bundle.manifest, models, x, tmp_path).values()
    stepper, told = TFLiteStepper(bundle.manifest, "litert", models["int8_weights"]), []
    state = initial_state(stepper.state_spec, 2)
    for row in x:
        said, state = stepper.step(row, state)
        told.append(said)
    assert np.abs(np.array(told) - there).max() < 1e-5


def test_quantiles_of_a_number_are_the_same_in_numpy_and_the_exported_graph(tmp_path: Path) -> None:
    """A graph says what the text says, here a number's without memory; the bundle above is a class's with it."""
    control = {"layers": (LayerSpec("dense", 4),), "ring": 2, "taps": 1, "memory": False}
    spec = msgspec.structs.replace(ESTIMATE, **control)
    weights = make_weights(spec)
    x = np.random.default_rng(1).normal(0, 2, (60, 2)).astype(np.float32)
    x[10:14] = np.nan
    expected = roll(NetworkStepper(spec, weights, np.float64), x)
    export.save(spec, weights, str(tmp_path))
    np.testing.assert_allclose(_run_step(export.float32(str(tmp_path)), spec, x), expected, atol=2e-5)
    assert (np.diff(expected, axis=1) > 0).all()


def _run_step(model: bytes, spec: NetworkSpec, x: F32) -> F64:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=model).get_signature_runner("step")
    names = [s.name for s in state_spec(spec)]
    state, told = dict(zip(names, initial_state(state_spec(spec), 1), strict=True)), []
    for row in x:
        out = runner(x=row[None], **state)
        state = {name: out[f"{name}_next"] for name in names}
        told.append(out["quantiles"][0, 0, 0])
    return np.array(told, dtype=np.float64)


def test_bundle_show_and_list_say_what_is_estimated(folder: Path) -> None:
    """Who looks at the file sees the target and its classes instead of a horizon."""
    shown = CliRunner().invoke(bundle_command, ["show", str(folder / "room.edgeseq")])
    assert "target:    who, one of occupied, empty" in shown.output
    assert "horizon" not in shown.output
    listed = CliRunner().invoke(bundle_command, ["list", str(folder)])
    assert "every 1m, for who" in listed.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--classify", "who", "--estimate", "heat"], "one estimator has one target"),
        (["--classify", "who", "--covariates", "light"], "an estimator takes no covariates"),
        (["--classify", "who", "--columns", "who,co2"], "the target is among the inputs"),
    ],
)
def test_what_an_estimator_cannot_be_asked_is_refused(folder: Path, words: list[str], says: str) -> None:
    """Options that contradict an estimator, or that only forecasters have, say so before anything is trained."""
    given = [str(folder / "room.csv"), "--every", "1m", "--unsigned", "-o", str(folder / "x.edgeseq"), *words]
    result = CliRunner().invoke(train, given)
    assert says in (str(result.exception) + result.output)
    assert not (folder / "x.edgeseq").exists()
