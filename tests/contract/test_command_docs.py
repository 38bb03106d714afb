"""docs/command-line.md tells of commands, codes and variables as they are."""

from __future__ import annotations

import re
from pathlib import Path

import click

from edgeseq import errors
from edgeseq.cli import edgeseq
from edgeseq.config.resolve import CREDENTIAL

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")


def options(words: str) -> set[str]:
    """List the options of a command; of a group those that all of its commands have."""
    command: click.Command = edgeseq
    for word in words.split():
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None, words
        command = found
    if isinstance(command, click.Group):
        names = command.list_commands(click.Context(command))
        return set.intersection(*(options(f"{words} {name}") for name in names if name != "export"))
    return {name for parameter in command.params for name in parameter.opts}


def test_exit_codes_are_all_told() -> None:
    """Each exit code has its row."""
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert told == codes | {130}


def test_commands_said_to_print_json_do() -> None:
    """Each command that the page says so of has --json."""
    part = PAGE.partition("one object a line where there are several:")[2].partition("`replay` writes")[0]
    names = re.findall(r"`([a-z -]+)`", part)
    assert len(names) == 10
    for name in names:
        assert "--json" in options(name.replace(" --once", "")), name
    assert "--once" in options("watch")


def test_credential_is_called_as_told() -> None:
    """The name of the credential is the one that is looked for."""
    assert f"credential `{CREDENTIAL}`" in PAGE
