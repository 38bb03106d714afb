"""Error against lead: how far ahead each forecaster sees."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from edgeseq.core.types import F64
from edgeseq_train.pictures.canvas import Picture, colour, legend, sheet

TICKS = (1, 2, 4, 8, 16, 24, 48, 96, 192, 384, 768, 1536)
NAIVE_KINDS = ("persistence", "seasonal", "the noise")
"""Forecasters that need no training are dashed …"""
DASHES = ("--", "--", ":", "-.")
"""… each in its way, as two seasons share a colour."""


def by_lead(
    errors: Mapping[str, F64], caption: str, *, name: str = "by_lead", title: str = "Error by lead",
    label: str = "error ÷ seasonal-naive error", colours: Mapping[str, str] | None = None,
) -> Picture:  # fmt: skip
    """Draw each forecaster's error (H,) over the leads 1 … H; the model strongest."""
    figure, (axes,) = sheet(title, height=280)
    dotted = cycle(DASHES)
    for forecaster, values in errors.items():
        shade = (colours or {}).get(forecaster, colour(forecaster))
        leads = np.arange(1, len(values) + 1)
        dashes = next(dotted, ":") if forecaster.startswith(NAIVE_KINDS) else "-"
        width, dot = 2.2 if forecaster.startswith("model") else 1.4, "." if len(values) == 1 else ""
        axes.plot(leads, values, dashes, color=shade, lw=width, marker=dot, label=forecaster)
    horizon = len(next(iter(errors.values())))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([t for t in TICKS if t <= horizon]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_ylim(bottom=0)
    axes.set(xlabel="lead: steps ahead (log scale)", ylabel=label)
    axes.margins(x=0.02)
    legend(axes, columns=2 if len(errors) <= 4 else 3)
    return Picture(name, title, caption, figure)
