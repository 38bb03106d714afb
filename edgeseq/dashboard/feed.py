"""What is known of a node, as its messages tell it, and what has changed since a page last asked. No socket, no clock.

Everything came over the wire from anybody who may publish: it is bounded in number and length, a payload that is not
what its topic promises is counted, and texts go on as texts. Each change has a number (`version`): a page is told what
has a higher one than it knows, so that a slow page costs no memory here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from edgeseq.dashboard.series import LOWER, OBSERVED, UPPER, Series
from edgeseq.watch.terminal import printable
from edgeseq.watch.told import Alert, Forecast, NodeState, Status, Time

MAX_STREAMS = 5_000
"""More are counted only."""
MAX_HEARD = 200
"""Alerts kept by their newest event."""
MAX_TEXT = 300
MAX_PAYLOAD_BYTES = 256 * 1024
TAIL = 32
"""Readings that a page is told of each stream at first, for its small line."""


class Path(msgspec.Struct, frozen=True):
    """The forecast of all leads, in columns."""

    lead_s: list[float]
    lower: list[float | None]
    value: list[float | None]
    upper: list[float | None]


class Told(Forecast, frozen=True):
    """A forecast with its path, or `latest` with the stream's status."""

    path: Path | None = None
    bundle: str | None = None
    phase: str = ""
    data: str = ""
    alert: str = ""


class AlertTold(Alert, frozen=True):
    """What is read of an alert event."""

    channel: str | None = None
    severity: str = ""
    opened: Time | None = None
    cleared: Time | None = None
    acknowledged: bool = False


class OpenTold(msgspec.Struct, frozen=True):
    """What is read of an alert in the list of open ones."""

    id: str
    stream: str
    kind: str
    opened: Time
    channel: str | None = None
    severity: str = ""
    message: str = ""
    group: str = ""
    muted: bool = False
    acknowledged: Time | None = None
    acknowledged_by: str | None = None


class OpenList(msgspec.Struct, frozen=True):
    """What is read of bridge/alerts."""

    count: int = 0
    alerts: list[OpenTold] = []


@dataclass(slots=True)
class Row:
    """A stream, or one channel of it."""

    number: int
    stream: str
    channel: str | None
    born: int
    """Version at which it came to be."""
    version: int
    series: Series = field(default_factory=Series)
    path: Path | None = None
    read: int = 0
    """Version of the newest reading, …"""
    read_before: int = 0
    """… and of the one before: a page that knows neither is told the tail anew."""


@dataclass(slots=True)
class Feed:
    """One node."""

    root: str
    """<prefix>/<node>."""
    version: int = 1
    whole: int = 1
    """Version before which a page knows streams that are gone: it is told everything anew."""
    rows: dict[str, Row] = field(default_factory=dict)
    """In the order of their last change."""
    streams: dict[str, set[str]] = field(default_factory=dict)
    """Stream → its rows."""
    status: dict[str, Status] = field(default_factory=dict)
    available: dict[str, bool] = field(default_factory=dict)
    estimates: dict[str, dict[str, Any]] = field(default_factory=dict)
    bridge: dict[str, Any] = field(default_factory=dict)
    """state, info, health and alerts as last told."""
    told: dict[str, int] = field(default_factory=dict)
    """Version of each of these."""
    heard: dict[str, tuple[int, AlertTold]] = field(default_factory=dict)
    """Alert → version and newest event."""
    numbers: int = 0
    hidden: int = 0
    """Messages of streams for which there was no room."""
    unreadable: int = 0

    def take(self, topic: str, payload: bytes) -> None:
        """Take one message. Total: nothing from the wire raises."""
        if not topic.startswith(f"{self.root}/"):
            return
        levels = printable(topic[len(self.root) + 1 :]).split("/")
        if len(topic) > MAX_TEXT + len(self.root) or len(payload) > MAX_PAYLOAD_BYTES:
            self.unreadable += 1
            return
        try:
            if levels[0] == "bridge":
                self._take_bridge("/".join(levels[1:]), payload)
            elif len(levels) in (2, 3) and levels[-1] in _READERS:
                _READERS[levels[-1]](self, levels[0], levels[1] if len(levels) == 3 else None, payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
            self.unreadable += 1

    # --- of the node --------------------------------------------------------------------------------------------

    def _take_bridge(self, name: str, payload: bytes) -> None:
        if name not in _BRIDGE:
            return
        self.bridge[name] = msgspec.json.decode(payload, type=_BRIDGE[name])
        self.told[name] = self._next()

    # --- of a stream --------------------------------------------------------------------------------------------

    def take_forecast(self, stream: str, channel: str | None, payload: bytes) -> None:
        """Take a forecast and the reading that it was made at."""
        told = msgspec.json.decode(payload, type=Told)
        row = self._row(stream, channel)
        if row is None or not row.series.take(told):
            return
        if told.path is not None:
            row.path = told.path
        self._touch(row)
        row.read_before, row.read = row.read, row.version

    def take_latest(self, stream: str, channel: str | None, payload: bytes) -> None:
        """Take a retained forecast, which counts where nothing newer is known; nothing at all ends the stream."""
        if not payload:
            self._drop(stream, channel)
            return
        told = msgspec.json.decode(payload, type=Told)
        row = self._row(stream, channel)
        if row is None:
            return
        self.status[stream] = Status(told.phase, told.data, told.alert)
        last = row.series.last
        if last is None or told.origin > last.origin:
            row.series.take(told)
            row.path = None
        self._touch_all(stream)

    def take_status(self, stream: str, channel: str | None, payload: bytes) -> None:
        """Take a stream's status; one without a forecast yet has a row too."""
        if not payload:
            self._drop(stream, None)
            return
        status = msgspec.json.decode(payload, type=Status)
        if channel is None and (self.streams.get(stream) or self._row(stream, None)):
            self.status[stream] = status
            self._touch_all(stream)

    def take_availability(self, stream: str, channel: str | None, payload: bytes) -> None:
        """Take whether a stream's sensor is heard."""
        if channel is None and stream in self.streams and payload:
            self.available[stream] = payload == b"online"
            self._touch_all(stream)

    def take_estimate(self, stream: str, channel: str | None, payload: bytes) -> None:
        """Take what an estimator makes of a stream."""
        estimate = msgspec.json.decode(payload, type=dict[str, Any])
        if stream in self.streams:
            self.estimates[stream] = {key: estimate[key] for key in _ESTIMATE if key in estimate}
            self._touch_all(stream)

    def take_alert(self, stream: str, channel: str | None, payload: bytes) -> None:
        """Take an alert event; one that was heard before is the same event."""
        event = msgspec.json.decode(payload, type=AlertTold)
        before = self.heard.get(event.id)
        if before and (before[1].seq, before[1].event_type) == (event.seq, event.event_type):
            return
        if before and before[1].seq > event.seq:
            return
        self.heard.pop(event.id, None)
        while len(self.heard) >= MAX_HEARD:
            del self.heard[next(iter(self.heard))]
        self.heard[event.id] = (self._next(), event)

    def _row(self, stream: str, channel: str | None) -> Row | None:
        """Find a row, or make one where there is room."""
        name = stream if channel is None else f"{stream}/{channel}"
        found = self.rows.get(name)
        if found is not None:
            return found
        if len(self.rows) >= MAX_STREAMS:
            self.hidden += 1
            return None
        version = self._next()
        self.rows[name] = Row(self.numbers, stream, channel, version, version)
        self.numbers += 1
        self.streams.setdefault(stream, set()).add(name)
        bare = self.rows.get(stream)
        if channel is not None and bare is not None and bare.series.last is None:
            self._remove(stream, stream)  # known by its status alone: its channels have rows of their own
        return self.rows[name]

    def _drop(self, stream: str, channel: str | None) -> None:
        self._remove(stream, stream if channel is None else f"{stream}/{channel}")

    def _remove(self, stream: str, name: str) -> None:
        if self.rows.pop(name, None) is None:
            return
        self.whole = self._next()
        self.streams[stream].discard(name)
        if not self.streams[stream]:
            for known in (self.streams, self.status, self.available, self.estimates):
                known.pop(stream, None)

    def _touch_all(self, stream: str) -> None:
        for name in self.streams.get(stream, ()):
            self._touch(self.rows[name])

    def _touch(self, row: Row) -> None:
        name = row.stream if row.channel is None else f"{row.stream}/{row.channel}"
        row.version = self._next()
        self.rows[name] = self.rows.pop(name)

    def _next(self) -> int:
        self.version += 1
        return self.version

    # --- what pages are told ------------------------------------------------------------------------------------

    def frame(self, since: int) -> dict[str, Any]:
        """Tell what has changed since a version; 0 knows nothing."""
        is_whole = since < self.whole
        since = 0 if is_whole else since
        changed = []
        for row in reversed(self.rows.values()):
            if row.version <= since:
                break
            changed.append(row)
        told: dict[str, Any] = {
            "version": self.version,
            "whole": is_whole,
            "hidden": self.hidden,
            "unreadable": self.unreadable,
            "new": [
                {
                    "number": row.number,
                    "stream": row.stream,
                    "channel": row.channel,
                    "tail": _tail(row.series),
                }
                for row in changed
                if row.born > since
            ],
            "tails": {
                str(row.number): _tail(row.series) for row in changed if row.born <= since < row.read_before
            },
            "rows": {name: [read(self, row) for row in changed] for name, read in COLUMNS.items()},
            "heard": [event for version, event in self.heard.values() if version > since],
        }
        return told | {name: self.bridge[name] for name, version in self.told.items() if version > since}

    def series_of(self, name: str) -> dict[str, Any] | None:
        """Tell all that is kept of a row, in columns; None where there is no such row."""
        row = self.rows.get(name)
        if row is None:
            return None
        last = row.series.last
        time, observed, value, lower, upper = row.series.ordered().T.tolist()
        return {
            "name": name,
            "time": time,
            "observed": observed,  # NaN is written as null
            "value": value,
            "lower": lower,
            "upper": upper,
            "last": msgspec.structs.replace(last, path=None) if isinstance(last, Told) else last,
            "path": row.path if last is not None else None,
            "estimate": self.estimates.get(row.stream),
        }


def _tail(series: Series) -> list[float]:
    return [float(f"{value:.4g}") for value in series.ordered()[-TAIL:, OBSERVED].tolist()]


def _of_last(name: str) -> Any:
    return lambda _, row: getattr(row.series.last, name, None)


def _of_status(name: str) -> Any:
    return lambda feed, row: getattr(feed.status.get(row.stream), name, "")


def _of_reading(column: int) -> Any:
    def read(_: Feed, row: Row) -> float | None:
        series = row.series
        return float(series.rows[(series.count - 1) % len(series.rows), column]) if series.count else None

    return read


COLUMNS = {
    "number": lambda _, row: row.number,
    "time": lambda _, row: row.series.last and row.series.last.origin.timestamp(),
    **{
        name: _of_last(name)
        for name in (
            "period_s", "unit", "observed", "lower", "value", "upper", "coverage", "score", "source", "skill", "bundle",
        )
    },
    "low": _of_reading(LOWER),
    "high": _of_reading(UPPER),
    "judged": lambda _, row: row.series.judged,
    "inside": lambda _, row: row.series.inside,
    **{name: _of_status(name) for name in ("phase", "data", "alert")},
    "available": lambda feed, row: feed.available.get(row.stream),
}  # fmt: skip
"""Name → how it is read of a row: `lower`, `value`, `upper` are of the next step, `low` and `high` were of this one."""

_ESTIMATE = ("target", "time", "quality", "unit", "value", "lower", "upper", "state", "probability")

_BRIDGE: dict[str, Any] = {
    "state": NodeState,
    "info": dict[str, Any],
    "health": dict[str, Any],
    "alerts": OpenList,
}

_READERS = {
    "forecast": Feed.take_forecast,
    "latest": Feed.take_latest,
    "status": Feed.take_status,
    "availability": Feed.take_availability,
    "estimate": Feed.take_estimate,
    "alert": Feed.take_alert,
}
