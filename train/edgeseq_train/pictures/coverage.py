"""Do the bands hold what they promise: nominal against actual share of readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeseq_train.pictures.canvas import INK, MODEL, NAIVE, SEASONAL, VIOLET, Picture, legend, sheet

COLOURS = (MODEL, SEASONAL, VIOLET, INK)


def coverage(levels: Sequence[float], shares: Mapping[str, Sequence[float]], caption: str) -> Picture:
    """Draw for each group of leads the share of readings at or below each quantile; on the diagonal it is right."""
    figure, (axes,) = sheet("Promised and actual coverage", height=280)
    axes.plot([0, 100], [0, 100], color=NAIVE, ls="--", lw=1.2, label="as promised")
    for (name, values), colour in zip(shares.items(), COLOURS, strict=False):
        axes.plot([100 * q for q in levels], [100 * v for v in values], "o-", ms=4, color=colour, label=name)
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="level of the quantile, %", ylabel="readings below it, %")
    legend(axes, columns=4)
    return Picture("coverage", "Promised and actual coverage", caption, figure)
