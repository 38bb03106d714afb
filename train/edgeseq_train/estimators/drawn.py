"""The pictures of an estimator's report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeseq.core.types import F64
from edgeseq_train.estimators.judged import Calibration, Judged
from edgeseq_train.history import Note
from edgeseq_train.pictures import coverage, gradient, loss
from edgeseq_train.pictures.canvas import INK, MODEL, NAIVE, RULE, Picture, legend, sheet

MOST_POINTS = 1500
MOST_CLASSES = 12
"""More are not drawn as a table: nobody could read it."""


def confusion(judged: Judged) -> Picture:
    """Draw how often each class was told for each true one: colour by share of the row, counts written."""
    names, counts = judged.target.classes, judged.confusion()
    figure, (axes,) = sheet("True class and class told", height=140 + 34 * len(names))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for (row, column), share in np.ndenumerate(shares):
        axes.bar(column, 0.94, 0.94, row - 0.47, color=MODEL, alpha=0.06 + 0.54 * float(share))
        axes.text(column, row, f"{counts[row, column]:,.0f}", ha="center", va="center", color=INK)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="told", ylabel="true", xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5))
    axes.grid(visible=False)
    caption = (
        "Steps of the test part by what was true (rows) and what was told (columns). On the diagonal it was right; "
        "the stronger the colour, the larger the share of its row."
    )
    return Picture("confusion", "True class and class told", caption, figure)


def reliability(found: Calibration) -> Picture:
    """Draw how often the class that was named was right against the probability it was told with."""
    title = "Probability told and held"
    figure, (axes,) = sheet(title, height=280)
    axes.plot([0, 100], [0, 100], color=NAIVE, ls="--", lw=1.2, label="as promised")
    axes.plot(100 * found.told, 100 * found.right, "o-", ms=4, color=MODEL, label="model")
    axes.set(xlim=(0, 100), ylim=(0, 102), xlabel="probability told, %", ylabel="right, %")
    legend(axes)
    caption = (
        "Of the steps whose class was told with such a probability, how many were right. Below the dashed line it is "
        "too sure of itself, above it too modest."
    )
    return Picture("calibration", title, caption, figure)


def scatter(judged: Judged, label: str) -> Picture:
    """Draw estimates against numbers, at evenly spaced steps where there are many."""
    title = "Estimated and actual"
    figure, (axes,) = sheet(title, height=300)
    shown = slice(None, None, max(1, -(-len(judged.truth) // MOST_POINTS)))
    ends = [
        float(min(judged.truth.min(), judged.point.min())),
        float(max(judged.truth.max(), judged.point.max())),
    ]
    axes.plot(ends, ends, color=RULE, lw=3, label="exact")
    axes.plot(judged.truth[shown], judged.point[shown], ".", ms=3, color=MODEL, label="model")
    axes.set(xlabel=f"actual {label}", ylabel="estimated")
    legend(axes)
    caption = "Each dot is a step of the test part; on the line the estimate is exact."
    return Picture("estimated", title, caption, figure)


def quantiles(judged: Judged, levels: Sequence[float]) -> Picture:
    """Draw the share of numbers at or below each quantile."""
    shares: F64 = (judged.truth[:, None] <= judged.said).mean(axis=0)
    caption = (
        "For each quantile the share of the test part's numbers that lay below it. On the dashed line it is what was "
        "promised; above 50 %, dots below the line mean bands that are too narrow."
    )
    return coverage.coverage(levels, {"test part": shares.tolist()}, caption)


def training(notes: Sequence[Note], clip: float) -> list[Picture]:
    """Draw loss and gradient; nothing where training was stopped before the first validation."""
    start, *rest = notes
    if not rest:
        return []
    steps = [n.step for n in rest]
    said = (
        "Every point is a validation; what ships is the best one, or the regression where no point is surely below it. "
        "The training loss is taken with parts of the network switched off at random (dropout)."
    )
    pulled = "How strongly the loss pulls at the weights, as a mean since the last validation; cut to the dashed line."
    curves = [n.loss for n in rest], [n.validation_loss for n in rest]
    return [
        loss.loss(steps, *curves, said, level=("regression", start.validation_loss)),
        gradient.gradient(steps, [n.gradient_norm for n in rest], clip, pulled),
    ]
