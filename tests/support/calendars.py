"""A calendar written down by hand: Germany in 2026."""

from __future__ import annotations

import datetime as dt

from edgeseq.core.calendar import Calendar

UTC = dt.UTC
SPRING, AUTUMN = dt.datetime(2026, 3, 29, 1, tzinfo=UTC), dt.datetime(2026, 10, 25, 1, tzinfo=UTC)
"""When clocks in Germany are set to and from summer time (Directive 2000/84/EC)."""
EPOCH_DAY = dt.date(1970, 1, 1)


def seconds(moment: dt.datetime) -> int:
    """Give the seconds since 1970."""
    return int(moment.timestamp())


def day(year: int, month: int, number: int) -> int:
    """Give the days since 1970."""
    return (dt.date(year, month, number) - EPOCH_DAY).days


BERLIN = Calendar(
    "Europe/Berlin", "DE", seconds(dt.datetime(2026, 1, 1, tzinfo=UTC)), seconds(dt.datetime(2027, 1, 1, tzinfo=UTC)),
    ((seconds(dt.datetime(2026, 1, 1, tzinfo=UTC)), 3600), (seconds(SPRING), 7200), (seconds(AUTUMN), 3600)),
    (day(2026, 1, 1), day(2026, 5, 1), day(2026, 12, 25), day(2026, 12, 26), day(2027, 1, 1)),
)  # fmt: skip
