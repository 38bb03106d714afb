"""From weights to TFLite files: the network text of the device, with the weights as constants.

Signatures share the weights: `step`, `steps` for replay, and where there is a decoder `step_state`, which says nothing.
TensorFlow makes the signature primary whose key sorts first, and the primary one is called with less overhead; hence
the names. No variables: states go in and out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping
from typing import Any, get_args

import tensorflow as tf

from edgeseq.bundle.manifest import Signature
from edgeseq.core import network
from edgeseq.core.network import NetworkSpec
from edgeseq.core.ops import Advance, State, Tensor
from edgeseq.core.types import F32
from edgeseq.errors import InternalError
from edgeseq_train.recipe import VariantName
from edgeseq_train.tf_ops import TensorFlowOps

VARIANTS: tuple[str, ...] = get_args(VariantName)
SIGNATURE_KEYS = {"step": "step", "replay": "steps", "advance": "step_state"}
LEARNED = "learned"
"""Scope of the products whose weights are quantized: layers and head. The highway's are not: the errors of its hundreds
of weights add up. On a ring of 336, int8 there makes differences of p99.9 8.6 % of the scale instead of 0.4 %."""


class NamedOps(TensorFlowOps):
    """TensorFlow's operations, with the products of learned weights named, so that the quantizer finds them."""

    def __init__(self, weights: Mapping[str, Tensor], *, hide_exact: bool) -> None:
        self._names = {id(a): name for name, a in weights.items()}
        self._hide_exact = hide_exact

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        """Multiply within a scope that tells the kind of weight."""
        name = self._names.get(id(b), "")
        if name.startswith(("layer", "head", "known", "decoder")):
            with tf.name_scope(LEARNED):
                return tf.matmul(a, b)
        # The converter quantizes every constant factor; a sum with an input's zero is no constant. A product with 0
        # would not do: it is folded before the quantizer looks.
        return tf.matmul(a, b + tf.minimum(tf.abs(a[0, 0]), 0.0) if self._hide_exact else b)

    def scan(self, advance: Advance, count: int, state: State) -> Tensor:
        """Advance in a loop of the graph, its outputs in one tensor: TFLite has no arrays of tensors."""
        first, _ = advance(0, state)
        width = first.shape[1]

        def body(h: Tensor, out: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            y, following = advance(h, state)
            kept = tuple(tf.ensure_shape(a, s.shape) for a, s in zip(following, state, strict=True))
            return h + 1, tf.concat([out[:, 1:], tf.reshape(y, (-1, 1, width))], 1), *kept

        blank = tf.zeros((tf.shape(state[0])[0], count, width))
        _, out, *_ = tf.while_loop(lambda h, *_: h < count, body, (tf.constant(0), blank, *state))
        return tf.ensure_shape(out, (None, count, width))


def save(spec: NetworkSpec, weights: Mapping[str, F32], folder: str, *, hide_exact: bool = False) -> None:
    """Write the network as a SavedModel with its signatures."""
    constants = {name: tf.constant(a, name=name) for name, a in weights.items()}
    ops = NamedOps(constants, hide_exact=hide_exact)
    states = network.state_spec(spec)
    shapes = {s.name: tf.TensorSpec((None, *s.shape), tf.float32, name=s.name) for s in states}

    def step(x: Tensor, known: Tensor | None = None, **state: Tensor) -> dict[str, Tensor]:
        own = tuple(state[s.name] for s in states)
        return _named(spec, *network.step(ops, spec, constants, x, own, known))

    def steps(x: Tensor, known: Tensor | None = None, **state: Tensor) -> dict[str, Tensor]:
        own = tuple(state[s.name] for s in states)
        return _named(spec, *_replay(ops, spec, constants, x, own, known))

    def step_state(x: Tensor, known: Tensor | None = None, **state: Tensor) -> dict[str, Tensor]:
        own = tuple(state[s.name] for s in states)
        return _named(spec, None, network.advance(ops, spec, constants, x, own, known))

    signatures = {
        "step": _traced(step, spec, None, 1 + spec.horizon, shapes),
        "steps": _traced(steps, spec, (None,), None, shapes),
    }
    if spec.decoder:
        signatures["step_state"] = _traced(step_state, spec, None, 1 + spec.horizon, shapes)
    tf.saved_model.save(tf.Module(), folder, signatures=signatures)


def _traced(
    function: Any, spec: NetworkSpec, steps: tuple[None] | None, reach: int | None, states: dict[str, Tensor]
) -> Any:
    """Trace a signature: x (B, *steps, C), known (B, reach, K) where there is any, and the states."""
    inputs = {"x": tf.TensorSpec((None, *(steps or ()), spec.channels), tf.float32, name="x")}
    if spec.known:
        inputs["known"] = tf.TensorSpec((None, reach, spec.known), tf.float32, name="known")
    return tf.function(function, autograph=False).get_concrete_function(**inputs, **states)


def _named(spec: NetworkSpec, quantiles: Tensor | None, states: tuple[Tensor, ...]) -> dict[str, Tensor]:
    # identity gives every output a tensor of its own, whatever the graph shares
    named = {s.name: tf.identity(a) for s, a in zip(network.state_spec(spec), states, strict=True)}
    said = {} if quantiles is None else {"quantiles": quantiles}
    return {**said, **{f"{name}_next": a for name, a in named.items()}}


def _replay(
    ops: NamedOps, spec: NetworkSpec, constants: dict[str, Tensor], x: Tensor, states: tuple[Tensor, ...],
    known: Tensor | None,
) -> tuple[Tensor, Any]:  # fmt: skip
    """Advance by all steps but the last without the head, which alone looks ahead, then by a whole one."""
    last = tf.shape(x)[1] - 1

    def body(t: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        now = None if known is None else known[:, t, None]
        following = network.advance(ops, spec, constants, x[:, t], state, now)
        pairs = zip(following, network.state_spec(spec), strict=True)
        return (t + 1, *(tf.ensure_shape(a, (None, *s.shape)) for a, s in pairs))

    _, *states = tf.while_loop(lambda t, *_: t < last, body, (tf.constant(0), *states))
    ahead = None if known is None else known[:, -(1 + spec.horizon) :]
    return network.step(ops, spec, constants, x[:, last], tuple(states), ahead)


def float32(folder: str) -> bytes:
    """Convert without quantization."""
    return _convert(folder, lambda _: None)


def float16(folder: str) -> bytes:
    """Convert with weights as float16; arithmetic stays float32."""

    def halve(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]

    return _convert(folder, halve)


def dynamic(folder: str) -> bytes:
    """Convert with dynamic-range quantization, per tensor: tflite-runtime 2.14 knows no per-channel kernel."""

    def shrink(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True  # noqa: SLF001  no public name

    return _convert(folder, shrink)


def int8_weights(model: bytes) -> bytes:
    """Quantize the weights of layers and head to int8 per channel, those of the highway to float16.

    Activations and states stay float32.
    """
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    products = qtyping.TFLOperationName.FULLY_CONNECTED
    half = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(
            num_bits=16, dtype=qtyping.TensorDataType.FLOAT
        ),
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    tool = quantizer.Quantizer(model)
    tool.update_quantization_recipe(".*", products, half, AlgorithmName.FLOAT_CASTING)
    tool.add_weight_only_config(regex=f".*{LEARNED}.*", operation_name=products, num_bits=8)
    return bytes(tool.quantize(enable_progress_bar=False, enable_progress_report=False).quantized_model)


def _convert(folder: str, prepare: Callable[[Any], None]) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    prepare(converter)
    return bytes(converter.convert())


def variants(
    spec: NetworkSpec, weights: Mapping[str, F32], wanted: Collection[str] = VARIANTS
) -> dict[str, bytes]:
    """Make float32, which all others are measured against, and the wanted ones, by name.

    Each conversion takes longer than a short training: what nobody wants is not made.
    """
    models = {}
    with tempfile.TemporaryDirectory(prefix="edgeseq-") as folder:
        save(spec, weights, folder)
        models["float32"] = float32(folder)
        if "float16" in wanted:
            models["float16"] = float16(folder)
    if "int8_weights" in wanted:
        models["int8_weights"] = int8_weights(models["float32"])
    if "dynamic" in wanted:
        with tempfile.TemporaryDirectory(prefix="edgeseq-") as folder:
            save(spec, weights, folder, hide_exact=True)
            models["dynamic"] = dynamic(folder)
    return models


def signatures(model: bytes, spec: NetworkSpec) -> dict[str, Signature]:
    """Read the tensor names of the signatures and bring them into the order of the arguments."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    names = [s.name for s in network.state_spec(spec)]
    arguments = ("x", *(("known",) if spec.known else ()), *names)
    found = {}
    present = interpreter.get_signature_list()
    for ours, key in SIGNATURE_KEYS.items():
        if key not in present:
            continue
        runner = interpreter.get_signature_runner(key)
        inputs = {name: detail["name"] for name, detail in runner.get_input_details().items()}
        outputs = {name: detail["name"] for name, detail in runner.get_output_details().items()}
        said = {name: outputs[name] for name in ("quantiles",) if name in outputs}
        found[ours] = Signature(
            inputs={name: inputs[name] for name in arguments},
            outputs=said | {name: outputs[f"{name}_next"] for name in names},
            key=key,
        )
        for side in (found[ours].inputs, found[ours].outputs):
            if len(set(side.values())) != len(side):
                raise InternalError("two tensors of a signature share a name", found=str(side))
    return found
