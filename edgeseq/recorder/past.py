"""What a running node remembers, asked for page by page, as a table of readings."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeseq.core.instants import LIMIT_NS, format_instant, parse_instant
from edgeseq.recorder.files import Lines
from edgeseq.recorder.readings import Reading, to_csv
from edgeseq.watch import Broker
from edgeseq.watch.asking import asked_node

LONGEST_S = 366 * 86_400
"""Period of a stream."""


def fetch(broker: Broker, prefix: str, name: str, lines: Lines, tell: Callable[[str], None]) -> int:
    """Write what the node remembers to the end of a file, without what the file has already → readings.

    Raises:
        BrokerError: no answer.
        InputError: the node refuses.
    """
    newest = newest_of(lines.path)
    since = format_instant(min(newest.values())) if newest else None
    count = 0
    try:
        with asked_node(broker, prefix, name) as node:
            for entry in node.pages("recording", "recording", since=since):
                rows = [row for row in rows_of(entry) if row.time_ns > newest.get(row.series, -(2**63))]
                lines.add(to_csv(rows))
                count += len(rows)
    except KeyboardInterrupt:
        tell("ended early; --append goes on")
    finally:
        lines.close()
    return count


def rows_of(entry: dict[str, Any]) -> list[Reading]:
    """Give the readings of an entry; values that are missing are none. What makes no sense is left out."""
    first_ns, period_s = parse_instant(entry.get("first")), entry.get("period_s")
    values = entry.get("values")
    if first_ns is None or not isinstance(period_s, int | float) or not isinstance(values, list):
        return []
    if not 0 < period_s < LONGEST_S or abs(first_ns) > LIMIT_NS // 2:
        return []
    series = "/".join(str(entry[key]) for key in ("id", "channel") if entry.get(key) is not None)
    step_ns, unit = round(period_s * 1e9), str(entry.get("unit") or "")
    return [
        Reading(first_ns + k * step_ns, series, float(value), unit)
        for k, value in enumerate(values)
        if type(value) in (int, float)
    ]


def newest_of(path: Path) -> dict[str, int]:
    """Find the newest time (ns) of each series in a file of readings, which may be new and empty."""
    newest: dict[str, int] = {}
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as file
    ):
        for row in csv.DictReader(file):
            time_ns = parse_instant(row.get("time"))
            if time_ns is not None:
                series = str(row.get("series"))
                newest[series] = max(time_ns, newest.get(series, time_ns))
    return newest
