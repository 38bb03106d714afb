"""How many alerts a table raises: what is told together counts once, and what is long ago counts less."""

from __future__ import annotations

import math

import msgspec

WEEK_NS = 7 * 86_400 * 10**9

MEMORY_NS = 4 * WEEK_NS
"""Time constant of the decay: an alert of four weeks ago counts 37 % of one of today, so that a week with one outage is
told from a habit."""

KNOWN_AFTER_NS = WEEK_NS
"""A rate by the week is not told before a week has been seen."""

EXCEEDED = 1.5
"""Beyond so many times the budget it is logged. Two alerts a week for the memory of four weeks are known to ± 35 %."""

MOST_GROUPS = 16
"""Newest groups that are remembered: alerts of one open within a few periods of each other."""


class Rate(msgspec.Struct, frozen=True):
    """Alerts of one table, counted with decay."""

    since_ns: int
    updated_ns: int
    weight: float = 0.0
    groups: tuple[str, ...] = ()


def counted(rate: Rate, group: str, time_ns: int) -> Rate:
    """Count an alert that has opened, unless its group has been counted."""
    if group in rate.groups:
        return rate
    later_ns = max(rate.updated_ns, time_ns)
    weight = rate.weight * math.exp((rate.updated_ns - later_ns) / MEMORY_NS) + 1.0
    return Rate(rate.since_ns, later_ns, weight, (*rate.groups, group)[-MOST_GROUPS:])


def per_week(rate: Rate, now_ns: int) -> float | None:
    """Tell how many alerts a week there are; None before a week has been seen.

    The decayed count is divided by the decayed time, so that a short history is no bias.

    >>> steady = Rate(0, 0)
    >>> for day in range(1, 71): steady = counted(steady, f"{day}", day * WEEK_NS // 7)
    >>> per_week(steady, 10 * WEEK_NS), per_week(Rate(0, 0), WEEK_NS - 1)
    (7.1, None)
    """
    later_ns = max(now_ns, rate.updated_ns)
    if later_ns - rate.since_ns < KNOWN_AFTER_NS:
        return None
    weight = rate.weight * math.exp((rate.updated_ns - later_ns) / MEMORY_NS)
    weeks = -math.expm1((rate.since_ns - later_ns) / MEMORY_NS) * MEMORY_NS / WEEK_NS
    return weight / weeks
