"""`edgeseq config`: check, show and describe configurations and messages."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import msgspec

from edgeseq.commands.config_option import config_option
from edgeseq.commands.overview import facts, overview
from edgeseq.config import load_config
from edgeseq.config.asyncapi import asyncapi
from edgeseq.config.mistakes import mistakes
from edgeseq.config.overrides import overrides
from edgeseq.config.resolve import resolve
from edgeseq.config.sample import SAMPLE, effective, sample
from edgeseq.config.schema import config_schema, message_names, message_schema
from edgeseq.models import read_bundles
from edgeseq.store import check_folder

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def config() -> None:
    """Check, show and describe the configuration."""


@config.command()
@config_option
@_JSON
def check(path: Path, *, as_json: bool) -> None:
    """Check the configuration, its bundles (signature, contents, fit to the streams) and the state folder.

    As this user; no model is run, and no broker called. Exit code 78 says that a human must change something; of
    several mistakes all are told that can be told apart.
    """
    if wrong := mistakes(path):
        for fault in wrong[:-1]:
            click.echo(f"edgeseq: {fault}\n", err=True)
        raise wrong[-1]
    resolved = resolve(load_config(path), path.parent, name=path.name)
    bundles = read_bundles(resolved) if resolved.bundles else ()
    manifests = {key: bundle.manifest for key, bundle in bundles}
    check_folder(resolved.state_dir)
    click.echo(
        json.dumps(facts(path, resolved, manifests)) if as_json else overview(path, resolved, manifests)
    )


@config.command()
@config_option
@click.option("--defaults", is_flag=True, help="Print a sample with every key explained instead.")
@_JSON
def show(path: Path, *, defaults: bool, as_json: bool) -> None:
    """Print a configuration with all its defaults, as TOML; what the environment has set names its variable."""
    sources = {} if defaults else overrides(os.environ)
    if as_json:
        shown = msgspec.to_builtins(SAMPLE if defaults else load_config(path))
        click.echo(json.dumps({"configuration": shown, "from_environment": sources}, ensure_ascii=False))
    else:
        click.echo(sample() if defaults else effective(load_config(path), sources), nl=False)


@config.command()
@click.argument("message", required=False)
@click.option("--messages", is_flag=True, help="Print the schemas of all messages.")
@click.option(
    "--asyncapi",
    "as_document",
    is_flag=True,
    help="Print the AsyncAPI 3 document: topics, messages, operations.",
)
def schema(message: str | None, *, messages: bool, as_document: bool) -> None:
    """Print the JSON Schema of the configuration, or of a MESSAGE such as forecast or bridge/health."""
    if (message is not None) + messages + as_document > 1:
        raise click.UsageError("MESSAGE, --messages and --asyncapi exclude each other.")
    if as_document:
        described: object = asyncapi()
    elif messages:
        described = {name: message_schema(name) for name in message_names()}
    elif message is None:
        described = config_schema()
    elif message in message_names():
        described = message_schema(message)
    else:
        raise click.BadParameter(f"{message!r} is none of {', '.join(message_names())}", param_hint="MESSAGE")
    click.echo(json.dumps(described, indent=2, ensure_ascii=False))
