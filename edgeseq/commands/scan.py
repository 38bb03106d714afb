"""`edgeseq scan`: what is on a broker, as a configuration that runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edgeseq.commands.listening_options import FILE, Listening, Progress, listens
from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.core.topics import filter_fault
from edgeseq.errors import InputError, StorageError
from edgeseq.scan.observe import Observed, observe
from edgeseq.scan.propose import Proposal, propose
from edgeseq.scan.write import configuration, told
from edgeseq.watch import Broker
from edgeseq.watch.listening import listening as listening_to

USUAL_S = 300.0


@click.command()
@listens
@click.option(
    "--topic", "topics", multiple=True, default=("#",), show_default=True, help="Filters to listen to."
)
@click.option("--prefix", default="edgeseq", show_default=True, help="Below which edgeseq itself publishes.")
@click.option(
    "-o",
    "--output",
    type=FILE,
    default=Path("edgeseq.toml"),
    show_default=True,
    help="What to write; - prints it.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def scan(
    listening: Listening,
    topics: tuple[str, ...],
    prefix: str,
    output: Path,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Listen to a broker (5 minutes) and write a commented configuration of what is worth forecasting.

    Families of devices are recognised by their topics. The longer it listens, the better it knows how often readings
    come: what comes each ten minutes wants half an hour. Ctrl-C ends early, with what was seen.
    """
    _check(topics, output, force=force)
    seen = Observed(prefix)
    broker = listening.broker
    lost = _listen(broker, topics, seen, listening.given_s or USUAL_S)
    proposal = propose(seen)
    if not proposal.tables:
        raise _nothing(seen, broker, topics)
    text = configuration(seen, proposal, _mqtt(broker, prefix, output))
    resolve(parse_config(text, name=str(output)), output.parent, name=str(output))
    _write(output, text)
    if as_json:
        click.echo(
            json.dumps({**told(seen, proposal), "lost": lost, "file": str(output)}, ensure_ascii=False)
        )
        return
    click.echo(_summary(seen, proposal, lost), err=True)
    if str(output) != "-":
        click.echo(f"written: {output}; next: edgeseq run --config {output}", err=True)


def _check(topics: tuple[str, ...], output: Path, *, force: bool) -> None:
    """Refuse before listening what would be refused afterwards."""
    for topic in topics:
        if fault := filter_fault(topic):
            raise click.BadParameter(f"{topic}: {fault}", param_hint="--topic")
    if str(output) != "-" and output.exists() and not force:
        raise click.BadParameter(f"{output} is there; --force writes over it", param_hint="--output")
    if not output.parent.is_dir():
        raise click.BadParameter(f"{output.parent} is no folder", param_hint="--output")


def _listen(broker: Broker, topics: tuple[str, ...], seen: Observed, total_s: float) -> int:
    """Take messages until the time is over or Ctrl-C; gives how many found no room."""
    with listening_to(broker, topics) as ear:
        progress = Progress(total_s)
        try:
            for message in ear.until(progress.end_s):
                if message is not None:
                    observe(seen, message)
                progress.tell(
                    lambda: f"{seen.messages} messages, {len(seen.topics)} topics, {seen.numbers} numbers"
                )
        except KeyboardInterrupt:
            click.echo("ended early: what was seen counts", err=True)
        finally:
            progress.done()
        return ear.lost


def _mqtt(broker: Broker, prefix: str, output: Path) -> dict[str, Any]:
    """Give the [mqtt] table: files as seen from the configuration's folder."""
    given: dict[str, Any] = {"host": broker.host}
    if broker.port != (8883 if broker.ca_file else 1883):
        given["port"] = broker.port
    if broker.username is not None:
        given["username"] = broker.username
    if broker.password_file is not None and broker.username is not None:
        given["password_file"] = str(broker.password_file.absolute())
    if broker.ca_file is not None:
        given |= {"tls": True, "ca_file": str(broker.ca_file.absolute())}
    if prefix != "edgeseq":
        given["topic_prefix"] = prefix
    return given


def _nothing(seen: Observed, broker: Broker, topics: tuple[str, ...]) -> InputError:
    return InputError(
        "no numbers were seen",
        where=f"{broker.host}:{broker.port}, {', '.join(topics)}",
        found=f"{seen.messages} messages on {len(seen.topics)} topics",
        wanted="messages that hold numbers",
        do="listen longer (--minutes 30), or look at what comes: mosquitto_sub -v -t '#'",
    )


def _write(output: Path, text: str) -> None:
    if str(output) == "-":
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            "the configuration cannot be written", where=str(output), found=str(error)
        ) from error


def _summary(seen: Observed, proposal: Proposal, lost: int) -> str:
    lines = [f"{seen.messages} messages, {len(seen.topics)} topics, {proposal.streams} streams:"]
    for table in proposal.tables:
        count = len({number.source for number in table.numbers})
        lines.append(f"  {table.name}: {count} every {table.every_s:g} s{', held' if table.is_held else ''}")
    lines += [f"left out: {one.why} ({one.count})" for one in proposal.left_out]
    if lost:
        lines.append(f"lost here, for they came too fast: {lost} messages")
    return "\n".join(lines)
