"""Recipes as files: read, checked, written; what is wrong in one is said in the words of its writer."""

from __future__ import annotations

import math
import os
import runpy
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from edgeseq.core.layers import kind_of
from edgeseq.errors import ConfigError
from edgeseq_train import recipe_faults
from edgeseq_train.recipe import COUNTED, Recipe

FEWEST_LEVELS = 3
"""Bands need two around the median."""
MOST_NAME_CHARS = 64


def read_recipe(path: Path | None) -> Recipe:
    """Read a recipe, or take the defaults.

    Raises:
        ConfigError: unreadable file, unknown key or wrong value.
    """
    if path is None:
        return Recipe()
    try:
        data = msgspec.toml.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError("cannot read the recipe", where=str(path), found=str(error)) from error
    except msgspec.DecodeError as error:
        raise ConfigError(
            "the recipe is no TOML",
            where=str(path),
            found=str(error),
            wanted="TOML",
            do=recipe_faults.EXAMPLES,
        ) from error
    recipe = _converted(data, str(path))
    if recipe.recording.kind == "counter" and "aggregate" not in data:
        recipe = msgspec.structs.replace(recipe, aggregate=COUNTED)
    _load(recipe.modules, path.parent)
    check(recipe, str(path))
    return recipe


def check(recipe: Recipe, where: str = "recipe") -> Recipe:
    """Refuse what cannot be trained with, wherever it was said: in a file, by options, in Python.

    where: to name in errors.

    Raises:
        ConfigError: a wrong value.
    """
    _converted(msgspec.to_builtins(recipe), where)
    if not _are_levels(recipe.levels):
        raise recipe_faults.fault(
            where, "levels", list(recipe.levels),
            f"{FEWEST_LEVELS} or more, ascending within (0, 1), symmetric around 0.5 and with it",
            "write such as [0.05, 0.25, 0.5, 0.75, 0.95]",
        )  # fmt: skip
    if recipe.name is not None and not (
        0 < len(recipe.name) <= MOST_NAME_CHARS and recipe.name.isprintable()
    ):
        raise recipe_faults.fault(
            where, "name", repr(recipe.name), f"1 to {MOST_NAME_CHARS} printable characters", "give a --name"
        )
    for layer in recipe.layers:
        kind_of(layer)
    return recipe


def _converted(data: dict[str, Any], where: str) -> Recipe:
    """Make a recipe of what was read; no number in it may be infinite or none."""
    try:
        recipe = msgspec.convert(data, Recipe)
    except msgspec.ValidationError as error:
        raise recipe_faults.explained(error, data, Recipe, where) from error
    for key, value in _numbers(data):
        if not math.isfinite(value):
            raise recipe_faults.fault(where, key, value, "a finite number")
    return recipe


def _numbers(data: dict[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{above}{key}.")
        elif isinstance(value, float):
            yield above + key, value


def _are_levels(levels: tuple[float, ...]) -> bool:
    ascending = all(a < b for a, b in pairwise((0.0, *levels, 1.0)))
    symmetric = all(
        math.isclose(a + b, 1, abs_tol=1e-6) for a, b in zip(levels, reversed(levels), strict=True)
    )
    return ascending and symmetric and len(levels) % 2 == 1 and len(levels) >= FEWEST_LEVELS


def _load(modules: tuple[str, ...], folder: Path) -> None:
    """Run Python files that define layers of one's own."""
    for name in modules:
        file = folder / name
        if not file.is_file():
            raise ConfigError(
                "no such Python file",
                where="recipe: modules",
                found=str(file),
                wanted="a path from the recipe on",
            )
        runpy.run_path(str(file))


def moved(recipe: Recipe, origin: Path | None, target: Path) -> Recipe:
    """Let a recipe that is written elsewhere find the Python files beside the one it was read from."""
    if origin is None:
        return recipe
    modules = tuple(os.path.relpath(origin.parent / m, target.parent) for m in recipe.modules)
    return msgspec.structs.replace(recipe, modules=modules)


def write_recipe(recipe: Recipe) -> str:
    """Write a recipe as TOML; what is unset is left out.

    >>> read = msgspec.toml.decode(write_recipe(Recipe(every="10m")), type=Recipe)
    >>> read == Recipe(every="10m")
    True
    """
    scalars, tables = [], []
    for key, value in msgspec.to_builtins(recipe).items():
        if isinstance(value, dict):
            tables.append("\n".join(["", f"[{key}]", *_lines(value)]))
        elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
            tables += ["\n".join(["", f"[[{key}]]", *_lines(row)]) for row in value]
        else:
            scalars += _lines({key: value})
    return "\n".join([*scalars, *tables, ""])


def _lines(values: dict[str, object]) -> list[str]:
    # JSON strings, numbers, true/false and arrays of them are TOML too.
    return [
        f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values.items() if value is not None
    ]
