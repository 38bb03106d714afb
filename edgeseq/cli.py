"""The command line: finds the command and maps errors to exit codes. A command is imported when it is called.

Exit codes are those of sysexits.h: 64 usage, 70 a bug, 75 try again later, 78 a human must change something.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from edgeseq import __version__
from edgeseq.commands.named import NamedGroup
from edgeseq.errors import (
    EXIT_INTERNAL,
    EXIT_OK,
    EXIT_RETRY,
    EXIT_USAGE,
    EdgeseqError,
    InternalError,
    OperatorError,
)

COMMANDS = {
    "run": ("edgeseq.commands.run", "run", "Run the daemon."),
    "train": ("edgeseq_train.cli", "train", "Train a model on recordings and bundle it (workstation)."),
    "backtest": (
        "edgeseq_train.backtest.command",
        "backtest",
        "Forecast a recording's past beside strong peers and say who wins (workstation).",
    ),
    "impute": (
        "edgeseq_train.impute.command",
        "impute",
        "Fill gaps of a recording before training (workstation).",
    ),
    "tune": (
        "edgeseq.commands.tune",
        "tune",
        "Find what a recording likes best: a recipe (workstation), or the sensitivity of alerts.",
    ),
    "bundle": ("edgeseq.commands.bundle", "bundle", "Show, verify and list bundles."),
    "push": ("edgeseq.commands.push", "push", "Send a bundle to a node, which judges it before it serves."),
    "keygen": ("edgeseq.commands.bundle", "keygen", "Make the key that signs bundles."),
    "config": ("edgeseq.commands.config", "config", "Check, show and describe the configuration."),
    "doctor": (
        "edgeseq.commands.doctor",
        "doctor",
        "Look over broker, clock, disk, permissions, bundles and streams.",
    ),
    "support": (
        "edgeseq.commands.support",
        "support",
        "Pack what somebody who helps needs to know, without secrets.",
    ),
    "scan": (
        "edgeseq.commands.scan",
        "scan",
        "Listen to a broker and write a configuration of what is on it.",
    ),
    "record": (
        "edgeseq.commands.record",
        "record",
        "Record a broker's messages or readings, or fetch what a node remembers.",
    ),
    "replay": (
        "edgeseq.commands.replay",
        "replay",
        "Feed recorded messages through the same core, at full speed.",
    ),
    "watch": ("edgeseq.commands.watch", "watch", "Show readings, bands and alerts live in the terminal."),
    "dashboard": (
        "edgeseq.commands.dashboard",
        "dashboard",
        "Show a node's streams, bands and alerts in the browser.",
    ),
    "alerts": (
        "edgeseq.commands.alerts",
        "alerts",
        "List, acknowledge, snooze, label and export the alerts of a node.",
    ),
    "completion": (
        "edgeseq.commands.completion",
        "completion",
        "Print the completion for bash, zsh or fish.",
    ),
    "demo": ("edgeseq.commands.demo", "demo", "Train, serve and watch real recordings."),
}
"""Name → module, attribute, and what it does: known without importing anything."""

ENGINE = ("run", "replay")
"""Commands that move streams, a thread for all of them."""

EXTRAS = {
    "ai_edge_litert": "edge",
    "ai_edge_quantizer": "train",
    "amqtt": "demo",
    "edgeseq_train": "train",
    "keras": "train",
    "matplotlib": "train",
    "optuna": "train",
    "polars": "train",
    "ray": "cluster",
    "rich": "demo",
    "starlette": "dashboard",
    "tensorflow": "train",
    "uvicorn": "dashboard",
}
"""Package → the extra that brings it."""
TRAINING = ("train", "backtest", "impute", "tune")
"""Commands of the workstation: whatever they find missing, the extra train brings it."""


class LazyGroup(NamedGroup):
    """The commands of edgeseq."""

    named = COMMANDS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in ENGINE:
            # NumPy's BLAS reads it when it is loaded. Products of a batch are small: further threads would only spin
            # for the next one, on cores that the broker needs. Training, whose products are large, keeps them.
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            # Where time zones are, as Debian's Python would find by loading all that it was built with: 0.7 MB.
            os.environ.setdefault(
                "PYTHONTZPATH", "/usr/share/zoneinfo:/usr/lib/zoneinfo:/usr/share/lib/zoneinfo:/etc/zoneinfo"
            )
        module, attribute, _ = COMMANDS[cmd_name]
        with _advising(cmd_name):
            command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, which may import more."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as fault:  # ctx knows by now which command it is
            raise _advice(fault, ctx.invoked_subcommand) from fault


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgeseq")
def edgeseq() -> None:
    """Forecast sensor streams at the edge, one reading at a time, and say when they misbehave."""


def main() -> None:
    """Run a command and leave with its exit code."""
    sys.exit(exit_code(lambda: edgeseq(standalone_mode=False)))


def exit_code(command: Callable[[], Any]) -> int:
    """Run a command; say on stderr what went wrong, and give the exit code that tells who must act."""
    try:
        status = command()
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.UsageError as fault:
        fault.show()
        return EXIT_USAGE
    except click.ClickException as fault:
        fault.show()
        return fault.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 128 + 2  # as a shell tells of SIGINT
    except ModuleNotFoundError as fault:
        return _fail(_advice(fault, None))
    except EdgeseqError as fault:
        return _fail(fault)
    except BrokenPipeError:  # the reader of our output has gone: no fault
        sys.stdout = None  # nothing to flush at exit
        return EXIT_OK
    except OSError as fault:
        click.echo(f"edgeseq: {fault}", err=True)
        return EXIT_RETRY
    # One of two places that may catch everything, the other is the daemon's (`daemon.life.run`): whatever comes here is
    # our bug, and a script or systemd must learn by the exit code that it is neither its fault nor the world's.
    except Exception:  # noqa: BLE001 - see above: the last line of all
        traceback.print_exc()
        return EXIT_INTERNAL
    return status if isinstance(status, int) else EXIT_OK


def _fail(fault: EdgeseqError) -> int:
    click.echo(f"edgeseq: {fault}", err=True)
    if isinstance(fault, InternalError) and fault.__cause__:
        traceback.print_exception(fault.__cause__)
    return fault.exit_code


@contextmanager
def _advising(command: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as fault:
        raise _advice(fault, command) from fault


def _advice(fault: ModuleNotFoundError, command: str | None) -> EdgeseqError:
    """Say what to install where a package is missing: training needs its extra, whatever of it is found missing."""
    package = (fault.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    if extra is not None and extra != "cluster" and command in TRAINING:
        extra = "train"
    if extra is None:
        return InternalError("a module is missing", found=str(fault))
    is_large = " on a workstation; it is large" if extra == "train" else ""
    return OperatorError(
        f"this command needs {package}, which is not installed",
        wanted=f"the extra {extra}",
        do=f"pip install 'edgeseq[{extra}]'{is_large}",
    )
