"""What docs/first-hour.md shows can be typed in."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from edgeseq.cli import edgeseq
from edgeseq.scan import observe

PAGE = (Path(__file__).parents[2] / "docs" / "first-hour.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line
]


@pytest.mark.parametrize("line", COMMANDS)
def test_command_exists_with_its_options(line: str) -> None:
    """Each command is one, and takes the options that are shown."""
    program, name, *arguments = shlex.split(line)
    assert program == "edgeseq"
    found = edgeseq.get_command(click.Context(edgeseq), name)
    assert found is not None
    while isinstance(found, click.Group):
        found = found.get_command(click.Context(found), arguments.pop(0))
        assert found is not None
    found.make_context(name, list(arguments), resilient_parsing=False)


def test_limits_are_those_of_the_code() -> None:
    """Figures of the page are true."""
    assert f"{observe.MOST_TOPICS:,} topics and as many numbers, {2 * observe.MOST_KEPT} readings" in PAGE
    assert observe.MOST_NUMBERS == observe.MOST_TOPICS
