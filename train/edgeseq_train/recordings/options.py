"""The options that every command with a recording has, and what they mean to `recording.read`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
import msgspec

from edgeseq.core.instants import format_instant, parse_instant
from edgeseq.errors import ConfigError
from edgeseq_train.recipe import RecordingRecipe
from edgeseq_train.recordings.request import Options

_NOTED = [name for name in RecordingRecipe.__struct_fields__ if name not in ("since", "until")]
Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--time-column", help="Column of the time, or several such as date,time; default: found."),
    click.option("--time-format", help="How times are written, such as '%d/%m/%Y %H:%M'; default: found."),
    click.option("--time-zone", help="Of times that name none, such as Europe/Berlin or +01:00; default UTC."),
    click.option(
        "--columns", "--channels", help="Columns, series or entities to train on, by name or pattern, with commas"
        " between; default: all numeric columns."
    ),
    click.option("--without", help="What to leave out of those."),
    click.option(
        "--series", help="Columns whose values tell series apart; `file`: each file of a folder is one; `none`."
        " Default: found."
    ),
    click.option("--since", help="Leave out readings before this instant."),
    click.option("--until", help="Leave out readings from this instant on."),
    click.option(
        "--on-gap", type=click.Choice(["missing", "hold"]), help="Steps without a reading: missing, or the last value"
        " for sensors that report only changes. Give it where readings come more seldom than --every."
    ),
    click.option(
        "--kind", type=click.Choice(["gauge", "counter"]), help="What a value is: the quantity, or the reading of a"
        " meter that only grows, of which the increments are meant; default: gauge."
    ),
    click.option(
        "--statistics/--states", default=None, help="Of Home Assistant's database; default: statistics where"
        " --aggregate is mean, min or max over whole hours."
    ),
)  # fmt: skip


def reading_options(command: Command) -> Command:
    """Give a command the options of a recording; `merged` or `options_of` take them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def merged(given: Mapping[str, Any], recipe: RecordingRecipe) -> RecordingRecipe:
    """Let the words of the command line win over a recipe's [recording]."""
    words = {name: given[name] for name in RecordingRecipe.__struct_fields__ if given[name] is not None}
    lists = {name: tuple_of(words[name]) for name in ("columns", "without", "series") if name in words}
    return msgspec.structs.replace(recipe, **words | lists)


def options_of(given: Mapping[str, Any]) -> Options:
    """Turn the words of the command line into the options of `recording.read`.

    Raises:
        ConfigError: an instant cannot be read.
    """
    return reading_of(merged(given, RecordingRecipe()))


def reading_of(recipe: RecordingRecipe) -> Options:
    """Turn a recipe's [recording] into the options of `recording.read`.

    Raises:
        ConfigError: an instant cannot be read.
    """
    return Options(
        time_column=recipe.time_column,
        time_format=recipe.time_format,
        time_zone=recipe.time_zone,
        columns=recipe.columns,
        without=recipe.without,
        series=recipe.series,
        since_ns=_instant(recipe.since, "since"),
        until_ns=_instant(recipe.until, "until"),
        on_gap=recipe.on_gap,
        kind=recipe.kind,
        statistics=recipe.statistics,
    )


def noted(given: Options, recipe: RecordingRecipe) -> RecordingRecipe:
    """Put what keywords say of reading into a recipe's [recording], so that the recipe tells all of it.

    Raises:
        ConfigError: what the recipe says elsewhere.
    """
    for name in ("multichannel", "gauges", "own_times"):
        if name in given:
            raise ConfigError(
                f"{name} is no keyword here", where=name, found=str(given.get(name)),
                wanted="what Recipe's multichannel, known and calendar say", do="set those of the recipe",
            )  # fmt: skip
    said: dict[str, Any] = {name: given[name] for name in _NOTED if name in given}  # type: ignore[literal-required]
    said |= {name: tuple(said[name]) for name in ("columns", "without", "series") if name in said}
    for name, instant in (("since", given.get("since_ns")), ("until", given.get("until_ns"))):
        if instant is not None:
            said[name] = format_instant(instant)
    return msgspec.structs.replace(recipe, **said)


def tuple_of(text: str | None) -> tuple[str, ...]:
    """Split at commas.

    >>> tuple_of("a, b"), tuple_of(None)
    (('a', 'b'), ())
    """
    return tuple(filter(None, (part.strip() for part in text.split(",")))) if text else ()


def _instant(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    instant = parse_instant(text)
    if instant is None:
        raise ConfigError(
            f"{option} is no time",
            where=f"--{option}, or recipe: [recording]",
            found=text,
            wanted="ISO 8601 such as 2026-03-01T10:00:00Z",
        )
    return instant
