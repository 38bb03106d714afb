"""A small household for each family that has a decoder: topics and payloads as the devices send them, written by us.

`HOUSEHOLDS` is what decoders are tested with, and what is replayed at a broker: `start` once (births, descriptions,
what is retained), `at` for each step, which also says much that is no number, and `malformed`, of which each message is
one that the family must refuse, for the reason beside it.
"""

from __future__ import annotations

from tests.support.families.esphome import ESPHOME
from tests.support.families.homeassistant import HOMEASSISTANT
from tests.support.families.homie import HOMIE
from tests.support.families.household import EVERY_NS, START_NS, Household, Sample, messages
from tests.support.families.influx import INFLUX
from tests.support.families.shelly1 import SHELLY1
from tests.support.families.shelly2 import SHELLY2
from tests.support.families.sparkplug import (
    DOUBLE,
    FLOAT,
    INT64,
    SPARKPLUG,
    births,
    data,
    metric,
    sparkplug,
    sparkplug_topic,
)
from tests.support.families.tasmota import TASMOTA
from tests.support.families.zigbee2mqtt import ZIGBEE2MQTT

__all__ = [
    "DOUBLE",
    "EVERY_NS",
    "FLOAT",
    "HOMEASSISTANT",
    "HOMIE",
    "HOUSEHOLDS",
    "INT64",
    "SPARKPLUG",
    "START_NS",
    "TASMOTA",
    "Household",
    "Sample",
    "births",
    "data",
    "messages",
    "metric",
    "sparkplug",
    "sparkplug_topic",
]

HOUSEHOLDS = {
    household.decoder: household
    for household in (
        ZIGBEE2MQTT,
        TASMOTA,
        SHELLY1,
        SHELLY2,
        ESPHOME,
        HOMEASSISTANT,
        HOMIE,
        INFLUX,
        SPARKPLUG,
    )
}
"""Name of a decoder → household. Their topics do not overlap, so that all can be replayed at one broker."""
