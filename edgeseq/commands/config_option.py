"""How commands are told the configuration file."""

from __future__ import annotations

from pathlib import Path

import click

config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=Path("edgeseq.toml"),
    show_default=True,
    help="The configuration file.",
)
