"""The calendar's table, made on the workstation: offsets from its time zone data, days from the `holidays` library."""

from __future__ import annotations

import datetime as dt
import difflib
import re
import zoneinfo

from edgeseq.core.calendar import DAY_S, Calendar
from edgeseq.errors import ConfigError

YEARS_AHEAD = 20
"""The table ends so many years after the present one, or after the recording's last."""
NO_HOLIDAYS = "none"

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])([0-9]{1,2})(?::?([0-9]{2}))?")
_EPOCH = dt.date(1970, 1, 1)


def make_calendar(time_zone: str, holidays: str, first_ns: int, last_ns: int, this_year: int) -> Calendar:
    """Make the table from the year before `first_ns` on, to YEARS_AHEAD years after the later of the last two.

    Args:
        time_zone: a name such as Europe/Berlin, or an offset such as +01:00.
        holidays: a country or one of its parts, such as US or DE-BY; none.
        first_ns: first time of the recording.
        last_ns: its last time.
        this_year: so that a bundle of an old recording serves today; the same year gives the same bytes.

    Raises:
        ConfigError: no such zone, or no holidays are known of the place.
    """
    first_year = _year(first_ns) - 1
    last_year = max(_year(last_ns), this_year) + YEARS_AHEAD
    start_s, stop_s = _second(first_year), _second(last_year + 1)
    days = () if holidays == NO_HOLIDAYS else _holidays(holidays, first_year, last_year)
    return Calendar(
        time_zone, "" if holidays == NO_HOLIDAYS else holidays, start_s, stop_s,
        _transitions(_zone(time_zone), start_s, stop_s), days,
    )  # fmt: skip


def _year(time_ns: int) -> int:
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=time_ns // 10**9)).year


def _second(year: int) -> int:
    return (dt.date(year, 1, 1) - _EPOCH).days * DAY_S


def _zone(name: str) -> dt.tzinfo:
    if offset := _OFFSET.fullmatch(name.strip()):
        sign, hours, minutes = offset[1], int(offset[2]), int(offset[3] or 0)
        return dt.timezone(dt.timedelta(hours=hours, minutes=minutes) * (-1 if sign == "-" else 1))
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(name, zoneinfo.available_timezones(), n=1, cutoff=0.5)
        raise ConfigError(
            "no such time zone",
            where="--time-zone, or time_zone of the recipe's [calendar]",
            found=name,
            wanted="a name such as Europe/Berlin, or an offset such as +01:00",
            do=f"did you mean {near[0]}?" if near else None,
        ) from None


def _transitions(zone: dt.tzinfo, start_s: int, stop_s: int) -> tuple[tuple[int, int], ...]:
    """List when the offset changes: looked for day by day, then found to the second."""
    found = [(start_s, _offset_s(zone, start_s))]
    for day_s in range(start_s, stop_s, DAY_S):
        while _offset_s(zone, day_s + DAY_S) != found[-1][1]:
            known, changed = day_s, day_s + DAY_S
            while changed - known > 1:
                middle = (known + changed) // 2
                known, changed = (
                    (middle, changed) if _offset_s(zone, middle) == found[-1][1] else (known, middle)
                )
            found.append((changed, _offset_s(zone, changed)))
    return tuple(found)


def _offset_s(zone: dt.tzinfo, time_s: int) -> int:
    offset = dt.datetime.fromtimestamp(time_s, zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


def _holidays(place: str, first_year: int, last_year: int) -> tuple[int, ...]:
    import holidays  # 0.3 s, needed by few

    country, _, part = place.partition("-")
    try:
        # One year more at both ends: the days beside a holiday may lie in another year than it.
        known = holidays.country_holidays(
            country, subdiv=part or None, years=range(first_year - 1, last_year + 2)
        )
    except NotImplementedError:
        parts = holidays.list_supported_countries().get(country)
        wanted = "a country such as US, or a part of one such as DE-BY"
        if parts:
            wanted = f"{country} or {country}- with one of {', '.join(parts)}"
        raise ConfigError(
            "no holidays are known of this place",
            where="--holidays, or holidays of the recipe's [calendar]",
            found=place,
            wanted=wanted[:400],
            do=f"name the place by ISO 3166, or {NO_HOLIDAYS} for a calendar without holidays",
        ) from None
    return tuple(sorted((day - _EPOCH).days for day in known))
