"""The forecaster as one stateful function, written once for the device, for training and for export.

    x (B, C) ─ front ─▶ clean value, ring, running mean and scale ─ features ─▶ layers ─ head ─▶ quantiles (B, C, H, Q)
                              └────────────── linear highway: lags → H leads ────────┘

The highway starts as the ridge solution; the layers correct it and give the spread (DESIGN.md, The model).
What goes in and how large it is says `specification`; what happens to a reading before anything learned, `front`.
Shapes as everywhere; V = B·C rows of single channels, L lags, K known inputs. x is (value - anchor) / unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core import decoder, heads
from edgeseq.core.decoder import DecoderSpec
from edgeseq.core.forecast import RecurrentState
from edgeseq.core.front import absolute, front, observe, track, visible
from edgeseq.core.layers import View, stack
from edgeseq.core.ops import NUMPY, Ops, Tensor
from edgeseq.core.specification import (
    FRONT_STATES,
    RING,
    NetworkSpec,
    spec_from_manifest,
    state_spec,
    weight_shapes,
)
from edgeseq.core.types import F32

__all__ = [
    "FRONT_STATES",
    "NetworkSpec",
    "NetworkStepper",
    "absolute",
    "advance",
    "front",
    "head",
    "observe",
    "spec_from_manifest",
    "state_spec",
    "step",
    "track",
    "visible",
    "weight_shapes",
]

Weights = Mapping[str, Tensor]


def step(
    ops: Ops,
    spec: NetworkSpec,
    weights: Weights,
    x: Tensor,
    state: tuple[Tensor, ...],
    known: Tensor | None = None,
) -> tuple[Tensor, Any]:
    """Advance by one grid step: x (B, C), state and known (B, 1 + H, K) → quantiles (B, C, H, Q) and the next state."""
    k = len(FRONT_STATES)
    view, front_next = front(ops, spec, weights, x, state[:k], known)
    output, own_next = stack(ops, spec.layers, weights, view, state[k:], spec.shape)
    quantiles = _beside(ops, spec, head(ops, spec, weights, view, output), front_next[RING])
    return quantiles, (*front_next, *own_next)


def _beside(ops: Ops, spec: NetworkSpec, quantiles: Tensor, ring: Tensor) -> Tensor:
    """Let the covariates stand still at their last clean value, so that every channel has its place."""
    if not spec.covariates or spec.task != "forecast":
        return quantiles
    still = ops.reshape(ring[:, spec.targets :, spec.ring - 1], (-1, spec.covariates, 1, 1))
    return ops.concat([quantiles, still + quantiles[:, :1] * 0.0], 1)


def advance(
    ops: Ops,
    spec: NetworkSpec,
    weights: Weights,
    x: Tensor,
    state: tuple[Tensor, ...],
    known: Tensor | None = None,
) -> Any:
    """Advance by one grid step that nobody asks a forecast of → the next state, as `step` gives it."""
    k = len(FRONT_STATES)
    view, front_next = front(ops, spec, weights, x, state[:k], known)
    _, own_next = stack(ops, spec.layers, weights, view, state[k:], spec.shape)
    return (*front_next, *own_next)


def head(
    ops: Ops, spec: NetworkSpec, weights: Weights, view: View, output: Tensor, taught: Tensor | None = None
) -> Tensor:
    """Make quantiles (B, targets, H, Q) of the highway and the cell's output (B, U); an estimator's head is in `heads`.

    Median = x + gate · (highway - x) + scale · r · correction; outward from it cumulative softplus widths, in units
    of scale · r: quantiles cannot cross. r (H,) is the ridge's error per lead, so that all leads learn alike.
    taught: see `decoder.decode`; only training has any.
    """
    if spec.task != "forecast":
        say = heads.classify if spec.task == "classify" else heads.estimate
        return say(ops, weights, view.features, output)
    H, Q = spec.horizon, len(spec.levels)
    words = _words(ops, spec, weights, view, output)
    linear = ops.matmul(view.difference, weights["highway"])
    if spec.decoder:
        raw = _decode(ops, spec, spec.decoder, weights, view, words, linear, taught)
    else:
        raw = ops.reshape(_speak(ops, spec, weights, words), (-1, H, Q + 1))
    # From lead by lead to all leads of each kind, once: runtimes are slow at picking single numbers that lie apart.
    said = ops.reshape(ops.transpose(raw, (0, 2, 1)), (-1, (Q + 1) * H))
    unit = ops.reshape(view.scale, (-1, 1)) * weights["lead_scale"]
    gate = 1.0 + 0.5 * ops.tanh(said[:, :H])
    correction = said[:, H : 2 * H]
    if view.future is not None and not spec.decoder:
        correction = correction + _foresee(ops, spec, weights, view.future, words)
    median = ops.reshape(view.base, (-1, 1)) + gate * linear + unit * correction
    wide = heads.softplus(ops, said[:, 2 * H :])
    widths = [wide[:, k * H : (k + 1) * H] * unit for k in range(Q - 1)]
    return ops.reshape(heads.outward(ops, median, widths), (-1, spec.targets, H, Q))


def _words(ops: Ops, spec: NetworkSpec, weights: Weights, view: View, output: Tensor) -> Tensor:
    """Say for each channel what the head is made of (V, U + channel features): all channels share the rest."""
    own = output
    if spec.targets > 1:
        # Each channel takes its own mixture of the state all channels share.
        own = ops.reshape(ops.matmul(output, weights["head.mix"]), (-1, spec.units))
    features = view.features[:, : spec.targets * spec.channel_features]
    return ops.concat([own, ops.reshape(features, (-1, spec.channel_features))], 1)


def _speak(ops: Ops, spec: NetworkSpec, weights: Weights, words: Tensor) -> Tensor:
    """Say for each channel gate, correction and widths (V, H·(Q + 1))."""
    raw = ops.matmul(words, weights["head.kernel"])
    if spec.rank:
        raw = ops.matmul(raw, weights["head.basis"])
    return raw + weights["head.bias"]


def _decode(
    ops: Ops, spec: NetworkSpec, own_spec: DecoderSpec, weights: Weights, view: View, words: Tensor, linear: Tensor,
    taught: Tensor | None,
) -> Tensor:  # fmt: skip
    """Say gate, correction and widths lead after lead (V, H, Q + 1)."""
    own = {name.removeprefix("decoder."): a for name, a in weights.items() if name.startswith("decoder.")}
    known = view.future
    if known is not None:
        # All channels of a stream know the same.
        shape = (-1, 1, spec.horizon, spec.known)
        known = ops.concat([ops.reshape(known, shape)] * spec.targets, 1)
        known = ops.reshape(known, (-1, spec.horizon, spec.known))
    return decoder.decode(
        ops, own_spec, own, words, linear / ops.reshape(view.scale, (-1, 1)), weights["lead_scale"],
        weights["head.bias"], spec.seasons, known, taught,
    )  # fmt: skip


def _foresee(ops: Ops, spec: NetworkSpec, weights: Weights, future: Tensor, words: Tensor) -> Tensor:
    """Correct by what is known of the leads: future (B, H, K) → (V, H).

    Σ_k known_hk · (a_hk + b_k(words)): each input has a weight per lead, and one that depends on the state.
    """
    H, K, C = spec.horizon, spec.known, spec.targets
    share = ops.reshape(ops.matmul(words, weights["known.kernel"]), (-1, C, 1, K))
    weighted = ops.reshape(future, (-1, 1, H, K)) * (share + weights["known.lead"])
    return ops.reshape(ops.sum(weighted, 3), (-1, H))


class NetworkStepper:
    """The network on NumPy: the oracle in float64, the fallback of a device without runtime in float32."""

    def __init__(
        self, spec: NetworkSpec, weights: Mapping[str, F32], dtype: Any = np.float32, name: str = "numpy"
    ) -> None:
        self.name = name
        self.channels = spec.channels
        self.horizon = spec.horizon
        self.levels = spec.levels
        self.ring = spec.ring
        self.known = spec.known
        self.state_spec = state_spec(spec)
        self._spec = spec
        self._dtype = np.dtype(dtype)
        self._weights = {k: np.asarray(a, dtype=self._dtype) for k, a in weights.items()}

    def step(
        self, x: NDArray[Any], state: RecurrentState, known: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], RecurrentState]:
        """Advance a batch by one step; arrays in and out are of the stepper's dtype."""
        foreseen = None if known is None else self._own(known)
        with np.errstate(over="ignore", invalid="ignore"):
            quantiles, following = step(
                NUMPY, self._spec, self._weights, self._own(x), tuple(map(self._own, state)), foreseen
            )
        return quantiles, following

    def replay(
        self, x: NDArray[Any], state: RecurrentState, known: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], RecurrentState]:
        """Advance by T steps, of which only the last one says something."""
        last = x.shape[1] - 1
        for t in range(last):
            now = None if known is None else self._own(known[:, t : t + 1 + self.horizon])
            with np.errstate(over="ignore", invalid="ignore"):
                state = advance(
                    NUMPY, self._spec, self._weights, self._own(x[:, t]), tuple(map(self._own, state)), now
                )
        return self.step(x[:, last], state, None if known is None else known[:, last:])

    def _own(self, a: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(a, dtype=self._dtype)
