"""Which of two forecasters errs less: the test of Diebold and Mariano (1995) with a long-run variance.

The mean difference of losses is divided by its standard error after Newey and West (1987): Bartlett weights over `lag`
autocovariances, since losses of leads up to H overlap over H - 1 steps. Critical values are those of Kiefer and
Vogelsang (2005, table 1), which know that a variance over many lags of a short series is itself uncertain; with the
normal distribution's 1.96 a test over 24 lags of 200 differences would err twice as often as it says.

State is O(lag), whatever the length: sums of d, of d(t) d(t - k), and the first and last `lag` differences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from edgeseq.core.types import F64

Verdict = Literal["better", "worse", "undecided"]

LOOKS = 2
"""The test is made after so many differences as are enough, and after twice as many, each with 2.5 % to call an equal
forecaster better, and 2.5 % to call it worse: at most 5 % together."""

MIN_PAIRS = 200
"""Steps with outcomes of both before the first look."""

_CRITICAL = (1.9600, 2.9694, 0.4160, -0.5324)
"""Of the 97.5 % point as a polynomial in b = (lag + 1) / n, Bartlett kernel."""


class Finding(NamedTuple):
    """What a comparison says so far."""

    pairs: int
    difference: float
    """Mean loss of the new one less that of the old one, as a share of the latter; negative: the new one errs less."""
    statistic: float
    """0 where nothing varies."""
    critical: float
    """Beyond it on either side the difference is significant."""


@dataclass(slots=True)
class Comparison:
    """Running sums over the differences d(1) … d(n), the new one's loss less the old one's."""

    lag: int
    enough: int
    """Differences before the first look."""
    count: int = 0
    total: float = 0.0
    old_total: float = 0.0
    products: F64 = field(init=False)
    """(lag + 1,) sums of d(t) d(t - k)."""
    first: F64 = field(init=False)
    """(lag,) d(1) …"""
    last: F64 = field(init=False)
    """(lag,) d(n), d(n - 1), …"""

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.products = np.zeros(self.lag + 1)
        self.first, self.last = np.zeros(self.lag), np.zeros(self.lag)

    def add(self, new_loss: float, old_loss: float) -> None:
        """Take the losses of one step; those that are no numbers are left out."""
        d = new_loss - old_loss
        if not math.isfinite(d):
            return
        self.products[0] += d * d
        self.products[1:] += d * self.last
        if self.count < self.lag:
            self.first[self.count] = d
        self.last[1:] = self.last[:-1].copy()
        self.last[:1] = d
        self.count += 1
        self.total += d
        self.old_total += old_loss

    def variance(self) -> float:
        """Give the long-run variance of d (Newey and West, 1987)."""
        n, mean = self.count, self.total / self.count
        k = np.arange(min(self.lag, n - 1) + 1)
        # Sums over t > k and t <= n - k: all but the first, all but the last k.
        later = self.total - np.concatenate([[0.0], np.cumsum(self.first)])[k]
        earlier = self.total - np.concatenate([[0.0], np.cumsum(self.last)])[k]
        autocovariance = (self.products[k] - mean * (later + earlier) + (n - k) * mean**2) / n
        weight = np.where(k == 0, 1.0, 2.0 * (1 - k / (self.lag + 1)))
        return float(np.sum(weight * autocovariance))

    def test(self) -> Finding:
        """Say how the two compare so far."""
        if self.count < 2:
            return Finding(self.count, 0.0, 0.0, math.inf)
        mean, variance = self.total / self.count, self.variance()
        statistic = mean / math.sqrt(variance / self.count) if variance > 0 else 0.0
        share = self.total / self.old_total if self.old_total > 0 else 0.0
        b = min(1.0, (self.lag + 1) / self.count)
        critical = sum(a * b**power for power, a in enumerate(_CRITICAL))
        return Finding(self.count, share, statistic, critical)

    def look(self) -> Verdict | None:
        """Decide where a look is due; None: go on. To be asked after each step; the last look always decides."""
        if self.count not in (self.enough, LOOKS * self.enough):
            return None
        test = self.test()
        if abs(test.statistic) > test.critical:
            return "better" if test.statistic < 0 else "worse"
        return "undecided" if self.count >= LOOKS * self.enough else None


def new_comparison(horizon_steps: int, season_steps: int) -> Comparison:
    """Begin to compare forecasters of so many leads over streams with such a season (0: none).

    Twice as many lags as losses overlap: Bartlett weights halve the autocovariances that just H - 1 would reach, and
    called equal forecasters of 24 leads better 1.5 times as often. Enough are 200 steps, two seasons and 12 horizons.
    """
    lag = 2 * max(0, horizon_steps - 1)
    return Comparison(lag, max(MIN_PAIRS, 2 * season_steps, 12 * horizon_steps))
