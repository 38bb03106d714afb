"""How training went: the loss it saw, the loss on data it never saw, and the level it had to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from edgeseq_train.pictures.canvas import MODEL, NAIVE, RIDGE, Picture, legend, sheet


def loss(
    steps: Sequence[int], training: Sequence[float], validation: Sequence[float], caption: str, *,
    name: str = "loss", title: str = "Loss", label: str = "loss", per: str = "training step",
    level: tuple[str, float] | None = None,
) -> Picture:  # fmt: skip
    """Draw both curves; `level` is a name and the validation loss of what was to be beaten."""
    figure, (axes,) = sheet(title)
    axes.plot(steps, training, color=NAIVE, label="training")
    axes.plot(steps, validation, color=MODEL, label="validation")
    best = int(np.argmin(validation))
    axes.plot([steps[best]], [validation[best]], "o", color=MODEL, ms=4.5, label="best")
    if level:
        axes.axhline(level[1], color=RIDGE, ls="--", lw=1.3, label=level[0])
    axes.set(xlabel=per, ylabel=label)
    axes.margins(x=0.01)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(axes, columns=4)
    return Picture(name, title, caption, figure)
