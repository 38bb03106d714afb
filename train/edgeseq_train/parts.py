"""A recording on its grid, the parts it is cut into, and the error that is counted in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgeseq.core.known import NO_INPUTS, KnownInputs
from edgeseq.core.types import F32, F64
from edgeseq.errors import ConfigError
from edgeseq_train.recipe import SplitRecipe

WILD = 1000.0
"""Typical changes in one: beyond, it is no change of what is measured."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Values on the grid."""

    values: F64
    """(T, S, C): S streams of C channels; NaN where missing."""
    names: tuple[str, ...]
    """Of the S·C columns."""
    period_ns: int
    units: tuple[str | None, ...] = ()
    """Of the S·C columns, as the source writes them; None where it does not know, empty where nobody asked."""
    start_ns: int | None = None
    """Time of the first step as the device names it (`core.align.origin_ns`), for calendars; None: unknown."""
    targets: int | None = None
    """Channels of each stream that are to be forecast, the first ones; the rest are covariates. None: all."""
    channels: tuple[str, ...] = ()
    """(C,) names of a stream's channels; empty where there is one, without a name of its own."""
    known: F32 | None = None
    """(T, K) inputs whose future is known, such as the calendar; None: there are none."""
    inputs: KnownInputs = NO_INPUTS
    """What those are."""

    @property
    def known_names(self) -> tuple[str, ...]:
        """Name the K inputs whose future is known."""
        return self.inputs.names

    @property
    def channel_units(self) -> list[str | None]:
        """Name the unit of each of a stream's channels (C): that of all its columns, None where they differ."""
        channels = self.values.shape[2]
        units = [set(self.units[c::channels]) for c in range(channels)]
        return [next(iter(own)) if len(own) == 1 else None for own in units]

    @property
    def target_channels(self) -> int:
        """Count the channels that are to be forecast."""
        return self.values.shape[2] if self.targets is None else self.targets


@dataclass(frozen=True, slots=True)
class Split:
    """Rows [0, train), [train, validation), [validation, test)."""

    train: int
    validation: int
    test: int


def split_rows(rows: int, recipe: SplitRecipe) -> Split:
    """Cut by time. Fractions of the rows, or row counts where none is below 1.

    >>> split_rows(100, SplitRecipe())
    Split(train=60, validation=80, test=100)
    """
    sizes = (recipe.train, recipe.validation, recipe.test)
    if not all(0 < s < math.inf for s in sizes):
        raise ConfigError(
            "a part of the split is empty", where="recipe: [split]", found=str(sizes), wanted="all > 0"
        )
    if any(s > 1 for s in sizes) and any(s < 1 for s in sizes):
        raise ConfigError(
            "the split mixes counts and shares",
            where="--split, or recipe: [split]",
            found=", ".join(f"{s:g}" for s in sizes),
            wanted="three shares such as 0.6,0.2,0.2, or three counts of steps such as 8640,2880,2880",
            do=f"there are {rows} steps",
        )
    if all(s >= 1 for s in sizes):
        a, b, c = (int(s) for s in sizes)
    else:
        a, b, c = (round(rows * s) for s in sizes)
    if a + b + c > rows + 2:
        raise ConfigError(
            "the split needs more rows than there are",
            where="recipe: [split]",
            found=f"{rows} rows",
            wanted=f"{a}+{b}+{c}",
        )
    return Split(a, a + b, min(a + b + c, rows))


def naive_error(x: F32, lag: int) -> F64:
    """Mean |x_t - x_{t-lag}| of the training part (T, …) → (…): the denominator of MASE.

    Where no two values lie a lag apart, such as every fifth step with a lag of 1, each is compared with the known one
    before it. What a broken sensor says once must not be what all errors are counted in: no difference counts as more
    than WILD typical ones.
    """
    moved = np.abs(x[lag:].astype(np.float64) - x[:-lag])
    known = np.isfinite(moved)
    for place in np.argwhere((moved > 0).any(axis=0)):
        column = moved[:, *place]
        np.minimum(column, WILD * np.median(column[column > 0]), out=column)
    error = np.where(known, moved, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    for place in np.argwhere(~known.any(axis=0)):
        column = x[:, *place].astype(np.float64)
        error[*place] = np.abs(np.diff(column[np.isfinite(column)])).mean()
    return np.asarray(np.maximum(error, 1e-4))
