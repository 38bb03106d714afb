"""The whole file, and what its structs say of a path in it, such as streams[0].limits."""

from __future__ import annotations

import enum
import re
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

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
from edgeseq.config.streams import StreamConfig
from edgeseq.config.table import Table

STEP = re.compile(r"\[(\d+|\.\.\.)\]|([^.\[]+)")
"""One step of a path: an index, or a key."""


class Config(Table, frozen=True):
    """The whole file."""

    node: NodeConfig = NodeConfig()
    """This installation."""
    mqtt: MqttConfig = MqttConfig()
    """The broker."""
    bundles: BundlesConfig = BundlesConfig()
    """Models."""
    journal: JournalConfig = JournalConfig()
    """What is kept on disk."""
    log: LogConfig = LogConfig()
    """The log."""
    metrics: MetricsConfig = MetricsConfig()
    """Figures for Prometheus."""
    homeassistant: HomeAssistantConfig = HomeAssistantConfig()
    """Home Assistant."""
    streams: list[StreamConfig] = []
    """Which messages become which streams."""
    maintenance: list[MaintenanceConfig] = []
    """When alerts are not told."""


def structs_at(path: str) -> list[type[msgspec.Struct]]:
    """List the structs that the table at a path may be."""
    return [t for t in types_at(path) if isinstance(t, type) and issubclass(t, msgspec.Struct)]


def choices(path: str) -> tuple[Any, ...]:
    """List the values that a key of the file may have, if they are a closed set."""
    types = types_at(path)
    named = [str(one) for t in types if isinstance(t, type) and issubclass(t, enum.StrEnum) for one in t]
    return (*named, *(value for t in types if get_origin(t) is Literal for value in get_args(t)))


def types_at(path: str) -> list[Any]:
    """Follow a path such as streams[0].limits[...] through the structs' types."""
    types: list[Any] = [Config]
    for index, key in STEP.findall(path):
        if index:
            types = [args[-1] for t in types if (args := get_args(t)) and get_origin(t) in (list, dict)]
        else:
            structs = [t for t in types if isinstance(t, type) and issubclass(t, msgspec.Struct)]
            types = [hint for s in structs if (hint := get_type_hints(s).get(key)) is not None]
        types = [choice for t in types for choice in _members(t)]
    return types


def _members(hint: Any) -> tuple[Any, ...]:
    """Split a union into its members."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
