"""How hard training pulled at the weights: the norm of the gradient, and where it was cut."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import Locator, LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from edgeseq_train.pictures.canvas import ALERT, MODEL, Picture, legend, sheet


def gradient(steps: Sequence[int], norms: Sequence[float], clip: float, caption: str) -> Picture:
    """Draw the mean norm before clipping, and the norm at which it is clipped."""
    figure, (axes,) = sheet("Gradient norm")
    axes.plot(steps, norms, color=MODEL, label="norm of the gradient")
    axes.axhline(clip, color=ALERT, ls="--", lw=1.3, label="cut above this")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(_ticks(min(*norms, clip), max(*norms, clip)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="training step", ylabel="norm (log scale)")
    axes.margins(x=0.01)
    legend(axes)
    return Picture("gradient", "Gradient norm", caption, figure)


def _ticks(low: float, high: float) -> Locator:
    """Choose round norms; within a factor of three a logarithmic locator finds hardly one."""
    if high < 3 * low:
        return MaxNLocator(5)
    return LogLocator(subs=(1, 3) if high > 10 * low else (1, 1.5, 2, 3, 5, 7))
