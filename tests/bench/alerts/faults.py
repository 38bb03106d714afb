"""Nine kinds of faults, put into clean readings with an exact onset. Pure: the same numbers in, the same out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgeseq.core.types import F64

Unit = Literal["channel", "step", "relation", "none"]

NORMAL_MAD = 1.4826
"""Standard deviation of a normal variable in median absolute deviations."""

FADE = 12
"""Readings over which a relation is left and taken up again: no jump of the one channel shall give it away."""


@dataclass(frozen=True, slots=True)
class Scales:
    """What a recording's channels were like before the part that is tested, (C,) each, in sensor units."""

    channel: F64
    """Standard deviation."""
    step: F64
    """Robust standard deviation of the one-step differences."""
    low: F64
    high: F64
    """Least and greatest value: `low` and `high`."""
    explained: F64
    """Share of the variance that the other channels explain, linearly, at the same time; 0 of a single one …"""
    relation: F64
    """… and standard deviation of what they leave."""

    def limits(self, channel: int) -> tuple[float, float]:
        """Give the limits that an operator would set: what was seen, and one sigma more."""
        sigma = float(self.channel[channel])
        return float(self.low[channel]) - sigma, float(self.high[channel]) + sigma


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one recording."""

    recording: str
    channel: int
    kind: str
    amplitude: float
    """In the kind's unit; 0 where it has none."""
    onset: int
    """Row of the recording: the first reading that differs, or that is missing."""
    duration: int
    """Readings."""
    after: int
    """Readings behind the fault's end in which an alert still counts as its own."""
    season: int
    """Steps of a day."""
    lag: int
    """Rows back to the past that a broken relation shows."""
    seed: int
    """Of sign and noise."""

    @property
    def window(self) -> tuple[int, int]:
        """Rows [start, stop) in which an alert counts as this fault's."""
        return self.onset, self.onset + self.duration + self.after


def scales(values: F64) -> Scales:
    """Measure channels (T, C), NaN where missing."""
    steps = np.abs(np.diff(values, axis=0))
    robust = NORMAL_MAD * np.nanmedian(steps, axis=0)
    # A channel that mostly stands still (light at night) has a median step of 0.
    step = np.where(robust > 0, robust, np.nanstd(np.diff(values, axis=0), axis=0))
    relations = np.array([_related(values, c) for c in range(values.shape[1])])
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    return Scales(np.nanstd(values, axis=0), step, low, high, *relations.T)


def _related(values: F64, channel: int) -> tuple[float, float]:
    """Explain a channel by the others → (share of its variance, what is left as standard deviation)."""
    rows = values[np.isfinite(values).all(axis=1)]
    spread = float(rows[:, channel].std())
    if values.shape[1] == 1 or not spread > 0:
        return 0.0, spread
    others = np.column_stack([np.delete(rows, channel, axis=1), np.ones(len(rows))])
    left = rows[:, channel] - others @ np.linalg.lstsq(others, rows[:, channel], rcond=None)[0]
    return 1.0 - float(left.var()) / spread**2, float(left.std())


def inject(values: F64, fault: Fault, known: Scales) -> F64:
    """Copy readings (T, C) with the fault in one channel; NaN is a reading that does not come."""
    changed = values.copy()
    rows = slice(fault.onset, fault.onset + fault.duration)
    x = values[:, fault.channel]
    made = MAKERS[fault.kind](x.copy(), rows, fault, known)
    changed[:, fault.channel] = np.where(
        np.isnan(x), np.nan, made
    )  # a reading that never came is not made up
    return changed


def sign(fault: Fault, value: float, low: float, change: float) -> float:
    """Draw the direction; upwards where a sensor that never showed a negative number would show one."""
    drawn = 1.0 if np.random.default_rng(fault.seed).integers(2) else -1.0
    return 1.0 if low >= 0 and value - change < 0 else drawn


def _change(x: F64, fault: Fault, known: Scales) -> float:
    """Give the signed height of a change in sensor units."""
    unit = {"spike_step": known.step, "relation_offset": known.relation}.get(fault.kind, known.channel)
    height = fault.amplitude * float(unit[fault.channel])
    return height * sign(fault, float(x[fault.onset]), float(known.low[fault.channel]), height)


def _spike(x: F64, rows: slice, fault: Fault, known: Scales) -> F64:
    x[rows] += _change(x, fault, known)
    return x


def _level_shift(x: F64, rows: slice, fault: Fault, known: Scales) -> F64:
    x[rows.start :] += _change(x, fault, known)
    return x


def _drift(x: F64, rows: slice, fault: Fault, known: Scales) -> F64:
    ramp = np.minimum(np.arange(1, len(x) - rows.start + 1) / fault.duration, 1.0)
    x[rows.start :] += ramp * _change(x, fault, known)
    return x


def _variance(x: F64, rows: slice, fault: Fault, known: Scales) -> F64:
    noise = np.random.default_rng(fault.seed).standard_normal(fault.duration)
    x[rows] += fault.amplitude * float(known.step[fault.channel]) * noise
    return x


def _stuck(x: F64, rows: slice, fault: Fault, known: Scales) -> F64:
    x[rows] = x[rows.start - 1]
    return x


def _silent(x: F64, rows: slice, fault: Fault, known: Scales) -> F64:
    x[rows] = np.nan
    return x


def _out_of_range(x: F64, rows: slice, fault: Fault, known: Scales) -> F64:
    low, high = known.limits(fault.channel)
    beyond = fault.amplitude * float(known.channel[fault.channel])
    x[rows] = high + beyond if np.random.default_rng(fault.seed).integers(2) else low - beyond
    return x


def _season_reversed(x: F64, rows: slice, fault: Fault, known: Scales) -> F64:
    x[rows] = x[rows][::-1]
    return x


def _season_shifted(x: F64, rows: slice, fault: Fault, known: Scales) -> F64:
    x[rows] = np.roll(x[rows], fault.season // 2)
    return x


def _share(duration: int) -> F64:
    """Fade in and out (duration,): 1 in between."""
    at = np.arange(duration)
    return np.clip(np.minimum(at + 1, duration - at) / FADE, 0, 1)


def _relation_offset(x: F64, rows: slice, fault: Fault, known: Scales) -> F64:
    x[rows] += _share(fault.duration) * _change(x, fault, known)
    return x


def _relation_past(x: F64, rows: slice, fault: Fault, known: Scales) -> F64:
    past, share = x[rows.start - fault.lag : rows.stop - fault.lag], _share(fault.duration)
    x[rows] = (1 - share) * x[rows] + share * past
    return x


MAKERS: dict[str, Callable[[F64, slice, Fault, Scales], F64]] = {
    "spike": _spike,
    "spike_step": _spike,
    "level_shift": _level_shift,
    "drift": _drift,
    "variance": _variance,
    "stuck": _stuck,
    "silent": _silent,
    "out_of_range": _out_of_range,
    "season_reversed": _season_reversed,
    "season_shifted": _season_shifted,
    "relation_offset": _relation_offset,
    "relation_past": _relation_past,
}
"""Kind of the plan → what makes it."""

NAMES = {
    "spike_step": "spike",
    "season_reversed": "season",
    "season_shifted": "season",
    "relation_offset": "relation",
    "relation_past": "relation",
}
"""Kind of the plan → one of the nine, where they differ."""


def nine(kind: str) -> str:
    """Name which of the nine kinds a fault of the plan is.

    >>> nine("season_shifted"), nine("drift")
    ('season', 'drift')
    """
    return NAMES.get(kind, kind)
