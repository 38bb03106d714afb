"""The calendar's table: transitions of the zone, holidays of the place, and what is refused."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo

import numpy as np
import pytest

from edgeseq.core.calendar import FEATURES, almanac, features
from edgeseq.errors import ConfigError
from edgeseq_train.calendars import YEARS_AHEAD, make_calendar

FIRST_NS = int(dt.datetime(2024, 2, 1, tzinfo=dt.UTC).timestamp()) * 10**9
LAST_NS = int(dt.datetime(2025, 2, 1, tzinfo=dt.UTC).timestamp()) * 10**9


def year_of(time_s: int) -> int:
    """Give the year in UTC."""
    return dt.datetime.fromtimestamp(time_s, dt.UTC).year


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]
)
def test_table_has_the_offset_of_the_zone_at_every_hour(zone: str) -> None:
    """The table of 22 years says what the workstation's own time zone data say, steps of half an hour included."""
    calendar = make_calendar(zone, "none", FIRST_NS, LAST_NS, 2026)
    table = almanac(calendar)
    times = np.arange(calendar.start_s, calendar.stop_s, 1800)[::37]
    found = table.offsets_s[np.searchsorted(table.starts_s, times, side="right") - 1]
    place = zoneinfo.ZoneInfo(zone)
    wanted = [dt.datetime.fromtimestamp(t, place).utcoffset() for t in times.tolist()]
    assert found.tolist() == [offset.total_seconds() for offset in wanted if offset is not None]


def test_table_reaches_20_years_beyond_today_and_the_recording() -> None:
    """An old recording's table serves today; a recording from the future serves its own time."""
    old = make_calendar("Europe/Berlin", "none", FIRST_NS, LAST_NS, 2030)
    assert (year_of(old.start_s), year_of(old.stop_s)) == (2023, 2030 + YEARS_AHEAD + 1)
    new = make_calendar("Europe/Berlin", "none", FIRST_NS, LAST_NS, 2020)
    assert year_of(new.stop_s) == 2025 + YEARS_AHEAD + 1


def test_holidays_are_those_of_the_place() -> None:
    """Epiphany is a holiday in Bavaria and none in Berlin."""
    moment = np.array([int(dt.datetime(2026, 1, 6, 12, tzinfo=dt.UTC).timestamp()) * 10**9])
    for place, wanted in (("DE-BY", 1), ("DE-BE", 0), ("none", 0)):
        calendar = make_calendar("Europe/Berlin", place, FIRST_NS, LAST_NS, 2026)
        found = features(almanac(calendar), moment)
        assert found[0, FEATURES.index("holiday")] == wanted


def test_an_offset_is_a_zone_without_summer_time() -> None:
    """A clock that is never set has one transition."""
    assert [o for _, o in make_calendar("-03:30", "none", FIRST_NS, LAST_NS, 2026).transitions] == [-12_600]


@pytest.mark.parametrize(
    ("zone", "holidays", "what", "hint"),
    [
        ("Europe/Berln", "none", "no such time zone", "did you mean Europe/Berlin?"),
        ("../etc/passwd", "none", "no such time zone", "Europe/Berlin"),
        ("UTC", "Bavaria", "no holidays are known", "a country such as US"),
        ("UTC", "DE-XX", "no holidays are known", "BY"),
    ],
)
def test_unknown_zones_and_places_are_refused_with_advice(
    zone: str, holidays: str, what: str, hint: str
) -> None:
    """What the libraries do not know is told with what is near, or what there is."""
    with pytest.raises(ConfigError, match=what) as caught:
        make_calendar(zone, holidays, FIRST_NS, LAST_NS, 2026)
    assert re.search(re.escape(hint), str(caught.value))
