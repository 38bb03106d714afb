"""The options that every command with a recording has, and what they mean to `recording.read`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from edgeseq.core.instants import parse_instant
from edgeseq.errors import ConfigError
from edgeseq_train.recordings.request import Options

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
        "--statistics/--states", default=None, help="Of Home Assistant's database; default: statistics where"
        " --aggregate is mean, min or max over whole hours."
    ),
)  # fmt: skip


def reading_options(command: Command) -> Command:
    """Give a command the options of a recording; `options_of` reads them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def options_of(given: Mapping[str, Any]) -> Options:
    """Turn the words of the command line into the options of `recording.read`.

    Raises:
        ConfigError: an instant cannot be read.
    """
    return Options(
        time_column=given["time_column"],
        time_format=given["time_format"],
        time_zone=given["time_zone"],
        columns=tuple_of(given["columns"]),
        without=tuple_of(given["without"]),
        series=tuple_of(given["series"]),
        since_ns=_instant(given["since"], "since"),
        until_ns=_instant(given["until"], "until"),
        on_gap=given["on_gap"],
        statistics=given["statistics"],
    )


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
            where=f"--{option}",
            found=text,
            wanted="ISO 8601 such as 2026-03-01T10:00:00Z",
        )
    return instant
