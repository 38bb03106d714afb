"""Decoders: how families of devices say their numbers. A new one is a file here and a line below."""

from __future__ import annotations

from edgeseq.core.decoders import (
    esphome,
    homeassistant,
    homie,
    influx,
    shelly1,
    shelly2,
    sparkplug,
    tasmota,
    zigbee2mqtt,
)
from edgeseq.core.decoders.family import Family

FAMILIES: dict[str, Family] = {
    module.FAMILY.name: module.FAMILY
    for module in (
        zigbee2mqtt,
        tasmota,
        shelly1,
        shelly2,
        esphome,
        homeassistant,
        homie,
        influx,
        sparkplug,
    )
}
"""Name of a decoder → decoder."""
