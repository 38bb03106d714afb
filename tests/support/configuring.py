"""Configurations as text, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgeseq.config import parse_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.errors import ConfigError

S = 10**9

DOCUMENTED = """
[mqtt]
host = "localhost"

[[streams]]
topic = "zigbee2mqtt/+"
exclude = ["zigbee2mqtt/bridge/#"]
fields = ["temperature", "humidity"]
every = "10m"
on_gap = "hold"
bundle = "house.edgeseq"

[[streams]]
name = "pump1"
every = "1s"
channels = { flow = "plc/p1/flow", vibration = "plc/p1#vib.x" }
limits = { vibration = { max = 11 } }
unit = { vibration = "mm/s" }
horizon = "1m"
kind = "counter"
"""


def resolved(text: str, base: Path = Path("/etc/edgeseq"), environment: Mapping[str, str] = {}) -> Resolved:
    """Load and resolve a text in an environment without anything else."""
    return resolve(parse_config(text), base, environment={"HOME": "/srv/pi", **environment})


def refusal(text: str) -> ConfigError | None:
    """Give the error of a text, if it is refused."""
    try:
        resolved(text)
    except ConfigError as error:
        return error
    return None
