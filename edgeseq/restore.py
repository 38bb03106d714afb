"""Reading a node back: the newest snapshot, and everything that the journals hold since, in large batches.

Cutting a batch anywhere changes nothing, and so does joining: records without anything else between them go through
the core together, which costs a fifth of taking them one by one. Alerts are made again as they were told, with the same
bytes; of forecasts and estimates only each stream's newest becomes a message.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import msgspec

from edgeseq.adapters.journal import Record
from edgeseq.adapters.log import Log
from edgeseq.core import keeping, pipeline
from edgeseq.core.packing import join
from edgeseq.core.pipeline import State
from edgeseq.core.types import Counts, Estimate, Event, Forecast, Outgoing, Readings, StreamInfo
from edgeseq.recovery import Found


class Node(Protocol):
    """What is filled: compose.Node."""

    state: State
    had_session: bool
    backlog: list[Outgoing]
    replayed: tuple[int, float]
    old_filters: tuple[str, ...]
    announced: dict[str, dict[str, Any]]

    @property
    def fingerprint(self) -> dict[str, str]:
        """Name what computes the state."""
        ...

    def render(self, events: Iterable[Event]) -> list[Outgoing]:
        """Turn events into messages."""
        ...


MOST_JOINED = 4_096
"""Readings that go through the core together: larger batches are slower, and take memory."""

Batch = tuple[list[StreamInfo], Readings]


def restore(node: Node, found: Found, log: Log) -> None:
    """Fill the node from what the state folder held."""
    waiting: dict[tuple[str, bytes], Outgoing] = {}
    content: dict[str, Any] = {"had_session": False}
    if found.snapshot:
        # A snapshot without the mark was made before there was one: by a daemon, most likely.
        content = {"had_session": True, **found.snapshot.content}
        tell_dropped(keeping.load(node.state, content["core"], found.snapshot.arrays), log)
        if found.records or not content.get("is_at_rest", False):
            pipeline.distrust(node.state)
        node.old_filters = tuple(content["filters"])
        node.announced = content.get("announced", {})
        for out in msgspec.convert(content["outbox"], list[Outgoing]):
            waiting[_identity(out)] = out
        if found.snapshot.fingerprint != node.fingerprint:
            log("state.carried", found=found.snapshot.fingerprint, here=node.fingerprint)
    # What subscribers were told before is not told again, only remembered.
    node.render(pipeline.describe(node.state))
    held = {
        "snapshot_streams": node.state.registry.streams,
        "snapshot_readings": sum(int(group.table["arrivals"].sum()) for group in node.state.groups),
    }
    begun_s = time.monotonic()
    readings = 0
    lost: list[str] = []
    newest: dict[tuple[type, int], Event] = {}
    for item in joined(found.records):
        readings += len(item[1]) if isinstance(item, tuple) else 0
        for out in node.render(_keep_newest(_recover(node.state, item), newest)):
            waiting[_identity(out)] = out
        created = item[0] if isinstance(item, tuple) else []
        lost += [info.id for info in created if node.state.registry.index_of(info.id) is None]
    for out in node.render(newest.values()):
        waiting[_identity(out)] = out
    for record in found.records:
        pipeline.recall(node.state, record.heard)
    tell_dropped(lost, log)
    node.replayed = readings, time.monotonic() - begun_s
    node.backlog = list(waiting.values())
    # Only a connected daemon writes records; a snapshot may also be of a replay. What was damaged may have said so: a
    # node that only lost its state must not take a broker that is not ready for one that never let it in.
    node.had_session = bool(found.records) or found.is_damaged or content["had_session"]
    # Counters tell what this process did.
    node.state.counts = Counts()
    replayed = {"journal_readings": readings, "journal_records": len(found.records)}
    log("state.restored", streams=node.state.registry.streams, **held, **replayed)


def joined(records: Iterable[Record], most: int = MOST_JOINED) -> Iterator[Batch | Record]:
    """Join records of readings, up to a tick or a resumption and to so many readings."""
    created: list[StreamInfo] = []
    parts: list[Readings] = []
    count = 0
    for record in records:
        is_moment = record.packed is None and not record.created
        if parts and (is_moment or count >= most):
            yield created, join(parts)
            created, parts, count = [], [], 0
        if is_moment:
            yield record
            continue
        created += record.created
        parts.append(record.readings())
        count += len(parts[-1])
    if parts:
        yield created, join(parts)


def tell_dropped(dropped: Iterable[str], log: Log) -> None:
    """Log which streams begin anew."""
    for stream in dropped:
        log("stream.dropped", stream=stream)


def _identity(out: Outgoing) -> tuple[str, bytes]:
    """Of states the latest of a topic is enough; alerts are all different."""
    return (out.topic, b"" if out.alert_id is None else out.payload)


def _keep_newest(events: Iterable[Event], newest: dict[tuple[type, int], Event]) -> list[Event]:
    """Put forecasts and estimates by, of which a stream's newest is enough; give the others."""
    others: list[Event] = []
    for event in events:
        kind = type(event)
        if kind is Forecast or kind is Estimate:
            newest[kind, event.stream] = event
        else:
            others.append(event)
    return others


def _recover(state: State, item: Batch | Record) -> list[Event]:
    if isinstance(item, tuple):
        return pipeline.recover(state, *item)
    if item.tick_ns is not None:
        return pipeline.tick(state, item.tick_ns)
    if item.resumed_ns is not None:
        pipeline.resume(state, item.resumed_ns, item.session)
    return []
