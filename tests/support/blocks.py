"""The fenced blocks of a Markdown page, in their order.

What stands behind the language says how a block is run: nothing (it is typed as it stands), `second terminal` (beside
the others, until they are done), or `not run: …` with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FENCE = "```"
BESIDE, NOT_RUN = "second terminal", "not run: "


class Block(NamedTuple):
    """A fenced block."""

    page: str
    """Path below the root of the project."""
    line: int
    """In which it begins, from 1."""
    heading: str
    """Under which it stands."""
    language: str
    how: str
    text: str


def blocks(page: Path) -> list[Block]:
    """List the blocks of a page; headings inside of blocks are none."""
    found: list[Block] = []
    heading, begun, inside = "", 0, None
    name = str(page.relative_to(ROOT))
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if inside is not None and line.strip() == FENCE:
            found.append(Block(name, begun, heading, *inside, "\n".join(lines[begun : number - 1]) + "\n"))
            inside = None
        elif inside is None and line.startswith(FENCE):
            language, _, how = line.removeprefix(FENCE).partition(" ")
            begun, inside = number, (language, how)
        elif inside is None and line.startswith("#"):
            heading = line.lstrip("# ")
    assert inside is None, f"{name}:{begun}: a block without an end"
    return found
