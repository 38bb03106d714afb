"""One forecast as a fan of quantiles, beside what came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.types import F64
from edgeseq_train.pictures.canvas import INK, MODEL, NAIVE, Picture, legend, sheet
from edgeseq_train.pictures.times import Times


def fan(
    steps: NDArray[np.int64], readings: F64, quantiles: F64, levels: Sequence[float], clock: Times, label: str,
    name: str, title: str, caption: str,
) -> Picture:  # fmt: skip
    """Draw readings (n,) at steps (n,), the last H of which were forecast, and their quantiles (H, Q)."""
    figure, (axes,) = sheet(title)
    horizon, half = len(quantiles), len(levels) // 2
    ahead: Any = clock.at(steps[-horizon:])
    for k in range(half):
        share = round(100 * (levels[-1 - k] - levels[k]))
        low, high = quantiles[:, k], quantiles[:, -1 - k]
        axes.fill_between(ahead, low, high, color=MODEL, alpha=0.16 + 0.1 * k, lw=0, label=f"{share} %")
    axes.plot(clock.at(steps), readings, color=INK, lw=1.2, label="readings")
    axes.plot(ahead, quantiles[:, half], color=MODEL, lw=1.8, label="forecast")
    axes.axvline(ahead[0], color=NAIVE, lw=0.8, ls=":")
    axes.set_ylabel(label)
    axes.margins(x=0.01)
    clock.mark(axes)
    legend(axes, columns=5)
    return Picture(name, title, caption, figure)
