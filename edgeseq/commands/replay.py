"""`edgeseq replay`: what the daemon would have published for a recording."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import BinaryIO

import click

from edgeseq import replay as r
from edgeseq.capture import read_capture
from edgeseq.core.types import ChannelSource, Message

PROGRESS_MESSAGES = 20_000
"""About once a second."""

FILE = click.Path(path_type=Path)


@click.command()
@click.option(
    "--config", type=FILE, default=Path("edgeseq.toml"), show_default=True, help="The daemon's configuration."
)
@click.option(
    "--input",
    "recording",
    type=FILE,
    required=True,
    help="JSON lines of messages, CSV (a time, values), both also as .gz, or Parquet of messages.",
)
@click.option("-o", "--output", type=FILE, help="Where to write JSON lines; default: standard output.")
@click.option(
    "--topics",
    default="forecast,alert,status",
    show_default=True,
    help="Last levels of the topics to write, comma-separated; all writes everything, none nothing.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=TOPIC[#FIELD]",
    help="Where a CSV column goes; others may be left out.",
)
@click.option("--save-state", is_flag=True, help="Go on from the state folder, and leave the state there.")
@click.option("--state-dir", type=FILE, help="The state folder; default: the configuration's.")
@click.option("--json", "as_json", is_flag=True, help="Sum up in JSON, on stderr, what was done.")
def replay(
    config: Path,
    recording: Path,
    output: Path | None,
    topics: str,
    columns: tuple[str, ...],
    state_dir: Path | None,
    *,
    save_state: bool,
    as_json: bool,
) -> None:
    """Feed a recording to the daemon's core at full speed and write what it publishes.

    With --save-state a daemon started with the same configuration goes on from the recording's end: this gives a
    new daemon its history, so that its streams need not learn for weeks.
    """
    if state_dir is not None and not save_state:
        raise click.UsageError("--state-dir needs --save-state: without it nothing is read or kept.")
    targets = dict(column(text) for text in columns)
    kinds = [] if topics == "all" else topics.split(",")
    tally = r.Tally()
    node = r.open_for_replay(config, state_dir, save_state=save_state)
    with ExitStack() as stack:
        stack.callback(r.close, node)
        out = stack.enter_context(_opened(output))
        messages = with_progress(
            read_capture(recording, node.resolved.rules, targets, lambda text: click.echo(text, err=True))
        )
        for outgoing in r.wanted_only(r.replay(node, messages, tally), kinds):
            out.write(r.to_line(outgoing))
        if save_state:
            r.save(node)
    click.echo(json.dumps(r.account(node, tally)) if as_json else r.summary(node, tally), err=True)


def column(text: str) -> tuple[str, ChannelSource]:
    """Read where a CSV column goes. Raises click.BadParameter."""
    name, _, target = text.partition("=")
    topic, _, field = target.partition("#")
    if not name or not topic:
        raise click.BadParameter(f"{text!r} is not NAME=TOPIC or NAME=TOPIC#FIELD", param_hint="--column")
    return name, ChannelSource(topic, field or None)


def with_progress(messages: Iterable[Message]) -> Iterator[Message]:
    """Tell on stderr how many messages were taken, now and then, where that is a terminal."""
    if not sys.stderr.isatty():
        yield from messages
        return
    count = 0
    for count, message in enumerate(messages, start=1):
        if count % PROGRESS_MESSAGES == 0:
            click.echo(f"\r{count:,} messages", nl=False, err=True)
        yield message
    if count >= PROGRESS_MESSAGES:
        click.echo(f"\r{count:,} messages", err=True)


def _opened(output: Path | None) -> nullcontext[BinaryIO] | BinaryIO:
    if output is None:
        return nullcontext(sys.stdout.buffer)
    try:
        return output.open("wb")
    except OSError as error:
        raise click.BadParameter(f"{output}: {error.strerror}", param_hint="--output") from error
