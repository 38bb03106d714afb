"""Layouts of recordings: wide and long tables, folders, series of unequal length, and the steps a device gives them."""

from __future__ import annotations

import gzip
import itertools
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.core import features, keeping, pipeline
from edgeseq.core.align import to_grid
from edgeseq.core.types import F64, Message, Options, StreamRule
from edgeseq.errors import InputError
from edgeseq_train import prepare, recording
from edgeseq_train.parts import Recording
from edgeseq_train.recordings import request
from tests.support.streams import committed
from tests.train.conftest import HOUR_NS
from tests.train.test_train_command import LoggingStepper

MINUTE_NS = 60 * 10**9


def _frame(**columns: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(columns)


def _read(
    source: pl.DataFrame | Path, period_ns: int = 3600 * 10**9, **options: Any
) -> tuple[Recording, list[str]]:
    said: list[str] = []
    if isinstance(source, pl.DataFrame):
        return recording.from_frame(source, period_ns, said_to(options), say=said.append, **options), said
    return recording.read(source, period_ns, said_to(options), say=said.append, **options), said


def said_to(options: dict[str, Any]) -> Any:
    """Take the aggregate out of the options."""
    return options.pop("aggregate", "last")


def _long(rows: list[tuple[Any, ...]], *names: str) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=list(names), orient="row", strict=False)


# --- long tables ------------------------------------------------------------------------------------------------


def test_labels_tell_series_of_a_long_table_apart() -> None:
    """A row for each reading: series are named by their label, lie on one grid, and are missing where they are not."""
    rows = [(0, "hall", 1.0), (0, "attic", 5.0), (3600, "hall", 2.0), (7200, "hall", 3.0), (7200, "attic", 6.0),
            (10800, "attic", 7.0)]  # fmt: skip
    taken, said = _read(_long(rows, "time", "room", "value"))
    assert taken.names == ("hall", "attic")
    np.testing.assert_array_equal(taken.values[:, :, 0], [[1, 5], [2, np.nan], [3, 6], [np.nan, 7]])
    assert said[0] == "room tells apart 2 series"
    assert (
        said[1] == "hall: 3 readings, 1970-01-01T00:00:00Z to 1970-01-01T02:00:00Z, 75.0 % of the steps known"
    )
    assert said[-1] == "4 steps of 1h from 2 series (last of each step), 75.0 % known"


def test_labels_without_a_usual_name_and_without_shared_times_are_told_of() -> None:
    """Where nothing shows that labels tell series apart, they are left out in a line; --series makes them series."""
    frame = _long(
        [(0, "sun", 1.0), (3600, "rain", 2.0), (7200, "sun", 4.0), (10800, "rain", 3.0)], "time", "sky", "a"
    )
    taken, said = _read(frame)
    assert (taken.names, said[0]) == (("a",), "left out, for they hold no numbers: sky")
    assert _read(frame, series=["sky"])[0].names == ("sun", "rain")
    frame = frame.rename({"sky": "name"})
    assert _read(frame)[0].names == ("sun", "rain")
    assert _read(frame, series=["none"])[0].names == ("a",)


def test_several_labels_and_several_columns_of_numbers() -> None:
    """Labels that part rows of one time are all needed; with several columns each series has one of each."""
    rows = [(3600 * t, site, node, 1.0 * t, 10.0 + t * t) for t in range(3) for site in "xy" for node in "12"]
    taken, _ = _read(_long(rows, "time", "site", "node", "temperature", "humidity"))
    names = [
        f"{site} {node} {channel}"
        for site in "xy"
        for node in "12"
        for channel in ("temperature", "humidity")
    ]
    assert sorted(taken.names) == sorted(names)
    one, _ = _read(_long(rows, "time", "site", "node", "temperature", "humidity"), columns=["humidity"])
    assert one.values.shape == (3, 4, 1)


def test_multichannel_makes_streams_of_the_same_channels() -> None:
    """Series of several columns become streams of channels; series of one column become the channels of one stream."""
    rows = [(3600 * t, node, 1.0 * t, 10.0 + t * t) for t in range(3) for node in "12"]
    frame = _long(rows, "time", "node", "temperature", "humidity")
    taken, _ = _read(frame, multichannel=True)
    assert (taken.values.shape, taken.channels) == ((3, 2, 2), ("temperature", "humidity"))
    np.testing.assert_array_equal(taken.values[:, 1], [[0, 10], [1, 11], [2, 14]])
    taken, _ = _read(frame.drop("humidity"), multichannel=True, columns=["2", "1"])
    assert (taken.values.shape, taken.names) == ((3, 1, 2), ("2", "1"))
    assert taken.channels == ("2", "1")
    taken, _ = _read(frame, multichannel=True, columns=["1 humidity", "2 humidity"])
    assert (taken.values.shape, taken.channels) == ((3, 1, 2), ("1 humidity", "2 humidity"))


def test_text_of_other_series_is_no_fault() -> None:
    """In a long table a series of words beside one of numbers is left out, and told."""
    rows = [(0, "sensor.a", "1.5"), (0, "light.b", "on"), (3600, "sensor.a", "unavailable"), (7200, "sensor.a", "2"),
            (7200, "light.b", "off")]  # fmt: skip
    taken, said = _read(_long(rows, "last_changed", "entity_id", "state"))
    assert taken.names == ("sensor.a",)
    assert "sensor.a: left out 1 cells that say unavailable or unknown" in said
    assert "left out, for they hold no numbers: light.b" in said


def test_units_are_those_of_the_source() -> None:
    """A column of units gives each series its unit."""
    rows = [(0, "a", 1.0, "°C"), (0, "b", 5.0, "%"), (3600, "a", 2.0, "°C"), (3600, "b", 6.0, None)]
    assert _read(_long(rows, "time", "sensor", "value", "unit"))[0].units == ("°C", "%")
    assert _read(_frame(time=[0, 3600], a=[1.0, 2.0], unit=["W", "W"]))[0].units == ("W",)


# --- names ------------------------------------------------------------------------------------------------------


def test_columns_are_chosen_by_name_or_pattern_in_the_order_asked_for() -> None:
    """Names, patterns and what is left out again; a pattern that nothing fits is an error."""
    frame = _frame(time=[0, 3600], t_in=[1.0, 2.0], t_out=[2.0, 3.0], wind=[3.0, 4.0])
    assert _read(frame, columns=["wind", "t_*"])[0].names == ("wind", "t_in", "t_out")
    assert _read(frame, without=["t_*"])[0].names == ("wind",)
    with pytest.raises(InputError, match="nothing fits the pattern"):
        _read(frame, columns=["x*"])
    with pytest.raises(InputError, match="no channel is left"):
        _read(frame, without=["*"])


# --- files ------------------------------------------------------------------------------------------------------


def _csv(path: Path, frame: pl.DataFrame) -> Path:
    frame.write_csv(path)
    return path


def test_pieces_in_time_are_one_recording(tmp_path: Path) -> None:
    """Files of the same columns, one after the other in time, are one recording, whatever their names' order."""
    _csv(tmp_path / "b.csv", _frame(time=[0, 3600], a=[1.0, 2.0]))
    _frame(time=[7200, 10800], a=[3.0, 5.0]).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(b"time,a\n14400,4\n18000,6\n"))
    (tmp_path / "README.md").write_text("# Notes\nSome prose, and more of it.\n")
    taken, said = _read(tmp_path)
    np.testing.assert_array_equal(taken.values.ravel(), [1, 2, 3, 5, 4, 6])
    assert said[0] == "left out, for they are no recordings: README.md"
    assert said[1].startswith(
        "3 files of the same columns, one after the other in time: read as one recording"
    )
    assert not [line for line in said if "sorted" in line]
    side_by_side, _ = _read(tmp_path, series=["file"])
    assert side_by_side.names == ("a", "b", "c")


def test_files_that_overlap_in_time_are_series_of_their_own(tmp_path: Path) -> None:
    """Files of the same columns and the same time are named by their file; a list of files is read as a folder is."""
    hall = _csv(tmp_path / "hall.csv", _frame(time=[0, 3600, 7200], value=[1.0, 2.0, 3.0]))
    attic = _csv(tmp_path / "attic.csv", _frame(time=[3600, 7200], value=[5.0, 6.0]))
    for paths in (tmp_path, [attic, hall]):
        taken = recording.read(paths, HOUR_NS)
        assert taken.names == ("attic", "hall")
        np.testing.assert_array_equal(taken.values[:, :, 0], [[np.nan, 1], [5, 2], [6, 3]])


def test_files_of_other_columns_keep_their_names(tmp_path: Path) -> None:
    """Columns that only one file has need no file name before them."""
    _csv(tmp_path / "x.csv", _frame(time=[0, 3600], hall=[1.0, 2.0]))
    _csv(tmp_path / "y.csv", _frame(time=[0, 3600], attic=[5.0, 6.0]))
    assert _read(tmp_path)[0].names == ("hall", "attic")


def test_what_is_said_of_all_files_is_said_once(tmp_path: Path) -> None:
    """A line that holds for every file of a folder names none; one that holds for some names them."""
    _csv(tmp_path / "x.csv", _frame(time=["2026-01-01", "2026-01-02"], a=[1.0, 2.0]))
    (tmp_path / "y.csv").write_text("time;a\n2026-01-03;1,5\n2026-01-04;2,5\n")
    _, said = _read(tmp_path, 24 * HOUR_NS)
    assert said[:2] == [
        "times without a zone are read as UTC; if they are local, name their --time-zone",
        "y.csv: columns are separated by semicolons",
    ] or said[:2] == [
        "y.csv: columns are separated by semicolons",
        "times without a zone are read as UTC; if they are local, name their --time-zone",
    ]  # fmt: skip


@pytest.mark.parametrize(("encoding", "told"), [("utf-8", 0), ("utf-8-sig", 0), ("utf-16", 0), ("cp1252", 1)])
def test_other_encodings_are_read(tmp_path: Path, encoding: str, told: int) -> None:
    """A header of degrees is read from UTF-8, with or without a mark, UTF-16, and Windows-1252, which is told."""
    path = tmp_path / "data.csv"
    path.write_bytes("time,°C\n0,1\n3600,2\n".encode(encoding))
    taken, said = _read(path)
    assert taken.names == ("°C",)
    assert sum("Windows-1252" in line for line in said) == told


def test_names_are_cleaned_and_a_column_without_one_is_told(tmp_path: Path) -> None:
    """Blanks around names are no part of them; the numbers of rows that pandas writes have no name."""
    path = tmp_path / "data.csv"
    path.write_text(", time , a \n0,0, 1\n1,3600,2\n2,7200,inf\n")
    taken, said = _read(path)
    assert (taken.names, taken.values.ravel().tolist()) == (("a",), [1, 2])
    assert said[:2] == ["left out, for they number the rows: unnamed", "a: left out 1 infinite values"]


def test_row_numbers_without_a_name_are_left_out(tmp_path: Path) -> None:
    """A table of R, whose header does not name the row numbers, is read by its names."""
    path = tmp_path / "data.csv"
    path.write_text('"date","a"\n"1","2026-01-01 00:00:00",1.5\n"2","2026-01-01 01:00:00",2.5\n')
    taken, said = _read(path)
    assert (taken.names, taken.values.ravel().tolist()) == (("a",), [1.5, 2.5])
    assert said[0] == "the first column has no name: left out as row numbers"


def test_a_type_that_changes_late_is_read(tmp_path: Path) -> None:
    """Whole numbers in the first rows and a fraction far below are one column of numbers."""
    path = tmp_path / "data.csv"
    path.write_text("time,a\n" + "".join(f"{60 * k},{k % 5}\n" for k in range(12_000)) + "720000,0.5\n")
    assert _read(path, MINUTE_NS)[0].values[-1, 0, 0] == 0.5


# --- order and gaps ---------------------------------------------------------------------------------------------


def test_repeated_readings_are_left_out_and_differing_ones_told() -> None:
    """Of readings of one time, those of the same value count once, as on the device; others as the aggregate says."""
    frame = _frame(time=[0, 0, 0, 3600, 3600], a=[1.0, 2.0, 1.0, 4.0, 4.0])
    taken, said = _read(frame)
    np.testing.assert_array_equal(taken.values.ravel(), [2, 4])
    assert said[:2] == [
        "left out 2 of 5 readings: time and value are those of another",
        "1 of 5 readings have the time of another and a different value: the last one counts",
    ]
    taken, said = _read(frame, aggregate="sum")
    np.testing.assert_array_equal(taken.values.ravel(), [3, 4])
    assert said[1].endswith("all of them count")


def test_readings_that_come_seldom_hold_where_that_is_asked_for() -> None:
    """A sensor that reports only changes: refused as it is, held with on_gap = hold, empty with on_gap = missing."""
    at = [60 * k * k for k in range(12)]
    frame = _frame(time=at, a=[float(k) for k in range(12)])
    with pytest.raises(InputError, match="more seldom than the period"):
        _read(frame, MINUTE_NS)
    held, said = _read(frame, MINUTE_NS, on_gap="hold")
    np.testing.assert_array_equal(held.values.ravel(), np.floor(np.sqrt(np.arange(122))))
    assert any('on_gap = "hold"' in line for line in said)
    missing, _ = _read(frame, MINUTE_NS, on_gap="missing")
    assert np.isfinite(missing.values).sum() == 12


def test_no_value_is_held_over_a_gap_that_a_device_forgets() -> None:
    """A gap longer than the longest history stays missing as a whole; a shorter one is held."""
    frame = _frame(time=[0, 60 * 512, 60 * (512 + 514)], a=[1.0, 2.0, 3.0])
    values = _read(frame, MINUTE_NS, on_gap="hold")[0].values.ravel()
    assert np.isfinite(values[:513]).all()
    assert np.isnan(values[513:-1]).all()


def test_many_series_are_told_of_in_one_line() -> None:
    """More than a dozen series are summed up: fewest and most readings, and which is known least."""
    rows = [(3600 * t, f"s{k}", float(t + k)) for k in range(20) for t in range(2 + k)]
    said = _read(_long(rows, "time", "sensor", "value"))[1]
    assert said[1] == (
        "20 series of 2 to 21 readings, 1970-01-01T00:00:00Z to 1970-01-01T20:00:00Z, 9.5 (s0) to 100.0 % of the steps"
        " known"
    )
    assert len(said) == 3


def test_since_and_until_cut() -> None:
    """Readings before the one instant, and from the other on, are not read."""
    frame = _frame(time=[0, 3600, 7200, 10800], a=[1.0, 2.0, 3.0, 4.0])
    taken, _ = _read(frame, since_ns=HOUR_NS, until_ns=3 * HOUR_NS)
    assert (taken.values.ravel().tolist(), taken.start_ns) == ([2, 3], HOUR_NS)


# --- the device's steps -----------------------------------------------------------------------------------------

READINGS = st.lists(
    st.tuples(st.integers(0, 400), st.floats(-9, 9)), min_size=2, max_size=30, unique_by=lambda r: r[0]
)


@given(st.lists(READINGS, min_size=1, max_size=3), st.sampled_from(["last", "mean", "sum", "min", "max"]))
def test_each_series_has_the_steps_of_its_own_grid(
    series: list[list[tuple[int, float]]], aggregate: Any
) -> None:
    """However irregular, every series of a table lies as `to_grid` lays it alone, moved by whole steps."""
    rows = [(t, f"s{k}", v) for k, readings in enumerate(series) for t, v in readings]
    # A wanderer beside them: no series is refused for being constant, and none for being seldom.
    frame = _long(rows, "time", "sensor", "value")
    try:
        taken, _ = _read(frame, 7 * 10**9, aggregate=aggregate, on_gap="missing")
    except InputError as error:
        assert "never change" in str(error)  # noqa: PT017
        return
    for k, readings in enumerate(series):
        ordered = sorted(readings)
        time_ns = np.array([t for t, _ in ordered]) * 10**9
        alone = to_grid(time_ns, np.array([[v] for _, v in ordered]), 7 * 10**9, aggregate).ravel()
        column = taken.values[:, taken.names.index(f"s{k}"), 0]
        assert taken.start_ns is not None
        first = (time_ns[0] - taken.start_ns) / 7e9 if aggregate == "last" else time_ns[0] // (7 * 10**9) - (
            taken.start_ns // (7 * 10**9) - 1)  # fmt: skip
        offset = int(np.floor(first + 0.5)) if aggregate == "last" else int(first)
        np.testing.assert_array_equal(column[offset : offset + len(alone)], alone)
        assert np.isnan(column[:offset]).all()
        assert np.isnan(column[offset + len(alone) :]).all()


def test_training_tensors_equal_the_devices_through_a_change_of_the_clock(tmp_path: Path) -> None:
    """Two sensors of a long table on Berlin's clock, with gaps, jitter and unequal length: bit for bit what the model
    is stepped with on the device, which gets UTC.
    """
    rng = np.random.default_rng(5)
    start = datetime(2026, 10, 20, tzinfo=UTC)
    rows: list[tuple[datetime, str, float]] = []
    for name, first, count in (("a", 0, 200), ("b", 37, 150)):
        for k in range(count):
            if rng.random() > 0.1:
                at = start + timedelta(
                    hours=first + k, seconds=int(rng.integers(0, 600)) + 900 * (name == "b")
                )
                rows.append((at, name, round(float(rng.normal()), 3)))
    rows.sort()
    local = [at.astimezone(ZoneInfo("Europe/Berlin")).strftime("%Y-%m-%d %H:%M:%S") for at, _, _ in rows]
    path = tmp_path / "long.csv"
    path.write_text(
        "\n".join(["time,sensor,value", *(f"{t},{n},{v}" for t, (_, n, v) in zip(local, rows, strict=True))])
    )
    taken = recording.read(path, HOUR_NS, time_zone="Europe/Berlin")
    trained = features.normalise(taken.values, *prepare.settle(taken.values, taken.names))
    for stepped, name in zip(_device_tensors(rows), ("a", "b"), strict=True):
        column = trained[:, taken.names.index(name), 0]
        begin = int(np.flatnonzero(np.isfinite(column))[0])
        assert np.isnan(stepped).sum() > 5
        np.testing.assert_array_equal(
            stepped.view(np.int32), column[begin : begin + len(stepped)].view(np.int32)
        )


def _device_tensors(rows: list[tuple[datetime, str, float]]) -> list[F64]:
    """Send rows as messages through the core; give what each stream's model was stepped with."""
    rule = StreamRule(
        key="r", period_ns=HOUR_NS, topics=("+",), fields=("value",), time_field="time", bundle="log", season_steps=24,
        horizon=6,
    )  # fmt: skip
    state = pipeline.new_state(
        [rule], {"log": LoggingStepper()}, Options(clock="readings", synchronised=False)
    )
    for n, (at, name, value) in enumerate(rows):
        payload = f'{{"time":"{at.isoformat()}","value":{value}}}'.encode()
        pipeline.advance(state, pipeline.accept(state, [Message(name, payload, received_ns=n)]).readings)
    _, arrays = keeping.dump(state)
    logs, counts = (committed(arrays, name) for name in ("log", "count"))
    return [log[: int(count[0])] for log, count in zip(logs, counts, strict=True)]


def test_unit_of_a_channel_is_that_of_all_its_columns() -> None:
    """A bundle's channel has the unit that every stream's column of it has, and none where they differ or lack one."""
    values = np.zeros((2, 2, 3))
    units = ("°C", "%", "V", "°C", "hPa", None)
    assert Recording(values, tuple("abcdef"), HOUR_NS, units=units).channel_units == ["°C", None, None]
    assert Recording(values, tuple("abcdef"), HOUR_NS).channel_units == [None, None, None]


def test_options_are_the_fields_of_a_request() -> None:
    """What may be given as a keyword is what a request can hold, beside period and aggregate."""
    named = {f.name for f in fields(request.Request)}
    assert set(request.Options.__annotations__) == named - {"period_ns", "aggregate"}
    assert all(itertools.chain(named))
