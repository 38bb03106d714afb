"""Every architecture beside the plain cells, from training to both runtimes: one set of weights, one forecast.

NumPy in float64 is the oracle; differences count in running scales. The bounds are those of tests/train/test_parity.py,
which takes the plain GRU and LSTM over 10,000 steps.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tensorflow as tf

from edgeseq.adapters.interpreter.steppers import TFLiteStepper
from edgeseq.bundle import Channel, Manifest, SchemaVersion
from edgeseq.core import features, network
from edgeseq.core.decoder import DecoderSpec
from edgeseq.core.forecast import initial_state
from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import NetworkSpec, NetworkStepper
from edgeseq.core.types import F32
from edgeseq_train import export, prepare
from edgeseq_train.course import train
from edgeseq_train.fit import Fitted
from edgeseq_train.initial import initial_weights, trainable
from edgeseq_train.loop import Trainer
from edgeseq_train.recipe import Recipe, TrainingRecipe
from edgeseq_train.recipe_files import read_recipe, write_recipe
from edgeseq_train.tf_ops import TENSORFLOW
from tests.support.other_runtime import roll_on_tflite_runtime
from tests.train.conftest import HOUR_NS, make_series, small_recipe, train_small

pytestmark = pytest.mark.training

U = 12
GRU = LayerSpec("gru", U)
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "rnn": {"layers": (LayerSpec("rnn", U),)},
    "cnn+rnn": {"layers": (LayerSpec("convolution", 8, width=3, dilation=2), GRU)},
    "attention": {"layers": (GRU, LayerSpec("attention", U, heads=2))},
    "mlp on the ring": {"layers": (LayerSpec("ring", U), LayerSpec("dense", U))},
    "encoder-decoder": {"layers": (GRU,), "decoder": DecoderSpec(units=8)},
    "own cell": {"layers": (LayerSpec("mingru", U),), "modules": ("mingru.py",)},
}
STEPS, STREAMS = 700, 4
SPIKE_AT, SHIFT_AT = 350, 450


@pytest.fixture(scope="module")
def x() -> F32:
    """Give STEPS real steps (T, B, 1) with gaps, a spike and a shift."""
    rng = np.random.default_rng(5)
    base = (make_series(STEPS, STREAMS, seed=4) - 20) / 3
    base[SHIFT_AT:] += 4 * base.std()
    base[SPIKE_AT] += 25 * base.std()
    base[rng.random(base.shape) < 0.05] = np.nan
    values = (1e5 + base)[:, :, None]
    return features.normalise(values, *prepare.settle(values[:300], tuple("abcd")))


@dataclass(frozen=True)
class Exported:
    """A trained architecture and its files."""

    spec: NetworkSpec
    weights: dict[str, F32]
    unmoved: list[str]
    """Weights that are to be learned and that training left where they were."""
    models: dict[str, bytes]
    manifest: Manifest


@pytest.fixture(scope="module")
def plain() -> Fitted:
    """Train a plain network, whose front and highway all others take."""
    return train_small(make_series(900)[:, :, None], small_recipe(steps=2, validate_every=2))


@pytest.fixture(scope="module", params=ARCHITECTURES)
def exported(
    request: pytest.FixtureRequest, plain: Fitted, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    """Train each architecture for a few steps, as a recipe that was read from a file says, and export it."""
    folder = tmp_path_factory.mktemp("recipe")
    shutil.copy(Path(__file__).parent / "mingru.py", folder)
    (folder / "r.toml").write_text(write_recipe(Recipe(**ARCHITECTURES[request.param])))
    recipe = read_recipe(folder / "r.toml")
    spec = msgspec.structs.replace(plain.spec, layers=recipe.layers, decoder=recipe.decoder)
    values = make_series(900)[:, :, None]
    weights, unmoved = learn(spec, plain, features.normalise(values, plain.anchor, plain.unit))
    with tempfile.TemporaryDirectory() as saved:
        export.save(spec, weights, saved)
        exact = export.float32(saved)
    models = {"float32": exact, "int8_weights": export.int8_weights(exact)}
    return Exported(spec, weights, unmoved, models, describe(spec, exact))


def learn(spec: NetworkSpec, plain: Fitted, x: F32) -> tuple[dict[str, F32], list[str]]:
    """Take ten steps from fresh weights → the weights, and the names of those that did not move."""
    known = {name: a for name, a in plain.weights.items() if name in network.weight_shapes(spec)}
    fresh = initial_weights(spec, np.random.default_rng(0))
    fresh["head.bias"] = plain.weights["head.bias"]
    weights = known | fresh | {"highway": plain.weights["highway"]}
    trainer = make_trainer(spec, weights, x, steps=10, validate_every=10, learning_rate=0.02, lanes=16)
    train(trainer, lambda *_: None)
    after = trainer.weights()
    return after, [n for n, v in trainer.descent.variables.items() if np.array_equal(v, weights[n])]


def make_trainer(spec: NetworkSpec, weights: dict[str, F32], x: F32, **options: Any) -> Trainer:
    """Prepare x (T, S, C) for training; the last 200 steps validate."""
    kept, streams = prepare.track(spec, x), x.shape[1]
    rows = prepare.assemble(spec, [prepare.Piece(kept, x, np.ones((streams, 1)), len(x) - 200, None)])
    prepare.fill_features(rows, weights)
    return Trainer(rows, weights, np.ones(spec.horizon), TrainingRecipe(**options), seed=0)


def describe(spec: NetworkSpec, model: bytes) -> Manifest:
    """Describe a trained model as far as a stepper needs it."""
    return Manifest(
        schema=SchemaVersion(), bundle_id="0" * 16, name="parity", version="0", created="", period_ns=HOUR_NS,
        aggregate="last", horizon=spec.horizon, levels=spec.levels, seasons=spec.seasons, channels=(Channel("c"),),
        known=(), state=network.state_spec(spec), signatures=export.signatures(model, spec), variants=(),
        default_variant="", network={}, ring=spec.ring, golden_steps=0,
    )  # fmt: skip


def roll(stepper: Any, x: F32) -> tuple[Any, Any]:
    """Step through x (T, B, C) → quantiles (T, B, C, H, Q) and running scales (T, B, C)."""
    state, quantiles, scales = initial_state(stepper.state_spec, x.shape[1]), [], []
    at = [s.name for s in stepper.state_spec].index("variance")
    for row in x:
        q, state = stepper.step(row, state)
        quantiles.append(q)
        scales.append(np.sqrt(state[at]))
    return np.array(quantiles), np.array(scales)[..., None, None]


def test_training_moves_every_weight(exported: Exported) -> None:
    """Gradients reach every weight of every architecture."""
    assert exported.unmoved == []


def test_one_set_of_weights_forecasts_alike_everywhere(exported: Exported, x: F32, tmp_path: Path) -> None:
    """Float32 on NumPy, litert and tflite-runtime ≤ 1e-4 of the running scale; int8 weights p99.9 ≤ 0.5 % on both."""
    spec, weights, manifest = exported.spec, exported.weights, exported.manifest
    oracle, scale = roll(NetworkStepper(spec, weights, np.float64), x)
    silent = weights | {n: 0 * a for n, a in weights.items() if n in ("head.kernel", "decoder.say_kernel")}
    assert np.median(np.abs(roll(NetworkStepper(spec, silent), x)[0] - oracle) / scale) > 0.01  # it has a say
    found = {"numpy float32": roll(NetworkStepper(spec, weights), x)[0]}
    for name, model in exported.models.items():
        found[f"litert {name}"] = roll(TFLiteStepper(manifest, "litert", model), x)[0]
    for name, q in roll_on_tflite_runtime(manifest, exported.models, x, tmp_path).items():
        found[f"tflite {name}"] = q
    for name, q in found.items():
        apart = np.abs(q - oracle) / scale
        print(f"{name}: max {apart.max():.2g}, p99.9 {np.quantile(apart, 0.999):.2g}")
        if name.endswith("float32"):
            assert apart.max() <= 1e-4, name
        else:
            assert np.quantile(apart, 0.999) <= 0.005, name


def test_unrolled_training_network_equals_steps(exported: Exported, x: F32) -> None:
    """What training optimises, all T at once, is what the device steps through."""
    spec, weights = exported.spec, exported.weights
    trainer = make_trainer(spec, weights, x)
    starts = tf.constant([run.start for run in trainer.rows.runs], tf.int64)
    output = trainer.roll(starts, tf.constant(STEPS))
    stepped, scale = roll(NetworkStepper(spec, weights, np.float64), x)
    for t in (0, 1, 47, 300, 699):
        view = trainer.view(starts + t)
        q = network.head(TENSORFLOW, spec, {**trainer.fixed, **trainer.average}, view, output[t])
        assert np.max(np.abs(q.numpy() - stepped[t]) / scale[t]) <= 1e-4


@pytest.mark.parametrize("variant", ["float32", "int8_weights"])
def test_replay_equals_steps(exported: Exported, variant: str, x: F32) -> None:
    """Replay over a stretch of any length gives, in litert to the bit, quantiles and states of its steps."""
    stepper = TFLiteStepper(exported.manifest, "litert", exported.models[variant])
    state = initial_state(stepper.state_spec, STREAMS)
    for row in x[:150]:
        q, state = stepper.step(row, state)
    replayed, end = stepper.replay(np.moveaxis(x[:150], 0, 1), initial_state(stepper.state_spec, STREAMS))
    np.testing.assert_array_equal(replayed, q)
    for a, b in zip(end, state, strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_matrix_of_layers_and_head_is_int8(exported: Exported) -> None:
    """Quantization finds all of them, those of a layer of one's own, of a loop and of each head of attention too."""
    from tensorflow.lite.python.schema_py_generated import TensorType
    from tensorflow.lite.tools.flatbuffer_utils import convert_bytearray_to_object

    model = convert_bytearray_to_object(exported.models["int8_weights"])
    quantized = {
        t.buffer: int(np.prod(t.shape))
        for s in model.subgraphs
        for t in s.tensors
        if t.type == TensorType.INT8
    }
    # The decoder's places are constants: there is no product left in the file.
    exact = {"highway", "decoder.lead_kernel"}
    learned = {n: a for n, a in exported.weights.items() if trainable(n) and a.ndim == 2 and n not in exact}
    assert sum(quantized.values()) == sum(a.size for a in learned.values())
