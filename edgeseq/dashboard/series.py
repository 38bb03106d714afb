"""The readings of a stream that are kept to be drawn, each with the forecast that had been made for it; bounded."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field

import numpy as np

from edgeseq.core.types import F64
from edgeseq.watch.told import Forecast

READINGS = 240
"""Kept of each stream: 10 KB."""
TIME, OBSERVED, VALUE, LOWER, UPPER = range(5)


@dataclass(slots=True)
class Series:
    """The newest readings of a stream, oldest first in time; ring of READINGS rows."""

    rows: F64 = field(default_factory=lambda: np.full((READINGS, 5), np.nan))
    count: int = 0
    """Readings that were ever put in."""
    last: Forecast | None = None
    before: Forecast | None = None
    """The forecast of the step before the last one."""
    judged: int = 0
    """Readings that had a forecast interval, since the dashboard began; …"""
    inside: int = 0
    """… those of them that lay within it."""
    verdict: bool | None = None
    """Of the last reading: whether it lay within; None where it had no interval."""

    def take(self, forecast: Forecast) -> bool:
        """Take a forecast with its reading. The same step again replaces it; an older one is left out → False."""
        if self.last is not None and forecast.origin < self.last.origin:
            return False
        if self.last is not None and forecast.origin == self.last.origin:
            self._take_back()
        else:
            self.before = self.last
        expected = self.before if is_next(self.before, forecast) else None
        ends = (expected.value, expected.lower, expected.upper) if expected else (None, None, None)
        given = (forecast.origin.timestamp(), forecast.observed, *ends)
        self.rows[self.count % READINGS] = [math.nan if x is None else x for x in given]
        self.count += 1
        self.last = forecast
        self._judge(forecast.observed, ends[1], ends[2])
        return True

    def _take_back(self) -> None:
        """Take back the last reading."""
        self.count -= 1
        if self.verdict is not None:
            self.judged -= 1
            self.inside -= self.verdict

    def _judge(self, observed: float | None, lower: float | None, upper: float | None) -> None:
        """Count whether a reading lay within its interval; one without a width is none."""
        self.verdict = None
        if observed is None or lower is None or upper is None or lower >= upper:
            return
        self.verdict = lower <= observed <= upper
        self.judged += 1
        self.inside += self.verdict

    def ordered(self) -> F64:
        """Give the kept readings (n, 5), oldest first."""
        if self.count <= READINGS:
            return self.rows[: self.count]
        return np.roll(self.rows, -(self.count % READINGS), axis=0)


def is_next(before: Forecast | None, now: Forecast) -> bool:
    """Tell whether a forecast was made one step before another, so that its next step is the other's reading."""
    if before is None or not before.period_s > 0:
        return False
    away_s = (now.origin - before.origin) / dt.timedelta(seconds=1) - before.period_s
    return abs(away_s) <= before.period_s / 2
