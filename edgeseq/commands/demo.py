"""`edgeseq demo`: everything once, on real recordings, with a verdict."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import click
from click.core import ParameterSource

from edgeseq.demo import files
from edgeseq.demo.run import Break, run_demo
from edgeseq.errors import ConfigError

NEEDED = {"amqtt": "demo", "tensorflow": "train", "matplotlib": "train", "ai_edge_litert": "edge"}
"""Module → extra that brings it."""


@click.group(invoke_without_command=True)
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
    if context.invoked_subcommand:
        _refuse_options(context)
        return
    _check_packages("amqtt", "tensorflow", "ai_edge_litert")
    context.exit(run_demo(folder, quick=quick, reuse=reuse, fault=fault))


@demo.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("build/demo"),
    show_default=True,
    help="Where to write sine.html and its pictures.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the noise and of all training.")
def sine(folder: Path, seed: int) -> None:
    """Forecast the noisy sine of the tutorials, and say what each network earns.

    Takes about a minute: the tutorials' network on windows, then RNN, GRU and LSTM with carried state, all run as
    TFLite files beside forecasts that need no training.
    """
    _check_packages("tensorflow", "ai_edge_litert", "matplotlib")
    files.claim(folder)
    # Named in a string, as all of training: the device's package knows nothing of it.
    import_module("edgeseq_train.sine.run").run_sine(folder, seed)


def _refuse_options(context: click.Context) -> None:
    """Say that options before a sub-command are not its own, rather than leave them out silently."""
    for parameter in context.command.params:
        if context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE:
            name, command = parameter.opts[0], context.invoked_subcommand
            raise click.UsageError(
                f"{name} is the whole demo's; options of {command} stand after it", context
            )


def _check_packages(*modules: str) -> None:
    missing = [NEEDED[module] for module in modules if find_spec(module) is None]
    if missing:
        extras = ",".join(dict.fromkeys(missing))
        raise ConfigError("the demo needs more than a device does", do=f"pip install 'edgeseq[{extras}]'")
