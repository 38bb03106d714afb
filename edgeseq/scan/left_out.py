"""What of all that was seen becomes no stream, and why."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from edgeseq.core.decoders import FAMILIES
from edgeseq.scan.observe import Number, Observed, Topic

MOST_SHOWN = 8
"""Examples of what is left out for one reason."""

_NO_READINGS = frozenset({"set", "get", "command", "cmd", "cmnd", "request", "config", "announce"})
"""Last levels of topics on which devices are told something, or described."""

_BOOKKEEPING = frozenset(
    {
        "linkquality",
        "lqi",
        "rssi",
        "snr",
        "uptime",
        "heap",
        "time",
        "timestamp",
        "ts",
        "date",
        "datetime",
        "seq",
    }
    | {
        "sequence",
        "id",
        "msgid",
        "msg_id",
        "message_id",
        "version",
        "schema",
        "port",
        "mac",
        "ip",
        "epoch",
        "last_seen",
    }
    | {"free_heap", "wifi_rssi", "wifi_signal", "uptime_s", "received_at", "device_id", "sensor_id"}
)
"""Last words of a JSON path that name no measurement, where no decoder knows better."""


@dataclass(slots=True)
class LeftOut:
    """What becomes no stream."""

    why: str
    count: int
    examples: list[str]
    """Some of them, …"""
    more: int = 0
    """… and how many others there are: a name counts once."""


def is_bookkeeping(topic: Topic, number: Number) -> bool:
    """Tell whether a number is of the device, or of nobody's use."""
    if topic.reader:
        return number.is_bookkeeping
    if topic.name.rpartition("/")[2].lower() in _NO_READINGS:
        return True
    last = re.split(r"[./]", number.name)[-1].lower()
    return number.name in topic.time_fields or last in _BOOKKEEPING


_DEVICE = "of the device and not of what it measures, or of nobody's use; name it in fields to have it"


def left_out(seen: Observed) -> list[LeftOut]:
    """Say what becomes no stream, and why."""
    found = []
    for reason, names in sorted(_reasons(seen).items()):
        distinct = sorted(set(names))
        found.append(LeftOut(reason, len(names), distinct[:MOST_SHOWN], max(0, len(distinct) - MOST_SHOWN)))
    if seen.own:
        found.append(LeftOut("messages of edgeseq itself", seen.own, [f"{seen.prefix}/#"]))
    if seen.unlisted:
        found.append(
            LeftOut("messages of more topics and names than there is room for here", seen.unlisted, [])
        )
    for family, count in seen.unread.items():
        needed = f"messages of {family}: pip install 'edgeseq[{FAMILIES[family].extra}]' reads them"
        found.append(LeftOut(needed, count, []))
    return found


def _reasons(seen: Observed) -> dict[str, list[str]]:
    """Sort topics and names by why they are left out."""
    why: dict[str, list[str]] = defaultdict(list)
    for topic in seen.topics.values():
        for number in topic.numbers.values():
            if is_bookkeeping(topic, number):
                why[_DEVICE].append(number.name or topic.name)
        if not topic.numbers and topic.name not in seen.too_large:
            why[_reason(topic)].append(topic.name)
        elif topic.numbers and topic.faults:
            told = ", ".join(f"{count} {reason}" for reason, count in topic.faults.most_common(3))
            why["messages that could not be read, beside others that could"].append(f"{topic.name} ({told})")
    for name in seen.too_large:
        why["payloads too large to look at"].append(name)
    return why


def _reason(topic: Topic) -> str:
    if topic.faults:
        told = ", ".join(reason for reason, _ in topic.faults.most_common(3))
        return f"no message could be read ({told})"
    if topic.reader and FAMILIES[topic.reader].passes_by(topic.name):
        return "commands, availability, descriptions and the like"
    return "texts, switches and states, no numbers"
