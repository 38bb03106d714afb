"""The calendar's features: local time, both switches of the clock, holidays, and equality to the bit."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import numpy as np
import pytest

from edgeseq.core.calendar import (
    DAY_TERMS,
    FEATURES,
    GRID,
    WEEK_MINUTES,
    WEEK_TERMS,
    Calendar,
    almanac,
    features,
)
from edgeseq.core.types import F32, I64
from tests.support.calendars import AUTUMN, BERLIN, SPRING, UTC, seconds


def hours(first: dt.datetime, count: int) -> I64:
    """List hourly instants in ns."""
    return (seconds(first) + 3600 * np.arange(count, dtype=np.int64)) * 10**9


def column(found: F32, name: str) -> F32:
    """Select a feature."""
    return np.asarray(found[..., FEATURES.index(name)])


def local_hour(found: F32) -> I64:
    """Read the hour of the day back from the day's wave."""
    angle = np.arctan2(column(found, "day.sin1"), column(found, "day.cos1"))
    return np.round(angle / (2 * np.pi) * 24).astype(np.int64) % 24


@pytest.mark.parametrize(("switch", "length"), [(SPRING, 23), (AUTUMN, 25)])
def test_a_day_on_which_the_clock_is_set_has_23_or_25_hours(switch: dt.datetime, length: int) -> None:
    """Local time skips an hour in spring and has one twice, with the same features, in autumn."""
    midnight = switch - dt.timedelta(hours=2 if length == 23 else 3)
    found = features(almanac(BERLIN), hours(midnight, length + 1))
    skipped_or_twice = [0, 1, *([] if length == 23 else [2]), 2 if length == 25 else 3]
    assert local_hour(found)[: len(skipped_or_twice)].tolist() == skipped_or_twice
    assert local_hour(found)[-2:].tolist() == [23, 0]
    if length == 25:
        np.testing.assert_array_equal(found[2], found[3])


def test_features_follow_local_time_of_every_hour_of_a_year() -> None:
    """Hour and weekend are those that Python's own calendar gives for the same local time."""
    times = hours(dt.datetime(2026, 1, 1, tzinfo=UTC), 8760)
    found = features(almanac(BERLIN), times)
    offsets = np.where((times >= seconds(SPRING) * 10**9) & (times < seconds(AUTUMN) * 10**9), 2, 1)
    local = [
        dt.datetime.fromtimestamp(t / 1e9, UTC) + dt.timedelta(hours=int(h))
        for t, h in zip(times, offsets, strict=True)
    ]
    assert local_hour(found).tolist() == [moment.hour for moment in local]
    assert column(found, "weekend").tolist() == [float(moment.weekday() >= 5) for moment in local]


def test_holidays_are_local_days_with_the_days_beside_them() -> None:
    """A holiday begins at local midnight, and its neighbours are told, also where two holidays touch."""
    found = features(almanac(BERLIN), hours(dt.datetime(2026, 4, 29, 22, tzinfo=UTC), 72))
    for name, start in (("day_before_holiday", 0), ("holiday", 24), ("day_after_holiday", 48)):
        wanted = np.zeros(72)
        wanted[start : start + 24] = 1
        np.testing.assert_array_equal(column(found, name), wanted)
    christmas = features(
        almanac(BERLIN), np.array([seconds(dt.datetime(2026, 12, 25, 12, tzinfo=UTC)) * 10**9])
    )
    flags = [column(christmas, n)[0] for n in ("holiday", "day_before_holiday", "day_after_holiday")]
    assert flags == [1, 1, 0]


def test_outside_the_table_the_nearest_offset_holds_and_no_holiday() -> None:
    """Years after its end winter time goes on, and the day after the last year is no day beside a holiday."""
    later = features(almanac(BERLIN), hours(dt.datetime(2031, 7, 1, tzinfo=UTC), 24))
    assert local_hour(later).tolist() == [(h + 1) % 24 for h in range(24)]
    new_year = features(almanac(BERLIN), hours(dt.datetime(2036, 1, 1, tzinfo=UTC), 24))
    earlier = features(almanac(BERLIN), hours(dt.datetime(2010, 1, 1, tzinfo=UTC), 24))
    for name in ("holiday", "day_before_holiday", "day_after_holiday"):
        assert not column(new_year, name).any()
        assert not column(earlier, name).any()
    assert local_hour(earlier)[0] == 1


def test_waves_do_not_hang_on_the_last_bits_of_a_sine() -> None:
    """No minute of a week lies nearer than 1e-6 to where rounding parts, so that all machines give the same bits."""
    minute = np.arange(WEEK_MINUTES)
    nearest = 1.0
    for phase, terms in (((minute % 1440) / 1440, DAY_TERMS), (minute / WEEK_MINUTES, WEEK_TERMS)):
        for k in range(1, terms + 1):
            for wave in (np.sin, np.cos):
                scaled = wave(2 * np.pi * k * phase) * GRID
                nearest = min(nearest, float(np.abs(np.abs(scaled - np.floor(scaled)) - 0.5).min()))
    assert nearest > 1e-6


def test_shape_and_type_follow_the_times() -> None:
    """Times (B, T) give features (B, T, F) in float32, each as it would be alone."""
    times = hours(dt.datetime(2026, 3, 28, tzinfo=UTC), 48).reshape(4, 12)
    found = features(almanac(BERLIN), times)
    assert found.shape == (4, 12, len(FEATURES))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[2, 5], features(almanac(BERLIN), times[2, 5:6])[0])


def test_a_calendar_without_holidays_has_none() -> None:
    """An empty list is as good as any."""
    bare = Calendar("UTC", "", BERLIN.start_s, BERLIN.stop_s, ((BERLIN.start_s, 0),))
    found = features(almanac(bare), hours(dt.datetime(2026, 1, 1, tzinfo=UTC), 24))
    assert not column(found, "holiday").any()
    assert all(a < b for a, b in pairwise(local_hour(found).tolist()))
