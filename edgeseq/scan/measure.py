"""What readings say of their stream: how often they come, how finely they are told, whether they count or repeat."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeseq.core.types import F64
from edgeseq.scan.observe import Number

USUAL_S = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
)  # fmt: skip
"""Round periods; each divides a day, so that days are whole numbers of them."""

COARSE_S = (1, 10, 60, 300, 600, 1800, 3600)
"""Round periods of what reports changes: how often those come is of the moment."""

FEWEST_GAPS = 3
"""Of fewer nobody can tell how often readings come."""
EARLY = 0.85
"""A round period may be shorter than the usual gap by so much, for gaps jitter."""
IRREGULAR = 2.5
"""Gaps of which a tenth is so many times longer than another tenth follow no clock."""

MOST_PLACES = 6
"""Decimal places that a measurement may have."""

FEWEST_CYCLES = 3
LEAST_CORRELATION = 0.6
"""Of a season with its repetition, after the trend."""
FEWEST_VALUES = 30

_WORD = re.compile(r"[a-z0-9]+")
_COUNTING = frozenset(
    {"energy", "total", "today", "counter", "pulses", "impulses", "odometer", "import", "export"}
)
_ACCUMULATING = frozenset({"returned", "consumed", "produced", "consumption", "production", "volume"})
_MOMENTARY = frozenset(
    {
        "power",
        "current",
        "voltage",
        "temperature",
        "rate",
        "percent",
        "yesterday",
        "factor",
        "pf",
        "average",
        "mean",
    }
)
_UNITS_THAT_ADD_UP = frozenset({"kWh", "Wh", "MWh", "Wmin", "L", "m³", "gal", "ft³", "J", "kJ", "MJ", "GJ"})
FEWEST_RISES = 60
"""Rises without any fall that tell a counter without a name for it."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often readings come."""

    gaps: int = 0
    median_s: float = math.nan
    is_regular: bool = False

    @property
    def is_known(self) -> bool:
        """Whether there were enough of them to tell."""
        return self.gaps >= FEWEST_GAPS


def cadence(numbers: Sequence[Number]) -> Cadence:
    """Measure how often the numbers of a topic come: as that one does which comes most often."""
    found = [_cadence(number) for number in numbers]
    known = [one for one in found if one.is_known]
    return min(known, key=lambda one: one.median_s) if known else max(found, key=lambda one: one.gaps)


def _cadence(number: Number) -> Cadence:
    gaps_s = np.diff(np.sort(np.array(number.times_ns, dtype=np.int64))) / 1e9
    gaps_s = gaps_s[gaps_s > 0]
    if not len(gaps_s):
        return Cadence()
    short, median, long = np.quantile(gaps_s, (0.1, 0.5, 0.9))
    return Cadence(len(gaps_s), float(median), bool(long < IRREGULAR * short))


def period_s(found: Cadence, *, reports_changes: bool) -> float:
    """Choose a round period for readings of a known cadence.

    >>> period_s(Cadence(9, 9.97, True), reports_changes=False), period_s(Cadence(9, 9.97, True), reports_changes=True)
    (10, 10)
    >>> period_s(Cadence(9, 71.0, False), reports_changes=True)
    300
    """
    usual = COARSE_S if reports_changes else USUAL_S
    return next((s for s in usual if s >= EARLY * found.median_s), usual[-1])


def is_counter(number: Number) -> bool:
    """Tell whether a number counts: it never falls but to begin anew, and is called so, or rises very often."""
    if number.falls > number.resets or (number.resets and number.resets > 0.1 * number.rises):
        return False
    last = (number.source[1] or number.source[0].removesuffix("/state")).rpartition("/")[2]
    words = set(_WORD.findall(re.split(r"[./ :]", last)[-1].lower().replace("_", " ")))
    if words & _MOMENTARY:
        return False
    if words & _COUNTING or (words & _ACCUMULATING and number.unit in _UNITS_THAT_ADD_UP):
        return True
    return number.rises >= FEWEST_RISES


def resolution(number: Number) -> float | None:
    """Give the largest step of which all differences are multiples, None where values never differ or have no step.

    Values are read as decimals of at most six places: what has more is computed, not measured.
    """
    values = np.unique(np.array(number.values, dtype=np.float64))
    if len(values) < 2:
        return None
    for places in range(MOST_PLACES + 1):
        scaled = values * 10.0**places
        whole = np.round(scaled)
        if np.abs(whole).max() > 2**52:
            return None
        if np.abs(scaled - whole).max() < 1e-9 * max(1.0, float(np.abs(scaled).max())):
            steps = np.diff(whole.astype(np.int64))
            return int(np.gcd.reduce(steps)) / 10**places or None
    return None


def season_s(number: Number, every_s: float) -> float | None:
    """Find a season that repeats at least three times in what was seen, in whole periods; None where there is none.

    The autocorrelation of the readings without their line is looked at: its highest peak is the season.
    """
    times = np.array(number.times_ns, dtype=np.int64)
    if len(times) < FEWEST_VALUES:
        return None
    order = np.argsort(times, kind="stable")
    at = (times[order] - times[order[0]]) / 1e9
    count = int(at[-1] / every_s) + 1
    if not FEWEST_VALUES <= count <= 8 * len(at):
        return None
    grid = np.interp(np.arange(count) * every_s, at, np.array(number.values)[order])
    lag = _peak(grid)
    return None if lag is None else lag * every_s


def _peak(grid: F64) -> int | None:
    """Find the lag of the highest peak of the autocorrelation of evenly spaced values."""
    steps = np.arange(len(grid))
    rest = grid - np.polyval(np.polyfit(steps, grid, 1), steps)
    if not rest.any():
        return None
    longest = len(grid) // FEWEST_CYCLES
    found = np.array([_correlation(rest, lag) for lag in range(1, longest + 1)])
    inner = found[1:-1]
    peaks = np.flatnonzero((inner >= found[:-2]) & (inner > found[2:]) & (inner > LEAST_CORRELATION))
    # It must have been apart in between: noise on a slope correlates at all short lags.
    peaks = np.array([k for k in peaks if found[: k + 1].min() < LEAST_CORRELATION / 2], dtype=np.int64)
    return int(peaks[np.argmax(inner[peaks])]) + 2 if len(peaks) else None


def _correlation(rest: F64, lag: int) -> float:
    early, late = rest[:-lag], rest[lag:]
    scale = math.sqrt(float(early @ early) * float(late @ late))
    return float(early @ late) / scale if scale else 0.0
