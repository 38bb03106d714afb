"""Options of commands that lay a recording out for a model: how it is read, what its columns are, where it is cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from edgeseq.core.types import Aggregate
from edgeseq_train.recordings.options import reading_options

Command = TypeVar("Command", bound=Callable[..., Any])

_COLUMNS = (
    click.option(
        "--multichannel", is_flag=True, help="Columns are channels of one stream, not streams of one model."
    ),
    click.option("--covariates", help="Columns that are inputs beside each target and are not forecast."),
    click.option("--known", help="Columns whose future is known, such as a weather forecast."),
    click.option(
        "--holidays", help="Make the calendar of --time-zone an input, with the holidays of a place such as US or"
        " DE-BY, or none.",
    ),
    click.option(
        "--split", help="Training, validation and test part, such as 0.6,0.2,0.2 or 8640,2880,2880 rows."
    ),
)  # fmt: skip


def layout_options(command: Command) -> Command:
    """Give a command the options that `cli.resolve` puts into a recipe."""
    for option in reversed(_COLUMNS):
        command = option(command)
    aggregate = click.option(
        "--aggregate", type=click.Choice(get_args(Aggregate)),
        help="Several readings of one step; default: the last, of counters the sum.",
    )  # fmt: skip
    return aggregate(reading_options(command))
