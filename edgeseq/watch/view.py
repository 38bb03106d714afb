"""What has been seen of a node, as plain data: messages are taken in, and `drawing` makes lines of what there is.

Everything shown came over the wire from anybody who may publish: names and texts are stripped of whatever could
steer a terminal, and a payload that is not what its topic promises is counted, not shown.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from dataclasses import dataclass, field

import msgspec

from edgeseq.core.topics import slug
from edgeseq.watch.terminal import BLUE, DIM, GREEN, RED, YELLOW, clock, number, printable
from edgeseq.watch.told import (
    Account,
    Alert,
    ClassTold,
    Forecast,
    NodeState,
    OpenOnes,
    Standing,
    Status,
    band,
)

SPARK_READINGS = 96
LOG_LINES = 6
MAX_ROWS = 1000
"""Streams kept; more are counted only, so that a noisy broker cannot fill the memory."""

URGENCY = (DIM, BLUE, YELLOW, RED)
"""Tint of an alert by how much it needs somebody."""

ALERT_WORDS = {"none": "no alert", "watch": "alert near", "alert": "alert open"}


@dataclass(slots=True)
class Row:
    """One stream, or one channel of it."""

    readings: deque[tuple[float | None, bool]] = field(default_factory=lambda: deque(maxlen=SPARK_READINGS))
    """Observed value (None for a gap) and whether it was outside the 99.9 % band."""
    last: Forecast | None = None
    status: Status = field(default_factory=Status)
    open: dict[str, Standing] = field(default_factory=dict)
    """Alert id → alert."""


@dataclass(slots=True)
class View:
    """What has been seen of one node, or of all nodes below a prefix."""

    prefix: str = "edgeseq"
    node: str = "+"
    nodes: set[str] = field(default_factory=set)
    """Nodes seen; two are as good as many."""
    states: dict[str, str] = field(default_factory=dict)
    """Node → its last word on itself."""
    account: str = ""
    """Of the only node seen."""
    rows: dict[str, Row] = field(default_factory=dict)
    log: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=LOG_LINES))
    told: deque[tuple[str, str, int, str]] = field(default_factory=lambda: deque(maxlen=MAX_ROWS))
    """Alert events seen lately, as stream, id, seq and type: delivered at least once, they are shown once."""
    newest: dt.datetime | None = None
    forecasts: int = 0
    unreadable: int = 0

    @property
    def state(self) -> str:
        """Say in a word or two how the nodes fare."""
        found = set(self.states.values())
        if len(found) == 1:
            return next(iter(found))
        online = sum(state == "online" for state in self.states.values())
        return f"{online} of {len(self.states)} online" if found else "waiting"

    def shown(self, name: str) -> str:
        """Name a stream: with its node only where several are seen.

        >>> View(node="attic").shown("cellar"), View(nodes={"attic"}).shown("attic/cellar")
        ('cellar', 'cellar')
        """
        if self.node != "+":
            return name
        return name if len(self.nodes) > 1 else name.partition("/")[2]


def take(view: View, topic: str, payload: bytes) -> str | None:
    """Take one message into the view.

    Returns:
        The same in one plain line, or None where there is nothing to say.
    """
    parts = topic.removeprefix(view.prefix + "/").split("/")
    if not topic.startswith(view.prefix + "/") or len(parts) < 3:
        return None
    name, verb = "/".join(parts[1:-1] if view.node != "+" else parts[:-1]), parts[-1]
    reader = _READERS.get("/".join(parts[1:]) if parts[1] == "bridge" else verb)
    if reader is None:
        return None
    if len(view.nodes) < 2:
        view.nodes.add(parts[0])
    try:
        return reader(view, printable(name), payload)
    except msgspec.MsgspecError:
        view.unreadable += 1
        return None


def _row(view: View, name: str) -> Row:
    if name not in view.rows and len(view.rows) >= MAX_ROWS:
        return Row()
    return view.rows.setdefault(name, Row())


def _take_forecast(view: View, name: str, payload: bytes) -> str:
    forecast = msgspec.json.decode(payload, type=Forecast)
    row = _row(view, name)
    for _ in range(_steps_missing(row.last, forecast)):
        row.readings.append((None, False))
    if row.readings and row.last and row.last.origin == forecast.origin:
        row.readings.pop()  # the open step was seen again
    row.readings.append((forecast.observed, forecast.score is not None and forecast.score > 1))
    row.last = forecast
    view.forecasts += 1
    view.newest = max(view.newest or forecast.origin, forecast.origin)
    numbers = f"{number(forecast.observed)}  next {band(forecast)}"
    return f"{clock(forecast.origin)}  {view.shown(name)}  {numbers}  {printable(forecast.source)}"


def _steps_missing(before: Forecast | None, now: Forecast) -> int:
    if before is None or now.period_s <= 0:
        return 0
    steps = (now.origin - before.origin).total_seconds() / now.period_s
    return round(min(max(steps - 1, 0), SPARK_READINGS))


def _take_alert(view: View, name: str, payload: bytes) -> str | None:
    alert = msgspec.json.decode(payload, type=Alert)
    event = (name, alert.id, alert.seq, alert.event_type)
    if event in view.told:
        return None
    view.told.append(event)
    row = _row(view, name)
    if alert.event_type == "cleared":
        row.open.pop(alert.id, None)
        tint, mark = GREEN, "✓"
    else:
        known = alert.acknowledged or alert.event_type == "acknowledged"
        row.open[alert.id] = Standing(alert.id, alert.kind, severity=alert.severity, acknowledged=known)
        tint, mark = (DIM, "✓") if known else (URGENCY[row.open[alert.id].urgency], "▲")
    severity = f", {printable(alert.severity)}" if alert.severity and alert.event_type == "opened" else ""
    line = (
        f"{clock(alert.time)}  {mark} {printable(alert.kind)} {printable(alert.event_type)}{severity}: "
        + (printable(alert.message) or view.shown(name))
    )
    if alert.event_type != "updated":
        view.log.append((line, tint))
    return line


def _take_open(view: View, name: str, payload: bytes) -> str:
    """Take the list of open alerts: what opened before anybody watched, is muted, or known of."""
    told = msgspec.json.decode(payload, type=OpenOnes)
    node = f"{name.partition('/')[0]}/" if view.node == "+" else ""
    listed = {one.id for one in told.alerts}
    if told.count == len(told.alerts):
        for shown, row in view.rows.items():
            if shown.startswith(node):
                row.open = {key: one for key, one in row.open.items() if key in listed}
    for one in told.alerts:
        place = "/".join(filter(None, [one.stream, slug(one.channel) if one.channel else ""]))
        _row(view, printable(node + place)).open[one.id] = one
    muted = sum(one.muted for one in told.alerts)
    known = sum(bool(one.acknowledged) for one in told.alerts)
    told_by = printable(node.removesuffix("/")) or view.node
    return f"{told_by}: {told.count} open alerts, {known} known, {muted} muted"


def _take_latest(view: View, name: str, payload: bytes) -> None:
    """Take the newest forecast of a stream that has not told one since somebody watches."""
    row = _row(view, name)
    forecast = msgspec.json.decode(payload, type=Forecast)
    if row.last is None:
        row.last = forecast
        row.readings.append((forecast.observed, forecast.score is not None and forecast.score > 1))
        view.newest = max(view.newest or forecast.origin, forecast.origin)


def _take_status(view: View, name: str, payload: bytes) -> str:
    status = msgspec.json.decode(payload, type=Status)
    _row(view, name).status = status
    alert = ALERT_WORDS.get(status.alert) or f"alert {printable(status.alert)}"
    return f"{view.shown(name)}  {printable(status.phase)}, data {printable(status.data)}, {alert}"


def _take_state(view: View, name: str, payload: bytes) -> str:
    node = name.partition("/")[0] if view.node == "+" else view.node
    try:
        state = msgspec.json.decode(payload, type=NodeState).state
    except msgspec.MsgspecError:
        state = payload.decode("utf-8", "replace")  # a bare word
    word = printable(state)[:20]
    if node in view.states or len(view.states) < MAX_ROWS:
        view.states[node] = word
    return f"{printable(node)} is {word}"


def _take_health(view: View, name: str, payload: bytes) -> str:
    node = name.partition("/")[0] if view.node == "+" else view.node
    account = str(msgspec.json.decode(payload, type=Account))
    view.account = account
    return f"{printable(node)}: {account}"


def _take_class(view: View, name: str, payload: bytes) -> str:
    told = msgspec.json.decode(payload, type=ClassTold)
    return f"{clock(told.since)}  {view.shown(name)} is {printable(told.state)[:20]}"


_READERS = {
    "forecast": _take_forecast,
    "latest": _take_latest,
    "alert": _take_alert,
    "status": _take_status,
    "state": _take_class,
    "bridge/state": _take_state,
    "bridge/health": _take_health,
    "bridge/alerts": _take_open,
}
