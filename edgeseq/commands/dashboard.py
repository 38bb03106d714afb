"""`edgeseq dashboard`: a node in the browser."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from edgeseq.watch import Broker

FILE = click.Path(path_type=Path)


def _address(_: click.Context, __: click.Parameter, given: str) -> tuple[str, int]:
    """Read address and port."""
    try:
        parts = urlsplit(f"//{given}")
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
        address, port = str(ipaddress.ip_address(host)), parts.port
    except ValueError:
        port = None
    if port is None:
        raise click.BadParameter(f"{given!r} is no address with a port, such as 127.0.0.1:8460 or [::1]:8460")
    return address, port


@click.command()
@click.option("--host", default="localhost", show_default=True, help="The broker's host.")
@click.option("--port", default=1883, show_default=True, help="The broker's port.")
@click.option("--node", default="edgeseq", show_default=True, help="Name of the node.")
@click.option("--prefix", default="edgeseq", show_default=True, help="First level of the topics.")
@click.option("--username", help="User at the broker.")
@click.option("--password-file", type=FILE, help="File that holds the password.")
@click.option("--ca-file", type=FILE, help="Certificates to trust; switches TLS on.")
@click.option(
    "--listen",
    default="127.0.0.1:8460",
    show_default=True,
    callback=_address,
    help="Address and port of the pages; beyond this machine only with a token.",
)
@click.option("--token-file", type=FILE, help="File with a token that browsers must show once.")
@click.option(
    "--name", "names", multiple=True, help="A name that leads here, as behind a proxy; needs a token."
)
@click.option(
    "--by",
    default=lambda: os.environ.get("USER") or os.environ.get("LOGNAME"),
    show_default="your user name",
    help="Who acknowledges and labels, where the page does not say.",
)
def dashboard(
    listen: tuple[str, int],
    node: str,
    prefix: str,
    token_file: Path | None,
    names: tuple[str, ...],
    by: str | None,
    **broker: Any,
) -> None:
    """Show a node's streams, forecasts, alerts and health in the browser. Ctrl-C ends it.

    Alerts can be acknowledged and labelled where the node has [node] requests = true.
    """
    from edgeseq.dashboard import app, security  # what its extra brings may be missing

    token = security.read_token(token_file) if token_file else None
    guard = security.guard_for(listen[0], names, token)
    shown = f"[{listen[0]}]" if ":" in listen[0] else listen[0]
    click.echo(f"http://{shown}:{listen[1]}/  Ctrl-C ends", err=True)
    app.serve(Broker(**broker), f"{prefix}/{node}", listen, guard, by)
