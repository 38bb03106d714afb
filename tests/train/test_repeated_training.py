"""The recipe that stands beside a bundle repeats the training: what was said of reading the recording is in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgeseq.bundle import Bundle, Channel, TrustedKeys, read_bundle
from edgeseq.commands.bundle import bundle as bundle_command
from edgeseq_train.cli import _bundle_path, resolve, train
from edgeseq_train.recipe import Recipe, RecordingRecipe
from edgeseq_train.recipe_files import read_recipe, write_recipe
from edgeseq_train.recordings.options import merged, reading_of
from tests.train.conftest import make_series

pytestmark = pytest.mark.training

STEPS = 700
TINY = """
modules = ["nothing.py"]
[front]
seasons = [24]
ring = 48
[cell]
units = 6
[training]
steps = 6
lanes = 8
validate_every = 3
[quantization]
variants = ["float32"]
"""
READING = [
    "--time-column", "at", "--time-format", "%d.%m.%Y %H:%M", "--time-zone", "+01:00", "--series", "room", "--columns",
    "hall,attic", "--without", "attic", "--since", "2026-01-02T00:00:00Z", "--until", "2026-01-29", "--on-gap", "hold",
]  # fmt: skip


def _write_long(path: Path) -> None:
    """Write readings of rooms in local time without saying so, with gaps, and with units."""
    values, rng = make_series(STEPS, 3), np.random.default_rng(1)
    lines = ["at,room,degrees,unit"]
    for t, row in enumerate(values):
        at = (np.datetime64("2026-01-01T00:00") + np.timedelta64(t, "h")).astype(object)
        for room, value in zip(("hall", "attic", "cellar"), row, strict=True):
            if rng.random() > 0.1:
                lines.append(f"{at:%d.%m.%Y %H:%M},{room},{value:.3f},°C")
    path.write_text("\n".join(lines), encoding="utf-8")


def _train(folder: Path, *words: str) -> Bundle:
    arguments = [
        str(folder / "rooms.csv"),
        "--unsigned",
        "--no-report",
        "-o",
        str(folder / "rooms.edgeseq"),
        *words,
    ]
    CliRunner().invoke(train, arguments, catch_exceptions=False)
    return read_bundle(folder / "rooms.edgeseq", TrustedKeys(), allow_unsigned=True)


def test_saved_recipe_alone_repeats_the_training_to_the_same_bytes(tmp_path: Path) -> None:
    """Every option of reading is in the recipe beside the bundle, which alone gives a bundle of the same digest."""
    _write_long(tmp_path / "rooms.csv")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "tiny.toml").write_text(TINY)
    (tmp_path / "recipes" / "nothing.py").write_text("LAYERS = {}\n")
    words = ["--every", "1h", "--horizon", "6h", "--aggregate", "mean", "--seed", "2", *READING]
    first = _train(tmp_path, str(tmp_path / "recipes" / "tiny.toml"), *words)
    kept = (tmp_path / "rooms.recipe.toml").rename(tmp_path / "again.toml")
    (tmp_path / "rooms.edgeseq").unlink()
    again = _train(tmp_path, "--recipe", str(kept))
    assert again.digest == first.digest
    assert (tmp_path / "rooms.recipe.toml").read_text() == kept.read_text()
    assert first.manifest.columns == (Channel("hall", "°C"),)
    assert first.manifest.channels == (Channel("value", "°C"),)
    shown = CliRunner().invoke(bundle_command, ["show", str(tmp_path / "rooms.edgeseq")])
    assert "columns:   trained on hall (°C)" in shown.output


def test_command_line_wins_over_what_the_recipe_says_of_reading(tmp_path: Path) -> None:
    """A word of the command line replaces the recipe's, the others stay."""
    path = tmp_path / "r.toml"
    path.write_text(
        '[recording]\nkind = "counter"\ncolumns = ["a", "b"]\nsince = "2026-01-01T00:00:00Z"\nstatistics = false\n'
    )
    recipe = read_recipe(path).recording
    words = dict.fromkeys(RecordingRecipe.__struct_fields__) | {"columns": "c, d", "on_gap": "hold"}
    both = merged(words, recipe)
    asked = RecordingRecipe(
        columns=("c", "d"), since="2026-01-01T00:00:00Z", on_gap="hold", kind="counter", statistics=False
    )
    assert both == asked
    assert reading_of(both)["since_ns"] == 1_767_225_600 * 10**9
    path.write_text(write_recipe(Recipe(recording=both)))
    assert read_recipe(path).recording == both


@pytest.mark.parametrize("name", ["house.csv.gz", "house.CSV", "house.lp.gz", "house", "house.parquet"])
def test_bundle_is_called_as_its_recording_without_what_tells_its_kind(name: str) -> None:
    """The default name of model and bundle has no part of the file's format in it."""
    options = train.make_context("train", [name]).params
    recipe = resolve(Recipe(), Path("folder") / name, options)
    assert recipe.name == "house"
    assert _bundle_path(None, Recipe(), Path("folder") / name) == Path("house.edgeseq")


def test_two_recipes_are_a_usage_error(tmp_path: Path) -> None:
    """RECIPE and --recipe are one thing: giving both is refused."""
    done = CliRunner().invoke(
        train, ["x.csv", str(tmp_path / "a.toml"), "--recipe", str(tmp_path / "b.toml")]
    )
    assert (done.exit_code, "exclude each other" in done.output) == (2, True)
