"""What is wrong with a file, in words for the person who wrote it: where, found, wanted, what to do."""

from __future__ import annotations

import difflib
import re
from typing import Any

import msgspec

from edgeseq.config.docstrings import field_docs
from edgeseq.config.file import STEP, choices, structs_at
from edgeseq.errors import ConfigError

MAX_FOUND_CHARS = 80

_MESSAGE = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_TYPES = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "array": "list",
    "object": "table",
}


def explain(message: str, data: dict[str, Any], name: str) -> ConfigError:
    """Turn msgspec's message into one for the person who wrote the file."""
    parts = _MESSAGE.fullmatch(message)
    what, path = (parts["what"], parts["path"] or "") if parts else (message, "")
    if unknown := _UNKNOWN.fullmatch(what):
        return _explain_unknown(unknown[1], path, name)
    if missing := _MISSING.fullmatch(what):
        doc = _doc(path, missing[1])
        return ConfigError(
            f"the key {missing[1]} is missing",
            where=f"{name}: {path}",
            wanted=doc,
            do=f"add {missing[1]} = …",
        )
    key = _key(path)
    values = choices(path)
    wanted = " or ".join(map(repr, values)) if values else _in_words(what)
    doc = _doc(path.rpartition(".")[0], key)
    return ConfigError(
        f"{key or 'the file'} has a wrong value",
        where=f"{name}: {path}",
        found=_found(data, path),
        wanted=f"{wanted} ({doc.rstrip('.')})" if doc else wanted,
        do=_duration_advice(data, path, key),
    )


_DURATIONS = frozenset(
    {
        "every",
        "horizon",
        "season",
        "max_age",
        "silent_after",
        "commit_every",
        "latency_budget",
        "session_expiry",
        "snapshot_every",
        "min_duration",
        "settle",
    }
)


def _duration_advice(data: dict[str, Any], path: str, key: str) -> str | None:
    """Say how a duration is written where a number without a unit was found."""
    found = _value_at(data, path)
    if key not in _DURATIONS or isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return f'write it as text, such as "{found if found > 0 else 600}s"'


def _key(path: str) -> str:
    """Give the last key of a path, without indices."""
    return next((key for _, key in reversed(STEP.findall(path)) if key), "")


def _in_words(what: str) -> str:
    """Say the type that msgspec expected."""
    expected = what.removeprefix("Expected ").partition(", got")[0].replace("`", "").removesuffix(" | null")
    return re.sub(r"[a-z]+", lambda word: _TYPES.get(word[0], word[0]), expected).replace(" | ", " or ")


def _explain_unknown(key: str, path: str, name: str) -> ConfigError:
    """Name an unknown key and what may have been meant."""
    structs = structs_at(path)
    known = [field.name for struct in structs for field in msgspec.structs.fields(struct)]
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return ConfigError(
        f"unknown key {key}",
        where=f"{name}: {path}.{key}" if path else f"{name}: {key}",
        found=key,
        wanted=f"one of {', '.join(sorted(known))}",
        do=f"did you mean {close[0]}?" if close else "remove it",
    )


def _found(data: Any, path: str) -> str:
    """Show the value at a path; all of a table of free keys, as msgspec does not say which one is wrong."""
    text = repr(_value_at(data, path))
    return text if len(text) <= MAX_FOUND_CHARS else f"{text[:MAX_FOUND_CHARS]}…"


def _value_at(data: Any, path: str) -> Any:
    """Find what the file says at a path, as far as the path is known."""
    for index, key in STEP.findall(path):
        if index == "...":
            break
        data = data[int(index)] if index else data[key]
    return data


def _doc(path: str, key: str) -> str | None:
    """Find the docstring of a key in the table at a path."""
    return next((field_docs(s)[key] for s in structs_at(path) if key in field_docs(s)), None)
