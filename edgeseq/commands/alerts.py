"""`edgeseq alerts`: a node's history of alerts, and what to do about them, over MQTT."""

from __future__ import annotations

import csv
import importlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from edgeseq.core.instants import format_instant, parse_instant
from edgeseq.errors import InputError
from edgeseq.watch import Broker
from edgeseq.watch.asking import Node, asked_node
from edgeseq.watch.terminal import printable

FILE = click.Path(path_type=Path)

PAGE, PAGE_WITH_READINGS = 50, 10

Command = TypeVar("Command", bound=Callable[..., None])

ALERT_ID = re.compile(r"[a-z2-7]{16}")


def _is_id(_context: click.Context, _parameter: click.Parameter, given: str | tuple[str, ...]) -> Any:
    """Let ids of alerts pass. Raises click.BadParameter."""
    for name in (given,) if isinstance(given, str) else given:
        if not ALERT_ID.fullmatch(name):
            raise click.BadParameter(f"{name!r} is no id of an alert; `edgeseq alerts list` shows them")
    return given


_CONNECTION = (
    click.option("--host", default="localhost", show_default=True, help="The broker's host."),
    click.option("--port", default=1883, show_default=True, help="The broker's port."),
    click.option("--node", default="edgeseq", show_default=True, help="Name of the node."),
    click.option("--prefix", default="edgeseq", show_default=True, help="First level of the topics."),
    click.option("--username", help="User at the broker."),
    click.option("--password-file", type=FILE, help="File that holds the password."),
    click.option("--ca-file", type=FILE, help="Certificates to trust; switches TLS on."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line."),
)

_BY = click.option(
    "--by",
    default=lambda: os.environ.get("USER") or os.environ.get("LOGNAME"),
    show_default="your user name",
    help="Who says so; told to others.",
)


def _connected(command: Command) -> Command:
    """Add the options that say where the node is."""
    for option in reversed(_CONNECTION):
        command = option(command)
    return command


def _node(options: dict[str, Any]) -> Any:
    """Connect to the node that the options name, and take them out."""
    taken = {key: options.pop(key) for key in ("host", "port", "username", "password_file", "ca_file")}
    return asked_node(Broker(**taken), options.pop("prefix"), options.pop("node"))


@click.group()
def alerts() -> None:
    """List, acknowledge, snooze and label the alerts of a node. It must have [node] requests = true."""


@alerts.command(name="list")
@click.option("--stream", help="Only of this stream, by its id.")
@click.option("--limit", default=20, show_default=True, help="Most events to list.")
@_connected
def list_(*, stream: str | None, limit: int, as_json: bool, **options: Any) -> None:
    """List the history of alerts, newest first."""
    with _node(options) as node:
        rows = [*_taken(node.pages("alerts", "alerts", stream=stream, limit=min(limit, PAGE)), limit)]
    for entry in rows:
        click.echo(json.dumps(entry) if as_json else _line(entry))
    if not rows:
        of = "" if stream is None else f" of a stream {stream}"
        click.echo(f"the node's history has no alert{of}", err=True)


@alerts.command()
@click.argument("ids", nargs=-1, required=True, callback=_is_id)
@_BY
@_connected
def acknowledge(*, ids: tuple[str, ...], by: str | None, as_json: bool, **options: Any) -> None:
    """Say that you know of open alerts, by their ids."""
    with _node(options) as node:
        for name in ids:
            answer = node.ask("acknowledge", alert=name, by=by)
            _say(answer, f"{name} acknowledged since {answer['acknowledged']}", as_json=as_json)


@alerts.command()
@click.option("--stream", help="Id of a stream, or a pattern with * and ?.")
@click.option("--table", help="A [[streams]] table, by its name or first topic filter.")
@click.option("--kind", help="Kind of alert, such as silent.")
@click.option("--for", "duration", help="How long, such as 2h.")
@click.option("--until", help="Until when, such as 2026-03-01T10:00:00Z.")
@click.option("--cancel", type=int, help="End a snooze, by its number.")
@_BY
@_connected
def snooze(*, as_json: bool, **options: Any) -> None:
    """Tell no alerts of something for a while; those that are open at the end are told then."""
    with _node(options) as node:
        answer = node.ask("snooze", **options)
        _say_number(answer, as_json=as_json)
        _list_muting(answer, as_json=as_json)


@alerts.command()
@click.option("--begin", help='A time, or a weekday and time for every week, such as "Sun 02:00".')
@click.option("--end", help="As --begin.")
@click.option(
    "--time-zone", default="UTC", show_default=True, help="Of weekdays, and of times without offset."
)
@click.option(
    "--stream", "streams", multiple=True, help="Ids of streams, or patterns; may be given several times."
)
@click.option("--table", help="A [[streams]] table, by its name or first topic filter.")
@click.option("--kind", help="Kind of alert, such as silent.")
@click.option("--cancel", type=int, help="End a window, by its number.")
@_BY
@_connected
def maintenance(*, as_json: bool, **options: Any) -> None:
    """Plan a window in which alerts are not told; without --begin, list what is planned."""
    options["streams"] = list(options["streams"])
    with _node(options) as node:
        answer = node.ask("maintenance", **options)
        if "number" in answer:
            _say_number(answer, as_json=as_json)
        elif as_json:
            click.echo(json.dumps(answer))
        _list_muting(answer, as_json=as_json)


@alerts.command()
@click.argument("name", metavar="ID", callback=_is_id)
@click.argument("label", type=click.Choice(["false_alarm", "real", "none"]))
@click.option("--note", help="Whatever else is to be known.")
@_BY
@_connected
def label(*, name: str, as_json: bool, **options: Any) -> None:
    """Say what an alert was, in hindsight; none takes it back. `edgeseq tune alerts` uses it."""
    with _node(options) as node:
        _say(node.ask("label", alert=name, **options), f"{name} {options['label']}", as_json=as_json)


@alerts.command()
@click.option(
    "-o", "--output", type=FILE, required=True, help="File to write: .csv, .jsonl, or .parquet (workstation)."
)
@_connected
def export(*, output: Path, as_json: bool, **options: Any) -> None:
    """Write the labelled alerts with the readings around them, for training and `edgeseq tune alerts`."""
    if output.suffix not in WRITERS:
        raise InputError(
            "the file has no known ending", where=str(output), wanted=f"one of {', '.join(WRITERS)}"
        )
    with _node(options) as node:
        entries = list(_labelled(node))
    count = WRITERS[output.suffix](output, entries)
    _say({"alerts": len(entries), "rows": count}, f"{output}: {len(entries)} alerts", as_json=as_json)


def _say_number(answer: dict[str, Any], *, as_json: bool) -> None:
    """Say the number of a snooze or maintenance that was made or ended, and what it fits: a slip fits nothing."""
    count = answer.get("count")  # not where one was ended, nor of an earlier version
    fits = "" if count is None else f" (fits {count} stream{'' if count == 1 else 's'})"
    _say(answer, f"number {answer['number']}{fits}", as_json=as_json)
    if count == 0:
        click.echo("no stream fits yet: `edgeseq watch` shows their ids; --cancel takes it back", err=True)


# --- what is printed and written --------------------------------------------------------------------------------


def _say(answer: dict[str, Any], text: str, *, as_json: bool) -> None:
    click.echo(json.dumps(answer) if as_json else text)


def _taken(entries: Iterable[dict[str, Any]], most: int) -> Iterator[dict[str, Any]]:
    for n, entry in enumerate(entries, start=1):
        yield entry
        if n >= most:
            return


def _line(entry: dict[str, Any]) -> str:
    """Put an event in a line."""
    alert = entry["alert"]
    marks = [
        "muted" if entry["muted"] else "",
        f"acknowledged by {entry['acknowledged_by'] or '?'}" if entry["acknowledged"] else "",
        entry["label"] or "",
    ]
    marked = ", ".join(mark for mark in marks if mark)
    text = f"{alert['time'][:19]}Z  {alert['id']}  {alert['event_type']:<12} {alert['message']}"
    return printable(f"{text}  [{marked}]" if marked else text)


def _list_muting(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        return
    for one in answer["muting"]:
        about = [*one["streams"], *(f"{key} {one[key]}" for key in ("table", "kind") if one[key])]
        number = "-" if one["number"] is None else one["number"]
        who = f" by {one['by']}" if one["by"] else ""
        what = ", ".join(about) or "all alerts"
        when = f"{one['begin']} to {one['end']}"
        click.echo(printable(f"{number:>4}  {one['purpose']:<11} {when}  {what}{who}"))


def _labelled(node: Node) -> Iterator[dict[str, Any]]:
    return node.pages("alerts", "alerts", labelled=True, readings=True, limit=PAGE_WITH_READINGS)


def _rows(entries: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Lay out labelled alerts as rows, one a reading."""
    for entry in entries:
        alert, readings = entry["alert"], entry.get("readings")
        if readings is None:
            continue
        about = {
            "alert": alert["id"],
            "stream": alert["stream"],
            "channel": alert["channel"],
            "kind": alert["kind"],
            "opened": alert["opened"],
            "table": entry["table"],
            "label": entry["label"],
            "note": entry["note"],
        }
        first_ns = parse_instant(readings["first"]) or 0
        for n, value in enumerate(readings["values"]):
            time_ns = first_ns + round(n * readings["period_s"] * 1e9)
            yield {
                **about,
                "time": format_instant(time_ns),
                "steps_from_onset": n - readings["onset"],
                "value": value,
            }


def _write_csv(path: Path, entries: list[dict[str, Any]]) -> int:
    rows = list(_rows(entries))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _write_jsonl(path: Path, entries: list[dict[str, Any]]) -> int:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    return len(entries)


def _write_parquet(path: Path, entries: list[dict[str, Any]]) -> int:
    write: Callable[..., int] = importlib.import_module("edgeseq_train.labels").write_parquet
    return write(path, list(_rows(entries)), COLUMNS)


COLUMNS = (
    "alert", "stream", "channel", "kind", "opened", "table", "label", "note", "time", "steps_from_onset", "value",
)  # fmt: skip

WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], int]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
