"""Times of recordings: how they may be written, the local clock, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.core.instants import format_instant, parse_instant
from edgeseq.core.types import I64
from edgeseq.errors import ConfigError, InputError
from edgeseq_train import recording
from edgeseq_train.parts import Recording
from edgeseq_train.recordings.request import Request
from edgeseq_train.recordings.tables import Table
from edgeseq_train.recordings.times import from_epoch, read_times
from tests.train.conftest import HOUR_NS

BERLIN = ZoneInfo("Europe/Berlin")
START_NS = parse_instant("2026-03-01T10:00:00Z") or 0


def _times(cells: list[object], **options: Any) -> I64:
    """Read a column of times."""
    table = Table(pl.DataFrame({"when": cells, "a": range(len(cells))}, strict=False), "here")
    request = Request(period_ns=HOUR_NS, time_column="when", **options)
    return read_times(table, request).ns.to_numpy()


def _read(frame: pl.DataFrame, minutes: int = 60, **options: Any) -> tuple[Recording, list[str]]:
    said: list[str] = []
    taken = recording.from_frame(frame, minutes * 60 * 10**9, "last", say=said.append, **options)
    return taken, said


@pytest.mark.parametrize(
    "cell",
    ["2026-03-01T10:00:00Z", "2026-03-01 10:00", "2026-03-01T11:00:00+01:00", "2026-03-01 05:30:00-0430",
     "2026-03-01 10:00:00+00", "2026-03-01T10:00:00.000000000Z", "2026-03-01T10:00:00 UTC", "2026-W09-7T10:00",
     "20260301T100000Z", "1.3.2026 10:00", "01.03.26 10:00:00", "2026/3/1 10:00", "1772359200", "1772359200.0",
     1772359200, 1772359200.0, 1772359200_000, 1772359200_000_000, 1772359200_000_000_000,
     datetime(2026, 3, 1, 10),  # noqa: DTZ001
     datetime(2026, 3, 1, 11, tzinfo=BERLIN)],
)  # fmt: skip
def test_an_instant_is_read_however_it_is_written(cell: object) -> None:
    """ISO 8601 in its spellings, dates with dots or slashes, epoch numbers by size, and datetimes are one instant."""
    assert _times([cell, cell]).tolist() == [START_NS, START_NS]


@given(st.lists(st.integers(-(2**60), 2**60).map(lambda ns: ns // 1000 * 1000), min_size=1, max_size=9))
def test_text_is_read_as_the_device_reads_it(instants: list[int]) -> None:
    """ISO 8601 with any fraction gives the nanoseconds that a payload's time would have given."""
    texts = [format_instant(ns) for ns in instants]
    assert _times(list(texts)).tolist() == [parse_instant(text) for text in texts]


NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(-9e18, 9e18)


@given(st.lists(NUMBERS, min_size=1, max_size=9), st.sampled_from([int, float]))
def test_epoch_numbers_are_read_as_the_device_reads_them(numbers: list[float], kind: type) -> None:
    """Numbers of any size are the s, ms, µs or ns that a payload's time would have been, or none as they would be."""
    cells = pl.Series([kind(n) for n in numbers])
    assert from_epoch(cells).to_list() == [parse_instant(n) for n in cells.to_list()]


@pytest.mark.parametrize(
    ("cells", "second"),
    [(["1/13/26 0:00", "1/2/26 0:10"], "2026-01-02T00:10:00Z"),
     (["13/1/26 0:00", "1/2/26 0:10"], "2026-02-01T00:10:00Z"),
     (["1/13/2026 1:00 PM", "1/2/2026 12:10 AM"], "2026-01-02T00:10:00Z")],
)  # fmt: skip
def test_a_day_above_twelve_tells_day_from_month(cells: list[object], second: str) -> None:
    """Whether the day or the month stands first is told by all dates together."""
    assert format_instant(int(_times(cells)[1])) == second


@pytest.mark.parametrize(
    ("cells", "what"),
    [(["1/2/2026 10:00", "2/2/2026 10:00"], "day and month cannot be told apart"),
     (["13/2/2026 10:00", "2/13/2026 10:00"], "dates are written in several ways")],
)  # fmt: skip
def test_dates_that_can_be_read_in_two_ways_are_refused(cells: list[object], what: str) -> None:
    """Nobody guesses: the error asks for the format, and with the format they are read."""
    with pytest.raises(InputError, match=what) as raised:
        _times(cells)
    assert "--time-format '%d/%m/%Y %H:%M'" in str(raised.value.do)
    day_first = _times(["1/2/2026 10:00"] * 2, time_format="%d/%m/%Y %H:%M")
    assert format_instant(int(day_first[0])) == "2026-02-01T10:00:00Z"


def test_the_time_may_stand_in_several_columns(tmp_path: Path) -> None:
    """Date and time, or year, month, day and hour, are found by name; others are named with commas between."""
    frame = pl.DataFrame({"No": [1, 2, 3], "year": [2026] * 3, "month": [3] * 3, "day": [1] * 3, "hour": [10, 11, 12],
                          "a": [1.5, 2.5, 1.0]})  # fmt: skip
    taken, said = _read(frame)
    assert (taken.names, taken.start_ns) == (("a",), START_NS)
    assert "left out, for they number the rows: No" in said
    frame = pl.DataFrame(
        {"Date": ["1.3.2026"] * 3, "Time": ["10:00", "11:00", "12:00"], "a": [1.5, 2.5, 1.0]}
    )
    for name in (None, "Date, Time"):
        assert _read(frame, time_column=name)[0].start_ns == START_NS


@pytest.mark.parametrize("kind", ["text", "datetime"])
def test_local_times_become_utc_through_both_changes_of_the_clock(kind: str) -> None:
    """Half-hours over a year on Berlin's clock, the hour twice in autumn and never in spring, are half-hours in UTC."""
    start = datetime(2025, 11, 1, tzinfo=UTC)
    moments = [start + timedelta(minutes=30 * k) for k in range(2 * 24 * 365)]
    walls = [m.astimezone(BERLIN).replace(tzinfo=None) for m in moments]
    frame = pl.DataFrame({"time": walls, "a": np.sin(np.arange(len(walls)))})
    if kind == "text":
        frame = frame.with_columns(pl.col("time").dt.strftime("%Y-%m-%d %H:%M:%S"))
    taken, said = _read(frame, minutes=30, time_zone="Europe/Berlin")
    np.testing.assert_array_equal(taken.values[:, 0, 0], np.sin(np.arange(len(walls))))
    assert taken.start_ns == start.timestamp() * 10**9
    assert said[0] == (
        "Europe/Berlin: the hour from 02:00 on 2026-10-25 comes twice: 2 rows are of the first, 2 of the second"
    )
    assert not [line for line in said if "sorted" in line or "the time of another" in line]


@pytest.mark.parametrize("order", ["by time", "by series", "newest first"])
def test_each_series_passes_through_the_hour_that_comes_twice(order: str) -> None:
    """In a long table, rows interleaved, one series after the other, or newest first, each series has its own order."""
    utc = [datetime(2026, 10, 24, 20, tzinfo=UTC) + timedelta(minutes=20 * k) for k in range(36)]
    rows = [
        (m.astimezone(BERLIN).replace(tzinfo=None), s, k + 100.0 * (s == "b"))
        for k, m in enumerate(utc)
        for s in "ab"
    ]
    if order == "by series":
        rows.sort(key=lambda row: row[1])
    if order == "newest first":
        rows.reverse()
    frame = pl.DataFrame(rows, schema=["time", "sensor", "value"], orient="row")
    taken, _ = _read(frame, minutes=20, time_zone="Europe/Berlin")
    a, b = (taken.values[:, taken.names.index(name), 0] for name in "ab")
    np.testing.assert_array_equal(a, np.arange(36.0))
    np.testing.assert_array_equal(b, a + 100)


def test_hourly_rows_stand_twice_in_the_hour_that_comes_twice() -> None:
    """Hourly local times do not go back, they repeat: the second is an hour later; where only one stands it is told."""
    walls = ["2026-10-25 01:00", "2026-10-25 02:00", "2026-10-25 02:00", "2026-10-25 03:00"]
    taken, _ = _read(pl.DataFrame({"time": walls, "a": [1.0, 2.0, 3.0, 4.0]}), time_zone="Europe/Berlin")
    np.testing.assert_array_equal(taken.values.ravel(), [1, 2, 3, 4])
    taken, said = _read(
        pl.DataFrame({"time": [*walls[:2], walls[3]], "a": [1.0, 2.0, 4.0]}), time_zone="Europe/Berlin"
    )
    np.testing.assert_array_equal(taken.values.ravel(), [1, 2, np.nan, 4])
    assert said[0].endswith("comes twice: its one row is read as of the first")


def test_a_time_of_the_skipped_hour_is_read_as_before_the_change() -> None:
    """A clock that was set forward late wrote 02:10 when it was 03:10: that is what is read, and told."""
    walls = ["2026-03-29 01:10", "2026-03-29 02:10", "2026-03-29 04:10"]
    taken, said = _read(pl.DataFrame({"time": walls, "a": [1.0, 2.0, 3.0]}), time_zone="Europe/Berlin")
    np.testing.assert_array_equal(taken.values.ravel(), [1, 2, 3])
    assert said[0] == (
        "Europe/Berlin: the hour of 2026-03-29 02:10:00 is skipped: read as if the clock had not been set forward yet"
    )


def test_a_recorder_without_summer_time_is_refused_with_its_offset() -> None:
    """Rows in the skipped hour and in the hour after it show a clock that is never changed: the offset is named."""
    walls = [f"2026-03-29 0{h}:00" for h in range(6)]
    frame = pl.DataFrame({"time": walls, "a": [1.0, 2, 3, 4, 5, 6]})
    with pytest.raises(InputError, match="the times do not follow the clock of Europe/Berlin") as raised:
        _read(frame, time_zone="Europe/Berlin")
    fault = raised.value
    assert str(fault.found).startswith("2026-03-29 02:00:00: the hour that is skipped")
    assert fault.do == "--time-zone +01:00 if the recorder keeps this offset all year"
    taken, _ = _read(frame, time_zone="+01:00")
    assert (len(taken.values), taken.start_ns) == (6, parse_instant("2026-03-28T23:00:00Z"))


def test_times_with_a_zone_stay_what_they_are() -> None:
    """A time zone given concerns only rows that name none."""
    frame = pl.DataFrame(
        {"time": ["2026-07-01T10:00Z", "2026-07-01 13:00", "2026-07-01T12:00Z"], "a": [1.0, 2.0, 3.0]}
    )
    taken, _ = _read(frame, time_zone="Europe/Berlin")
    np.testing.assert_array_equal(taken.values.ravel(), [1, 2, 3])


def test_a_zone_that_changes_nothing_is_told() -> None:
    """Where all times name their zone, or are epoch numbers, a line says that --time-zone was not needed."""
    _, said = _read(pl.DataFrame({"time": [0, 3600], "a": [1.0, 2.0]}), time_zone="Europe/Berlin")
    assert said[0] == "all times name their own zone: --time-zone changes none of them"


@pytest.mark.parametrize(("zone", "do"), [("Europe/Berln", "did you mean Europe/Berlin?"), ("+25:00", None)])
@pytest.mark.parametrize("times", [["2026-07-01", "2026-07-02"], [0, 3600]])
def test_an_unknown_zone_is_refused_with_a_name_alike(zone: str, do: str | None, times: list[Any]) -> None:
    """A zone that does not exist is a ConfigError, needed or not, that suggests one that does."""
    with pytest.raises(ConfigError, match="no such time zone") as raised:
        _read(pl.DataFrame({"time": times, "a": [1.0, 2.0]}), time_zone=zone)
    assert raised.value.do == do


@pytest.mark.parametrize(
    ("cells", "where", "found"),
    [(["2026-03-01", "soon", "later"], "row 2", "'soon' and 1 more such cells"),
     (["2026-03-01", None], "row 2", "nothing"),
     (["2026-03-01", "0001-01-01T00:00:00Z"], "row 2", "'0001-01-01T00:00:00Z'"), ([True], "row 1", "True")],
)  # fmt: skip
def test_a_cell_that_is_no_time_is_named(cells: list[object], where: str, found: str) -> None:
    """What cannot be read as a time is refused with its place; so is an instant that edgeseq does not compute with."""
    with pytest.raises(InputError, match="a time cannot be read") as raised:
        _times(cells)
    assert raised.value.where == f"here: {where}, column when"
    assert raised.value.found == found
    assert "--time-format" in str(raised.value.do)
