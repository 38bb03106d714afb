"""Training from Python says and refuses what the command does."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from edgeseq.core.types import F64
from edgeseq.errors import ConfigError, InputError
from edgeseq_train import api
from edgeseq_train.recipe import CellRecipe, Recipe, RecordingRecipe, SplitRecipe
from edgeseq_train.recordings.options import noted, reading_of
from tests.train.conftest import make_series, small_recipe

RECIPE = msgspec.structs.replace(
    small_recipe(steps=2, lanes=4, validate_every=1), horizon="4h", cell=CellRecipe(units=4), name="meter"
)


def _frame(values: F64) -> pl.DataFrame:
    """Put hourly values (T,) beside their times."""
    start = np.datetime64("2026-01-01T00:00:00", "ms")
    time = start + np.arange(len(values)) * np.timedelta64(3600, "s")
    return pl.DataFrame({"time": time, "total": values})


def test_what_keywords_say_of_reading_stands_in_the_manifest() -> None:
    """A bundle of a counter says so, whether the recipe or a keyword told it."""
    total = np.cumsum(make_series(900, 1)[:, 0])
    bundle = api.fit(_frame(total), RECIPE, kind="counter", since_ns=1_767_312_000 * 10**9)
    assert (bundle.manifest.kind, bundle.manifest.aggregate) == ("counter", "sum")
    recipe = msgspec.convert(bundle.manifest.training["recipe"], Recipe)
    assert recipe.recording == RecordingRecipe(kind="counter", since="2026-01-02T00:00:00Z")
    assert bundle.manifest.training["rows"] < 900 - 20


def test_keywords_and_recipe_say_the_same_of_reading() -> None:
    """A recipe that noted the keywords reads as they did."""
    told = noted(
        {"columns": ["a"], "since_ns": 1_767_312_000_123_000_000}, RecordingRecipe(time_zone="+01:00")
    )
    again = reading_of(told)
    assert (again["columns"], again["since_ns"]) == (("a",), 1_767_312_000_123_000_000)
    assert again["time_zone"] == "+01:00"


@pytest.mark.parametrize(
    ("recipe", "reading", "what"),
    [
        (RECIPE, {"multichannel": True}, "multichannel is no keyword here"),
        (msgspec.structs.replace(RECIPE, classify="total"), {}, "trains forecasters"),
        (msgspec.structs.replace(RECIPE, levels=(0.9, 0.1)), {}, "levels has a wrong value"),
    ],
)
def test_what_python_cannot_ask_for_is_told(recipe: Recipe, reading: Any, what: str) -> None:
    """Nothing that was asked for is left aside in silence."""
    with pytest.raises(ConfigError, match=what):
        api.fit(_frame(make_series(900, 1)[:, 0]), recipe, **reading)


def test_an_empty_test_part_is_refused_before_training() -> None:
    """What was trained could not be measured."""
    values = make_series(900, 1)[:, 0]
    values[700:890] = np.nan
    recipe = msgspec.structs.replace(RECIPE, split=SplitRecipe(train=600, validation=100, test=150))
    with pytest.raises(InputError, match="the test part is empty"):
        api.fit(_frame(values), recipe)
