"""Inputs that are known for the future too: the calendar, and covariates that others forecast, such as the weather.

    messages: (time, value), … ─ take ─▶ value by time ─ look ─▶ value by step ─ fill, encode ─▶ (B, 1 + H, K)

A value belongs to the step that its time lies in; the newest message wins, of several values in a step the latest. What
is missing is filled, in training as on the device:

1. A value holds until the next one, for at most 6 h: forecasts may be coarser than the grid.
2. Else the value given for the same time of day on the nearest of the 7 days before.
3. Else the last value before, of at most 7 days ago.
4. Else the mean of the training part.

Shapes: N or B rows, W steps, J covariates, K inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec
import numpy as np

from edgeseq.core.calendar import FEATURES, Almanac, Calendar, almanac, features
from edgeseq.core.types import F32, F64, I64, Bool

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
BRIDGE_NS = 6 * HOUR_NS
"""Between two values not farther apart the earlier one holds."""
REACH_DAYS = 7
"""Nothing is filled from longer ago."""
AHEAD_NS = 7 * DAY_NS
"""Values so far beyond the horizon are kept: they serve when the next message is late."""
LIMIT = 8.0
"""Bound of an input, in training scales: a wild forecast must not carry the model away."""


class Covariate(msgspec.Struct, frozen=True):
    """One covariate as a bundle describes it."""

    name: str
    mean: float
    """Of the training part; stands in where nothing better is known."""
    scale: float


class KnownInputs(msgspec.Struct, frozen=True):
    """What the K known inputs of a model are: the calendar's features, then the covariates."""

    calendar: Calendar | None = None
    covariates: tuple[Covariate, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Name the K inputs in their order."""
        return (*(FEATURES if self.calendar else ()), *(c.name for c in self.covariates))


NO_INPUTS = KnownInputs()


@dataclass(slots=True)
class Given:
    """What messages have said of one covariate: bounded, ascending in time."""

    time_ns: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    value: F64 = field(default_factory=lambda: np.empty(0))


@dataclass(slots=True)
class Known:
    """The known inputs of one rule's streams: what they are, and what is given."""

    inputs: KnownInputs
    period_ns: int
    horizon: int
    history: int
    """Steps of the past that a model is warmed from."""
    almanac: Almanac | None
    given: list[Given]
    """Of each covariate."""


def new_known(inputs: KnownInputs, period_ns: int, horizon: int, history: int) -> Known:
    """Begin with nothing given."""
    laid = almanac(inputs.calendar) if inputs.calendar else None
    return Known(inputs, period_ns, horizon, history, laid, [Given() for _ in inputs.covariates])


# --- what is given ------------------------------------------------------------------------------------------------


def take(
    known: Known, covariate: I64, time_ns: I64, value: F64, message: I64, present_ns: int | None = None
) -> None:
    """Take values (n,) of covariates in order; message (n,) tells which came together. NaN takes a value back.

    Kept is what lies from the history and 7 days before the streams' present on to the horizon and 7 days after it, and
    of that the latest, as many as there are steps. While no stream has a present only the number is bounded.
    """
    span = known.history + known.horizon + (REACH_DAYS * DAY_NS + AHEAD_NS) // known.period_ns + 1
    for rows in _runs(covariate, message):
        given = known.given[int(covariate[rows.start])]
        times = np.concatenate([given.time_ns, time_ns[rows]])
        values = np.concatenate([given.value, value[rows]])
        newest = len(times) - 1 - np.unique(times[::-1], return_index=True)[1]
        times, values = times[newest], values[newest]
        kept = np.isfinite(values)
        if present_ns is not None:
            kept &= times >= present_ns - known.history * known.period_ns - REACH_DAYS * DAY_NS
            kept &= times <= present_ns + known.horizon * known.period_ns + AHEAD_NS
        latest = np.flatnonzero(kept)[-span:]
        given.time_ns, given.value = times[latest], values[latest]


def _runs(covariate: I64, message: I64) -> Iterator[slice]:
    """Cut rows where the covariate or the message changes."""
    changes = np.flatnonzero((np.diff(covariate) != 0) | (np.diff(message) != 0)) + 1
    bounds = [0, *changes.tolist(), len(covariate)]
    for start, stop in pairwise(bounds):
        if stop > start:
            yield slice(start, stop)


# --- what a model is fed ------------------------------------------------------------------------------------------


def look(known: Known, phase_ns: I64, first: I64, width: int, named_ns: I64) -> tuple[F32, Bool]:
    """Give the inputs of steps `first` … first + width - 1 of each row.

    Args:
        known: what is known.
        phase_ns: (B,) where the rows' grids begin.
        first: (B,) steps.
        width: W.
        named_ns: (B,) the time by which the first step is named.

    Returns:
        inputs (B, W, K), and whether a covariate was filled from before (B, W).
    """
    values = _on_steps(known, phase_ns, first, width)
    filled: Bool = np.zeros(values.shape[:2], dtype=np.bool_)
    if np.isnan(values).any():
        before, after = reach_steps(known.period_ns), BRIDGE_NS // known.period_ns
        wide = _on_steps(known, phase_ns, first - before, before + width + after)
        wide, wide_filled = fill(known.inputs, wide, known.period_ns)
        values = wide[:, before : before + width]
        filled = np.asarray(wide_filled[:, before : before + width].any(axis=2))
    time_ns = named_ns[:, None] + np.arange(width, dtype=np.int64) * known.period_ns
    return encode(known.inputs, known.almanac, time_ns, values), filled


def _on_steps(known: Known, phase_ns: I64, first: I64, width: int) -> F64:
    """Lay what is given on the steps of each row (B, W, J), NaN where nothing is."""
    period_ns = known.period_ns
    laid = np.full((len(first), width, len(known.given)), np.nan)
    start_ns = phase_ns + first * period_ns
    for j, given in enumerate(known.given):
        within = slice(
            int(np.searchsorted(given.time_ns, start_ns.min())),
            int(np.searchsorted(given.time_ns, start_ns.max() + width * period_ns)),
        )
        step = (given.time_ns[within] - start_ns[:, None]) // period_ns
        row, at = np.nonzero((step >= 0) & (step < width))
        # Of several values in a step the last assigned stays, which is the latest.
        laid[row, step[row, at], j] = given.value[within][at]
    return laid


def reach_steps(period_ns: int) -> int:
    """Count the steps of the past that a missing value is filled from."""
    return max(1, REACH_DAYS * DAY_NS // period_ns)


def fill(inputs: KnownInputs, values: F64, period_ns: int) -> tuple[F64, Bool]:
    """Fill what is missing of values (N, W, J) by the rules at the top of this file.

    Returns:
        filled values (N, W, J), and where rules 2 to 4 were needed (N, W, J).
    """
    W = values.shape[1]
    at = np.arange(W)[None, :, None]
    known = np.isfinite(values)
    last = np.maximum.accumulate(np.where(known, at, -1), axis=1)
    following = np.minimum.accumulate(np.where(known, at, W)[:, ::-1], axis=1)[:, ::-1]
    held = np.take_along_axis(values, np.maximum(last, 0), axis=1)
    between = (last >= 0) & (following < W) & (following - last <= BRIDGE_NS // period_ns)
    bridged = known | between
    result = np.where(bridged, held, np.nan)
    day, rest = divmod(DAY_NS, period_ns)
    for back in range(day, REACH_DAYS * day + 1, day) if day and not rest else ():
        earlier = np.full_like(values, np.nan)
        earlier[:, back:] = values[:, : max(0, W - back)]
        result = np.where(np.isnan(result), earlier, result)
    recent = (last >= 0) & (at - last <= reach_steps(period_ns))
    mean = np.array([c.mean for c in inputs.covariates])
    return np.where(np.isnan(result), np.where(recent, held, mean), result), ~bridged


def encode(inputs: KnownInputs, laid: Almanac | None, time_ns: I64, values: F64) -> F32:
    """Make the inputs (N, W, K) of named times (N, W) and filled values (N, W, J)."""
    mean, scale = (np.array([getattr(c, name) for c in inputs.covariates]) for name in ("mean", "scale"))
    scaled = np.clip((values - mean) / scale, -LIMIT, LIMIT).astype(np.float32)
    return scaled if laid is None else np.concatenate([features(laid, time_ns), scaled], axis=-1)
