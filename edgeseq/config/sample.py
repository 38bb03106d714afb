"""Write a configuration as TOML: as a commented sample, or with every value that holds."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

import msgspec

from edgeseq.config import Config, MaintenanceConfig, StreamConfig
from edgeseq.config.docstrings import field_docs

WIDTH = 110

SAMPLE = Config(
    streams=[StreamConfig(topic="sensors/+", every="10m")],
    maintenance=[MaintenanceConfig(begin="2026-03-01T10:00:00Z", end="2026-03-01T12:00:00Z")],
)
"""The smallest configuration that does something, and a window that is over."""


def sample() -> str:
    """Write a sample in which every key is explained; what is a default is commented out."""
    return _write(SAMPLE, is_sample=True)


def effective(config: Config, sources: Mapping[str, str] | None = None) -> str:
    """Write a configuration with all its defaults, so that it reads back as the same.

    `sources` maps the path of a key that the environment has set to its variable, which stands behind the value.
    """
    return _write(config, is_sample=False, sources=sources)


def _write(config: Config, *, is_sample: bool, sources: Mapping[str, str] | None = None) -> str:
    """Write all tables."""
    blocks = []
    for table in msgspec.structs.fields(Config):
        value = getattr(config, table.name)
        if isinstance(value, list):
            blocks += [_table(f"[[{table.name}]]", one, is_sample=is_sample) for one in value]
        else:
            own = {
                path.partition(".")[2]: variable
                for path, variable in (sources or {}).items()
                if path.startswith(f"{table.name}.")
            }
            blocks.append(_table(f"[{table.name}]", value, is_sample=is_sample, sources=own))
    return "\n\n".join(blocks) + "\n"


def _table(
    heading: str, table: msgspec.Struct, *, is_sample: bool, sources: Mapping[str, str] | None = None
) -> str:
    """Write one table; a key without a value cannot be written in TOML."""
    lines = [heading]
    docs = field_docs(type(table))
    untouched = type(table)(**dict.fromkeys(_required(table), ""))
    for key in msgspec.structs.fields(table):
        value = getattr(table, key.name)
        if is_sample:
            explained = [*textwrap.wrap(docs.get(key.name, ""), WIDTH - 2), *_choices(key.type)]
            lines += [f"# {line}" for line in explained]
            is_default = not key.required and value == getattr(untouched, key.name)
            shown = "…" if value is None else toml(value)
            lines.append(f"{'#' if is_default else ''}{key.name} = {shown}")
        elif value is not None:
            source = (sources or {}).get(key.name)
            lines.append(f"{key.name} = {toml(value)}{f'  # {source}' if source else ''}")
    return "\n".join(lines)


def _choices(hint: Any) -> list[str]:
    """Say in a line which values a key may have, where they are a closed set.

    >>> _choices(Literal[0, 1]), _choices(int), _choices(Literal["last", "mean"] | None)
    (['One of 0 | 1.'], [], ['One of "last" | "mean".'])
    """
    parts = [part for part in (hint, *get_args(hint)) if get_origin(part) is Literal]
    return [f"One of {' | '.join(map(toml, get_args(part)))}." for part in parts]


def _required(table: msgspec.Struct) -> list[str]:
    """List the keys of a table that have no default."""
    return [key.name for key in msgspec.structs.fields(table) if key.required]


def toml(value: Any) -> str:
    """Write a value as TOML.

    >>> toml({"flow": "plc/p1/flow", "limits": [1, 2.5, True]})
    '{ flow = "plc/p1/flow", limits = [1, 2.5, true] }'
    """
    if isinstance(value, msgspec.Struct):
        value = {name: item for name, item in msgspec.structs.asdict(value).items() if item is not None}
    if isinstance(value, dict):
        pairs = ", ".join(f"{_key(key)} = {toml(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, float):
        return repr(value)
    # JSON's text, integers and booleans are TOML's too; DEL must be escaped.
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    """Write a key, bare where TOML allows it."""
    is_bare = key.isascii() and key.replace("-", "a").replace("_", "a").isalnum()
    return key if is_bare else toml(key)
