"""Decoder of an encoder-decoder: unrolled over the H leads from the state that the layers, its encoder, carry.

    state_0 = tanh(W_0 c + b_0)                                 c: what is said of a channel (state and features)
    state_h = cell(state_{h-1}, V m_{h-1} + highway_h, known_h + W_c c + e_h)
    gate, correction and widths of lead h = S state_h + b_h     (the head's, per lead; the highway stays)

m_{h-1} is the decoder's own median of the lead before, relative to the present value, in running scales; before the
first lead it is 0. Context at every step as in Cho et al. (arXiv 1406.1078); one state carried from encoder to decoder
as in Sutskever et al. (arXiv 1409.3215). In training the true value may stand in for m (teacher forcing).
The decoder carries nothing from one reading to the next: it runs only where somebody asks for a forecast.
Shapes beside the usual letters: V = B·C rows of single channels, E features of a lead, G gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
import numpy as np

from edgeseq.core.cells import CELLS
from edgeseq.core.ops import Ops, Tensor
from edgeseq.core.types import F32

Weights = Mapping[str, Tensor]

FED_LIMIT = 8.0
"""What is fed back is bounded to ± so many running scales, as all features are."""


KNOWN_LIMIT = 1e9
"""A true value beyond it, as NaN is, is none."""


class DecoderSpec(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """[decoder] of an encoder-decoder."""

    kind: Literal["gru", "lstm", "rnn"] = "gru"
    units: Annotated[int, msgspec.Meta(ge=1)] = 32


def weights(
    spec: DecoderSpec, words: int, known: int, seasons: tuple[int, ...], says: int
) -> dict[str, tuple[int, ...]]:
    """List the weights: words of a channel (U + its features), K known inputs, numbers said of a lead."""
    cell = CELLS[spec.kind]
    wide = cell.gates * spec.units
    full = {
        "start_kernel": (words, len(cell.states) * spec.units),
        "start_bias": (len(cell.states) * spec.units,),
        "context_kernel": (words, wide),
        "lead_kernel": (2 + 2 * len(seasons), wide),
        "kernel": (2 + known, wide),
        "bias": (wide,),
        "recurrent": (spec.units, wide),
        "recurrent_bias": (wide,),
        "say_kernel": (spec.units, says),
    }
    if "recurrent_bias" not in cell.weights:
        del full["recurrent_bias"]
    return full


def lead_features(horizon: int, seasons: tuple[int, ...]) -> F32:
    """Say where a lead stands: how far it is, and at which phase of each season from now (H, E)."""
    lead = np.arange(1, horizon + 1)
    columns = [lead / horizon, np.log(lead) / np.log(1 + horizon)]
    for season in seasons:
        angle = 2 * np.pi * lead / season
        columns += [np.sin(angle), np.cos(angle)]
    return np.stack(columns, axis=1).astype(np.float32)


def decode(
    ops: Ops, spec: DecoderSpec, w: Weights, words: Tensor, linear: Tensor, lead_scale: Tensor, bias: Tensor,
    seasons: tuple[int, ...], known: Tensor | None = None, taught: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Say gate, correction and widths of all leads: (V, H, Q + 1).

    Args:
        ops: NumPy or TensorFlow.
        spec: kind and width.
        w: the decoder's weights.
        words: (V, ·) what the encoder says of each channel.
        linear: (V, H) the highway in running scales.
        lead_scale: (H,) its error, in running scales.
        bias: (H·(Q + 1),) of what is said.
        seasons: in steps.
        known: (V, H, K) known inputs of the leads.
        taught: (V, H, 1) true values in running scales, relative to the present one; NaN where the own median is fed.
    """
    horizon, says, cell = int(linear.shape[1]), int(w["say_kernel"].shape[1]), CELLS[spec.kind]
    started = ops.tanh(ops.matmul(words, w["start_kernel"]) + w["start_bias"])
    state = tuple(started[:, k * spec.units : (k + 1) * spec.units] for k in range(len(cell.states)))
    context = ops.matmul(words, w["context_kernel"]) + w["bias"]
    place = ops.reshape(ops.matmul(lead_features(horizon, seasons), w["lead_kernel"]), (1, horizon, -1))
    linear, scales = ops.reshape(linear, (-1, horizon, 1)), ops.reshape(lead_scale, (1, horizon, 1))
    biases = ops.reshape(bias, (1, horizon, says))

    def advance(h: Tensor, carried: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        fed, *state = carried
        now = ops.column(linear, h)
        inputs = [fed, now] if known is None else [fed, now, ops.column(known, h)]
        a = ops.matmul(_bounded(ops, ops.concat(inputs, 1)), w["kernel"]) + context + ops.column(place, h)
        following = cell.advance(ops, w, a, tuple(state))
        raw = ops.matmul(following[0], w["say_kernel"]) + ops.column(biases, h)
        fed = median(ops, raw[:, :1], raw[:, 1:2], now, ops.column(scales, h))
        if taught is not None:
            truth = ops.column(taught, h)
            fed = ops.where(ops.abs(truth) <= KNOWN_LIMIT, truth, fed)
        return raw, (fed, *following)

    return ops.scan(advance, horizon, (linear[:, 0] * 0.0, *state))


def median(ops: Ops, gate: Tensor, correction: Tensor, linear: Tensor, lead_scale: Tensor) -> Tensor:
    """Make the median of gate and correction, relative to the present value, in running scales."""
    return (1.0 + 0.5 * ops.tanh(gate)) * linear + lead_scale * correction


def _bounded(ops: Ops, a: Tensor) -> Tensor:
    return ops.maximum(ops.minimum(a, FED_LIMIT), -FED_LIMIT)
