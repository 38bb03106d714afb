"""The recurrent state over one day: a row per unit, a column per step."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.patches import Patch

from edgeseq.core.types import F64
from edgeseq_train.pictures.canvas import MODEL, RULE, SEASONAL, Picture, sheet
from edgeseq_train.pictures.times import mark_day


def state_map(at: F64, states: F64, per: str, caption: str) -> Picture:
    """Draw states (n, U) at places (n,), the unit that moves most on top; colour fades to nothing at 0."""
    figure, (axes,) = sheet("State over one day", height=300)
    order = np.argsort(np.ptp(states, axis=0), kind="stable")
    reach = max(float(np.abs(states).max()), 1e-6)
    axes.imshow(
        states[:, order].T, aspect="auto", cmap=_fading(), vmin=-reach, vmax=reach, origin="lower",
        extent=(float(at[0]), float(at[-1]), 0, states.shape[1]),
    )  # fmt: skip
    axes.grid(visible=False)
    axes.set(yticks=[], ylabel="units, most moved on top")
    mark_day(axes, per)
    signs = ((MODEL, f"+{reach:.2g}"), (RULE, "0"), (SEASONAL, f"−{reach:.2g}"))
    axes.legend(
        handles=[Patch(color=c, label=text) for c, text in signs], loc="lower left", bbox_to_anchor=(0.0, 1.0),
        ncols=3, borderaxespad=0.0,
    )  # fmt: skip
    return Picture("state", "State over one day", caption, figure)


def _fading() -> ListedColormap:
    """From one colour through transparent to another: it reads on light and dark paper."""
    strength = np.linspace(-1, 1, 255)
    colours = np.where(strength[:, None] < 0, to_rgb(SEASONAL), to_rgb(MODEL))
    return ListedColormap(np.column_stack([colours, np.abs(strength)]).tolist())
