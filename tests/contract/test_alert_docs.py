"""What docs/alerts.md shows can be typed in."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from edgeseq.commands.alerts import alerts
from edgeseq.commands.tune_alerts import alerts as tune_alerts
from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.core.asking import REQUESTS
from edgeseq.core.types import AlertKind

PAGE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")
STREAM = '[[streams]]\ntopic = "plc/p1/flow"\nevery = "1m"\n'
TOML = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
LINES = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def test_page_names_every_kind_and_every_verb() -> None:
    """Nothing that is alerted or can be asked for is missing."""
    kinds = set(re.findall(r"`(\w+)`", PAGE.partition("## Groups")[0]))
    assert {str(kind) for kind in AlertKind} <= kinds
    verbs = set(re.findall(r"^\| `(\w+)` \| `\{", PAGE, re.MULTILINE))
    assert verbs == set(REQUESTS) - {"health", "info", "snapshot", "streams", "recording"}


@pytest.mark.parametrize("block", TOML)
def test_configuration_shown_is_valid(block: str) -> None:
    """Each block, alone or as lines of a table, is taken by the configuration."""
    text = block if "[[streams]]" in block else f"{STREAM}{block}"
    if "[[maintenance]]" in block:
        text = STREAM + block
    assert resolve(parse_config(text), Path("/etc/edgeseq")).rules


@pytest.mark.parametrize("line", LINES)
def test_command_shown_can_be_parsed(line: str) -> None:
    """Each line names a command and options that there are."""
    program, group, *words = shlex.split(line, comments=True)
    assert program == "edgeseq"
    if group == "tune":
        command: click.Command = tune_alerts
    else:
        assert group == "alerts"
        command = alerts.commands[words[0]]
    assert command.make_context("edgeseq", words[1:]).command is command
