"""What cannot be read or trained on is refused with what, where, found, wanted and what to do."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from edgeseq.errors import InputError, OperatorError
from edgeseq_train import recording
from edgeseq_train.cli import train
from edgeseq_train.lengths import check_length
from tests.train.conftest import HOUR_NS


def _fault(source: pl.DataFrame | Path, **options: Any) -> InputError:
    """Read what must be refused; every detail that a reader looks for is there."""
    read: Any = recording.from_frame if isinstance(source, pl.DataFrame) else recording.read
    with pytest.raises(InputError, match=r".") as raised:
        read(source, HOUR_NS, **options)
    fault = raised.value
    assert None not in (fault.where, fault.found, fault.wanted)
    return fault


def _write(tmp_path: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "found", "do"),
    [
        ("", "an empty file", "check how it was exported"),
        (_zip(), "a ZIP archive, as spreadsheets are", "save the table as CSV"),
        ('{"topic": "a", "payload": 1}\n', "JSON", "edgeseq replay"),
        ("A licence.\n\nOf some words, and more.\n", "text, but no header", "begin a CSV with the names"),
        (b"\x7fELF\0\1\2", "a file that begins with b'\\x7fELF", "write it as CSV or Parquet"),
    ],
)
def test_an_unknown_kind_is_named_by_what_it_looks_like(
    tmp_path: Path, content: Any, found: str, do: str
) -> None:
    """Whatever a file is called, its content tells what it is, and what to do with it."""
    fault = _fault(_write(tmp_path, content))
    assert fault.what == "the kind of the recording is unknown"
    assert str(fault.found).startswith(found)
    assert do in str(fault.do)
    assert "home-assistant_v2.db" in str(fault.wanted)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A wrong path is said to be one."""
    fault = _fault(tmp_path / "none.csv")
    assert fault.what == "the recording cannot be read"
    assert "No such file" in str(fault.found)


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    """A cut Parquet file is an error of the file, not a crash."""
    path = tmp_path / "data.parquet"
    pl.DataFrame({"time": [0, 3600], "a": [1.0, 2.0]}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert _fault(path).what == "the recording cannot be read"


def test_a_table_without_a_header_is_refused(tmp_path: Path) -> None:
    """A first line of a time and a number would be lost as names: the error asks for a header."""
    fault = _fault(_write(tmp_path, "2026-01-01 00:00,1\n2026-01-01 01:00,2\n"))
    assert (fault.what, fault.found) == ("the table has no header", "2026-01-01 00:00, 1")


def test_a_row_of_too_many_cells_is_named(tmp_path: Path) -> None:
    """The line that has another number of cells than the header is told, with its text."""
    path = _write(tmp_path, "time,a\n0,1\n3600,2,9\n7200,3\n")
    fault = _fault(path)
    assert fault.what == "a row has another number of cells than the header"
    assert fault.where == f"{path}: line 3"
    assert (fault.found, fault.wanted) == ("3 cells: '3600,2,9'", "2 cells")


@pytest.mark.parametrize(
    ("files", "do"), [({}, None), ({"sub/a.csv": "time,a\n0,1\n"}, "name the folder that holds")]
)
def test_a_folder_without_recordings_is_refused(
    tmp_path: Path, files: dict[str, str], do: str | None
) -> None:
    """A folder of notes, or of folders, has nothing to train on."""
    _write(tmp_path, "# Notes\nSome prose, and more.\n", "README.md")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    fault = _fault(tmp_path)
    assert fault.what == "the folder has no recording"
    assert str(fault.found).startswith("README.md")
    assert fault.do is None if do is None else do in str(fault.do)


def test_a_broken_file_of_a_folder_is_not_left_out(tmp_path: Path) -> None:
    """What calls itself a recording and is none is an error, not a line."""
    _write(tmp_path, "time,a\n0,1\n3600,2\n", "a.csv")
    _write(tmp_path, "<html>not found</html>\n", "b.csv")
    assert _fault(tmp_path).where == str(tmp_path / "b.csv")


def test_a_wrong_time_column_is_answered_with_one_alike() -> None:
    """A misspelt time column suggests the right one."""
    fault = _fault(pl.DataFrame({"when": [0, 3600], "a": [1.0, 2.0]}), time_column="wen")
    assert fault.what == "the time column does not exist"
    assert fault.do == "did you mean when?"


@pytest.mark.parametrize(
    ("option", "what"), [("columns", "no such column, series or entity"), ("series", "no such column")]
)
def test_a_wrong_name_is_answered_with_one_alike(option: str, what: str) -> None:
    """A misspelt column, or series column, suggests the right one."""
    frame = pl.DataFrame({"time": [0, 3600], "temperature": [1.0, 2.0], "wind": [1.0, 2.0]})
    fault = _fault(frame, **{option: ["temprature"]})
    assert (fault.what, fault.do) == (what, "did you mean temperature?")
    assert "temprature" in str(fault.wanted)


def test_channels_that_never_change_are_named_together() -> None:
    """All constant channels are listed at once, with what leaves them out."""
    columns = {"time": [0, 3600, 7200], "a": [1.0, 2.0, 1.0], "b": [5.0] * 3, "c": [0.25, None, 0.25]}
    fault = _fault(pl.DataFrame(columns))
    assert fault.what == "2 channels never change"
    assert fault.found == "b: 5 at all of 3 steps, c: 0.25 at all of 2 steps"
    assert fault.do == "leave them out: --without b,c"
    assert recording.from_frame(pl.DataFrame(columns), HOUR_NS, without=("b", "c")).names == ("a",)


def test_an_empty_channel_is_left_out_in_a_line_or_refused_where_it_was_asked_for(tmp_path: Path) -> None:
    """An empty column is no channel: told of where it is one of many, an error where it was named."""
    path = _write(tmp_path, "time,a,b\n0,1,\n3600,2,\n")
    said: list[str] = []
    assert recording.read(path, HOUR_NS, say=said.append).names == ("a",)
    assert said[0] == "left out, for they hold no numbers: b"
    fault = _fault(path, columns=["b"])
    assert (fault.what, fault.found) == ("there are no numbers", "b: nothing")


def test_series_with_less_than_two_readings_are_named() -> None:
    """Of many series, those with nothing in the time asked for are listed with what leaves them out."""
    rows = [(0, "a", 1.0), (3600, "a", 2.0), (0, "b", 1.0)]
    fault = _fault(pl.DataFrame(rows, schema=["time", "sensor", "value"], orient="row"))
    assert (fault.what, fault.found) == ("series without readings", "b: 1 readings")
    assert fault.do == "--without b"


def test_a_period_that_the_data_does_not_have_is_refused_with_ways_out() -> None:
    """The slow series is named with its own spacing; a longer period, holding, or leaving it out are the ways."""
    rows = [(600 * k, "fast", float(k)) for k in range(60)] + [
        (7200 * k, "slow", float(k)) for k in range(12)
    ]
    frame = pl.DataFrame(rows, schema=["time", "sensor", "value"], orient="row")
    fault = _fault(frame)
    assert fault.what == "readings come every 2h, more seldom than the period"
    assert fault.found == "slow every 2h (median), 1h wanted"
    for way in ("--every 2h", "--on-gap hold", "--on-gap missing", "--without slow"):
        assert way in str(fault.do)


def test_mixed_units_of_a_long_table_are_refused() -> None:
    """°C and °F in turn cannot be cut apart: they must be converted."""
    rows = [(3600 * k, "a", float(k), "°C" if k % 2 else "°F") for k in range(4)]
    fault = _fault(pl.DataFrame(rows, schema=["time", "sensor", "value", "unit"], orient="row"))
    assert fault.what == "the readings of a have several units"
    assert fault.found == "2 in °F (first at 1970-01-01T00:00:00Z), 2 in °C (first at 1970-01-01T01:00:00Z)"
    assert fault.do == "convert them to one unit"


def test_mixed_units_of_the_files_of_a_folder_are_refused(tmp_path: Path) -> None:
    """A channel that changes its unit from one file to the next is no channel."""
    for k, unit in enumerate(("°C", "°F")):
        start = 7200 * k
        _write(tmp_path, f"time,a,unit\n{start},1,{unit}\n{start + 3600},2,{unit}\n", f"{k}.csv")
    fault = _fault(tmp_path)
    assert fault.what == "the readings of a have several units"
    assert "1.csv" in str(fault.where)


def test_streams_without_the_same_channels_are_refused() -> None:
    """With multichannel every stream needs every channel; the missing ones are named."""
    rows = [(0, "x", 1.0, 1.0), (3600, "x", 2.0, 2.0), (0, "y", 1.0, None), (3600, "y", 2.0, None)]
    schema = {"time": pl.Int64, "node": pl.String, "t": pl.String, "h": pl.String}
    frame = pl.DataFrame(rows, schema=["time", "node", "t", "h"], orient="row", strict=False).cast(schema)  # type: ignore[arg-type]
    fault = _fault(frame, multichannel=True)
    assert fault.what == "streams of several channels must have the same ones"
    assert fault.found == "no y h"


@pytest.mark.parametrize(
    ("horizon", "seasons", "reason"),
    [(100, None, "a horizon of 100"), (6, (24, 168), "3 seasons of 168")],
)
def test_a_recording_too_short_for_horizon_or_season_is_refused(
    horizon: int, seasons: tuple[int, ...] | None, reason: str
) -> None:
    """The error counts what is there and what is needed, in steps and days."""
    check_length(1000, 600, HOUR_NS, horizon, seasons)
    with pytest.raises(InputError, match="the training part is too short") as raised:
        check_length(500, 300, HOUR_NS, horizon, seasons)
    fault = raised.value
    assert fault.found == "300 steps, 60 % of the recording's 500 (20.8 days)"
    assert reason in str(fault.wanted)
    assert "days" in str(fault.do)


LONG = "when;sensor;value;unit\n" + "".join(
    f"2026-06-01 {k // 6:02d}:{k % 6}0;{sensor};{k % 7},5;°C\n" for k in range(60) for sensor in ("a b", "c")
)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ["a b (°C): 60 readings, 2026-06-01T00:00:00Z", "60 steps of 10m", "read as UTC"]),
        (["--time-zone", "Europe/Berlin"], ["a b (°C): 60 readings, 2026-05-31T22:00:00Z"]),
        (["--aggregate", "mean", "--columns", "c"], ["from 1 series (mean of each step)"]),
        (["--since", "2026-06-01T05:00", "--without", "a b"], ["c (°C): 30 readings, 2026-06-01T05:00:00Z"]),
        (["--series", "none", "--time-column", "when"], ["left out, for they hold no numbers: sensor"]),
        (["--on-gap", "hold", "--every", "1m"], ['set on_gap = "hold"']),
        (["--time-format", "%Y-%m-%d %H:%M"], ["sensor tells apart 2 series"]),
    ],
)
def test_the_command_line_reads_as_its_options_say(
    tmp_path: Path, options: list[str], words: list[str]
) -> None:
    """Each option reaches the reader, which tells what it did before training finds the recording too short."""
    path = _write(tmp_path, LONG)
    asked = ["--every", "10m", "--horizon", "10h", *options, "--unsigned", "-o", str(tmp_path / "x")]
    result = CliRunner().invoke(train, [str(path), *asked])
    assert isinstance(result.exception, OperatorError)
    assert "too short" in str(result.exception)
    for word in words:
        assert word in result.output


def test_an_instant_of_the_command_line_must_be_one(tmp_path: Path) -> None:
    """A wrong --since is named by its option."""
    asked = ["--every", "10m", "--horizon", "10h", "--since", "soon", "--unsigned", "-o", str(tmp_path / "x")]
    result = CliRunner().invoke(train, [str(_write(tmp_path, LONG)), *asked])
    assert "since is no time" in str(result.exception)
    assert "--since" in str(result.exception)


def test_a_ring_longer_than_the_training_part_is_refused() -> None:
    """A ring that no training part fills is told, instead of asking for its square of memory."""
    with pytest.raises(InputError, match="the training part is too short") as raised:
        check_length(900, 540, HOUR_NS, 6, None, 100_000)
    assert "a ring of 100000" in str(raised.value.wanted)
