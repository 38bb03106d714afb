"""Which seasons a recording has: the day and the week, where its autocorrelation shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgeseq.core.types import F64

DAY_NS = 86_400 * 10**9
WEEK_DAYS = 7
LONGEST_SEASON = 2016
"""Two weeks of ten-minute steps would not fit a ring; a week of them (1008) does not pay either: see RING_LIMIT."""
RING_LIMIT = 512
"""Longest ring that is looked at whole: 2 kB of state per channel, and a row of highway weights per lag."""
PEAK = 0.05
"""How far the autocorrelation at a season must stand above that half a season away."""
LEAST_PAIRS = 200
"""Of values one lag apart, from which a correlation is told."""
WILD = 50.0
"""Median deviations from the median; farther off nothing is weather or load: the worst smog is at 20."""


def candidates(period_ns: int) -> tuple[int, ...]:
    """List the day and the week in steps, where they are whole numbers of at least 4 steps.

    >>> candidates(3600 * 10**9)
    (24, 168)
    """
    if DAY_NS % period_ns:
        return ()
    day = DAY_NS // period_ns
    return tuple(s for s in (day, WEEK_DAYS * day) if 4 <= s <= LONGEST_SEASON)


def autocorrelation(values: F64, lag: int) -> float:
    """Correlate a series with itself `lag` steps later, over the pairs where both are known.

    0 where the series is shorter than three lags; NaN where it has too few pairs to tell. On a grid finer than its
    readings a series may lack most steps, and yet show its day.
    """
    if len(values) < 3 * lag:
        return 0.0
    a, b = values[:-lag], values[lag:]
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < min(2 * lag, LEAST_PAIRS) or a[known].std() == 0 or b[known].std() == 0:
        return math.nan
    return float(np.corrcoef(a[known], b[known])[0, 1])


def tentative(found: tuple[int, ...], period_ns: int, rows: int) -> tuple[int, ...]:
    """Add the week to a day that was found: not every week shows in the autocorrelation, and lags can be tried.

    >>> tentative((24,), 3600 * 10**9, 2000), tentative((), 3600 * 10**9, 2000)
    ((24, 168), ())
    """
    days = candidates(period_ns)
    if len(found) != 1 or found != days[:1] or rows < 3 * days[-1]:
        return found
    return days


def detect(values: F64, period_ns: int) -> tuple[int, ...]:
    """Find the seasons of a recording (T, ...) by its training part; most channels must show them.

    The day counts where the autocorrelation peaks at one day; the week where it is higher at one week than at the
    days around it.
    """
    columns = [_tamed(c) for c in values.reshape(len(values), -1).T]
    found = []
    for k, season in enumerate(candidates(period_ns)):
        if 3 * season > len(values):
            continue
        votes = [_shows(c, season, weekly=k > 0) for c in columns]
        if np.mean(votes) >= 0.5:
            found.append(season)
    return tuple(found)


def _tamed(column: F64) -> F64:
    """Bound a column about its median: one reading of -9999 or 65535 would else outweigh every season."""
    known = column[np.isfinite(column)]
    if len(known) == 0:
        return column
    middle = np.median(known)
    reach = WILD * np.median(np.abs(known - middle))
    return np.clip(column, middle - reach, middle + reach) if reach > 0 else column


def _shows(column: F64, season: int, *, weekly: bool) -> bool:
    day = season // WEEK_DAYS
    away = (season - day, season + day, season - 3 * day) if weekly else (season // 2, season + season // 2)
    # A comparison with NaN is false.
    return all(autocorrelation(column, season) > autocorrelation(column, lag) + PEAK for lag in away)


DENSE, WIDE = 96, 336
"""Whole rings that are tried whatever the season; the first is that of a sparse choice without a shorter season …"""
MARGIN = 6
"""… and so many lags around a whole season beside those that the leads point at."""

Segments = tuple[tuple[int, int], ...]


def lag_candidates(found: tuple[int, ...], horizon: int, rows: int, *, asked: bool = False) -> list[Segments]:
    """List sensible choices of lags, as segments [start, stop), shortest reach first.

    Whole rings of 24, 96, 336 and two of each season, where they are short against the recording; where two seasons
    are longer than RING_LIMIT, the recent lags and those around whole seasons. Seasons that somebody asked for are
    reached by such lags also where the recording is too short for two of them in a whole ring.

    >>> lag_candidates((24,), 24, 5000)
    [((0, 24),), ((0, 48),), ((0, 96),), ((0, 336),)]
    >>> lag_candidates((168,), 24, 600), lag_candidates((168,), 24, 600, asked=True)
    ([((0, 24),)], [((0, 24),), ((0, 24), (138, 175))])
    >>> lag_candidates((1440,), 96, 20000)[-1]
    ((0, 96), (1338, 1447), (2778, 2887))
    """
    whole = {24, DENSE, WIDE, *(2 * s for s in found)}
    fitting = sorted(r for r in whole if r <= min(RING_LIMIT, rows // 8)) or [max(2, rows // 8)]
    choices: list[Segments] = [((0, r),) for r in fitting]
    for k, longest in enumerate(found):
        if 2 * longest <= (fitting[-1] if asked else RING_LIMIT):
            continue
        held = [2 * s for s in found[:k] if 2 * s <= RING_LIMIT]
        base = min((r for r in fitting if r >= max(held, default=DENSE)), default=fitting[-1])
        spans = [(m * s - horizon - MARGIN, m * s + MARGIN + 1) for s in found[: k + 1] for m in (1, 2)]
        # A recording that has three of a season, as it must, has room for the lags around one.
        segments = _merged([(0, base), *((max(0, a), b) for a, b in spans)], rows // (2 if asked else 3))
        if segments not in choices:
            choices.append(segments)
    return sorted(choices, key=lambda c: c[-1][1])


def unused(asked: Sequence[int], used: Sequence[int], reach: int, reachable: Sequence[int]) -> list[str]:
    """Say which of the seasons that were asked for a model does without, and why.

    Args:
        asked: season lengths in steps.
        used: those within the reach of the lags that were chosen.
        reach: how many steps those lags reach back.
        reachable: seasons within the reach of any lags that were tried.

    >>> unused((24, 168), (24,), 48, (24,))[0].partition(":")[0]
    'the season of 168 steps is not used'
    """
    told = []
    for season in asked:
        if season in used:
            continue
        why = "longer ones did not pay on validation" if season in reachable else "none fit that reach it"
        told.append(
            f"the season of {season} steps is not used: the lags reach {reach} steps back, {why};"
            f" wanted: [front] seasons = {list(asked)}; ring = {season + MARGIN} in [front] enforces it"
        )
    return told


def _merged(spans: list[tuple[int, int]], limit: int) -> Segments:
    """Join spans that touch, and leave out those beyond a limit."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if stop > limit:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return tuple(merged)
