"""What a network says in the end: quantiles of a number, or probabilities of classes, over `edgeseq.core.ops`.

An estimator's answer stands on the same two legs as a forecast: a linear highway that starts as the closed-form
solution (linear or logistic regression on the features), and the layers' correction to it.
Shapes beside the usual letters: N classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeseq.core.ops import Ops, Tensor

Weights = Mapping[str, Tensor]

LOGIT_LIMIT = 20.0
"""Logits are bounded to ± this much, far beyond any honest certainty: their exponentials then cannot overflow."""


def weights(features: int, units: int, outputs: int, *, is_classifier: bool) -> dict[str, tuple[int, ...]]:
    """List an estimator's weights: features F, units U of the last layer, outputs Q or N."""
    named: dict[str, tuple[int, ...]] = {
        "highway": (features, outputs if is_classifier else 1),
        "head.kernel": (units, outputs),
        "head.bias": (outputs,),
    }
    return named if is_classifier else {**named, "error_scale": (1,)}


def estimate(ops: Ops, w: Weights, features: Tensor, output: Tensor) -> Tensor:
    """Make quantiles (B, 1, 1, Q) of the target: features (B, F), output (B, U) of the layers.

    Median = highway · features + e · correction; widths in units of e, the highway's own typical error.
    """
    raw = ops.matmul(output, w["head.kernel"]) + w["head.bias"]
    count = int(raw.shape[-1])
    median = ops.matmul(features, w["highway"]) + w["error_scale"] * raw[:, :1]
    widths = [w["error_scale"] * softplus(ops, raw[:, k : k + 1]) for k in range(1, count)]
    return ops.reshape(outward(ops, median, widths), (-1, 1, 1, count))


def classify(ops: Ops, w: Weights, features: Tensor, output: Tensor) -> Tensor:
    """Make probabilities (B, 1, 1, N) of the classes: softmax of highway · features + what the layers say (B, U)."""
    logits = ops.matmul(features, w["highway"]) + ops.matmul(output, w["head.kernel"]) + w["head.bias"]
    odds = ops.exp(ops.maximum(ops.minimum(logits, LOGIT_LIMIT), -LOGIT_LIMIT))
    share = odds / ops.reshape(ops.sum(odds, 1), (-1, 1))
    return ops.reshape(share, (-1, 1, 1, int(logits.shape[-1])))


def outward(ops: Ops, median: Tensor, widths: Sequence[Tensor]) -> Tensor:
    """Add up widths from the median outward: median (n, H) and Q - 1 widths (n, H) >= 0 → (n, H, Q), never crossing."""
    half = len(widths) // 2
    below, above = [median], [median]
    for k in range(half):
        below.append(below[-1] - widths[half - 1 - k])
        above.append(above[-1] + widths[half + k])
    columns = [*below[:0:-1], *above]
    # Side by side and turned over as a whole: runtimes are slow at single numbers that lie apart.
    together = ops.reshape(ops.concat(columns, 1), (-1, len(columns), int(median.shape[-1])))
    return ops.transpose(together, (0, 2, 1))


def softplus(ops: Ops, a: Tensor) -> Tensor:
    """log(1 + e^a), written so that it cannot overflow."""
    return ops.maximum(a, 0.0) + ops.log(1.0 + ops.exp(-ops.abs(a)))
