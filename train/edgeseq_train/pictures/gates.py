"""What the gates of a recurrent cell do over a day, beside what the sensor does."""

from __future__ import annotations

from collections.abc import Mapping

from edgeseq.core.types import F64
from edgeseq_train.pictures.canvas import ALERT, INK, MODEL, SEASONAL, VIOLET, Picture, legend, sheet
from edgeseq_train.pictures.times import mark_day

COLOURS = (MODEL, SEASONAL, VIOLET, ALERT)


def gates(at: F64, openings: Mapping[str, F64], values: F64, per: str, label: str, caption: str) -> Picture:
    """Draw for each gate its mean opening (n,) at places (n,) of the day, and below the sensor's mean value (n,)."""
    figure, (axes, below) = sheet("Gates over a day", height=330, rows=2)
    for (name, values_of), colour in zip(openings.items(), COLOURS, strict=False):
        axes.plot(at, 100 * values_of, color=colour, label=name)
    axes.set_ylabel("open, %")
    legend(axes)
    below.plot(at, values, color=INK)
    below.set_ylabel(label)
    mark_day(below, per)
    below.margins(x=0.01)
    return Picture("gates", "Gates over a day", caption, figure)
