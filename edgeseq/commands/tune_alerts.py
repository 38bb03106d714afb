"""`edgeseq tune alerts`: the sensitivity of each table that its budget of alerts asks for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from edgeseq import replay as r
from edgeseq import tuning
from edgeseq.adapters.ledger import read_labels
from edgeseq.capture import read_capture
from edgeseq.commands.replay import FILE, column
from edgeseq.config.sample import toml
from edgeseq.core.instants import parse_instant
from edgeseq.errors import ConfigError, InputError, StorageError
from edgeseq.tuning import Label, Tuned


@click.command()
@click.argument("recording", type=FILE)
@click.option(
    "--config", type=FILE, default=Path("edgeseq.toml"), show_default=True, help="The daemon's configuration."
)
@click.option(
    "--alerts-per-week",
    type=click.FloatRange(0, min_open=True),
    help="Budget of each table; default: the configuration's.",
)
@click.option(
    "--labels",
    type=FILE,
    help="What `edgeseq alerts export` wrote, as .jsonl; default: the ledger in the state folder.",
)
@click.option(
    "--column", "columns", multiple=True, metavar="NAME=TOPIC[#FIELD]", help="Where a CSV column goes."
)
@click.option("-o", "--output", type=FILE, help="Where to write the lines for the configuration.")
@click.option("--json", "as_json", is_flag=True, help="Print all trials as JSON.")
def alerts(
    recording: Path,
    config: Path,
    alerts_per_week: float | None,
    labels: Path | None,
    columns: tuple[str, ...],
    output: Path | None,
    *,
    as_json: bool,
) -> None:
    """Replay RECORDING (JSON lines or CSV, as `edgeseq replay` takes it) at several sensitivities of the alerts.

    For each [[streams]] table the one is chosen that raises as many alerts a week as its budget says, those that open
    together counted once. Labels have the last word: real events must be found, false alarms should not.
    """
    node = r.open_for_replay(config, None, save_state=False)
    budgets = {rule.key: alerts_per_week or rule.alerts_per_week for rule in node.resolved.rules}
    budgets = {key: budget for key, budget in budgets.items() if budget}
    if not budgets:
        raise ConfigError(
            "no table has a budget of alerts",
            where=str(config),
            wanted="alerts_per_week in a [[streams]] table, or --alerts-per-week",
        )
    targets = dict(column(text) for text in columns)
    messages = read_capture(recording, node.resolved.rules, targets, lambda text: click.echo(text, err=True))
    read = tuning.read(node, messages)
    said = list(_labels(labels)) if labels else _kept_labels(node.resolved.state_dir)
    tables = tuning.tune(node, read, budgets, said, lambda text: click.echo(text, err=True))
    lines = list(_lines(tables))
    if as_json:
        click.echo(json.dumps([_told(one) for one in tables]))
    else:
        for one in tables:
            click.echo("\n".join(_table(one)))
        click.echo("\n".join(["", *lines]))
    if output:
        output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _kept_labels(state_dir: Path) -> list[Label]:
    """Read the labels of this machine's node, if it has one that does not run."""
    try:
        return [
            Label(stream, opened_ns, label == "real") for stream, opened_ns, label in read_labels(state_dir)
        ]
    except StorageError as fault:
        click.echo(f"{fault}", err=True)
        return []


def _labels(path: Path) -> Iterator[Label]:
    """Read what people said of alerts."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(line)
            alert, label = entry["alert"], entry["label"]
            opened_ns = parse_instant(alert["opened"])
            stream = str(alert["stream"])
        except (ValueError, KeyError, TypeError) as fault:
            raise InputError(
                "a line is no labelled alert",
                where=f"{path}, line {number}",
                found=f"{type(fault).__name__}: {fault}",
                wanted="what `edgeseq alerts export -o labels.jsonl` writes",
            ) from fault
        if opened_ns is not None and label in ("real", "false_alarm"):
            yield Label(stream, opened_ns, label == "real")


def _table(one: Tuned) -> Iterator[str]:
    """Lay out what each sensitivity would have raised."""
    yield f"{one.rule.key}: budget {one.budget:g} a week, {one.weeks:.1f} weeks after learning"
    if not one.trials:
        yield "  too short to say anything: at least half a week after learning is wanted"
        return
    real = sum(label.is_real for label in one.labels)
    heads = ("sensitivity", "alerts/week", f"real of {real}", f"false of {len(one.labels) - real}")
    yield "  " + " ".join(f"{head:>11}" for head in heads)
    for trial in sorted(one.trials.values()):
        found = [one.labels[i].is_real for i in trial.found]
        mark = f"  <- {one.why}" if trial.sensitivity == one.chosen else ""
        yield (
            f"  {trial.sensitivity:>11.3g} {trial.per_week:>11.3g} {sum(found):>11} {len(found) - sum(found):>11}{mark}"
        )
    rates = [trial.per_week for trial in one.trials.values()]
    if min(rates) > one.budget:
        yield "  limits, stuck values and silence do not depend on the sensitivity: they alone may raise more"


def _lines(tables: Iterable[Tuned]) -> Iterator[str]:
    """Write the lines for the configuration."""
    for one in tables:
        if one.trials:
            name = "name" if one.rule.name else "topic"
            yield f"[[streams]]  # the one with {name} = {toml(one.rule.key)}"
            yield f"sensitivity = {float(f'{one.chosen:.4g}')}"
            yield f"alerts_per_week = {one.budget:g}"


def _told(one: Tuned) -> dict[str, Any]:
    trials = [
        {"sensitivity": t.sensitivity, "alerts_per_week": t.per_week, "labels_found": sorted(t.found)}
        for t in sorted(one.trials.values())
    ]
    return {
        "table": one.rule.key,
        "budget": one.budget,
        "weeks": one.weeks,
        "sensitivity": one.chosen if one.trials else None,
        "why": one.why,
        "trials": trials,
    }
