"""The tables of errors in docs/troubleshoot.md, read from the sources; `make contract` renews them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshoot.md"
BEGIN, END = "<!-- errors: begin -->\n", "<!-- errors: end -->\n"

CLASSES = frozenset(
    {"OperatorError", "ConfigError", "LoginError", "BundleError", "InputError", "BrokerError", "StorageError"}
)
METHODS = frozenset({"fault"})
"""Of `config.place.Place`: an error at a place of the file."""

AREAS = {
    "edgeseq/config": (
        "Configuration",
        "`edgeseq config check` finds them, and names file and key; a daemon that runs keeps its old configuration.",
    ),
    "edgeseq/bundle": (
        "Bundles and keys",
        "A damaged bundle was not made so: copy it again, or train it anew; nothing of it is used.",
    ),
    "edgeseq/adapters": (
        "Runtimes, disk and metrics",
        "A bundle that fails on one runtime may run on another: `edgeseq bundle verify FILE` tries them all.",
    ),
    "edgeseq": ("Commands and the daemon", "The message names the file, the line or the broker."),
}
"""Folder → heading, and what holds for all of its errors; the first one that fits."""


class Said(NamedTuple):
    """An error as the sources have it; … stands for what is filled in."""

    what: str
    wanted: str
    do: str


def errors() -> dict[str, list[Said]]:
    """Collect the errors of the device's sources, by area."""
    found: dict[str, set[Said]] = {heading: set() for heading, _ in AREAS.values()}
    for path in sorted((ROOT / "edgeseq").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        area = next(heading for folder, (heading, _) in AREAS.items() if name.startswith(f"{folder}/"))
        found[area] |= {*_errors_in(ast.parse(path.read_text(encoding="utf-8")))}
    return {area: sorted(said) for area, said in found.items()}


def _errors_in(tree: ast.AST) -> Iterator[Said]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        is_method = isinstance(node.func, ast.Attribute) and node.func.attr in METHODS
        if not is_method and getattr(node.func, "id", "") not in CLASSES:
            continue
        told = {word.arg: _text(word.value) for word in node.keywords}
        for what in _texts(node.args[0]):
            if what.strip("… "):
                yield Said(what, told.get("wanted", ""), told.get("do", ""))


def _texts(node: ast.expr) -> list[str]:
    """Give a text, or both of `a if … else b`; none where it is not to be seen."""
    if isinstance(node, ast.IfExp):
        return [*_texts(node.body), *_texts(node.orelse)]
    text = _text(node)
    return [text] if text else []


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)  # type: ignore[misc]
    if isinstance(node, ast.IfExp):
        return " / ".join(filter(None, (_text(node.body), _text(node.orelse))))
    return ""


def table() -> str:
    """Write the tables."""
    blocks, told = [], dict(AREAS.values())
    for area, said in errors().items():
        rows = [f"| {_cell(one.what)} | {_cell(one.wanted)} | {_cell(one.do)} |" for one in said]
        blocks.append(
            "\n".join([f"### {area}\n", f"{told[area]}\n", "| error | wanted | do |", "|---|---|---|", *rows])
        )
    return "\n\n".join(blocks) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;") or "–"


def renewed(page: str) -> str:
    """Put the tables into the page."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
