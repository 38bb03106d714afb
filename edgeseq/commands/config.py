"""`edgeseq config`: check, show and describe configurations and messages."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgeseq.config import load_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.config.sample import effective, sample
from edgeseq.config.schema import config_schema, message_names, message_schema
from edgeseq.errors import BundleError

_FILE = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=Path("edgeseq.toml"),
    show_default=True,
    help="The configuration file.",
)


@click.group()
def config() -> None:
    """Check, show and describe the configuration."""


@config.command()
@_FILE
def check(path: Path) -> None:
    """Check a configuration as the daemon would. Exit code 78 says that a human must change something."""
    resolved = resolve(load_config(path), path.parent, name=path.name)
    for rule in resolved.rules:
        if rule.bundle is not None and not resolved.bundles[rule.bundle].is_file():
            raise BundleError(
                "the bundle does not exist",
                where=f"{path.name}: streams of {rule.key}",
                found=str(resolved.bundles[rule.bundle]),
                wanted="a file made by `edgeseq train`",
            )
    click.echo(_summary(path, resolved))


@config.command()
@_FILE
@click.option("--defaults", is_flag=True, help="Print a sample with every key explained instead.")
def show(path: Path, *, defaults: bool) -> None:
    """Print a configuration with all its defaults, as TOML."""
    click.echo(sample() if defaults else effective(load_config(path)), nl=False)


@config.command()
@click.argument("message", required=False)
@click.option("--messages", is_flag=True, help="Print the schemas of all messages.")
def schema(message: str | None, *, messages: bool) -> None:
    """Print the JSON Schema of the configuration, or of a MESSAGE such as forecast or bridge/health."""
    if messages:
        described: object = {name: message_schema(name) for name in message_names()}
    elif message is None:
        described = config_schema()
    elif message in message_names():
        described = message_schema(message)
    else:
        raise click.BadParameter(f"{message!r} is none of {', '.join(message_names())}", param_hint="MESSAGE")
    click.echo(json.dumps(described, indent=2, ensure_ascii=False))


def _summary(path: Path, resolved: Resolved) -> str:
    """Say what a configuration amounts to."""
    lines = [f"{path} is usable", f"  broker:    {resolved.config.mqtt.host}:{resolved.port}"]
    lines += [f"  state:     {resolved.state_dir}"]
    lines += [f"  subscribe: {topic_filter}" for topic_filter in resolved.filters]
    lines += [f"  streams:   {rule.key} by {rule.bundle or 'the baseline'}" for rule in resolved.rules]
    return "\n".join(lines)
