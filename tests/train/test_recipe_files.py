"""What a recipe may not say is refused in the words of its writer, wherever it was said."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeseq.errors import ConfigError
from edgeseq_train.cli import resolve
from edgeseq_train.parts import split_rows
from edgeseq_train.recipe import CellRecipe, FrontRecipe, Recipe, SplitRecipe
from edgeseq_train.recipe_files import check, read_recipe, write_recipe

WRONG = [
    ("[training]\nvalidate_every = 0", "training.validate_every", "0", "a whole number >= 1"),
    ("[training]\nloss_stride = 0", "training.loss_stride", "0", "a whole number >= 1"),
    ("[training]\nlanes = 0", "training.lanes", "0", "a whole number >= 1"),
    ("[training]\nsteps = 0", "training.steps", "0", "a whole number >= 1"),
    ("[training]\nplateau_steps = 0", "training.plateau_steps", "0", "a whole number >= 1"),
    ("[training]\nlearning_rate = 0.0", "training.learning_rate", "0.0", "a number > 0"),
    ("[training]\nhighway_rate = inf", "training.highway_rate", "inf", "a finite number"),
    ("[training]\ndropout = 1.0", "training.dropout", "1.0", "a number < 1"),
    ("[training]\nschedule = 'step'", "training.schedule", "step", "one of constant, cosine, one_cycle, plateau"),
    ("[front]\nseasons = [24, 0]", "front.seasons[1]", "0", "a whole number >= 2"),
    ("[front]\nring = 0", "front.ring", "0", "a whole number >= 2"),
    ("[front]\nhalf_life = -1", "front.half_life", "-1", "a number > 0"),
    ("[cell]\nunits = 0", "cell.units", "0", "a whole number >= 1"),
    ("[cell]\nlayers = 0", "cell.layers", "0", "a whole number >= 1"),
    ("[cell]\nunits = 'many'", "cell.units", "many", "a whole number"),
    ("[[layers]]\nkind = 'gru'\nunits = 0", "layers[0].units", "0", "a whole number >= 1"),
    ("[calendar]\nholidays = 'US'", "calendar.time_zone", "nothing", "time_zone = …"),
    ("levels = [0.9, 0.1]", "levels", "[0.9, 0.1]", "3 or more, ascending"),
    ("levels = [0.1, 0.5, 0.8]", "levels", "[0.1, 0.5, 0.8]", "symmetric around 0.5"),
    ("levels = [0.5]", "levels", "[0.5]", "3 or more"),
    ("seed = -1", "seed", "-1", "a whole number >= 0"),
    ("name = ''", "name", "''", "1 to 64 printable characters"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key", "found", "wanted"), WRONG, ids=[key for _, key, _, _ in WRONG])
def test_a_wrong_value_names_key_and_what_it_may_be(
    tmp_path: Path, text: str, key: str, found: str, wanted: str
) -> None:
    """A value that cannot be trained with is told with the file, the key, what it says and what it may say."""
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"wrong value|is missing") as raised:
        read_recipe(path)
    fault = raised.value
    assert fault.where == f"{path}: {key}"
    assert fault.found == found
    assert wanted in str(fault.wanted)
    assert fault.do


@pytest.mark.parametrize(
    ("text", "where", "do"),
    [
        ('horizn = "4h"', "horizn", "did you mean horizon?"),
        ("[training]\nlane = 3", "training.lane", "did you mean lanes?"),
        ("[[layers]]\nkind = 'gru'\nunits = 8\nunitz = 3", "layers[0].unitz", "did you mean units?"),
        ("[front]\nqqq = 3", "front.qqq", "remove it"),
    ],
)
def test_an_unknown_key_names_the_one_that_was_meant(tmp_path: Path, text: str, where: str, do: str) -> None:
    """A key that no table has is told with those it has, and the nearest of them."""
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="unknown key") as raised:
        read_recipe(path)
    assert (raised.value.where, raised.value.do) == (f"{path}: {where}", do)


@pytest.mark.parametrize(
    "recipe",
    [Recipe(seed=-1), Recipe(cell=CellRecipe(units=0)), Recipe(front=FrontRecipe(seasons=(0,)))],
)
def test_what_is_said_in_python_is_checked_too(recipe: Recipe) -> None:
    """Structs do not check themselves: `check` does."""
    with pytest.raises(ConfigError, match="has a wrong value"):
        check(recipe)


def test_what_is_right_passes_and_comes_back(tmp_path: Path) -> None:
    """The defaults are within their own bounds, and are read as they were written."""
    path = tmp_path / "recipe.toml"
    path.write_text(write_recipe(Recipe(name="house")))
    assert read_recipe(path) == check(Recipe(name="house"))


def test_a_seed_of_the_command_line_is_checked(tmp_path: Path) -> None:
    """What options say is checked as what the file says."""
    names = (
        "every", "horizon", "aggregate", "name", "multichannel", "covariates", "known", "kind", "holidays", "split",
        "time_column", "time_format", "time_zone", "series", "columns", "without", "since", "until", "on_gap",
        "statistics",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="seed has a wrong value"):
        resolve(Recipe(), tmp_path / "a.csv", {**dict.fromkeys(names), "seed": -5})


def test_counts_and_shares_cannot_be_mixed() -> None:
    """A split of 720 steps and a fifth each is told for what it is."""
    with pytest.raises(ConfigError, match="mixes counts and shares") as raised:
        split_rows(900, SplitRecipe(train=720, validation=0.2, test=0.2))
    assert raised.value.found == "720, 0.2, 0.2"
    assert split_rows(900, SplitRecipe(train=720, validation=1, test=179)).validation == 721
