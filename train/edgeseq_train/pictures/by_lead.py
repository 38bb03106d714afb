"""Error against lead: how far ahead each forecaster sees."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from edgeseq.core.types import F64
from edgeseq_train.pictures.canvas import Picture, colour, legend, sheet

TICKS = (1, 2, 4, 8, 16, 24, 48, 96, 192, 384, 768, 1536)


def by_lead(errors: Mapping[str, F64], caption: str) -> Picture:
    """Draw each forecaster's error (H,) over the leads 1 … H; the model last and strongest."""
    figure, (axes,) = sheet("Error by lead", height=280)
    for name, values in errors.items():
        ours = name.startswith("model")
        leads = np.arange(1, len(values) + 1)
        dashes = "-" if ours or name.startswith("ridge") else "--"
        width, dot = 2.2 if ours else 1.4, "." if len(values) == 1 else ""
        axes.plot(leads, values, dashes, color=colour(name), lw=width, marker=dot, label=name)
    horizon = len(next(iter(errors.values())))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([t for t in TICKS if t <= horizon]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_ylim(bottom=0)
    axes.set(xlabel="lead: steps ahead (log scale)", ylabel="error ÷ seasonal-naive error")
    axes.margins(x=0.02)
    legend(axes, columns=2)
    return Picture("by_lead", "Error by lead", caption, figure)
