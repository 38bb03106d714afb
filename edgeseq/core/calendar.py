"""The calendar as inputs of a model: pure functions of a step's time, in true local time.

    time (ns, UTC) ─ transitions ─▶ local day and minute ─▶ features (…, 14)

The offsets of the local clock come from a table in the bundle, never from the device's own: both ends of the model's
life must read the same clock, and a device's time zone data may be years old, or missing. So it is with holidays.

Features: Fourier terms of the day (1, 1/2, 1/3 day) and of the week (1, 1/2 week), the weekend, holidays and the days
beside them (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, sections 7.4 and 12.1).
A day of 23 or 25 hours is as any other: the hour that comes twice has its features twice, the skipped one never.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import msgspec
import numpy as np

from edgeseq.core.types import F32, I64

DAY_S = 86_400
WEEK_MINUTES = 7 * 1440
EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday; Monday is 0 (ISO 8601)."""
SATURDAY = 5
DAY_TERMS, WEEK_TERMS = 3, 2
GRID = 4096.0
"""Waves are rounded to 1/4096: sines of two machines differ by some 1e-16, and no minute of a week lies so near to
where rounding parts (a test says so). So the features are the same, bit for bit, wherever they are computed."""

FEATURES = (
    *(f"day.{wave}{k}" for k in range(1, DAY_TERMS + 1) for wave in ("sin", "cos")),
    *(f"week.{wave}{k}" for k in range(1, WEEK_TERMS + 1) for wave in ("sin", "cos")),
    "weekend", "holiday", "day_before_holiday", "day_after_holiday",
)  # fmt: skip


class Calendar(msgspec.Struct, frozen=True):
    """A local clock and its holidays, as a bundle carries them.

    The table holds for [start_s, stop_s). Before and after it the first and the last offset hold, and there are no
    holidays: after its end summer time is no longer told from winter time, until the model is trained anew.
    """

    time_zone: str
    """Such as Europe/Berlin; for people."""
    holidays: str
    """Such as DE-BY; for people. Empty: none."""
    start_s: int
    """Seconds since 1970, UTC."""
    stop_s: int
    transitions: tuple[tuple[int, int], ...]
    """From this second on (UTC, ascending) the local clock is ahead of UTC by so many seconds."""
    days: tuple[int, ...] = ()
    """Holidays as local days since 1970-01-01, ascending."""


@dataclass(frozen=True, slots=True)
class Almanac:
    """A Calendar laid out for computing."""

    starts_s: I64
    offsets_s: I64
    first_day: int
    days: F32
    """(D, 3) holiday, day before one, day after one; the first and the last row stand for all days outside."""


def almanac(calendar: Calendar) -> Almanac:
    """Lay a calendar out."""
    table = np.array(calendar.transitions, dtype=np.int64).reshape(-1, 2)
    first_day = calendar.start_s // DAY_S - 1
    days = np.zeros((calendar.stop_s // DAY_S - first_day + 1, 3), dtype=np.float32)
    holidays = np.array(calendar.days, dtype=np.int64) - first_day
    for column, shift in enumerate((0, -1, 1)):
        beside = holidays + shift
        days[beside[(beside > 0) & (beside < len(days) - 1)], column] = 1.0
    return Almanac(table[:, 0], table[:, 1], first_day, days)


def features(a: Almanac, time_ns: I64) -> F32:
    """Compute the features (…, 14) of times (…,), in the order of FEATURES; to the minute.

    >>> a = almanac(Calendar("UTC", "", 0, 86400, ((0, 0),)))
    >>> dict(zip(FEATURES, features(a, np.array([6 * 3600 * 10**9]))[0].tolist()))["day.sin1"]
    1.0
    """
    time_s = time_ns // 10**9
    at = np.maximum(np.searchsorted(a.starts_s, time_s, side="right") - 1, 0)
    local_s = time_s + a.offsets_s[at]
    minute = (local_s // 60 + EPOCH_WEEKDAY * 1440) % WEEK_MINUTES
    day = np.clip(local_s // DAY_S - a.first_day, 0, len(a.days) - 1)
    return np.concatenate([_week()[minute], a.days[day]], axis=-1)


@cache
def _week() -> F32:
    """Tabulate waves and weekend over the minutes of a week from Monday on (10080, 11)."""
    minute = np.arange(WEEK_MINUTES)
    phases = [((minute % 1440) / 1440, DAY_TERMS), (minute / WEEK_MINUTES, WEEK_TERMS)]
    waves = [
        wave(2 * np.pi * k * phase)
        for phase, terms in phases
        for k in range(1, terms + 1)
        for wave in (np.sin, np.cos)
    ]
    rounded = [np.round(wave * GRID) / GRID for wave in waves]
    return np.stack([*rounded, minute // 1440 >= SATURDAY], axis=-1).astype(np.float32)
