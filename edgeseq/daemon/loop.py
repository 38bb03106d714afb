"""The loop: one thread that owns the state, and what moves it.

    wait ─▶ read all that is there ─▶ accept ─▶ advance ─▶ render ─▶ publish
                                        └─▶ group commit: journal + fdatasync ─▶ PUBACKs, alerts

While a batch is in work the next one gathers: batches grow by themselves with the load, without a timer. Everything
that happens is a value in the inbox and is taken in order. When a commit is due, and what must wait for it, is told in
edgeseq.commits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec import UNSET

from edgeseq.adapters import mqtt
from edgeseq.adapters.filewatch import FileWatch
from edgeseq.adapters.inbox import Inbox
from edgeseq.adapters.journal import Record
from edgeseq.adapters.log import Log, OncePerMinute
from edgeseq.adapters.metrics import Metrics
from edgeseq.adapters.schedule import LookForChanges, ReportHealth, Schedule, TakeSnapshot
from edgeseq.adapters.sdnotify import Notifier
from edgeseq.compose import Node, look, note
from edgeseq.config.resolve import Resolved
from edgeseq.core.bridge import bridge_event, bridge_response, bridge_state
from edgeseq.core.payloads import HealthPayload
from edgeseq.core.pipeline import accept, advance, resume, tick
from edgeseq.core.render import announce
from edgeseq.core.types import Event, Message, Outgoing, Reload, Scrape, Stop, Tick
from edgeseq.daemon.batches import next_batch
from edgeseq.daemon.changes import reload, renew
from edgeseq.daemon.parts import group_commit, open_discovery, open_updates, watched
from edgeseq.daemon.storing import CaughtUp, bound_journal, write
from edgeseq.errors import StorageError
from edgeseq.failpoint import reach
from edgeseq.linking import open_link, take_fault
from edgeseq.reporting import health, health_of, info, tell_events, tell_rejections
from edgeseq.requests import Gate, answer, parted
from edgeseq.snapshots import EarlySnapshots
from edgeseq.stale import Staleness
from edgeseq.telling import Telling

if TYPE_CHECKING:
    from edgeseq.core.exposition import Figures

WAIT_S = 1.0
LONGEST_STALL_S = 10.0
"""An inbox whose oldest value is older makes no progress: the watchdog is not fed."""

CLOCK_STEP_NS = 10 * 10**9
"""Less is slewing, or a machine that slept for a moment."""

RETAIN_HEALTH_EVERY = 10
"""Reports of health; the broker writes what is retained to its disk."""


def is_kept(report: int) -> bool:
    """Tell whether a report of health is retained: each of the first ones, else a start's zeros would stand long.

    >>> [report for report in range(1, 31) if is_kept(report)]
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30]
    """
    return report < RETAIN_HEALTH_EVERY or report % RETAIN_HEALTH_EVERY == 0


class Daemon:
    """All parts of a running node; `loop` is the program."""

    def __init__(self, path: Path, node: Node, log: Log, notifier: Notifier) -> None:
        self.path = path
        self.node = node
        self.log = log
        self.notifier = notifier
        self.inbox = Inbox()
        self.link = open_link(node, self.inbox)
        self.schedule = Schedule(self.inbox.put, snapshot_every_s=node.resolved.snapshot_every_s)
        self.files = FileWatch(watched(path, node.resolved))
        self.metrics = Metrics()
        self.telling = Telling(node.resolved, self.inbox.put, log)
        self.gate = Gate()
        self.discovery = open_discovery(node)
        self.group = group_commit(node.resolved)
        self.limit = OncePerMinute()
        self.early = EarlySnapshots()
        self.early.measured(*node.replayed)
        self.reports = 0
        self.updates = open_updates(self)
        self.staleness = Staleness()
        self.stop_reason: str | None = None
        self.clock_offset_ns = time.time_ns() - time.monotonic_ns()

    def loop(self) -> None:
        """Take what happens, in order, until told to stop."""
        while self.stop_reason is None:
            due_s = self.group.wait_s(time.monotonic())
            self.link.wait(0.0 if len(self.inbox) else WAIT_S if due_s is None else min(due_s, WAIT_S))
            # What was made of the last batch is on its way: no forecast waits for the disk.
            if self.group.wait_s(time.monotonic()) == 0.0:
                self.commit()
            if self.early.is_due(self.node.store, time.monotonic()):
                bound_journal(self)
            if items := next_batch(self.inbox):
                self.take(items)

    def take(self, items: list[object]) -> None:
        """Do what a run of values of one type asks for."""
        self.notice_clock_step()
        match items[0]:
            case mqtt.Deliveries():
                self.take_messages(cast("list[mqtt.Deliveries]", items))
            case Tick(now_ns):
                self.take_tick(now_ns)
            case mqtt.Connected(is_session_present):
                self.greet(is_session_present=is_session_present)
            case TakeSnapshot():
                self.take_snapshot()
            case ReportHealth():
                self.report()
            case Scrape(is_openmetrics):
                self.telling.answer(self.figures(), is_openmetrics=is_openmetrics)
            case Reload() | LookForChanges() as asked:
                self.look(asked)
            case CaughtUp():
                self.listen_from(time.time_ns())
            case Stop(reason):
                self.stop_reason = reason
            case item:
                take_fault(self.log, self.node, item)

    # --- what happens

    def take_messages(self, deliveries: list[mqtt.Deliveries]) -> None:
        """Let messages move the state; the broker is told when they are durable."""
        messages, asked = parted(self.node, [message for found in deliveries for message in found.messages])
        messages, sent = self.updates.parted(messages) if self.updates else (messages, [])
        if self.discovery:
            messages = self.discovery.parted(messages)
        state, began_s = self.node.state, time.perf_counter()
        batch = accept(state, messages)
        reach("messages.accepted")
        self.group.take_batch(batch, deliveries, time.monotonic())
        self.commit_if_strict()
        late = state.counts.late
        events = advance(state, batch.readings)
        reach("state.advanced")
        self.publish(events)
        if batch.asks:
            self.send(*batch.asks)
        reach("events.published")
        self.metrics.count_batch(len(messages), time.perf_counter() - began_s)
        late = state.counts.late - late
        tell_rejections(
            self.log, self.limit, batch.rejections, late=late, topic=messages[-1].topic if messages else ""
        )
        if not self.group.has_records:
            self.commit()
        self.answer(asked)
        if self.updates and sent:
            self.updates.take(sent)

    def answer(self, asked: list[Message]) -> None:
        """Answer what others ask of the node, after what came before it and with it."""
        for message in asked:
            told = answer(self.gate, self.node, message, self.health, self.take_snapshot, self.send)
            is_answered = told is not None and told.error is UNSET
            self.metrics.requests += is_answered
            self.metrics.requests_refused += not is_answered
            if told is not None:
                self.send(bridge_response(self.node.context.root, told))

    def take_tick(self, now_ns: int) -> None:
        """Let time go on. While nobody listens, silence says nothing about the sensors."""
        if self.link.is_connected and (events := tick(self.node.state, now_ns)):
            self.group.take_moment(Record(tick_ns=now_ns), time.monotonic())
            self.commit_if_strict()
            self.publish(events)
        self.send(*look(self.node))
        if self.discovery and self.link.is_connected:
            self.send(*self.discovery.look())
        if self.updates:
            self.updates.look()
        if self.inbox.oldest_age_s() < LONGEST_STALL_S:
            self.notifier.watchdog()

    def greet(self, *, is_session_present: bool) -> None:
        """Begin to listen on a new connection, and tell who we are."""
        host = self.node.resolved.config.mqtt.host
        self.metrics.connections += 1
        self.log("broker.connected", host=host, is_session_present=is_session_present)
        if self.node.had_session and not is_session_present:
            self.metrics.sessions_lost += 1
            self.log("session.lost", host=host, client_id=self.node.resolved.client_id)
        self.node.had_session = True  # which is made durable with what follows
        self.listen_from(time.time_ns(), is_new_session=not is_session_present)
        self.send(bridge_state(self.node.context.root, "online"))
        self.send(info(self.node))
        self.send(health(self.node, self.health()))
        self.send(*announce(self.node.context, self.node.render_state))
        if self.discovery:
            self.discovery.begin()

    def notice_clock_step(self) -> None:
        """Count silence anew when the system clock was set: a device without RTC starts years in the past."""
        offset_ns = time.time_ns() - time.monotonic_ns()
        step_ns, self.clock_offset_ns = offset_ns - self.clock_offset_ns, offset_ns
        if abs(step_ns) > CLOCK_STEP_NS:
            self.log("clock.stepped", step_s=step_ns / 1e9)
            if self.node.had_session:  # before the first connection nothing counts
                self.listen_from(time.time_ns())

    def listen_from(self, now_ns: int, *, is_new_session: bool = False) -> None:
        """Count silence from now on.

        That a session begins is durable before its first message moves anything: the same packet ids come again in it,
        and a start must not take them for those of the session before.
        """
        session = self.node.state.session + 1 if is_new_session else None
        self.group.take_moment(Record(resumed_ns=now_ns, session=session), time.monotonic())
        # Nor may a start take what decoders knew at rest for what they know after messages that nobody kept.
        if is_new_session or self.node.state.registry.memories:
            self.commit_all()
        self.commit_if_strict()
        resume(self.node.state, now_ns, session)
        if is_new_session and self.group.mode == "none":
            self.take_snapshot()

    def report(self, *, is_last: bool = False) -> None:
        """Publish health; now and then, and at the end, retained and with a summary in the log."""
        payload = self.health()
        self.reports += 1
        for event in self.staleness.look(self.node):
            self.log("model.outdated", bundle=event.bundle, streams=event.streams, count=event.count)
            self.send(bridge_event(self.node.context.root, event))
        if self.telling.textfile:
            self.telling.write(self.figures(payload))
        is_retained = is_last or is_kept(self.reports)
        self.send(msgspec.structs.replace(health(self.node, payload), retain=is_retained))
        if is_last or self.reports % RETAIN_HEALTH_EVERY == 0:
            counters = {**msgspec.to_builtins(payload), **self.metrics.fields()}
            told = ("published", "superseded", "malformed", "too_large")
            link = {name: getattr(self.link, name) for name in told}
            self.log("daemon.summary", **link, **counters)

    def health(self) -> HealthPayload:
        """Put together how the node fares."""
        return health_of(self.node, self.metrics, self.link, inbox_messages=len(self.inbox))

    def figures(self, payload: HealthPayload | None = None) -> Figures:
        """Collect the metrics."""
        from edgeseq.measures import figures  # only where somebody wants them

        return figures(
            self.node, self.metrics, self.link, payload or self.health(), oldest_s=self.inbox.oldest_age_s()
        )

    # --- doing it

    def publish(self, events: list[Event]) -> None:
        """Tell subscribers, and the log where an operator will want to know; alerts when they are durable."""
        tell_events(self.limit.bounded(self.log, time.monotonic()), self.node, events)
        outgoing = self.node.render(events)
        if self.group.has_records:
            self.group.alerts += [out for out in outgoing if out.alert_id is not None]
            outgoing = [out for out in outgoing if out.alert_id is None]
        else:
            note(self.node)
        self.send(*outgoing)

    def send(self, *outgoing: Outgoing) -> None:
        """Hand over messages; alerts beyond the outbox's bound are told to be lost."""
        dropped = self.link.alerts_dropped
        self.link.publish(outgoing)
        if self.link.alerts_dropped > dropped and self.limit.allow("outbox", time.monotonic()) is not None:
            self.log("alert.dropped", alerts_dropped=self.link.alerts_dropped)

    def commit(self) -> None:
        """Make durable what the state has taken; then acknowledge it, and tell what waited for that."""
        if self.group.has_records:
            self.write(self.group.records())
        note(self.node)
        deliveries, alerts = self.group.committed(time.monotonic())
        self.link.acknowledge(deliveries)
        reach("messages.acknowledged")
        if alerts:
            self.send(*alerts)
            reach("alerts.published")

    def write(self, records: Sequence[Record]) -> None:
        """Write to the journal, however long the disk refuses. Raises StorageError only when told to stop meanwhile."""
        write(self, records)

    def commit_if_strict(self) -> None:
        """Commit before anything is told, where that was asked for."""
        if self.group.mode == "strict":
            self.commit()

    def commit_all(self) -> None:
        """Commit what waits, if anything does."""
        if self.group.has_records:
            self.commit()

    def take_snapshot(self) -> bool:
        """Keep the whole state; where the disk refuses, the journal goes on."""
        self.commit_all()
        try:
            self.node.keep(self.link.unacknowledged())
        except StorageError as fault:
            self.metrics.storage_faults += 1
            self.early.failed(time.monotonic())
            self.log("snapshot.failed", error=str(fault))
            return False
        if self.node.desk:
            self.node.desk.settle()
        self.early.is_wanted = False
        self.metrics.snapshots += 1
        self.log("snapshot.taken")
        return True

    def status(self) -> str:
        """Put it in a line for systemctl status."""
        return f"{self.node.state.registry.streams} streams of {len(self.node.resolved.rules)} rules"

    # --- changing

    def look(self, asked: Reload | LookForChanges) -> None:
        """Reload where somebody says so, or a file has changed."""
        if isinstance(asked, Reload) or self.files.is_changed():
            reload(self)

    def renew(self, resolved: Resolved, settle: Callable[[], None]) -> bool:
        """Let other bundles serve: the state is kept for them, then `settle` makes it count. False where that fails."""
        return renew(self, resolved, settle)
