"""The committed recordings: times and values as the sensors reported them (data/README.md)."""

from __future__ import annotations

import csv
import datetime as dt
from dataclasses import dataclass
from importlib import resources

import numpy as np

from edgeseq.core.types import F64, I64

HOUR_NS = 3_600_000_000_000
WEEK_NS = 7 * 24 * HOUR_NS


@dataclass(frozen=True, slots=True)
class Recording:
    """One sensor's readings in time order. NaN is a reading that the source marks as missing."""

    time_ns: I64
    """Nanoseconds UTC; a local clock without zone is taken as UTC."""
    value: F64

    def __len__(self) -> int:
        return len(self.time_ns)

    def between(self, start_ns: int, end_ns: int) -> Recording:
        """Select the readings of [start_ns, end_ns)."""
        rows = (self.time_ns >= start_ns) & (self.time_ns < end_ns)
        return Recording(self.time_ns[rows], self.value[rows])

    def followed_by(self, later: Recording) -> Recording:
        """Join with what came after."""
        return Recording(
            np.concatenate([self.time_ns, later.time_ns]), np.concatenate([self.value, later.value])
        )

    def moved(self, by_ns: int) -> Recording:
        """Move all times by the same span."""
        return Recording(self.time_ns + by_ns, self.value)


def traffic() -> Recording:
    """Load two years of vehicles per hour, 17,520 hours of which 104 are missing."""
    return _load("traffic.csv")


def pipeline() -> Recording:
    """Load 1,268 hourly readings of water flow in l/s, with the gaps and outages of a real plant."""
    return _load("pipeline.csv")


def parse_ns(text: str) -> int:
    """Read an ISO 8601 time as nanoseconds UTC; without a zone it is UTC.

    >>> parse_ns("1970-01-01T01:00+01:00"), parse_ns("1970-01-01T00:00")
    (0, 0)
    """
    time = dt.datetime.fromisoformat(text)
    time = time if time.tzinfo else time.replace(tzinfo=dt.UTC)
    return round(time.timestamp()) * 1_000_000_000


def iso(time_ns: int) -> str:
    """Write nanoseconds UTC as ISO 8601 to the second.

    >>> iso(parse_ns("2022-04-11T00:00"))
    '2022-04-11T00:00:00Z'
    """
    return f"{dt.datetime.fromtimestamp(time_ns / 1e9, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def clock(time_ns: int) -> str:
    """Write nanoseconds UTC for a person.

    >>> clock(parse_ns("2022-04-11T00:00"))
    '11 April 00:00'
    """
    time = dt.datetime.fromtimestamp(time_ns / 1e9, dt.UTC)
    return f"{time.day} {time:%B %H:%M}"


def _load(name: str) -> Recording:
    text = resources.files("edgeseq.demo").joinpath("data", name).read_text()
    rows = list(csv.reader(text.splitlines()))[1:]
    times = np.array([parse_ns(time) for time, _ in rows], np.int64)
    return Recording(times, np.array([float(value or "nan") for _, value in rows]))
