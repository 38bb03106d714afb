"""`edgeseq run`: the daemon."""

from __future__ import annotations

from pathlib import Path

import click

from edgeseq.commands.config_option import config_option


@click.command()
@config_option
def run(path: Path) -> None:
    """Forecast what the broker's sensors will say, until told to stop.

    SIGTERM and SIGINT end it in order, SIGHUP reads the configuration again. Exit code 78 says that a human must
    change something; 0 that it was told to stop.
    """
    from edgeseq.daemon import run as run_daemon

    run_daemon(path)
