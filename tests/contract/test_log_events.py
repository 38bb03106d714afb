"""The log catalogue and the code agree."""

from __future__ import annotations

import ast
from pathlib import Path

from edgeseq.adapters.log import CATALOGUE

PACKAGE = Path(__file__).parents[2] / "edgeseq"
LOGGERS = {"log", "notify"}


def used_events(code: str) -> set[str]:
    """List the first arguments of all calls of log(…), self.log(…) and notify(…); each must be a plain text."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = getattr(getattr(node.func, "value", None), "id", "")
        if name in LOGGERS and owner not in ("math", "np"):
            event = node.args[0]
            assert isinstance(event, ast.Constant), f"line {node.lineno}: an event's name is not computed"
            found.add(str(event.value))
    return found


def test_log_events_used_are_those_of_the_catalogue() -> None:
    """Every event that the code logs stands in the catalogue, and every event of the catalogue is logged somewhere."""
    used: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        if (
            path.name != "log.py" and path.parent.name != "core"
        ):  # the core cannot log; there log is the logarithm
            used |= used_events(path.read_text(encoding="utf-8"))
    assert used == set(CATALOGUE)


def test_log_events_search_finds_all_forms() -> None:
    """The search of the test above finds each form of a call."""
    code = 'log("a.b", x=1)\nself.log("c.d")\nnotify("e.f")\nmath.log(2)\nother("h.i")\n'
    assert used_events(code) == {"a.b", "c.d", "e.f"}
