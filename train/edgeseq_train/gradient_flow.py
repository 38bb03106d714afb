"""How far gradients reach back through a cell, and what that means for its training.

The cells are those that ship (`edgeseq.core.cells`), unrolled as the trainer unrolls them, with a linear readout. The
loss of the last step is differentiated by the state of every step before: |∂L_T / ∂s_{T-lag}|, s all states of the
cell. In a vanilla cell it shrinks or grows like a power of the lag (Bengio et al. 1994; Pascanu et al. 2013, arXiv
1211.5063); gates hold it (Hochreiter and Schmidhuber 1997), clipping by norm bounds what is left of the growth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from edgeseq.core.cells import CELLS, project
from edgeseq.core.layers import LayerSpec, Shape
from edgeseq.core.ops import Tensor
from edgeseq.core.types import F32, F64
from edgeseq_train.long_memory import Sequences
from edgeseq_train.tf_ops import TENSORFLOW
from edgeseq_train.unroll import scan, unroll

Weights = Mapping[str, Tensor]
States = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class CellStart:
    """A cell and how its weights are drawn."""

    kind: Literal["rnn", "gru", "lstm"]
    gate_bias: float = 0.0
    """Of the gate that holds the state: forget gate of the LSTM, update gate of the GRU. > 0 holds more."""
    span: int = 0
    """Instead of gate_bias: biases ln(u), u uniform in [1, span - 1], so that memories up to span steps exist at the
    start (arXiv 1804.11188, §2.2)."""
    radius: float = 1.0
    """Of the recurrent weights, all of whose eigenvalues have this magnitude: below 1 vanishing, above exploding."""
    units: int = 32


def initial(start: CellStart, inputs: int, rng: np.random.Generator) -> dict[str, F32]:
    """Draw the weights of a cell and its readout: orthogonal recurrence × radius, Glorot kernels, zero biases."""
    cell, u = CELLS[start.kind], start.units
    wide = cell.gates * u
    weights = {
        "kernel": _glorot(rng, inputs, u, wide),
        "recurrent": np.concatenate([start.radius * _orthogonal(rng, u) for _ in range(cell.gates)], axis=1),
        "bias": np.zeros(wide),
    }
    if "recurrent_bias" in cell.weights:
        weights["recurrent_bias"] = np.zeros(wide)
    holding = np.log(rng.uniform(1, start.span - 1, u)) if start.span else np.full(u, start.gate_bias)
    if start.kind == "gru":
        weights["bias"][:u] = holding
    if start.kind == "lstm":
        weights["bias"][u : 2 * u] = holding
        weights["bias"][:u] = -holding if start.span else 0.0
    weights |= {"readout": _glorot(rng, u, 1, 1), "readout_bias": np.zeros(1)}
    return {name: a.astype(np.float32) for name, a in weights.items()}


def _orthogonal(rng: np.random.Generator, units: int) -> F64:
    q, _ = np.linalg.qr(rng.standard_normal((units, units)))
    return np.asarray(q)


def _glorot(rng: np.random.Generator, inputs: int, outputs: int, wide: int) -> F64:
    limit = np.sqrt(6 / (inputs + outputs))
    return rng.uniform(-limit, limit, (inputs, wide))


def norm_by_lag(kind: str, weights: Mapping[str, F32], sequences: Sequences) -> F64:
    """Measure |∂L_T / ∂s_{T-lag}| for lags 0 … T - 1: (T,), the mean over the sequences.

    L_T is the squared error after the last step of one sequence, s_t all states after step t (h, and c of the LSTM).
    """
    w = {name: tf.constant(a) for name, a in weights.items()}
    steps, batch, _ = sequences.x.shape
    units, states = w["recurrent"].shape[0], len(CELLS[kind].states)
    nudge = tf.zeros((steps, batch, states * units))

    with tf.GradientTape() as tape:
        tape.watch(nudge)
        output = _nudged(kind, w, tf.constant(sequences.x), nudge)
        loss = tf.reduce_sum((_read(w, output[-1:])[0] - sequences.target[-1]) ** 2)
    norms = np.linalg.norm(tape.gradient(loss, nudge).numpy().astype(np.float64), axis=2)
    return np.asarray(norms.mean(axis=1)[::-1])


def _nudged(kind: str, w: Weights, x: Tensor, nudge: Tensor) -> Tensor:
    """Unroll from zero states, adding nudge (T, B, states · U) to the states after each step → outputs (T, B, U)."""
    cell, wide = CELLS[kind], w["kernel"].shape[1]
    steps, batch, inputs = x.shape
    projected = tf.reshape(project(TENSORFLOW, w, tf.reshape(x, (-1, inputs))), (steps, batch, wide))

    def advance(now: Tensor, states: States) -> tuple[Tensor, States]:
        following = cell.advance(TENSORFLOW, w, now[:, :wide], states)
        pushes = tf.split(now[:, wide:], len(following), axis=1)
        following = tuple(s + push for s, push in zip(following, pushes, strict=True))
        return following[0], following

    outputs, _ = scan(
        advance, tf.concat([projected, nudge], 2), zero_states(kind, w, batch), w["recurrent"].shape[0]
    )
    return outputs


def zero_states(kind: str, w: Weights, batch: int) -> States:
    """Make the states of sequences that begin: (B, U) each."""
    return tuple(tf.zeros((batch, w["recurrent"].shape[0])) for _ in CELLS[kind].states)


def _read(w: Weights, output: Tensor) -> Tensor:
    """Read a number off each output: (T, B, U) → (T, B)."""
    steps, batch, units = output.shape
    said = tf.matmul(tf.reshape(output, (-1, units)), w["readout"]) + w["readout_bias"]
    return tf.reshape(said, (steps, batch))


def error(kind: str, w: Weights, sequences: Sequences, states: States) -> tuple[Tensor, States]:
    """Run over sequences (or a segment of them) → sum of the squared errors that are due, and the last states."""
    units = w["recurrent"].shape[0]
    shape = Shape(inputs=sequences.x.shape[2], channels=1, lags=1)
    output, states = unroll(LayerSpec(kind, units), dict(w), sequences.x, None, states, shape)
    return tf.reduce_sum(sequences.due * (_read(w, output) - sequences.target) ** 2), states


@dataclass(frozen=True, slots=True)
class Training:
    """How a cell is trained."""

    draws: int
    """Batches of sequences drawn, each used once."""
    segment: int = 0
    """Steps of back-propagation; the state is carried from segment to segment, the gradient is not. 0: all steps."""
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 3e-3
    clip_norm: float = 0.0
    """Largest norm of the whole gradient; 0: any."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What training left."""

    weights: dict[str, F32]
    losses: F64
    """(draws,) mean squared error of each batch before it was learned from; shorter where training diverged."""
    norms: F64
    """Largest gradient norm in each batch, before clipping."""


def train(
    kind: str, weights: Mapping[str, F32], draw: Callable[[], Sequences], training: Training
) -> Trained:
    """Train on freshly drawn sequences until the draws are spent or a loss is not finite."""
    variables = {name: tf.Variable(a, name=name) for name, a in weights.items()}
    step = tf.function(_stepper(kind, variables, training), autograph=False)
    losses, norms = [], []
    for _ in range(training.draws):
        whole = draw()
        total, largest = 0.0, 0.0
        states = zero_states(kind, variables, whole.x.shape[1])
        length = training.segment or len(whole.x)
        for begin in range(0, len(whole.x), length):
            part = Sequences(*(tf.constant(a[begin : begin + length]) for a in whole))
            loss, norm, states = step(part, states)
            total, largest = total + float(loss), max(largest, float(norm))
        losses.append(total / float(whole.due.sum()))
        norms.append(largest)
        if not np.isfinite([losses[-1], largest]).all():
            break
    return Trained({n: v.numpy() for n, v in variables.items()}, np.array(losses), np.array(norms))


def _stepper(kind: str, variables: dict[str, Any], training: Training) -> Any:
    """Make the function of one update: (segment, states) → summed loss, gradient norm, next states."""
    optimizers = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
    optimizer = optimizers[training.optimizer](training.learning_rate)
    learned = list(variables.values())
    optimizer.build(learned)

    def step(part: Sequences, states: States) -> tuple[Tensor, Tensor, States]:
        with tf.GradientTape() as tape:
            w = {name: tf.convert_to_tensor(v) for name, v in variables.items()}
            loss, states = error(kind, w, part, states)
            mean = loss / tf.maximum(tf.reduce_sum(part.due), 1.0)
        gradients = tape.gradient(mean, learned)
        norm = tf.linalg.global_norm(gradients)
        if training.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, training.clip_norm, use_norm=norm)
        optimizer.apply_gradients(zip(gradients, learned, strict=True))
        return loss, norm, states

    return step


def score(kind: str, weights: Mapping[str, F32], sequences: Sequences) -> float:
    """Mean squared error on sequences as a share of a constant answer's: 1 remembers nothing, 0 everything."""
    w = {name: tf.constant(a) for name, a in weights.items()}
    held = Sequences(*(tf.constant(a) for a in sequences))
    total, _ = error(kind, w, held, zero_states(kind, w, sequences.x.shape[1]))
    return float(total) / float(sequences.due.sum()) / sequences.constant_loss
