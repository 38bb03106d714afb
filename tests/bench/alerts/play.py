"""Recordings played through the core by `edgeseq.replay`, many at once, and the alerts that came out.

All scores of the alert benches are taken from what is read here: the messages on `…/alert`, as subscribers get them.
Recordings of different years are moved by whole weeks to begin in the same one, so that they run side by side and a
step of the core serves many of them; time of day and weekday stay.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeseq.core.durations import format_duration
from edgeseq.core.instants import parse_instant
from edgeseq.core.types import F64, I64, Message, Outgoing
from edgeseq.errors import InputError
from edgeseq.replay import Tally, close, kind_of, open_for_replay, replay

WEEK_NS = 7 * 86_400 * 10**9
BASE_NS = 2600 * WEEK_NS
SHORT_NS = 2 * 86_400 * 10**9
"""Shorter recordings have no weekday worth keeping: they begin at the same instant."""
BATCH = 4096


@dataclass(frozen=True, slots=True)
class Series:
    """One recording as a stream's readings."""

    name: str
    time_ns: I64
    """(n,) in the order in which they come."""
    values: F64
    """(n, C); NaN does not come."""
    period_ns: int
    channels: tuple[str, ...] = ()
    """Names, where it is one stream of several channels."""
    limits: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What the streams' tables say beside the period: as shipped, or for a comparison."""

    sensitivity: float = 1.0
    bundles: Mapping[int, Path] = field(default_factory=dict)
    """Period (ns) → what serves streams of it; others have the baseline."""

    def lines(self, period_ns: int) -> list[str]:
        """Write them as lines of a [[streams]] table; what is as shipped is left unsaid."""
        told = [] if self.sensitivity == 1.0 else [f"sensitivity = {self.sensitivity:g}"]
        bundle = self.bundles.get(period_ns)
        return told if bundle is None else [*told, f'bundle = "{bundle.absolute()}"']


@dataclass(slots=True)
class Alert:
    """An alert as a subscriber knows it."""

    id: str
    kinds: list[str]
    """Its names, first to last: what the last event before its clearing calls it counts."""
    row: int
    """Reading with which it was told: the first one not earlier than the event's time."""
    time_ns: int
    """Time of the opening's event; of silence the deadline."""
    channel: str | None
    cleared_row: int | None = None
    message: str = ""
    """The sentence of its opening."""
    p_value: float | None = None

    @property
    def kind(self) -> str:
        """Give the name that it had last before its clearing."""
        return self.kinds[-1]


@dataclass(slots=True)
class Played:
    """What a play gave."""

    alerts: dict[str, list[Alert]] = field(default_factory=dict)
    """Series → its alerts in the order of their openings; those that only the recording's end brings are left out."""
    readings: int = 0


def play(series: Sequence[Series], settings: Settings = Settings()) -> Played:
    """Play recordings side by side through one node of the shipped core."""
    with tempfile.TemporaryDirectory(prefix="edgeseq-bench-") as folder:
        config = Path(folder) / "edgeseq.toml"
        topics = write_config(config, series, settings)
        node, tally = open_for_replay(config, None, save_state=False), Tally()
        told = [
            out
            for out in replay(node, messages(series, topics), tally, BATCH)
            if kind_of(out.topic) == "alert"
        ]
        close(node)
    counts = node.state.counts
    if counts.rejected or counts.late or counts.duplicate:
        raise InputError("the core did not take all readings", found=str(counts))
    return Played(read_alerts(series, told), tally.messages)


def moved(time_ns: I64) -> I64:
    """Move times to the common week, keeping weekday and time of day; never back behind what has been reached."""
    if len(time_ns) == 0:
        return time_ns
    is_short = time_ns[-1] - time_ns[0] < SHORT_NS
    first = int(time_ns[0]) if is_short else int(time_ns[0]) // WEEK_NS * WEEK_NS
    return np.maximum.accumulate(time_ns - first + BASE_NS)


def write_config(path: Path, series: Sequence[Series], settings: Settings) -> list[str]:
    """Write a configuration with a table for each sort of series → the topic of each."""
    tables: dict[tuple[Any, ...], str] = {}
    lines = ["[node]", 'clock = "readings"', f"max_streams = {max(1, len(series))}"]
    if settings.bundles:
        lines += ["", "[bundles]", "allow_unsigned = true"]
    topics = []
    for number, s in enumerate(series):
        if s.channels:
            topics.append(f"alone/{number}")
            sources = ", ".join(f'"{c}" = "{topics[-1]}#{index}"' for index, c in enumerate(s.channels))
            lines += ["", "[[streams]]", f'name = "{number}"', f"channels = {{ {sources} }}"]
            lines += _settings(s, settings)
            continue
        group = (s.period_ns, s.limits)
        if group not in tables:
            tables[group] = f"g{len(tables)}"
            lines += ["", "[[streams]]", f'topic = "{tables[group]}/+"', *_settings(s, settings)]
        topics.append(f"{tables[group]}/{number}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return topics


def _settings(s: Series, settings: Settings) -> list[str]:
    lines = [f'every = "{format_duration(s.period_ns)}"', "path = false", *settings.lines(s.period_ns)]
    return (
        lines
        if s.limits is None
        else [*lines, f"limits = {{ min = {s.limits[0]!r}, max = {s.limits[1]!r} }}"]
    )


def messages(series: Sequence[Series], topics: Sequence[str]) -> Iterator[Message]:
    """Give the messages of all series in the order of time; of the same time in the order of the series."""
    return heapq.merge(
        *(_messages(s, t) for s, t in zip(series, topics, strict=True)), key=lambda m: m.received_ns
    )


def _messages(s: Series, topic: str) -> Iterator[Message]:
    times = moved(s.time_ns).tolist()
    if not s.channels:
        for time_ns, value in zip(times, s.values[:, 0].tolist(), strict=True):
            if value == value:  # noqa: PLR0124 - NaN does not come
                yield Message(topic, repr(value).encode(), time_ns)
        return
    for time_ns, row in zip(times, s.values.tolist(), strict=True):
        document = {str(c): value for c, value in enumerate(row) if value == value}  # noqa: PLR0124 - as above
        if document:
            yield Message(topic, msgspec.json.encode(document), time_ns)


def read_alerts(series: Sequence[Series], told: Iterable[Outgoing]) -> dict[str, list[Alert]]:
    """Read what a subscriber of `…/alert` got: events of the same id are one alert."""
    times = {str(number): moved(s.time_ns) for number, s in enumerate(series)}
    names = {str(number): s.name for number, s in enumerate(series)}
    found: dict[str, dict[str, Alert]] = {number: {} for number in times}
    for out in told:
        event = msgspec.json.decode(out.payload)
        number = event["stream"].rpartition("-")[2]
        at_ns = parse_instant(event["time"])
        if at_ns is None:
            raise InputError("an alert has no time", found=str(event))
        row = int(np.searchsorted(times[number], at_ns))
        event["message"] = event["message"].replace(event["stream"], names[number], 1)
        _note(found[number], event, row, at_ns)
    return {
        s.name: [a for a in found[str(number)].values() if a.row < len(s.time_ns)] for number, s in enumerate(series)
    }  # fmt: skip


def _note(alerts: dict[str, Alert], event: dict[str, Any], row: int, at_ns: int) -> None:
    """Take an event of a stream's alerts."""
    known = alerts.get(event["id"])
    if known is None:
        alerts[event["id"]] = Alert(
            event["id"], [event["kind"]], row, at_ns, event["channel"],
            message=event["message"], p_value=event["p_value"],
        )  # fmt: skip
    elif event["event_type"] == "cleared":
        known.cleared_row = row
    else:
        known.kinds.append(event["kind"])
