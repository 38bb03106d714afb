"""`edgeseq demo`: everything once, on real recordings, with a verdict."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import click

from edgeseq.demo.run import Break, run_demo
from edgeseq.errors import ConfigError

NEEDED = {"amqtt": "demo", "tensorflow": "train", "ai_edge_litert": "edge"}
"""Module → extra that brings it."""


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("build/demo"),
    show_default=True,
    help="Where to write; what an earlier demo left there is removed.",
)
@click.option(
    "--quick", is_flag=True, help="Train for seconds and play at full speed; accuracy is not checked."
)
@click.option("--reuse", is_flag=True, help="Do not train: take the model of the last demo in this folder.")
@click.option(
    "--break",
    "fault",
    type=click.Choice(get_args(Break)),
    help="Break a part on purpose: the demo must fail.",
)
@click.pass_context
def demo(context: click.Context, folder: Path, fault: Break | None, *, quick: bool, reuse: bool) -> None:
    """Train on recorded traffic, serve it beside an unknown sensor, inject faults, watch, check and report.

    Exit code 0 only if every check holds.
    """
    missing = [extra for module, extra in NEEDED.items() if find_spec(module) is None]
    if missing:
        extras = ",".join(missing)
        raise ConfigError("the demo needs more than a device does", do=f"pip install 'edgeseq[{extras}]'")
    context.exit(run_demo(folder, quick=quick, reuse=reuse, fault=fault))
