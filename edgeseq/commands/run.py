"""`edgeseq run`: the daemon."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=Path("edgeseq.toml"),
    show_default=True,
    help="The configuration file.",
)
def run(path: Path) -> None:
    """Forecast what the broker's sensors will say, until told to stop.

    SIGTERM and SIGINT end it in order, SIGHUP reads the configuration again. Exit code 78 says that a human must
    change something; 0 that it was told to stop.
    """
    from edgeseq.daemon import run as run_daemon

    run_daemon(path)
