"""Recordings and recipes: what is read, and what is said when it cannot be."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeseq.core.layers import LayerSpec
from edgeseq.errors import ConfigError, InputError
from edgeseq_train import recording
from edgeseq_train.parts import split_rows
from edgeseq_train.recipe import Recipe, SplitRecipe
from edgeseq_train.recipe_files import read_recipe, write_recipe
from tests.train.conftest import HOUR_NS


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "data.csv"
    path.write_text(text)
    return path


def test_columns_become_streams_and_gaps_missing(tmp_path: Path) -> None:
    """Each numeric column is a stream on the grid; an hour without a row and an empty cell are missing."""
    path = _write(
        tmp_path,
        "when,a,label,b\n2026-01-01T00:00:00Z,1,x,10\n2026-01-01T01:00:00Z,,x,11\n2026-01-01T03:00:00Z,4,y,13\n",
    )
    taken = recording.read(path, HOUR_NS, "last")
    assert taken.names == ("a", "b")
    np.testing.assert_array_equal(taken.values[:, :, 0], [[1, 10], [np.nan, 11], [np.nan, np.nan], [4, 13]])


def test_multichannel_is_one_stream(tmp_path: Path) -> None:
    """With multichannel the columns are channels of one stream."""
    path = _write(tmp_path, "time,a,b\n0,1,2\n3600,3,4\n")
    assert recording.read(path, HOUR_NS, "last", multichannel=True).values.shape == (2, 1, 2)


def test_until_leaves_later_rows_out(tmp_path: Path) -> None:
    """Rows from the instant on are not read."""
    path = _write(tmp_path, "time,a\n0,1\n3600,2\n7200,3\n")
    assert len(recording.read(path, HOUR_NS, "last", until_ns=2 * HOUR_NS).values) == 2


def test_parquet_reads_like_csv(tmp_path: Path) -> None:
    """The same table gives the same grid from either format."""
    import polars as pl

    path = _write(tmp_path, "time,a\n2026-01-01T00:00:00Z,1\n2026-01-01T01:00:00Z,2.5\n")
    other = tmp_path / "data.parquet"
    pl.read_csv(path, try_parse_dates=True).write_parquet(other)
    a, b = (recording.read(p, HOUR_NS, "last") for p in (path, other))
    np.testing.assert_array_equal(a.values, b.values)


@pytest.mark.parametrize(
    ("text", "options", "what"),
    [
        ("", {}, "the kind of the recording is unknown"),
        ("a,b\n1.5,2\n", {"time_column": "t"}, "the time column does not exist"),
        ("a,b\nx,y\n", {}, "no column reads as time"),
        ("time,a\n2026-01-01T00:00Z,x\n", {}, "there are no numbers"),
        ("time,a\n2026-01-01T00:00Z,1\n", {"columns": ("z",)}, "no such column"),
        ("time,a\n2026-01-01T00:00Z,1\nyesterday,2\n", {}, "a time cannot be read"),
        ("time,a\n2026-01-01T00:00Z,1\n", {}, "the recording is empty"),
        ("time,a\n", {}, "the recording has no rows"),
        ("time,a,b\n2026-01-01T00:00Z,1,x\n", {"columns": ("b",)}, "there are no numbers"),
        (
            "time,a\n1990-01-01T00:00Z,1\n2026-01-01T00:00Z,2\n",
            {"period": 10**9},
            "the recording spans too many steps",
        ),
    ],
)
def test_unusable_recording_says_what_and_where(
    tmp_path: Path, text: str, options: dict[str, object], what: str
) -> None:
    """A recording that cannot be used is an InputError that names the fault and the file."""
    path = _write(tmp_path, text)
    period = options.pop("period", HOUR_NS)
    with pytest.raises(InputError, match=what) as raised:
        recording.read(path, period, "last", **options)  # type: ignore[arg-type]
    assert "data.csv" in str(raised.value)


def test_one_text_cell_among_numbers_is_refused_with_its_line(tmp_path: Path) -> None:
    """A column of numbers with an unreadable cell is neither dropped nor thinned: the error names column and line."""
    path = _write(tmp_path, "time,a,b\n0,1,5\n3600,,6\n7200,err,7\n10800,bad,8\n")
    with pytest.raises(InputError, match="a value is no number") as raised:
        recording.read(path, HOUR_NS, "last")
    fault = raised.value
    assert fault.where == f"{path}: line 4, column a"
    assert fault.found == "'err' and 1 more such cells"
    assert "a number" in str(fault.wanted)
    assert "--without" in str(fault.do)
    assert recording.read(path, HOUR_NS, "last", columns=("b",)).names == ("b",)


def test_empty_lines_at_the_end_are_no_rows_and_one_within_is_named(tmp_path: Path) -> None:
    """What exports leave at the end of a file is skipped; an empty line between rows is told by its number."""
    path = _write(tmp_path, "time,a\n0,1\n3600,2\n\n\n")
    assert len(recording.read(path, HOUR_NS, "last").values) == 2
    path = _write(tmp_path, "time,a\n0,1\n\n3600,2\n")
    with pytest.raises(InputError, match="a time cannot be read") as raised:
        recording.read(path, HOUR_NS, "last")
    assert raised.value.where == f"{path}: line 3, column time"
    assert raised.value.found == "nothing"


def test_columns_of_labels_are_left_out_and_told(tmp_path: Path) -> None:
    """A column that holds no number at all is a label: it is left out, and a line says so."""
    path = _write(tmp_path, "time,a,room,on\n0,1,hall,true\n3600, 2,hall,false\n")
    said: list[str] = []
    taken = recording.read(path, HOUR_NS, "last", say=said.append)
    assert taken.names == ("a",)
    np.testing.assert_array_equal(taken.values.ravel(), [1, 2])
    assert said[0] == "left out, for they hold no numbers: room, on"


def test_unsorted_rows_are_sorted_and_counted(tmp_path: Path) -> None:
    """Rows that go back are kept in their place on the grid; of rows of one time the later in the file wins."""
    path = _write(tmp_path, "time,a\n7200,3\n0,1\n3600,9\n10800,4\n3600,2\n")
    said: list[str] = []
    grid = recording.read(path, HOUR_NS, "last", say=said.append).values.ravel()
    np.testing.assert_array_equal(grid, [1, 2, 3, 4])
    assert said[0] == "sorted by time: 3 of 5 readings went back"


@pytest.mark.parametrize(
    ("first", "is_local"),
    [("2026-01-01 00:00:00", True), ("2026-01-01", True), ("2026-01-01T00:00Z", False),
     ("2026-01-01 01:00:00+01:00", False), ("1767225600", False)],
)  # fmt: skip
def test_times_without_a_zone_are_told(tmp_path: Path, first: str, is_local: bool) -> None:
    """Local times are read as UTC, and a line says so; times with a zone and epoch numbers need no line."""
    path = _write(tmp_path, f"time,a\n{first},1\n{first},1\n2026-01-01T01:00Z,2\n")
    said: list[str] = []
    recording.read(path, HOUR_NS, "last", say=said.append)
    assert any("times without a zone are read as UTC" in line for line in said) == is_local


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_other_separators_are_found_and_told(tmp_path: Path, separator: str, name: str) -> None:
    """A table separated by semicolons (with decimal commas) or tabs reads like one with commas."""
    text = "time,a,b\n2026-01-01T00:00Z,1.5,2\n2026-01-01T01:00Z,-0.25,\n2026-01-01T02:00Z,0.5,1\n"
    said: list[str] = []
    expected = recording.read(_write(tmp_path, text), HOUR_NS, "last").values
    text = text.replace(",", separator)
    path = _write(tmp_path, text.replace(".", ",") if separator == ";" else text)
    np.testing.assert_array_equal(recording.read(path, HOUR_NS, "last", say=said.append).values, expected)
    assert said[0] == f"columns are separated by {name}"


def test_period_finer_than_the_readings_is_refused(tmp_path: Path) -> None:
    """With --every below the spacing of the readings nine steps of ten would be empty: the right period is named."""
    rows = [f"{600 * k + k % 3},{k}" for k in range(50)]
    path = _write(tmp_path, "\n".join(["time,a", *rows]))
    with pytest.raises(InputError, match="readings come every 10m") as raised:
        recording.read(path, 60 * 10**9, "last")
    assert str(raised.value.do).startswith("--every 10m; or --on-gap hold")
    for period_s in (600, 1800):
        assert len(recording.read(path, period_s * 10**9, "last").values) == 49 * 600 // period_s + 1


def test_recipe_survives_its_own_file(tmp_path: Path) -> None:
    """A recipe written and read is the same."""
    path = tmp_path / "r.toml"
    recipe = Recipe(
        name="a b", every="10m", split=SplitRecipe(train=100, validation=50, test=20), seed=3,
        layers=(LayerSpec("convolution", 8, width=5, dilation=2), LayerSpec("gru", 16)),
    )  # fmt: skip
    path.write_text(write_recipe(recipe))
    assert read_recipe(path) == recipe


def test_shipped_recipes_can_be_read() -> None:
    """Every recipe that ships reads without fault and differs from the defaults."""
    paths = sorted((Path(__file__).parents[2] / "train" / "recipes").glob("*.toml"))
    assert len(paths) >= 3
    assert all(read_recipe(path) != Recipe() for path in paths)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sed = 3", "sed"),
        ("[cell]\nkind = 'transformer'", "transformer"),
        ("every = ", "Invalid"),
        ("seed = 'x'", "seed"),
        ("[[layers]]\nkind = 'gru'\nunits = 0", "units"),
        ("[[layers]]\nkind = 'gru'\nunits = 8\nunit = 8", "unit"),
    ],
)
def test_wrong_recipe_names_the_key(tmp_path: Path, text: str, found: str) -> None:
    """An unknown key, a wrong value and broken TOML are ConfigErrors that say which."""
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"unknown key|wrong value|no TOML") as raised:
        read_recipe(path)
    assert found in str(raised.value)


def test_unknown_layer_and_missing_module_are_named(tmp_path: Path) -> None:
    """A kind of layer that nobody defined, and a Python file that is not there, are ConfigErrors that say which."""
    path = tmp_path / "r.toml"
    path.write_text("[[layers]]\nkind = 'transformer'\nunits = 8")
    with pytest.raises(ConfigError, match="no such kind of layer") as raised:
        read_recipe(path)
    assert raised.value.found == "transformer"
    path.write_text("modules = ['cell.py']")
    with pytest.raises(ConfigError, match="no such Python file") as raised:
        read_recipe(path)
    assert raised.value.found == str(tmp_path / "cell.py")


def test_split_by_counts_and_by_fractions() -> None:
    """Numbers above 1 are rows, others fractions; the test part may end before the recording."""
    assert msgspec.structs.astuple(SplitRecipe()) == (0.6, 0.2, 0.2)
    a = split_rows(17_420, SplitRecipe(train=8640, validation=2880, test=2880))
    assert (a.train, a.validation, a.test) == (8640, 11_520, 14_400)
    b = split_rows(1000, SplitRecipe())
    assert (b.train, b.validation, b.test) == (600, 800, 1000)


@pytest.mark.parametrize("split", [(0.6, 0.2, 0.0), (900, 200, 100), (0.8, 0.3, 0.2)])
def test_impossible_split_is_refused(split: tuple[float, float, float]) -> None:
    """An empty part, or more rows than there are, is a ConfigError."""
    with pytest.raises(ConfigError, match="split"):
        split_rows(1000, SplitRecipe(train=split[0], validation=split[1], test=split[2]))
