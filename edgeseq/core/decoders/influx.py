"""InfluxDB's line protocol, as telegraf and others put it on MQTT: several lines a payload, each with its own time.

    measurement,tag=value,… field=1.5,other=3i,text="…" 1772359200000000000

A quantity's name is series and field as the line has them: `cpu,host=a usage_idle`. Times may be of s, ms, µs or ns,
told by their size as everywhere in edgeseq. A bad line is one rejection, and leaves the others alone.
Escapes: docs.influxdata.com, line protocol reference; a line break within a text ends the line all the same.
"""

from __future__ import annotations

import math
import re

from edgeseq.core.decoders.family import Family, Memory, Point, Said
from edgeseq.core.instants import parse_instant
from edgeseq.core.parsing import Fault
from edgeseq.core.types import Message, Reason

_TEXT = r'"(?:[^"\\]|\\.)*"'
_LINE = re.compile(
    r"(?P<series>(?:[^\\ \"=]|\\.|=|\")+) +"
    rf"(?P<fields>(?:[^\\ \"]|\\.|{_TEXT})+)"
    r"(?: +(?P<time>-?[0-9]{1,19}))? *"
)
_FIELD = re.compile(rf'(?P<key>(?:[^\\,= "]|\\.)+)=(?P<value>{_TEXT}|[^\\,= "]+)(?:,|$)')
_SUFFIXES = ("i", "u")
_BOOLEANS = frozenset({"t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"})
_SERIES = re.compile(r"(?:[^\\ ]|\\.)+")
_COMMA = re.compile(r"(?<!\\),")
_MALFORMED = Fault(Reason.MALFORMED, "no line of the line protocol")


def _read(memory: Memory, message: Message) -> Said:
    try:
        text = message.payload.decode()
    except UnicodeDecodeError as error:
        return Said(faults=(Fault(Reason.BAD_UTF8, f"byte {error.object[error.start]:#04x}"),))
    points: list[Point] = []
    faults: list[Fault] = []
    times: dict[str, int | None] = {}
    for line in text.split("\n"):
        stripped = line.strip("\r ")
        if stripped and not stripped.startswith("#"):
            _read_line(stripped, times, points, faults)
    if not points and not faults and not text.strip():
        faults.append(Fault(Reason.MALFORMED, "an empty payload"))
    return Said(points, faults)


def _read_line(line: str, times: dict[str, int | None], points: list[Point], faults: list[Fault]) -> None:
    """Read one line: all of its numbers, or one fault, and a fault for each number that is none.

    `times` remembers the stamps of the payload, which lines share.
    """
    parts = line.split(" ")
    if len(parts) > 3 or len(parts) < 2 or '"' in line or "\\" in line or "" in parts:
        match = _LINE.fullmatch(line)
        if match is None or (fields := _split(match["fields"])) is None:
            faults.append(_MALFORMED)
            return
        series, stamp = match["series"], match["time"]
    else:
        series, stamp = parts[0], parts[2] if len(parts) == 3 else None
        fields = [pair.partition("=")[::2] for pair in parts[1].split(",")]
    if series[0] == ",":
        faults.append(_MALFORMED)
        return
    time_ns = None
    if stamp is not None:
        time_ns = times[stamp] if stamp in times else times.setdefault(stamp, _time_ns(stamp))
        if time_ns is None:
            faults.append(Fault(Reason.BAD_TIME, stamp[:40]))
            return
    for key, raw in fields:
        value = _number(raw)
        if isinstance(value, Fault) or not key:
            faults.append(value if isinstance(value, Fault) else _MALFORMED)
        elif value is not None:
            points.append((f"{series} {key}", value, time_ns))


def _split(fields: str) -> list[tuple[str, str]] | None:
    """Split the fields of a line with texts or escapes; None where they are none."""
    found, at = [], 0
    while at < len(fields):
        match = _FIELD.match(fields, at)
        if match is None:
            return None
        found.append((match["key"], match["value"]))
        at = match.end()
    return found if fields[-1:] != "," else None


def _time_ns(stamp: str) -> int | None:
    """Read the time of a line."""
    is_whole = stamp.removeprefix("-").isdecimal() and stamp.isascii() and len(stamp) <= 20
    return parse_instant(int(stamp)) if is_whole else None


def _number(raw: str) -> float | Fault | None:
    """Read a field: a number; None where it is a text or a boolean; why it is nothing of all that."""
    if raw[-1:] in _SUFFIXES and raw[:-1].lstrip("+-").isdecimal():
        raw = raw[:-1]
    try:
        number = float(raw) + 0.0
    except ValueError:
        is_other = raw in _BOOLEANS or (len(raw) > 1 and raw[0] == '"' == raw[-1])
        return None if is_other else Fault(Reason.MALFORMED, f"no value: {raw[:40]}")
    if not math.isfinite(number):
        return Fault(Reason.NOT_FINITE, raw[:40])
    if "_" in raw or not raw.isascii() or raw != raw.strip():  # Python's own spellings
        return Fault(Reason.MALFORMED, f"no value: {raw[:40]}")
    return number


def _source(topic: str, name: str) -> tuple[str, str]:
    """Order the tags: a series is the same whichever way round they stand."""
    if "," not in name:
        return topic, name
    series, field = _parted(name)
    measurement, *tags = _COMMA.split(series)
    return topic, f"{','.join([measurement, *sorted(tags)])} {field}"


def _parted(name: str) -> tuple[str, str]:
    r"""Part series and field at the first space that is not escaped.

    >>> _parted(r"cpu,host=a\ b usage_idle")
    ('cpu,host=a\\ b', 'usage_idle')
    """
    match = _SERIES.match(name)
    at = match.end() if match else 0
    return name[:at], name[at + 1 :]


FAMILY = Family(name="influx", topics=("telegraf/#",), read=_read, source=_source, has_times=True)
