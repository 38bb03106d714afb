"""What others ask about alerts: the history, and to acknowledge, snooze, maintain and label.

Each wish is in the ledger before anybody is told of it. What is asked twice, since the broker delivered it again, does
no harm: an acknowledgement stands, a label is the same, a snooze only begins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any, cast

import msgspec
from msgspec import UNSET

from edgeseq.adapters.ledger import MOST_LABELS
from edgeseq.around import numbers
from edgeseq.compose import Node, look
from edgeseq.config.windows import Window, fault_of
from edgeseq.core.asking import (
    AcknowledgeRequest,
    AlertsRequest,
    Asked,
    LabelRequest,
    MaintenanceRequest,
    SnoozeRequest,
)
from edgeseq.core.durations import WANTED, parse_duration
from edgeseq.core.instants import format_instant, parse_instant
from edgeseq.core.payloads import HistoryEntry, ReadingsAround, ResponsePayload, WishEntry
from edgeseq.core.told import Acknowledgement
from edgeseq.core.types import AlertKind
from edgeseq.desk import MOST_ASKED, Desk
from edgeseq.errors import StorageError
from edgeseq.wishes import Purpose

MAX_PAGE, MAX_PAGE_WITH_READINGS = 50, 10
"""Events in one response: some 40 KB either way."""

LONGEST_SNOOZE_NS = 366 * 86_400 * 10**9

Send = Callable[..., None]


class _Refused(Exception):
    """What was found, and what was wanted."""


def answer_about_alerts(node: Node, verb: str, asked: Asked, received_ns: int, send: Send) -> ResponsePayload:
    """Answer a request about alerts; `send` tells subscribers what follows from it."""
    if node.desk is None:
        return ResponsePayload(verb=verb, id=asked.id, error="no history of alerts is kept here")
    # Later than all that was told: a wish changes nothing of the past.
    is_wall = node.resolved.config.node.clock == "wall"
    now_ns = max(received_ns if is_wall else node.now_ns(), node.render_state.newest_alert_ns + 1)
    try:
        told = _do(node, node.desk, asked, now_ns, send)
    except (_Refused, StorageError) as fault:
        return ResponsePayload(verb=verb, id=asked.id, error=" ".join(str(fault).split())[:200])
    return ResponsePayload(verb=verb, id=asked.id, **told)


def _do(node: Node, desk: Desk, asked: Asked, now_ns: int, send: Send) -> dict[str, Any]:
    match asked:
        case AlertsRequest():
            return _history(node, desk, asked)
        case AcknowledgeRequest():
            return _acknowledge(node, desk, asked, now_ns, send)
        case SnoozeRequest():
            return _snooze(node, desk, asked, now_ns, send)
        case MaintenanceRequest():
            return _maintain(node, desk, asked, now_ns, send)
        case LabelRequest():
            return _label(node, desk, asked, now_ns)
        case _:
            raise _Refused("no such request")


# --- the history ------------------------------------------------------------------------------------------------


def _history(node: Node, desk: Desk, asked: AlertsRequest) -> dict[str, Any]:
    """Give a page of the history."""
    desk.note(node.context, node.render_state, node.state, node.now_ns())
    most = MAX_PAGE_WITH_READINGS if asked.readings else MAX_PAGE
    limit = min(asked.limit, most)
    rows = desk.ledger.history(asked.start, limit + 1, stream=asked.stream, is_labelled=asked.labelled)
    page = [_entry(node, desk, row, with_readings=asked.readings) for row in rows[:limit]]
    following = page[-1].number if len(rows) > limit else None
    return {"count": desk.ledger.count(), "alerts": page, "next": following}


def _entry(node: Node, desk: Desk, row: dict[str, Any], *, with_readings: bool) -> HistoryEntry:
    taken_ns = row["acknowledged_ns"]
    return HistoryEntry(
        number=row["number"],
        table=row["table"],
        muted=bool(row["muted"]),
        alert=cast("Any", msgspec.Raw(row["payload"])),  # as it was told, by whatever version
        acknowledged=None if taken_ns is None else format_instant(taken_ns),
        acknowledged_by=row["acknowledged_by"],
        label=row["label"],
        note=row["note"],
        readings=(_readings(node, desk, row["id"]) or UNSET) if with_readings else UNSET,
    )


def _readings(node: Node, desk: Desk, name: str) -> ReadingsAround | None:
    row = desk.readings(node.state, name)
    if row is None:
        return None
    whole, rest = divmod(row.period_ns, 10**9)
    return ReadingsAround(
        first=format_instant(row.first_ns),
        period_s=row.period_ns / 1e9 if rest else whole,
        onset=row.onset,
        values=numbers(row),
    )


# --- wishes -----------------------------------------------------------------------------------------------------


def _acknowledge(
    node: Node, desk: Desk, asked: AcknowledgeRequest, now_ns: int, send: Send
) -> dict[str, Any]:
    """Note that somebody knows of open alerts; the first word stands."""
    _check_one(asked.alert, asked.stream)
    names = [asked.alert] if asked.alert else _open_of(node, asked.stream or "")
    if not names:
        raise _Refused(
            f"the stream {asked.stream} has no open alert; bridge/alerts lists those that are open"
        )
    since = [_acknowledge_one(node, desk, name, Acknowledgement(now_ns, asked.by), send) for name in names]
    return {"acknowledged": format_instant(since[0])}


def _acknowledge_one(node: Node, desk: Desk, name: str, taken: Acknowledgement, send: Send) -> int:
    """Note that somebody knows of an open alert → since when (ns)."""
    before = desk.acknowledged.get(name)
    if before is not None:
        return before.time_ns
    told = desk.acknowledge(node.context, node.render_state, name, taken)
    if not told:
        raise _Refused(f"no open alert has the id {name}; bridge/alerts lists those that are open")
    send(*told)
    return taken.time_ns


def _check_one(alert: str | None, stream: str | None) -> None:
    if (alert is None) is (stream is None):
        raise _Refused("wanted one of alert (its id) and stream (its id)")


def _open_of(node: Node, stream: str) -> list[str]:
    """List the open alerts of a stream, newest first."""
    index = node.state.registry.index_of(stream)
    if index is None:
        raise _Refused(f"there is no stream {stream}; bridge/request/streams lists them")
    view = node.render_state.views.get(index)
    found = [standing.alert for standing in view.open.values()] if view else []
    return [one.id for one in sorted(found, key=lambda one: (one.opened, one.id), reverse=True)]


def _snooze(node: Node, desk: Desk, asked: SnoozeRequest, now_ns: int, send: Send) -> dict[str, Any]:
    """Tell no alerts of something for a while."""
    if asked.cancel is not None:
        return _cancel(node, desk, asked.cancel, now_ns, send)
    if not (asked.stream or asked.table or asked.kind):
        raise _Refused("nothing is named that is to be silent; wanted stream, table or kind")
    window = Window(
        begin=format_instant(now_ns),
        end=format_instant(_until_ns(asked, now_ns)),
        streams=(asked.stream,) if asked.stream else (),
        table=asked.table,
        kind=asked.kind,
        not_before_ns=now_ns,
    )
    return _wish(node, desk, "snooze", window, asked.by, now_ns, send)


def _until_ns(asked: SnoozeRequest, now_ns: int) -> int:
    if (asked.duration is None) is (asked.until is None):
        raise _Refused("wanted one of duration (such as 2h) and until (such as 2026-03-01T10:00:00Z)")
    if asked.duration is not None:
        length_ns = parse_duration(asked.duration)
        if length_ns is None:
            raise _Refused(f"{asked.duration!r} is no duration; wanted {WANTED}")
        until_ns = now_ns + length_ns
    else:
        found = parse_instant(asked.until)
        if found is None:
            raise _Refused(f"{asked.until!r} is no time; wanted ISO 8601, such as 2026-03-01T10:00:00Z")
        until_ns = found
    if not now_ns < until_ns <= now_ns + LONGEST_SNOOZE_NS:
        given = asked.duration or asked.until
        raise _Refused(f"it would not end within the next 366 days: {given}; wanted a time that does")
    return until_ns


def _maintain(node: Node, desk: Desk, asked: MaintenanceRequest, now_ns: int, send: Send) -> dict[str, Any]:
    """Plan maintenance, or list what is planned."""
    if asked.cancel is not None:
        return _cancel(node, desk, asked.cancel, now_ns, send)
    if asked.begin is None and asked.end is None:
        return {"muting": _muting(desk, now_ns)}
    if asked.begin is None or asked.end is None:
        raise _Refused('wanted begin and end, such as "Sun 02:00" and "Sun 04:00"')
    window = Window(
        begin=asked.begin,
        end=asked.end,
        streams=tuple(asked.streams),
        table=asked.table,
        kind=asked.kind,
        time_zone=asked.time_zone,
        not_before_ns=now_ns,
    )
    return _wish(node, desk, "maintenance", window, asked.by, now_ns, send)


def _wish(
    node: Node, desk: Desk, purpose: Purpose, window: Window, by: str | None, now_ns: int, send: Send
) -> dict[str, Any]:
    """Keep a wish, and tell at once what it mutes."""
    _check(node, desk, window, now_ns)
    number = desk.wish(purpose, window, by)
    send(*look(node))
    return {"number": number, "count": _fitting(node, window), "muting": _muting(desk, now_ns)}


def _fitting(node: Node, window: Window) -> int:
    """Count the streams that a window is about, of those that there are; a misspelt pattern fits none."""
    registry = node.state.registry
    return sum(
        (window.table is None or info.rule == window.table)
        and (not window.streams or any(fnmatchcase(info.id, pattern) for pattern in window.streams))
        for index, info in enumerate(registry.infos)
        if index not in registry.hidden
    )


def _check(node: Node, desk: Desk, window: Window, now_ns: int) -> None:
    """Refuse what would mute nothing, or be one too many."""
    if fault := fault_of(window):
        raise _Refused(f"this is no window of time: {fault}")
    known = {"table": list(node.context.rules), "kind": [str(kind) for kind in AlertKind]}
    for key, names in known.items():
        found = getattr(window, key)
        if found is not None and found not in names:
            raise _Refused(f"there is no {key} {found!r}; wanted one of {', '.join(names)}")
    if len(desk.wishes.current(now_ns)) >= MOST_ASKED:
        raise _Refused(f"there are {MOST_ASKED} already; cancel some")


def _cancel(node: Node, desk: Desk, number: int, now_ns: int, send: Send) -> dict[str, Any]:
    if not desk.end(number, now_ns):
        raise _Refused(f"none has the number {number}; bridge/request/maintenance without a begin lists all")
    send(*look(node))
    return {"number": number, "muting": _muting(desk, now_ns)}


def _muting(desk: Desk, now_ns: int) -> list[WishEntry]:
    configured = [(None, "maintenance", window, None) for window in desk.wishes.maintenance]
    asked = [(wish.number, wish.purpose, wish.window, wish.by) for wish in desk.wishes.current(now_ns)]
    return [
        WishEntry(
            number=number,
            purpose=cast("Any", purpose),
            begin=window.begin,
            end=window.end,
            time_zone=window.time_zone,
            streams=window.streams,
            table=window.table,
            kind=window.kind,
            by=by,
        )
        for number, purpose, window, by in [*configured, *asked][:MOST_ASKED]
    ]


def _label(node: Node, desk: Desk, asked: LabelRequest, now_ns: int) -> dict[str, Any]:
    """Keep what an alert was, in hindsight."""
    _check_one(asked.alert, asked.stream)
    desk.note(node.context, node.render_state, node.state, now_ns)
    name = asked.alert or _newest_of(node, desk, asked.stream or "")
    if not desk.ledger.known([name]):
        raise _Refused(f"the history holds no alert with the id {name}")
    label = None if asked.label == "none" else asked.label
    if not desk.label(name, label, asked.note, asked.by, now_ns):
        raise _Refused(f"there are {MOST_LABELS} labels already; export them, and take some back")
    return {}


def _newest_of(node: Node, desk: Desk, stream: str) -> str:
    """Find the newest alert of a stream, one that is open before others."""
    if names := _open_of(node, stream):
        return names[0]
    rows = desk.ledger.history(None, 1, stream=stream)
    if not rows:
        raise _Refused(f"the history holds no alert of the stream {stream}")
    return str(rows[0]["id"])
