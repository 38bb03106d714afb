"""Seasons that a recipe asks for are used, or it is said that they are not, and why."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from edgeseq.core.types import F64
from edgeseq_train.fit import Fitted, fit
from edgeseq_train.parts import Recording
from edgeseq_train.recipe import FrontRecipe
from edgeseq_train.seasons import lag_candidates
from tests.train.conftest import HOUR_NS, small_recipe

WEEK = 168
STEPS = 1000


def _weekly() -> F64:
    """Draw six weeks, each like the last, that no day tells of: (T, 1, 1)."""
    rng = np.random.default_rng(0)
    week = rng.standard_normal(WEEK).cumsum()
    week = np.tile(week - np.linspace(0, week[-1], WEEK), STEPS // WEEK + 1)[:STEPS]
    return np.asarray(week + 0.2 * rng.standard_normal(STEPS))[:, None, None]


def _fit(values: F64, **front: Any) -> tuple[Fitted, list[str]]:
    said: list[str] = []
    recipe = msgspec.structs.replace(
        small_recipe(steps=2, lanes=6, validate_every=2), front=FrontRecipe(**front)
    )
    return fit(
        Recording(values, tuple("abcdefgh"[: values.shape[1]]), HOUR_NS),
        12,
        recipe,
        lambda *_: None,
        said.append,
    ), said


@pytest.mark.training
@pytest.mark.parametrize("steps", [STEPS, 5 * WEEK + 5])
def test_season_of_a_short_recording_is_reached_by_sparse_lags(steps: int) -> None:
    """With three and a half seasons, or barely three, to learn from, lags around one season are used; all is finite."""
    fitted, said = _fit(_weekly()[:steps], seasons=(WEEK,))
    assert fitted.spec.seasons == (WEEK,)
    assert WEEK - 1 in fitted.spec.lags
    assert len(fitted.spec.lags) < fitted.spec.ring
    assert not any("is not used" in text for text in said)
    assert all(np.isfinite(a).all() for a in fitted.weights.values())


@pytest.mark.training
def test_season_out_of_reach_is_said_loudly() -> None:
    """A ring that the recipe makes too short for its season is told, with what enforces the season."""
    fitted, said = _fit(_weekly(), seasons=(WEEK,), ring=48)
    (told,) = [text for text in said if "is not used" in text]
    assert fitted.spec.seasons == ()
    assert told == (
        "the season of 168 steps is not used: the lags reach 48 steps back, none fit that reach it;"
        " wanted: [front] seasons = [168]; ring = 174 in [front] enforces it"
    )


@pytest.mark.training
def test_season_that_does_not_pay_is_said_loudly() -> None:
    """A season that validation finds useless is told as such; enforced as the line says, it is used."""
    walk = np.random.default_rng(1).standard_normal((STEPS, 8)).cumsum(axis=0)[:, :, None]
    _, said = _fit(walk, seasons=(111,))
    (told,) = [text for text in said if "is not used" in text]
    assert told.startswith("the season of 111 steps is not used")
    assert "did not pay on validation" in told
    fitted, said = _fit(walk, seasons=(111,), ring=117)
    assert fitted.spec.seasons == (111,)
    assert not any("is not used" in text for text in said)


def test_lags_of_seasons_that_nobody_asked_for_are_as_ever() -> None:
    """Found seasons get the choices they always had; asked ones more, where two do not fit into a whole ring."""
    assert lag_candidates((WEEK,), 24, 600) == [((0, 24),)]
    assert lag_candidates((WEEK,), 24, 600, asked=True) == [((0, 24),), ((0, 24), (138, 175))]
    assert lag_candidates((24, WEEK), 12, 510, asked=True)[-1] == ((0, 55), (150, 175))
    for rows in (2700, 30_000):
        assert lag_candidates((24, WEEK), 24, rows, asked=True) == lag_candidates((24, WEEK), 24, rows)
