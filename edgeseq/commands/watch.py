"""`edgeseq watch`: a node's streams, live in the terminal."""

from __future__ import annotations

from pathlib import Path

import click

from edgeseq.watch import Broker
from edgeseq.watch import watch as watch_node
from edgeseq.watch.once import once

FILE = click.Path(path_type=Path)


@click.command()
@click.option("--host", default="localhost", show_default=True, help="The broker's host.")
@click.option("--port", default=1883, show_default=True, help="The broker's port.")
@click.option("--node", default="+", help="Name of the node; default: all nodes.")
@click.option("--prefix", default="edgeseq", show_default=True, help="First level of the topics.")
@click.option("--username", help="User at the broker.")
@click.option("--password-file", type=FILE, help="File that holds the password.")
@click.option("--ca-file", type=FILE, help="Certificates to trust; switches TLS on.")
@click.option("--once", "is_once", is_flag=True, help="Print what the broker keeps of the node, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: as JSON.")
def watch(
    host: str,
    port: int,
    node: str,
    prefix: str,
    username: str | None,
    password_file: Path | None,
    ca_file: Path | None,
    *,
    is_once: bool,
    as_json: bool,
) -> None:
    """Show readings, forecasts and alerts as they are published. Ctrl-C ends it.

    Where the output is no terminal, each event is one line.
    """
    if as_json and not is_once:
        raise click.UsageError("--json needs --once; mosquitto_sub shows messages as they come.")
    if is_once:
        once(Broker(host, port, username, password_file, ca_file), prefix, node, as_json=as_json)
        return
    watch_node(Broker(host, port, username, password_file, ca_file), prefix, node)
