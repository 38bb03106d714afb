"""How hard training pulled at the weights: the norm of the gradient, and where it was cut."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from edgeseq_train.pictures.canvas import ALERT, MODEL, Picture, legend, sheet


def gradient(steps: Sequence[int], norms: Sequence[float], clip: float, caption: str) -> Picture:
    """Draw the mean norm before clipping, and the norm at which it is clipped."""
    figure, (axes,) = sheet("Gradient norm")
    axes.plot(steps, norms, color=MODEL, label="norm of the gradient")
    axes.axhline(clip, color=ALERT, ls="--", lw=1.3, label="cut above this")
    axes.set_yscale("log")
    few = max(*norms, clip) > 10 * min(*norms, clip)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3) if few else (1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="training step", ylabel="norm (log scale)")
    axes.margins(x=0.01)
    legend(axes)
    return Picture("gradient", "Gradient norm", caption, figure)
