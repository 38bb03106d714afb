"""The terminal view of a node, as plain data and text: take messages in, draw lines out. No terminal, no socket.

Everything shown came over the wire from anybody who may publish: names and texts are stripped of whatever could
steer a terminal, and a payload that is not what its topic promises is counted, not shown.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from edgeseq.core.topics import slug
from edgeseq.watch.terminal import (
    BLUE,
    BOLD,
    DIM,
    GREEN,
    PLAIN,
    RED,
    YELLOW,
    Paint,
    cells,
    clock,
    fit,
    number,
    printable,
    spark,
)

SPARK_READINGS = 96
LOG_LINES = 6
MAX_ROWS = 1000
"""Streams kept; more are counted only, so that a noisy broker cannot fill the memory."""

ALERT_WORDS = {"none": "no alert", "watch": "alert near", "alert": "alert open"}
URGENCY = (DIM, BLUE, YELLOW, RED)
"""Tint of an alert by how much it needs somebody."""
STATE_COLORS = {"ok": GREEN, "silent": YELLOW, "stuck": YELLOW, "mismatch": YELLOW, "off": DIM}


# --- what is read of each payload; unknown fields are ignored ---------------------------------------------------


Time = Annotated[dt.datetime, msgspec.Meta(tz=True)]


class Forecast(msgspec.Struct, frozen=True):
    """What the view reads of a forecast."""

    origin: Time
    period_s: float
    observed: float | None = None
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    unit: str | None = None
    coverage: float = 0.9
    score: float | None = None
    source: str = ""
    skill: float | None = None


class Alert(msgspec.Struct, frozen=True):
    """What the view reads of an alert event."""

    event_type: str
    id: str
    kind: str
    time: Time
    seq: int = 0
    stream: str = ""
    severity: str = ""
    acknowledged: bool = False
    message: str = ""


class Standing(msgspec.Struct, frozen=True):
    """What the view reads of an open alert in bridge/alerts, and keeps of one that it has seen open."""

    id: str
    kind: str
    stream: str = ""
    channel: str | None = None
    severity: str = ""
    muted: bool = False
    acknowledged: Time | bool | None = None
    acknowledged_by: str | None = None

    def __str__(self) -> str:
        """Name it, with a mark of what is known of it.

        >>> print(Standing("k3", "spike"), Standing("k3", "drift", muted=True))
        ● spike ○ drift muted
        """
        kind = printable(self.kind)
        if self.muted:
            return f"○ {kind} muted"
        if not self.acknowledged:
            return f"● {kind}"
        return f"✓ {kind}" + (f" by {printable(self.acknowledged_by)[:12]}" if self.acknowledged_by else "")

    @property
    def urgency(self) -> int:
        """Rank it: 0 needs nobody, then by severity."""
        if self.muted or self.acknowledged:
            return 0
        return {"info": 1, "warning": 2}.get(self.severity, 3)


class OpenOnes(msgspec.Struct, frozen=True):
    """What the view reads of bridge/alerts."""

    count: int
    alerts: list[Standing]


class Status(msgspec.Struct, frozen=True):
    """What the view reads of a stream's status."""

    phase: str = ""
    data: str = ""
    alert: str = ""


class ClassTold(msgspec.Struct, frozen=True):
    """What the view reads of a stream's state: the class that an estimator sees it in."""

    state: str
    since: Time


class Account(msgspec.Struct, frozen=True):
    """What the view reads of bridge/health: what became of the readings since the node started."""

    received: int
    applied: int = 0
    late: int = 0
    duplicate: int = 0
    rejected: dict[str, int] = {}
    shed: int = 0

    def __str__(self) -> str:
        """Write it as the sum that it is.

        >>> print(Account(received=1204, applied=1200, late=1, rejected={"no_field": 3}))
        1,204 readings = 1,200 applied + 1 late + 0 duplicate + 3 rejected + 0 shed
        """
        rejected = sum(self.rejected.values())
        parts = (self.applied, self.late, self.duplicate, rejected, self.shed)
        names = ("applied", "late", "duplicate", "rejected", "shed")
        total = " + ".join(f"{count:,} {name}" for count, name in zip(parts, names, strict=True))
        return f"{self.received:,} readings = {total}"


class NodeState(msgspec.Struct, frozen=True):
    """What the view reads of bridge/state."""

    state: str = ""


# --- the model --------------------------------------------------------------------------------------------------


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


# --- drawing ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: as wide as its texts need, and dropped where the terminal is too narrow."""

    title: str
    max_width: int
    rank: int
    """0 is dropped last."""
    right: bool = False


COLUMNS = {
    "stream": Column("stream", 32, 0),
    "spark": Column("readings", 0, 2),
    "now": Column("now", 12, 1, right=True),
    "band": Column("next, interval", 32, 3),
    "source": Column("by", 10, 4),
    "skill": Column("skill", 7, 5, right=True),
    "state": Column("state", 24, 1),
}
SPARK_MIN, STREAM_MIN = 12, 8
GAP = "  "

Cells = dict[str, tuple[str, str]]
"""Column → text and tint."""


def draw(view: View, width: int, height: int, paint: Paint, footer: Iterable[str] = ()) -> list[str]:
    """Draw the view as at most `height` lines of `width` columns."""
    footer = list(footer)
    account = view.account if len(view.nodes) < 2 else ""
    head = [_header(view, width, paint), paint(fit(account, width), DIM) if account else ""]
    room = height - len(head) - len(footer) - min(len(view.log), LOG_LINES) - 3
    names = _by_urgency(view, max(room, 1))
    rows = {name: _texts(view.shown(name), view.rows[name]) for name in names}
    widths = _layout(width, rows.values())
    lines = [*head, _titles(widths, paint)]
    lines += [_draw_row(view.rows[name], texts, widths, paint) for name, texts in rows.items()]
    if len(view.rows) > len(names):
        lines.append(paint(fit(f"… and {len(view.rows) - len(names)} more", width), DIM))
    lines.append("")
    lines += [paint(fit(text, width), tint) for text, tint in view.log]
    lines += [fit(text, width) for text in footer]
    return lines[:height]


def _by_urgency(view: View, room: int) -> list[str]:
    """Keep the order of arrival, but where not all fit prefer streams with open alerts."""
    names = list(view.rows)
    if len(names) <= room:
        return names
    urgency = {
        name: max((one.urgency for one in view.rows[name].open.values()), default=-1) for name in names
    }
    chosen = set(sorted(names, key=lambda name: -urgency[name])[: max(room - 1, 1)])
    return [name for name in names if name in chosen]


def _layout(width: int, rows: Collection[Cells]) -> dict[str, int]:
    """Choose the columns that fit and how wide they are; the sparkline takes what is left."""
    wanted = {
        name: min(max([cells(column.title), *(cells(row[name][0]) for row in rows)]), column.max_width)
        for name, column in COLUMNS.items()
        if name != "spark"
    }
    for rank in range(5, 0, -1):
        widths = {name: wanted.get(name, 0) for name, column in COLUMNS.items() if column.rank <= rank}
        left = width - sum(widths.values()) - len(GAP) * (len(widths) - 1)
        if "spark" in widths and left >= SPARK_MIN:
            return {**widths, "spark": min(left, SPARK_READINGS)}
        if "spark" not in widths and widths["stream"] + min(left, 0) >= STREAM_MIN:
            return {**widths, "stream": widths["stream"] + min(left, 0)}
    return {"stream": min(wanted["stream"], width)}


def _header(view: View, width: int, paint: Paint) -> str:
    node = view.node if view.node != "+" else view.prefix
    left = f"edgeseq · {node}" if node != view.prefix else "edgeseq"
    told = [one for row in view.rows.values() for one in row.open.values()]
    opened = sum(not one.muted for one in told)
    muted = f" · {len(told) - opened} muted" if opened < len(told) else ""
    time = f"{view.newest:%Y-%m-%d %H:%M} · " if view.newest else ""
    right = f"{time}{view.forecasts:,} forecasts · {opened} open alert{'' if opened == 1 else 's'}{muted}"
    if view.unreadable:
        right += f" · {view.unreadable} unreadable"
    right = fit(right, max(width - cells(left) - cells(view.state) - 3, 0))
    gap = max(width - cells(left) - cells(view.state) - cells(right) - 2, 1)
    tint = GREEN if view.state == "online" else YELLOW
    return f"{paint(left, BOLD)}  {paint(view.state, tint)}{' ' * gap}{right}"


def _titles(widths: dict[str, int], paint: Paint) -> str:
    texts = [_cell(COLUMNS[name].title, name, width) for name, width in widths.items()]
    return paint(GAP.join(texts).rstrip(), DIM)


def _texts(name: str, row: Row) -> Cells:
    """Write the cells of a row; the sparkline is drawn when its width is known."""
    last = row.last
    return {
        "stream": (name, BOLD),
        "now": (number(last.observed) if last else "–", PLAIN),
        "band": (band(last) if last else "–", PLAIN),
        "source": (printable(last.source) if last else "–", BLUE if last and last.source == "model" else DIM),
        "skill": (f"{last.skill:+.0%}" if last and last.skill is not None else "–", PLAIN),
        "state": _state(row),
    }


def _draw_row(row: Row, texts: Cells, widths: dict[str, int], paint: Paint) -> str:
    drawn = [
        spark(row.readings, width, paint)
        if name == "spark"
        else paint(_cell(texts[name][0], name, width), texts[name][1])
        for name, width in widths.items()
    ]
    return GAP.join(drawn).rstrip()


def _state(row: Row) -> tuple[str, str]:
    if row.open:
        urgent = sorted(row.open.values(), key=lambda one: -one.urgency)
        return ", ".join(dict.fromkeys(map(str, urgent))), URGENCY[urgent[0].urgency]
    data = printable(row.status.data)
    if data not in ("", "ok"):
        return f"● {data}", STATE_COLORS.get(data, YELLOW)
    if row.status.alert == "watch":
        return "◐ watch", YELLOW
    if row.status.phase == "learning":
        return "learning", BLUE
    return data or "–", STATE_COLORS.get(data, PLAIN)


def _cell(text: str, column: str, width: int) -> str:
    fitted = fit(text, width)
    pad = " " * (width - cells(fitted))
    return pad + fitted if COLUMNS[column].right else fitted + pad


def band(forecast: Forecast) -> str:
    """Write the next step's prediction interval with its unit."""
    if forecast.lower is None or forecast.upper is None:
        return "–"
    unit = f" {printable(forecast.unit)}" if forecast.unit else ""
    return f"{number(forecast.lower)} … {number(forecast.upper)}{unit}"
