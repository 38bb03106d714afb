"""NAB's score, by its published formula (Lavin & Ahmad 2015; numenta/NAB, nab/scorer.py and sweeper.py).

Of each labelled window only the earliest detection counts, by a sigmoid of its place in the window: nearly 1 at the
beginning, 0 at the end. A detection outside costs, less soon after a window: a sigmoid again. The first 15 % of a
series (at most 750 rows) is not scored. Normalised: 0 is the detector that never speaks, 100 the perfect one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edgeseq.core.types import F64, I64

PROBATION, MOST_PROBATION = 0.15, 750
BURST_ROWS = 12
"""False alarms less than so many rows apart are one burst."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A series with its labelled windows."""

    name: str
    """category/file"""
    time_ns: I64
    value: F64
    windows: tuple[tuple[int, int], ...]
    """First and last row of each, in order."""

    @property
    def category(self) -> str:
        """Name the folder."""
        return self.name.partition("/")[0]

    @property
    def probation(self) -> int:
        """Count the rows that are not scored."""
        return min(int(PROBATION * len(self.value)), MOST_PROBATION)

    @property
    def days(self) -> float:
        """Give the length of the scored part."""
        return float(self.time_ns[-1] - self.time_ns[self.probation]) / 86_400e9


class Costs(NamedTuple):
    """An application profile of NAB: what detections and misses are worth."""

    tp: float
    fp: float
    fn: float


class Worth(NamedTuple):
    """What a detection at each row (n,) is worth before weights, and which window it lies in (-1: none)."""

    worth: F64
    window: I64


def sigmoid(place: float) -> float:
    """Value a detection: 1 far left of a window's end, 0 at the end, -1 far right of it.

    >>> sigmoid(0.0), sigmoid(3.1), round(sigmoid(-1.0), 4)
    (0.0, -1.0, 0.9866)
    """
    return -1.0 if place > 3 else 2 / (1 + math.exp(5 * place)) - 1


def worth(series: Labelled) -> Worth:
    """Value all rows of a series."""
    n = len(series.value)
    values, window = np.full(n, -1.0), np.full(n, -1)
    ends = [first for first, _ in series.windows[1:]] + [n]
    for k, ((first, last), end) in enumerate(zip(series.windows, ends, strict=False)):
        width = last - first + 1
        for row in range(first, last + 1):
            values[row] = sigmoid(-(last - row + 1) / width) / sigmoid(-1.0)
            window[row] = k
        for row in range(last + 1, end if width > 1 else last + 1):
            values[row] = sigmoid((row - last) / (width - 1))
    return Worth(values, window)


class Counted(NamedTuple):
    """What the alarms of one series come to; sums of these are scored."""

    hits: float
    """Sum of the worth of each window's earliest detection."""
    found: int
    windows: int
    false: float
    """Sum of the (negative) worth of detections outside windows."""
    bursts: int
    days: float
    delays: tuple[float, ...]
    """Share of each found window that had passed."""


def count(series: Labelled, value: Worth, alarms: Iterable[int]) -> Counted:
    """Count the alarms (rows) of a series."""
    best: dict[int, tuple[float, int]] = {}
    false, bursts, before = 0.0, 0, -BURST_ROWS
    for row in sorted(r for r in set(alarms) if r >= series.probation):
        k = int(value.window[row])
        if k >= 0:
            best.setdefault(k, (float(value.worth[row]), row))
            continue
        false += float(value.worth[row])
        bursts += row - before >= BURST_ROWS
        before = row
    delays = tuple(
        (row - series.windows[k][0]) / (series.windows[k][1] - series.windows[k][0] + 1)
        for k, (_, row) in best.items()
    )
    hits = sum(worth for worth, _ in best.values())
    return Counted(hits, len(best), len(series.windows), false, bursts, series.days, delays)


def normalised(counted: Sequence[Counted], costs: Costs) -> float | None:
    """Score series together, 0 for silence and 100 for perfection; None where there is no window to find."""
    windows = sum(c.windows for c in counted)
    if not windows:
        return None
    raw = sum(costs.tp * c.hits + costs.fp * c.false - costs.fn * (c.windows - c.found) for c in counted)
    silent, perfect = -costs.fn * windows, costs.tp * windows
    return 100 * (raw - silent) / (perfect - silent)


def leave_one_out(
    counted: Mapping[str, Mapping[str, Counted]], category: Mapping[str, str], costs: Costs
) -> tuple[float | None, dict[str, str]]:
    """Choose a setting for each category by the others' score → (score of all under it, category → setting).

    counted: setting → series → what its alarms come to. Of equal settings the one named first is taken.
    """
    chosen: dict[str, str] = {}
    kept: list[Counted] = []
    for held in sorted(set(category.values())):

        def others(setting: str, held: str = held) -> float:
            rest = [c for name, c in counted[setting].items() if category[name] != held]
            return normalised(rest, costs) or 0.0

        chosen[held] = max(counted, key=others)
        kept += [c for name, c in counted[chosen[held]].items() if category[name] == held]
    return normalised(kept, costs), chosen
