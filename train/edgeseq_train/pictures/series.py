"""The recording itself, with the parts it was cut into."""

from __future__ import annotations

import warnings

import numpy as np

from edgeseq.core.types import F64
from edgeseq_train.pictures.canvas import INK, MODEL, RULE, SEASONAL, WIDTH, Picture, legend, sheet
from edgeseq_train.pictures.times import Times

MOST_POINTS = 3 * WIDTH
"""A longer series is drawn as the range it covers in each unit of width: no peak is lost."""
PARTS = (("training", RULE), ("validation", SEASONAL), ("test", MODEL))


def series(
    values: F64, ends: tuple[int, int, int], clock: Times, title: str, label: str, caption: str
) -> Picture:
    """Draw a series (T,) with its training, validation and test part; ends are their last rows, exclusive."""
    figure, (axes,) = sheet(title)
    starts = (0, *ends[:-1])
    for (name, colour), start, end in zip(PARTS, starts, ends, strict=True):
        edges = clock.at(np.array([start, end]))
        axes.axvspan(
            edges[0], edges[1], color=colour, alpha=0.55 if name == "training" else 0.12, lw=0, label=name
        )
    if len(values) <= MOST_POINTS:
        axes.plot(clock.at(np.arange(len(values))), values, color=INK, lw=0.9, label="readings")
    else:
        at, low, high = envelope(values, WIDTH)
        axes.fill_between(clock.at(at), low, high, color=INK, lw=0.4, label="range of readings")
    axes.grid(visible=False)
    axes.set_ylabel(label)
    axes.margins(x=0)
    clock.mark(axes)
    legend(axes, columns=4)
    return Picture("series", title, caption, figure)


def envelope(values: F64, buckets: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], F64, F64]:
    """Cut (T,) into buckets → first row, smallest and largest value of each; NaN where a bucket has none.

    >>> at, low, high = envelope(np.arange(6.0), 3)
    >>> at.tolist(), low.tolist(), high.tolist()
    ([0, 2, 4], [0.0, 2.0, 4.0], [1.0, 3.0, 5.0])
    """
    size = -(-len(values) // buckets)
    padded = np.pad(values, (0, -len(values) % size), constant_values=np.nan).reshape(-1, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a bucket without any value is NaN, as it should be
        return np.arange(len(padded)) * size, np.nanmin(padded, axis=1), np.nanmax(padded, axis=1)
