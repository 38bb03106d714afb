"""Decoders: how families of devices say their numbers. A new one is a file here, and its name in the list below."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping

from edgeseq.core.decoders.family import Family

NAMES = (
    "zigbee2mqtt",
    "tasmota",
    "shelly1",
    "shelly2",
    "esphome",
    "homeassistant",
    "homie",
    "influx",
    "sparkplug",
)
"""Names of the decoders, and of their modules."""


class Families(Mapping[str, Family]):
    """Name → decoder. Its module is imported when it is asked for: a node without decoders carries none."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._found: dict[str, Family] = {}

    def __getitem__(self, name: str) -> Family:
        if name not in self._found:
            if name not in self.names:
                raise KeyError(name)
            found: Family = importlib.import_module(f"{__name__}.{name}").FAMILY
            self._found[name] = found
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


FAMILIES = Families(NAMES)
"""All decoders."""
