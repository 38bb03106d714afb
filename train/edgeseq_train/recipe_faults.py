"""What is wrong with a recipe, in the words of its writer: which key, what it says, what it may say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect

from edgeseq.errors import ConfigError
from edgeseq_train.recordings.choose import nearest

EXAMPLES = "see train/recipes for examples"
_MESSAGE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_NAMED = re.compile(r"Object (contains unknown|missing required) field `(.*)`")
_STEP = re.compile(r"\[(\d+|\.\.\.)\]|([^.\[]+)")
_TYPES = {
    "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "array": "a list",
    "object": "a table",
}  # fmt: skip


def fault(where: str, key: str, found: object, wanted: str, do: str = EXAMPLES) -> ConfigError:
    """Say that a key has a value that cannot be used."""
    return ConfigError(
        f"{key} has a wrong value", where=f"{where}: {key}", found=_shown(found), wanted=wanted, do=do
    )


def explained(error: msgspec.ValidationError, data: Mapping[str, Any], root: type, where: str) -> ConfigError:
    """Turn msgspec's message about data that should have been a `root` into one that says what to do."""
    parts = _MESSAGE.fullmatch(str(error))
    what, path = (parts["what"], parts["path"] or "") if parts else (str(error), "")
    if named := _NAMED.fullmatch(what):
        return _unnamed(named[2], path, root, where, is_unknown=named[1].startswith("contains"))
    return fault(where, path, _value_at(data, path), _wanted(what, _type_at(root, path)))


def _unnamed(key: str, path: str, root: type, where: str, *, is_unknown: bool) -> ConfigError:
    """Speak of a key that should not be there, or should."""
    table = _type_at(root, path)
    known = [f.name for f in table.fields] if isinstance(table, inspect.StructType) else []
    full = f"{path}.{key}" if path else key
    if not is_unknown:
        return ConfigError(
            f"the key {key} is missing",
            where=f"{where}: {full}",
            found="nothing",
            wanted=f"{key} = …",
            do=EXAMPLES,
        )
    return ConfigError(
        f"unknown key {key}",
        where=f"{where}: {full}",
        found=key,
        wanted=f"one of {', '.join(sorted(known))}",
        do=nearest(key, known) or "remove it",
    )


def _wanted(what: str, expected: inspect.Type | None) -> str:
    """Say what msgspec expected.

    >>> _wanted("Expected `int | null`, got `str`", None), _wanted("Expected `float` > 0.0", None)
    ('a whole number', 'a number > 0')
    """
    if isinstance(expected, inspect.LiteralType):
        return "one of " + ", ".join(str(value) for value in expected.values)
    text = what.removeprefix("Expected ").partition(", got")[0].replace("`", "").replace(" | null", "")
    words = re.sub(r"[a-z]+", lambda word: _TYPES.get(word[0], word[0]), text).replace(" | ", " or ")
    return re.sub(r"\.0\b", "", words)


def _type_at(root: type, path: str) -> inspect.Type | None:
    """Find the type of what stands at a path; None where there are several."""
    found: inspect.Type | None = inspect.type_info(root)
    for index, key in _STEP.findall(path):
        if index:
            found = found.item_type if isinstance(found, inspect.VarTupleType) else None
        else:
            fields = found.fields if isinstance(found, inspect.StructType) else ()
            found = next((f.type for f in fields if f.name == key), None)
        found = _only(found)
    return found


def _only(found: inspect.Type | None) -> inspect.Type | None:
    """Give the type that a key has where it is set."""
    if isinstance(found, inspect.Metadata):
        return _only(found.type)
    if not isinstance(found, inspect.UnionType):
        return found
    rest = [kind for kind in found.types if not isinstance(kind, inspect.NoneType)]
    return rest[0] if len(rest) == 1 else None


def _value_at(data: Any, path: str) -> Any:
    """Find what is said at a path, as far as it is known."""
    for index, key in _STEP.findall(path):
        if index == "...":
            break
        data = data[int(index)] if index else data[key]
    return data


def _shown(value: object, most: int = 80) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}…"
