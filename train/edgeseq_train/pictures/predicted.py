"""Predicted against actual, one step ahead."""

from __future__ import annotations

from collections.abc import Mapping

from edgeseq.core.types import F64
from edgeseq_train.pictures.canvas import INK, RULE, Picture, legend, sheet
from edgeseq_train.pictures.canvas import colour as usual


def predicted(
    steps: F64, readings: F64, clean: F64, forecasts: Mapping[str, F64], colours: Mapping[str, str], caption: str, *,
    name: str = "predicted", title: str = "Predicted and actual", origin: float | None = None,
) -> Picture:  # fmt: skip
    """Draw readings (n,) over the curve without noise (n,), and forecasts (n,) or of the last steps only."""
    figure, (axes,) = sheet(title, height=280)
    axes.plot(steps, clean, color=RULE, lw=5, solid_capstyle="round", label="without noise")
    axes.plot(steps, readings, ".", color=INK, ms=3.5, label="readings")
    for forecaster, values in forecasts.items():
        shade = colours.get(forecaster, usual(forecaster))
        axes.plot(steps[-len(values) :], values, color=shade, label=forecaster, lw=1.6)
    if origin is not None:
        axes.axvline(origin, color=INK, lw=0.8, ls=":")
    axes.set(xlabel="reading", ylabel="value")
    axes.margins(x=0.01)
    legend(axes)
    return Picture(name, title, caption, figure)
