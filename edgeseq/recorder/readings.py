"""Messages → readings, as a configuration reads them: a table of time, series, value and unit that training takes."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from edgeseq.compose import Node
from edgeseq.core.instants import format_instant
from edgeseq.core.pipeline import accept
from edgeseq.core.types import Message

HEAD = b"time,series,value,unit\n"


class Reading(NamedTuple):
    """A row of the table."""

    time_ns: int
    series: str
    """The stream's id, with its channel where it has several."""
    value: float
    unit: str


def decode(node: Node, messages: Sequence[Message]) -> list[Reading]:
    """Read messages: those that are retained, rejected or known to be missing give none.

    The node's streams are registered, but not moved.
    """
    found, hidden = accept(node.state, messages).readings, node.state.registry.hidden
    columns = (
        found.time_ns.tolist(),
        found.stream_index.tolist(),
        found.channel.tolist(),
        found.value.tolist(),
    )
    rows = []
    for time_ns, stream, channel, value in zip(*columns, strict=True):
        if math.isfinite(value) and stream not in hidden:
            rows.append(
                Reading(time_ns, series_of(node, stream, channel), value, unit_of(node, stream, channel))
            )
    return rows


def series_of(node: Node, stream: int, channel: int) -> str:
    """Name a channel's series."""
    info = node.state.registry.infos[stream]
    return f"{info.id}/{info.channels[channel]}" if info.channels and len(info.channels) > 1 else info.id


def unit_of(node: Node, stream: int, channel: int) -> str:
    """Name the unit of a channel; empty where nobody has told."""
    info = node.state.registry.infos[stream]
    rule = next((rule for rule in node.resolved.rules if rule.key == info.rule), None)
    names = info.channels or ("value",)
    return info.unit or (rule.unit_of(names[channel]) if rule else None) or ""


def to_csv(rows: Iterable[Reading]) -> bytes:
    r"""Write rows as lines of CSV.

    >>> to_csv([Reading(10**9, "attic", 1.5, "°C")]).decode()
    '1970-01-01T00:00:01Z,attic,1.5,°C\r\n'
    """
    text = io.StringIO()
    out = csv.writer(text)
    out.writerows((format_instant(row.time_ns), row.series, row.value, row.unit) for row in rows)
    return text.getvalue().encode()
