"""All that is wrong with a configuration, not only the first: each mistake is set aside, and the rest read again.

A key that cannot be read is left out, so that the others of its table are still looked at. Of what contradicts itself
one mistake is told of each table: what is left of a table would contradict itself anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgeseq.config import convert, read_data
from edgeseq.config.file import STEP
from edgeseq.config.resolve import resolve
from edgeseq.errors import ConfigError

MOST = 20
"""Mistakes told at once."""

Step = tuple[int | None, str]
"""One step of a path: an index, or a key."""

Table = tuple[str, int | None]
"""Name of a table of the file, and its number where there are several."""


def mistakes(path: Path, environment: Mapping[str, str] = os.environ) -> list[ConfigError]:
    """List what is wrong with a configuration file, in the order in which it is found; at most MOST."""
    try:
        data, sources = read_data(path, environment)
    except ConfigError as fault:
        return [fault]

    def check() -> object:
        return resolve(
            convert(data, sources, path.name), path.parent, name=path.name, environment=environment
        )

    found, broken = _unreadable(data, sources, path.name)
    while len(found) < MOST and (wrong := _fault(check)):
        steps = _steps(wrong, path.name, sources)
        if not steps and found:  # what is left of it says too little
            break
        found.append(wrong)
        if not steps or _table(steps) in broken:
            break
        broken.add(_table(steps))
        _put_aside(data, _table(steps))
    return found


def _unreadable(
    data: dict[str, Any], sources: Mapping[str, str], name: str
) -> tuple[list[ConfigError], set[Table]]:  # fmt: skip
    """List unknown, missing and wrong keys; the tables that have any are put aside."""
    found: list[ConfigError] = []
    broken: set[Table] = set()
    left_out: set[str] = set()
    while len(found) < MOST and (wrong := _fault(lambda: convert(data, sources, name))):
        steps = _steps(wrong, name, sources)
        lacking = wrong.what.removeprefix("the key ").removesuffix(" is missing")
        if f"{_text(steps)}.{lacking}" not in left_out:  # else it is we who took it away
            found.append(wrong)
        if not steps:
            break
        broken.add(_table(steps))
        if lacking == wrong.what:
            left_out.add(_text(steps))
            _leave_out(data, steps)
        else:
            _put_aside(data, _table(steps))
    for table in broken:
        _put_aside(data, table)
    return found, broken


def _fault(attempt: Callable[[], object]) -> ConfigError | None:
    try:
        attempt()
    except ConfigError as fault:
        return fault
    return None


def _steps(fault: ConfigError, name: str, sources: Mapping[str, str]) -> list[Step]:
    """Find the path of a mistake; empty where it is of the whole file."""
    where = fault.where or ""
    if where.startswith("environment: "):
        variable = where.removeprefix("environment: ")
        where = next((path for path, source in sources.items() if source == variable), "")
    path = where.removeprefix(f"{name}: ")
    known = path.partition("[...]")[0] if path != name else ""
    return [(int(index), "") if index else (None, key) for index, key in STEP.findall(known)]


def _text(steps: list[Step]) -> str:
    return ".".join(key or str(index) for index, key in steps)


def _table(steps: list[Step]) -> Table:
    return steps[0][1], steps[1][0] if len(steps) > 1 else None


def _leave_out(data: dict[str, Any], steps: list[Step]) -> None:
    """Remove the last key of a path, or the last one of it that there is."""
    inside: Any = data
    for step in steps[:-1]:
        following = _within(inside, step)
        if not isinstance(following, dict | list):
            _remove(inside, step)
            return
        inside = following
    _remove(inside, steps[-1])


def _within(inside: Any, step: Step) -> Any:
    index, key = step
    if index is None:
        return inside.get(key) if isinstance(inside, dict) else None
    return inside[index] if isinstance(inside, list) and index < len(inside) else None


def _remove(inside: Any, step: Step) -> None:
    index, key = step
    if index is None and isinstance(inside, dict):
        inside.pop(key, None)
    elif index is not None and isinstance(inside, list) and index < len(inside):
        del inside[index]


def _put_aside(data: dict[str, Any], table: Table) -> None:
    """Let a table say nothing that could be wrong; those of streams keep their numbers."""
    name, number = table
    streams = data.get(name)
    if name == "streams" and number is not None and isinstance(streams, list) and number < len(streams):
        streams[number] = {"name": f"aside-{number}", "topic": f"aside/{number}", "every": "1s"}
        data.pop("maintenance", None)  # which may speak of it
    else:
        data.pop(name, None)
