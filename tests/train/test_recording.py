"""Recordings and recipes: what is read, and what is said when it cannot be."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeseq.errors import ConfigError, InputError
from edgeseq_train import recording
from edgeseq_train.fit import split_rows
from edgeseq_train.recipe import Recipe, SplitRecipe, read_recipe, write_recipe
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
        ("", {}, "the recording cannot be read"),
        ("a,b\n1.5,2\n", {"time_column": "t"}, "the time column does not exist"),
        ("a,b\nx,y\n", {}, "no column reads as time"),
        ("time,a\n2026-01-01T00:00Z,x\n", {}, "no column is numeric"),
        ("time,a\n2026-01-01T00:00Z,1\n", {"columns": ("z",)}, "no such column"),
        ("time,a\n2026-01-01T00:00Z,1\nyesterday,2\n", {}, "a time cannot be read"),
        ("time,a\n2026-01-01T00:00Z,1\n", {}, "the recording is empty"),
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


def test_recipe_survives_its_own_file(tmp_path: Path) -> None:
    """A recipe written and read is the same."""
    path = tmp_path / "r.toml"
    recipe = Recipe(name="a b", every="10m", split=SplitRecipe(train=100, validation=50, test=20), seed=3)
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
    ],
)
def test_wrong_recipe_names_the_key(tmp_path: Path, text: str, found: str) -> None:
    """An unknown key, a wrong value and broken TOML are ConfigErrors that say which."""
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="the recipe cannot be used") as raised:
        read_recipe(path)
    assert found in str(raised.value)


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
