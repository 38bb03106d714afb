"""Series of different times: laid each from its own first step on where that can be split, refused where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from edgeseq.core.types import F64
from edgeseq.errors import InputError
from edgeseq_train import exogenous, recording
from edgeseq_train.fit import fit
from edgeseq_train.lengths import check_parts
from edgeseq_train.parts import Recording, split_rows
from edgeseq_train.recipe import CalendarRecipe, Recipe, RecordingRecipe, SplitRecipe
from tests.train.conftest import HOUR_NS, make_series, small_recipe

MONTHS = {
    "january": ("2026-01-01T00:20", 744),
    "february": ("2026-02-01T00:05", 672),
    "may": ("2026-05-01T00:00", 744),
}


def _rows(start: str, values: F64) -> list[str]:
    return [f"{np.datetime64(start) + np.timedelta64(k, 'h')}Z,{v!r}" for k, v in enumerate(values.tolist())]


def _folder(path: Path) -> Path:
    """Write a file for each month, of one column each."""
    for k, (name, (start, hours)) in enumerate(MONTHS.items()):
        rows = _rows(start, make_series(hours, 1, seed=k)[:, 0])
        (path / f"{name}.csv").write_text("\n".join(["time,load", *rows]))
    return path


def _read(path: Path, recipe: Recipe) -> tuple[Recording, list[str]]:
    said: list[str] = []
    return recording.read(path, HOUR_NS, **exogenous.reading(recipe, say=said.append)), said


BY_FILE = RecordingRecipe(series=("file",))


def test_streams_of_different_months_lie_each_from_its_own_first_step_on(tmp_path: Path) -> None:
    """Of three months nothing lies beside nothing: each fills its column from row 0, and a line says so."""
    taken, said = _read(_folder(tmp_path), Recipe(recording=BY_FILE))
    assert taken.values.shape == (744, 3, 1)
    assert np.isfinite(taken.values).sum(axis=(0, 2)).tolist() == [672, 744, 744]
    for k, name in enumerate(sorted(MONTHS)):
        seed = list(MONTHS).index(name)
        own = make_series(MONTHS[name][1], 1, seed=seed)[:, 0]
        np.testing.assert_array_equal(taken.values[: len(own), k, 0], own)
    assert taken.start_ns is None
    assert any("of different times" in text for text in said)


def test_a_calendar_and_filling_keep_streams_at_their_times(tmp_path: Path) -> None:
    """What is of one time, a calendar or a filled table, is read by the clock, whatever the streams share."""
    folder = _folder(tmp_path)
    taken, said = _read(folder, Recipe(recording=BY_FILE, calendar=CalendarRecipe(time_zone="UTC")))
    assert len(taken.values) == (31 + 28 + 31 + 30 + 31) * 24
    assert taken.start_ns is not None
    assert len(recording.read(folder, HOUR_NS, series=("file",)).values) == len(taken.values)
    assert not any("of different times" in text for text in said)


@pytest.mark.training
def test_streams_of_different_months_train_together(tmp_path: Path) -> None:
    """One model is fitted on all months, with finite losses; each is split by its own time."""
    recipe = small_recipe(steps=4, lanes=6, validate_every=2)
    taken, _ = _read(_folder(tmp_path), Recipe(recording=BY_FILE))
    fitted = fit(taken, 6, recipe, lambda *_: None, lambda _: None)
    assert fitted.anchor.shape == (3, 1)
    assert np.isfinite(float(fitted.summary["validation_loss"]))  # type: ignore[arg-type]  # summary holds objects


@pytest.mark.parametrize(
    ("first", "stop", "part"),
    [(700, 1000, "training"), (0, 600, "validation"), (0, 796, "test")],
)
def test_a_series_without_values_in_a_part_is_refused_before_training(
    first: int, stop: int, part: str
) -> None:
    """Where a series has nothing in a part, the error names series, its time, the time wanted and what to do."""
    values = make_series(1000, 2)[:, :, None]
    values[:first, 1] = values[stop:, 1] = np.nan
    taken = Recording(values, ("hall", "attic"), HOUR_NS, start_ns=0)
    with pytest.raises(InputError, match=f"series without values in the {part} part") as raised:
        fit(taken, 6, small_recipe(), lambda *_: None, lambda _: None)
    assert raised.value.where == "attic"
    assert raised.value.found is not None
    assert raised.value.found.startswith("attic: 1970-01-")
    assert "--since" in str(raised.value.do)


def test_covariates_may_lack_values_in_a_part_and_times_need_not_be_known() -> None:
    """Only what is forecast must be there to be measured; without times, steps are named."""
    values: Any = make_series(1000, 2)[:, None, :]
    values[600:, 0, 1] = np.nan
    taken = Recording(values, ("load", "sun"), HOUR_NS, targets=1)
    split = split_rows(1000, Recipe().split)
    check_parts(taken, split, 6)
    with pytest.raises(InputError, match="validation part") as raised:
        check_parts(Recording(values, ("load", "sun"), HOUR_NS), split, 6)
    assert raised.value.found == "sun: step 0 to step 599"
    assert raised.value.wanted == "values within step 600 to step 794 too"


def test_long_table_of_streams_that_overlap_keeps_their_times() -> None:
    """A sensor that came later lies where it came: it shares all of its time with the others."""
    hall, attic = make_series(600, 2).T
    frame = pl.DataFrame(
        {
            "time": [
                f"{np.datetime64('2026-01-01') + np.timedelta64(k, 'h')}Z"
                for k in [*range(600), *range(300, 600)]
            ],
            "room": ["hall"] * 600 + ["attic"] * 300,
            "value": [*hall.tolist(), *attic[300:].tolist()],
        }
    )
    taken = recording.from_frame(frame, HOUR_NS, **exogenous.reading(Recipe()))
    assert np.isnan(taken.values[:300, taken.names.index("attic"), 0]).all()
    assert len(taken.values) == 600


def test_a_part_shorter_than_the_horizon_names_the_steps_it_needs() -> None:
    """No forecast fits into such a part: its length and the least one are told, not a time without values."""
    taken = Recording(np.random.default_rng(0).standard_normal((900, 1, 1)), ("load",), HOUR_NS)
    with pytest.raises(InputError, match="the test part is shorter than the horizon") as raised:
        check_parts(taken, split_rows(900, SplitRecipe(train=700, validation=197, test=3)), 6)
    assert raised.value.found == "3 steps of 6"
    assert str(raised.value.wanted).startswith("at least 6 steps")
