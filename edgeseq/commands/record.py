"""`edgeseq record`: what comes from a broker, or what a running node remembers, as a compressed file."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeseq.capture import read_capture
from edgeseq.commands.listening_options import FILE, Listening, Progress, listens
from edgeseq.config import load_config
from edgeseq.config.resolve import resolve
from edgeseq.core.topics import filter_fault
from edgeseq.core.types import Message
from edgeseq.errors import ConfigError, InputError
from edgeseq.recorder.files import Lines
from edgeseq.recorder.messages import to_line
from edgeseq.watch import Broker
from edgeseq.watch.listening import Ear
from edgeseq.watch.listening import listening as listening_to

if TYPE_CHECKING:
    from edgeseq.compose import Node

PARQUET = ".parquet"
PARTIAL = {False: ".part.jsonl.gz", True: ".part.csv.gz"}
"""What a Parquet is written by, until it ends; by whether it is of readings."""
DEFAULT_MB = 1024


@click.command()
@listens
@click.option(
    "-o",
    "--output",
    type=FILE,
    required=True,
    help="FILE.jsonl.gz or .csv.gz, or FILE.parquet (extra train).",
)
@click.option(
    "--topic", "topics", multiple=True, help="Filters to record; default: the configuration's, else #."
)
@click.option("--config", type=FILE, help="A configuration: its readings are recorded, for edgeseq train.")
@click.option("--raw", is_flag=True, help="Record messages, although there is a configuration.")
@click.option("--input", "recording", type=FILE, help="Take messages from a recording instead of a broker.")
@click.option(
    "--node", "node_name", help="Take what this running node remembers (its [node] requests must be on)."
)
@click.option("--prefix", default="edgeseq", show_default=True, help="First level of the node's topics.")
@click.option("--append", is_flag=True, help="Go on with a file that is there.")
@click.option("--max-mb", default=DEFAULT_MB, show_default=True, help="End when the file has grown so large.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def record(listening: Listening, output: Path, *, as_json: bool, **given: object) -> None:
    """Record messages of a broker for replay and tuning, or with --config their readings for training.

    Ctrl-C ends it. The file is whole up to the last ten seconds, whatever happens.
    """
    asked = _Asked(listening, output, given)
    if asked.node_name:
        from edgeseq.recorder.past import fetch

        count = fetch(
            asked.broker, asked.prefix, asked.node_name, asked.open(), lambda text: click.echo(text, err=True)
        )
        noun = "readings"
    else:
        count, noun = _record(asked), "readings" if asked.is_readings else "messages"
    asked.finish()
    click.echo(f"{count:,} {noun}: {asked.output}", err=True)
    if as_json:
        click.echo(json.dumps({noun: count, "file": str(asked.output), "bytes": asked.output.stat().st_size}))


class _Asked:
    """What is asked for, checked before anything is recorded."""

    def __init__(self, listening: Listening, output: Path, given: dict[str, object]) -> None:
        self.listening = listening
        self.output = output
        self.recording: Path | None = given["recording"]  # type: ignore[assignment]
        self.node_name: str | None = given["node_name"]  # type: ignore[assignment]
        self.prefix = str(given["prefix"])
        self.append = bool(given["append"])
        self.most_bytes = int(str(given["max_mb"])) * 2**20
        config: Path | None = given["config"]  # type: ignore[assignment]
        self.is_readings = bool(self.node_name) or (config is not None and not given["raw"])
        self.config = config
        self.broker, self.topics = _broker(listening, config)
        self.topics = tuple(given["topics"]) or self.topics  # type: ignore[arg-type]
        for topic in self.topics:
            if fault := filter_fault(topic):
                raise click.BadParameter(f"{topic}: {fault}", param_hint="--topic")
        self._check_output()

    def _check_output(self) -> None:
        """Choose the file that is written; a Parquet becomes one only at its end."""
        endings = (".csv", ".csv.gz") if self.is_readings else (".jsonl", ".jsonl.gz")
        name, self.written = self.output.name, self.output
        if self.output.suffix == PARQUET:
            if importlib.util.find_spec("polars") is None:
                self.output = self.output.with_suffix(endings[1])
                self.written = self.output
                click.echo(f"Parquet needs the extra train: {self.output} is written instead", err=True)
                return
            if self.output.exists():
                raise click.BadParameter(
                    f"{self.output} is there, and Parquet cannot go on", param_hint="--output"
                )
            self.written = self.output.with_name(name.removesuffix(PARQUET) + PARTIAL[self.is_readings])
            return
        if not name.endswith(endings):
            wanted = ", ".join((*endings, PARQUET))
            what = "readings" if self.is_readings else "messages"
            raise click.BadParameter(f"{what} are written as {wanted}: found {name}", param_hint="--output")

    def open(self) -> Lines:
        """Open the file."""
        from edgeseq.recorder.readings import HEAD

        return Lines(self.written, head=HEAD if self.is_readings else b"", append=self.append)

    def finish(self) -> None:
        """Make a Parquet of what was written, where one is wanted."""
        if self.written == self.output:
            return
        parquet = importlib.import_module("edgeseq_train.recordings.messages")
        if self.is_readings:
            parquet.write_readings(self.written, self.output)
        else:
            messages = read_capture(self.written, ())
            parquet.write(((m.topic, m.payload, m.received_ns, m.retained) for m in messages), self.output)
        self.written.unlink()


def _broker(listening: Listening, config: Path | None) -> tuple[Broker, tuple[str, ...]]:
    """Choose broker and topics: the command line's, else the configuration's, else everything on localhost."""
    if config is None:
        return listening.broker, ("#",)
    resolved = resolve(load_config(config), config.parent, name=config.name)
    topics = tuple(topic for rule in resolved.rules for topic in rule.filters)
    if listening.is_named:
        return listening.broker, topics
    mqtt = resolved.config.mqtt
    if resolved.cert_file or (mqtt.tls and not resolved.ca_file):
        raise ConfigError(
            "this command reaches brokers with a CA file, without a certificate of its own",
            where=f"{config.name}: mqtt",
            do="name the broker by --host, --port and --ca-file",
        )
    password = config.parent / mqtt.password_file if mqtt.password_file else None
    return Broker(mqtt.host, resolved.port, mqtt.username, password, resolved.ca_file), topics


# --- recording --------------------------------------------------------------------------------------------------


def _record(asked: _Asked) -> int:
    """Record until the time is over, the file is large, the recording ends, or Ctrl-C → rows."""
    lines = asked.open()
    write = _writer(asked, lines)
    count = 0
    try:
        if asked.recording is not None:
            for message in read_capture(asked.recording, (), tell=lambda text: click.echo(text, err=True)):
                count += write(message)
            return count
        with listening_to(asked.broker, asked.topics) as ear:
            return _listen(asked, ear, lines, write)
    finally:
        lines.close()


def _listen(asked: _Asked, ear: Ear, lines: Lines, write: Callable[[Message], int]) -> int:
    """Write what is heard → rows."""
    progress, count = Progress(asked.listening.given_s or math.inf), 0
    try:
        for message in ear.until(progress.end_s):
            if message is not None:
                count += write(message)
            lines.tick()
            progress.tell(lambda: f"{count:,} rows, {lines.size:,} bytes")  # noqa: B023 - called at once
            if lines.size >= asked.most_bytes:
                click.echo(f"ended: the file has grown to {lines.size:,} bytes (--max-mb)", err=True)
                break
    except KeyboardInterrupt:
        click.echo("ended: what was recorded is kept", err=True)
    finally:
        progress.done()
    if ear.lost:
        click.echo(f"lost here, for they came too fast: {ear.lost} messages", err=True)
    return count


def _writer(asked: _Asked, lines: Lines) -> Callable[[Message], int]:
    """Give what writes a message → rows written."""
    if not asked.is_readings:
        return lambda message: _add(lines, [to_line(message)])
    if asked.config is None:
        raise InputError("readings need a configuration", do="give --config edgeseq.toml")
    from edgeseq import replay
    from edgeseq.recorder.readings import decode, to_csv

    node: Node = replay.open_for_replay(asked.config, None, save_state=False)
    return lambda message: _add(lines, [to_csv([row]) for row in decode(node, [message])])


def _add(lines: Lines, made: Iterable[bytes]) -> int:
    count = 0
    for line in made:
        lines.add(line)
        count += 1
    return count
