"""What a search may choose: the one place where it is written down.

Each choice is a field of the recipe. What the recipe itself says is always among the options, so that it can be the
first trial. Left out is what the recipe leaves without a meaning: [cell] where [[layers]] say the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from optuna.trial import Trial

from edgeseq_train import seasons
from edgeseq_train.fronts import MOST_HIGHWAY_WEIGHTS
from edgeseq_train.parts import Recording, Split
from edgeseq_train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Options:
    """One of these."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """A number in [low, high], both within."""

    low: float
    high: float
    is_log: bool = False


FIXED: dict[str, Options | Range] = {
    "cell.kind": Options(("gru", "lstm", "rnn")),
    "cell.layers": Options((1, 2)),
    "cell.units": Options((16, 24, 32, 48, 64, 96)),
    "training.dropout": Range(0.0, 0.5),
    "training.learning_rate": Range(5e-4, 1e-2, is_log=True),
    "training.lanes": Options((16, 32, 48, 96)),
    "training.segment": Options((16, 32, 64)),
    "training.median_weight": Options((1.0, 2.0, 4.0, 8.0)),
}
"""The same for all recordings; front.seasons and front.ring follow from the recording (`space_of`)."""

Space = dict[str, Options | Range]
"""Field of the recipe, as table.field → what it may be."""


def space_of(recording: Recording, split: Split, horizon: int, recipe: Recipe) -> Space:
    """List the choices for a recording; only its training part is looked at.

    Seasons: as found (null), the shortest of those found alone, none. Ring: as chosen on validation (null), or one of
    the whole rings that training would try.
    """
    targets = recording.values[: split.train, :, : recording.target_channels]
    found = seasons.tentative(seasons.detect(targets, recording.period_ns), recording.period_ns, split.train)
    spans = [s for s in seasons.lag_candidates(found, horizon, split.train) if len(s) == 1]
    rings = [s[0][1] for s in spans if s[0][1] * horizon <= MOST_HIGHWAY_WEIGHTS]
    space = {
        **FIXED,
        "front.seasons": Options((None, found[:1], ()) if len(found) > 1 else (None, ())),
        "front.ring": Options((None, *rings)),
    }
    if recipe.layers:
        space = {field: choice for field, choice in space.items() if not field.startswith("cell.")}
    return {field: _with(choice, _value(recipe, field)) for field, choice in space.items()}


def _with(choice: Options | Range, own: Any) -> Options | Range:
    """Take the recipe's own value among the options."""
    if isinstance(choice, Range):
        return Range(min(choice.low, own), max(choice.high, own), choice.is_log)
    return choice if own in choice.values else Options((own, *choice.values))


def _value(recipe: Recipe, field: str) -> Any:
    table, name = field.split(".")
    return getattr(getattr(recipe, table), name)


def start_of(space: Space, recipe: Recipe) -> dict[str, Any]:
    """Name the recipe's own choices, as the study keeps them."""
    return {field: _kept(choice, _value(recipe, field)) for field, choice in space.items()}


def suggested(space: Space, trial: Trial) -> dict[str, Any]:
    """Let the sampler choose → field, value as the study keeps it."""
    return {field: _suggest(trial, field, choice) for field, choice in space.items()}


def _suggest(trial: Trial, field: str, choice: Options | Range) -> Any:
    if isinstance(choice, Range):
        return trial.suggest_float(field, choice.low, choice.high, log=choice.is_log)
    return trial.suggest_categorical(field, [_kept(choice, v) for v in choice.values])


def _kept(choice: Options | Range, value: Any) -> Any:
    """Write an option as JSON: the study's file holds no tuples."""
    return value if isinstance(choice, Range) else msgspec.json.encode(value).decode()


def recipe_of(start: Recipe, kept: dict[str, Any]) -> Recipe:
    """Make the recipe of what was chosen; what no choice is about stays as it is.

    >>> recipe_of(Recipe(), {"cell.units": "96", "training.dropout": 0.5}).cell.units
    96
    """
    tables: dict[str, dict[str, Any]] = {}
    for field, text in kept.items():
        table, name = field.split(".")
        value = msgspec.json.decode(text) if isinstance(text, str) else text
        tables.setdefault(table, {})[name] = tuple(value) if isinstance(value, list) else value
    changed = {
        table: msgspec.structs.replace(getattr(start, table), **fields) for table, fields in tables.items()
    }
    return msgspec.structs.replace(start, **changed)
