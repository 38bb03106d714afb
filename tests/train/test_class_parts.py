"""Each part of a recording holds every class, or it is said what that costs."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from edgeseq.core.types import F64, Target
from edgeseq.errors import InputError
from edgeseq_train.estimators.command import on_test
from edgeseq_train.estimators.fit import fit
from edgeseq_train.estimators.labels import Labelled
from edgeseq_train.estimators.parts import lacking, parted, whole_split
from edgeseq_train.parts import Recording, split_rows
from edgeseq_train.recipe import CellRecipe, FrontRecipe, Recipe, SplitRecipe, TrainingRecipe

MINUTE_NS = 60 * 10**9
WEEKEND = (560, 820)
"""Nobody is there: it holds the whole validation part of the usual split, and more."""


def _week(there: F64) -> Labelled:
    rng = np.random.default_rng(0)
    light = 400 * there + rng.normal(0, 10, len(there))
    values = np.stack([light, rng.normal(500, 20, len(there))], axis=1)[:, None, :]
    target = Target("who", classes=("out", "in"))
    recording = Recording(values, ("light", "co2"), MINUTE_NS, channels=("light", "co2"))
    return Labelled(recording, target, there)


def _weekend(steps: int = 1000) -> Labelled:
    t = np.arange(steps)
    there = ((t // 40) % 2 == 1) & ~((t >= WEEKEND[0]) & (t < WEEKEND[1]))
    return _week(there.astype(float))


def test_a_usual_split_that_lacks_a_class_is_replaced_and_told() -> None:
    """A validation part of a weekend is given up for the nearest split whose parts all hold all classes."""
    said: list[str] = []
    labelled = _weekend()
    assert lacking(labelled, split_rows(1000, SplitRecipe())) == {"validation": ["in"]}
    recipe = parted(labelled, Recipe(classify="who"), said.append)
    split = split_rows(1000, recipe.split)
    assert lacking(labelled, split) == {}
    assert split.test == 1000
    assert "validation 100 % out" in said[0]
    assert "the validation part lacks in" in said[1]
    assert "100 %" not in said[2]


def test_a_split_that_was_asked_for_is_refused_with_the_one_to_take() -> None:
    """Who named a split is not given another: the error names one that holds all classes."""
    asked = Recipe(classify="who", split=SplitRecipe(train=0.58, validation=0.22, test=0.2))
    with pytest.raises(InputError, match="a part of the recording lacks a class") as raised:
        parted(_weekend(), asked, lambda _: None)
    advised = [float(n) for n in str(raised.value.do).removeprefix("--split ").split(",")]
    split = SplitRecipe(train=advised[0], validation=advised[1], test=advised[2])
    assert lacking(_weekend(), split_rows(1000, split)) == {}


def test_a_split_whose_parts_hold_all_classes_stays() -> None:
    """Nothing is said but the shares, and numbers have none."""
    said: list[str] = []
    labelled = _week((np.arange(1000) // 40 % 2).astype(float))
    recipe = Recipe(classify="who")
    assert parted(labelled, recipe, said.append) == recipe
    assert len(said) == 1
    number = Labelled(labelled.inputs, Target("heat"), labelled.truth)
    assert parted(number, recipe, said.append) == recipe
    assert len(said) == 1


def test_where_no_split_holds_all_the_regression_on_present_values_ships() -> None:
    """A validation part that cannot tell is not asked: what ships was chosen by nothing it lacks."""
    there = np.zeros(1000)
    there[100:300:2] = 1
    labelled, said = _week(there), list[str]()
    training = TrainingRecipe(steps=4, lanes=4, validate_every=2, segment=16)
    small = Recipe(classify="who", cell=CellRecipe(units=4), front=FrontRecipe(ring=8), training=training)
    recipe = parted(labelled, small, said.append)
    assert recipe == small
    assert whole_split(labelled, split_rows(1000, recipe.split)) is None
    assert "no split holds all classes" in said[-1]
    fitted = fit(labelled, recipe, lambda *_: None, said.append)
    assert not fitted.summary["recurrent"]
    assert "the validation part has no in" in said[-2]
    used = np.flatnonzero(np.abs(fitted.weights["highway"]).sum(axis=1))
    assert len(used) <= len(labelled.inputs.names)


@pytest.mark.parametrize(("ours", "words"), [(0.3, "regression is better"), (0.1, "that of regression 0.2")])
def test_the_verdict_on_the_test_part_names_the_better_one(ours: float, words: str) -> None:
    """Beside the claim about validation stands what the test part says, also where a regression wins."""
    rows: list[dict[str, Any]] = [
        {"estimator": "majority", "log_loss": 0.05}, {"estimator": "regression", "log_loss": 0.2},
        {"estimator": "model float32", "log_loss": ours},
    ]  # fmt: skip
    assert words in on_test(rows, "float32")


def test_the_split_that_was_taken_repeats_itself() -> None:
    """The recipe that is kept names the counts, so that it is not searched for again."""
    recipe = parted(_weekend(), Recipe(classify="who"), lambda _: None)
    said: list[str] = []
    assert parted(_weekend(), recipe, said.append) == recipe
    assert len(said) == 1
    assert msgspec.to_builtins(recipe.split)["train"] > 1
