"""What a reader may not expect of a recording is told, and faults name the option and the cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeseq.errors import InputError
from edgeseq_train import exogenous, recording
from edgeseq_train.estimators import labels
from edgeseq_train.recipe import Recipe, RecordingRecipe
from tests.train.conftest import HOUR_NS


def _csv(path: Path, header: str, row: Any, rows: int = 30) -> Path:
    lines = [f"2026-01-{1 + k // 24:02d}T{k % 24:02d}:00:00Z{row(k)}" for k in range(rows)]
    path.write_text("\n".join([header, *lines]))
    return path


def _told(path: Path) -> list[str]:
    told: list[str] = []
    recording.read(path, HOUR_NS, say=told.append)
    return told


def test_two_columns_of_one_name_are_told(tmp_path: Path) -> None:
    """The later one gets another name, and who reads it must know."""
    told = _told(_csv(tmp_path / "a.csv", "time,a,a", lambda k: f",{k % 7},{k % 5}"))
    assert "two columns are called a: the later one is read as a_duplicated_0" in told


def test_decimal_commas_are_told(tmp_path: Path) -> None:
    """Numbers written with a comma are taken as such, and it is said of which columns; others are not named."""
    told = _told(_csv(tmp_path / "a.csv", "time;a;b", lambda k: f";{k % 7},5;{k % 5}"))
    assert "commas are read as decimal points: a" in told
    plain = _told(_csv(tmp_path / "b.csv", "time;a", lambda k: f";{k % 7}.5"))
    assert not any("decimal points" in text for text in plain)


@pytest.mark.parametrize("timed", [0, 5])
def test_line_protocol_without_times_says_so(tmp_path: Path, timed: int) -> None:
    """Points that were exported without a time are told as that, from the first line on or later."""
    path = tmp_path / "export.txt"
    points = [f"weather,room=hall temperature={k}.5" for k in range(20)]
    path.write_text(
        "\n".join(
            p + (f" {1772359200 + 3600 * k}000000000" if k < timed else "") for k, p in enumerate(points)
        )
    )
    with pytest.raises(InputError, match="lines without a time") as raised:
        recording.read(path, HOUR_NS)
    assert raised.value.where == f"{path}: line {1 + timed}"


@pytest.mark.parametrize(
    ("option", "recipe"), [("covariates", Recipe(covariates=("nope",))), ("known", Recipe(known=("nope",)))]
)
def test_a_covariate_that_is_not_there_names_its_option(tmp_path: Path, option: str, recipe: Recipe) -> None:
    """Whoever asked for a column by an option is told that option, also where columns were named."""
    path = _csv(tmp_path / "a.csv", "time,a,b", lambda k: f",{k % 7},{k % 5}")
    recipe = msgspec.structs.replace(recipe, recording=RecordingRecipe(columns=("a",)))
    with pytest.raises(InputError, match="no such column") as raised:
        recording.read(path, HOUR_NS, **exogenous.reading(recipe))
    assert raised.value.wanted == f"--{option} nope"


def test_a_target_that_is_not_there_names_its_option(tmp_path: Path) -> None:
    """An estimator's target is asked for by --estimate."""
    path = _csv(tmp_path / "a.csv", "time,a,b", lambda k: f",{k % 7},{k % 5}")
    with pytest.raises(InputError, match="no such column") as raised:
        labels.read(path, HOUR_NS, "last", "nope", "estimate")
    assert raised.value.wanted == "--estimate nope"


def test_units_in_the_cells_are_told_as_the_cause(tmp_path: Path) -> None:
    """Cells such as 20.1 °C and 68 °F are told with their units, alone or among numbers."""
    path = _csv(tmp_path / "a.csv", "time,a", lambda k: f",{20 + k} °C" if k % 2 else ",68 °F")
    with pytest.raises(InputError, match="there are no numbers") as raised:
        recording.read(path, HOUR_NS)
    assert "numbers with units (°F, °C)" in str(raised.value.found)
    assert "one unit for each column" in str(raised.value.do)
    mixed = _csv(tmp_path / "b.csv", "time,a", lambda k: f",{20 + k} °C" if k % 2 else ",68")
    with pytest.raises(InputError, match="a value is no number") as raised:
        recording.read(mixed, HOUR_NS)
    assert str(raised.value.do).startswith("the cells hold units (°C): write the numbers alone")
