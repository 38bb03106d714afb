"""A network's recurrent part alone as TFLite files: also in the modes that quantize activations and states.

A whole network cannot be quantized in full: its running statistics divide, and missing values are masked. Its layers
can. Full integer modes settle the range of every tensor, states included, on a representative roll-out; what leaves the
range later is clipped, and that is what they are measured for. `bare_cell` puts such a file back between the front
and the head. Arguments and results stay float32: each step rounds them to the integers of the mode and back.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping

import tensorflow as tf

from edgeseq.bundle.manifest import Signature
from edgeseq.core import network
from edgeseq.core.layers import View, stack
from edgeseq.core.network import FRONT_STATES, NetworkSpec
from edgeseq.core.ops import Tensor
from edgeseq.core.types import F32
from edgeseq_train.export import NamedOps, int8_weights

MODES = ("float32", "float16", "int8_weights", "dynamic", "full_int8", "int16x8")
INTEGER_OPERATIONS = {
    "full_int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    "int16x8": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}


def bare_variants(
    spec: NetworkSpec, weights: Mapping[str, F32], samples: Mapping[str, F32]
) -> dict[str, bytes]:
    """Convert the recurrent layers of a network in every mode: x (B, F) and the states → the next states.

    Args:
        spec: what the network is.
        weights: of the whole network.
        samples: "x" (N, F) and each state by name (N, ...): what the full integer modes are calibrated on.
    """
    own = {name: a for name, a in weights.items() if name.startswith("layer")}
    with tempfile.TemporaryDirectory(prefix="edgeseq-") as folder:
        _save(spec, own, folder)
        modes = {mode: _convert(folder, mode, samples) for mode in MODES if mode != "int8_weights"}
    modes["int8_weights"] = int8_weights(modes["float32"])
    return {mode: modes[mode] for mode in MODES}


def _save(spec: NetworkSpec, weights: Mapping[str, F32], folder: str) -> None:
    constants = {name: tf.constant(a, name=name) for name, a in weights.items()}
    ops = NamedOps(constants, hide_exact=False)
    states = network.state_spec(spec)[len(FRONT_STATES) :]

    def step(x: Tensor, **state: Tensor) -> dict[str, Tensor]:
        view = View(base=None, difference=None, scale=None, features=x)
        _, following = stack(
            ops, spec.layers, constants, view, tuple(state[s.name] for s in states), spec.shape
        )
        # identity gives every output a tensor of its own, whatever the graph shares
        return {f"{s.name}_next": tf.identity(a) for s, a in zip(states, following, strict=True)}

    shapes = {s.name: tf.TensorSpec((None, *s.shape), tf.float32, name=s.name) for s in states}
    x = tf.TensorSpec((None, spec.features), tf.float32, name="x")
    signature = tf.function(step, autograph=False).get_concrete_function(x=x, **shapes)
    tf.saved_model.save(tf.Module(), folder, signatures={"step": signature})


def _convert(folder: str, mode: str, samples: Mapping[str, F32]) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["step"])
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if mode == "dynamic":
        # Per tensor: tflite-runtime 2.14 knows no per-channel kernel. No public name.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True  # noqa: SLF001
    if mode in INTEGER_OPERATIONS:
        converter.representative_dataset = lambda: _one_by_one(samples)
        converter.target_spec.supported_ops = [INTEGER_OPERATIONS[mode]]
    with warnings.catch_warnings():
        # The calibrator runs on an interpreter that it calls deprecated itself.
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is deprecated")
        return bytes(converter.convert())


def _one_by_one(samples: Mapping[str, F32]) -> Iterator[dict[str, F32]]:
    # By name: the order of a list would be the subgraph's, not the signature's.
    for row in range(len(samples["x"])):
        yield {name: a[row : row + 1] for name, a in samples.items()}


def bare_signature(model: bytes, spec: NetworkSpec) -> Signature:
    """Read the tensor names of a bare model, in the order x and the states."""
    from ai_edge_litert.interpreter import Interpreter

    names = [s.name for s in network.state_spec(spec)[len(FRONT_STATES) :]]
    runner = Interpreter(model_content=model).get_signature_runner("step")
    inputs = {name: detail["name"] for name, detail in runner.get_input_details().items()}
    outputs = {name: detail["name"] for name, detail in runner.get_output_details().items()}
    return Signature(
        inputs={name: inputs[name] for name in ("x", *names)},
        outputs={name: outputs[f"{name}_next"] for name in names},
        key="step",
    )
