"""`edgeseq tune`: what a recording likes best. `model` is the workstation's and is imported when it is called."""

from __future__ import annotations

import importlib
import os

import click

from edgeseq.commands.named import NamedGroup

COMMANDS = {
    "model": (
        "edgeseq_train.tuning.command",
        "model",
        "Search the choices of a recipe for those that are best on validation (workstation).",
    ),
    "alerts": (
        "edgeseq.commands.tune_alerts",
        "alerts",
        "Find the sensitivity that raises as many alerts a week as the budget says.",
    ),
}
"""Name → module, attribute, and what it does: known without importing anything."""


class TuneGroup(NamedGroup):
    """The searches."""

    named = COMMANDS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name == "alerts":  # as `edgeseq replay`: products of a batch are small
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=TuneGroup)
def tune() -> None:
    """Search for what a recording likes best."""
