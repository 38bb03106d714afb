"""The configuration: TOML in, frozen structs out. Every field has a unit, a default and a meaning.

The structs mirror the file; `edgeseq.config.resolve` makes of them what the daemon needs. Durations are text: a
number and one of ms, s, m, h, d, w, also compound: 90s, 10m, 1h30m, 7d.

file.py       the whole file          faults.py     what is wrong with it, in words
node.py       tables about the node   overrides.py  variables of the environment
streams.py    the [[streams]] table   resolve.py    what it all means; rules.py: of [[streams]]
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgeseq.config.faults import explain
from edgeseq.config.file import Config, choices, types_at
from edgeseq.config.node import (
    BundlesConfig,
    HomeAssistantConfig,
    JournalConfig,
    LogConfig,
    MaintenanceConfig,
    MetricsConfig,
    MqttConfig,
    NodeConfig,
)
from edgeseq.config.overrides import overrides, refuse_secrets, value_of
from edgeseq.config.streams import ChannelConfig, KnownConfig, StreamConfig
from edgeseq.errors import ConfigError

__all__ = [
    "BundlesConfig",
    "ChannelConfig",
    "Config",
    "HomeAssistantConfig",
    "JournalConfig",
    "KnownConfig",
    "LogConfig",
    "MaintenanceConfig",
    "MetricsConfig",
    "MqttConfig",
    "NodeConfig",
    "StreamConfig",
    "load_config",
    "parse_config",
]


def load_config(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration file; variables such as EDGESEQ__MQTT__HOST stand above it (`config.overrides`).

    Raises:
        ConfigError: it cannot be read, is no TOML, or has an unknown key or a wrong value.
    """
    data, sources = read_data(path, environment)
    return convert(data, sources, path.name)


def read_data(path: Path, environment: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Read what a file and the environment say, as it stands → tables, and which variable has set a path.

    Raises:
        ConfigError: it cannot be read, is no TOML, or holds a secret.
    """
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ConfigError("the configuration is not UTF-8 text", where=f"{path}", found=str(error)) from error
    except OSError as error:
        raise ConfigError(
            "the configuration cannot be read",
            where=str(path),
            found=error.strerror,
            wanted="a TOML file",
            do="name the file with --config; `edgeseq config show --defaults` prints a sample",
        ) from error
    return _tables(text, path.name, environment)


def parse_config(
    text: str, *, name: str = "edgeseq.toml", environment: Mapping[str, str] | None = None
) -> Config:
    """Read a configuration; `name` is the file's, for errors."""
    data, sources = _tables(text, name, environment or {})
    return convert(data, sources, name)


def _tables(
    text: str, name: str, environment: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:  # fmt: skip
    sources = overrides(environment)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("the configuration is not valid TOML", where=name, found=str(error)) from error
    except RecursionError as error:
        raise ConfigError("the configuration is nested too deeply", where=name) from error
    for path, variable in sources.items():
        _override(data, path, environment[variable])
    refuse_secrets(data, sources, name)
    return data, sources


def convert(data: dict[str, Any], sources: Mapping[str, str], name: str) -> Config:
    """Turn tables into a configuration. Raises ConfigError: an unknown key, or a wrong value."""
    try:
        return msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        fault = explain(str(error), data, name)
        source = sources.get((fault.where or "").removeprefix(f"{name}: "))
        if source is not None:
            fault.where = f"environment: {source}"
        raise fault from error


def _override(data: dict[str, Any], path: str, text: str) -> None:
    """Set a key of a table as a variable of the environment says."""
    table, _, key = path.partition(".")
    kinds = {type(value) for value in choices(path)} or {*types_at(path)}
    inside = data.setdefault(table, {})
    if isinstance(inside, dict):  # else the file is wrong, which is told
        inside[key] = value_of(text, is_text=str in kinds)
