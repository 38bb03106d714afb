"""The daemon: one thread that owns the state, and the loop that moves it.

    wait ─▶ read all that is there ─▶ accept ─▶ advance ─▶ render ─▶ publish
                                        └─▶ group commit: journal + fdatasync ─▶ PUBACKs, alerts

While a batch is in work the next one gathers: batches grow by themselves with the load, without a timer. Everything
that happens is a value in the inbox and is taken in order. When a commit is due, and what must wait for it, is told in
edgeseq.commits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec import UNSET

from edgeseq import __version__
from edgeseq.adapters import mqtt
from edgeseq.adapters.filewatch import FileWatch
from edgeseq.adapters.inbox import Inbox
from edgeseq.adapters.journal import Record
from edgeseq.adapters.log import Log, OncePerMinute, open_log
from edgeseq.adapters.metrics import Metrics
from edgeseq.adapters.schedule import LookForChanges, ReportHealth, Schedule, TakeSnapshot
from edgeseq.adapters.sdnotify import Notifier
from edgeseq.commits import GroupCommit
from edgeseq.compose import Node, hand_over_desk, is_journaling, look, note, open_node, renew_node
from edgeseq.config import load_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.core.bridge import bridge_event, bridge_response, bridge_state
from edgeseq.core.payloads import HealthPayload
from edgeseq.core.pipeline import accept, advance, resume, tick
from edgeseq.core.render import announce
from edgeseq.core.types import Event, Message, Outgoing, Reload, Scrape, Stop, Tick
from edgeseq.errors import ConfigError, EdgeseqError, InternalError, StorageError
from edgeseq.failpoint import reach
from edgeseq.linking import link_settings, open_link, tell_fault
from edgeseq.reporting import health, health_of, info, tell_events, tell_rejections
from edgeseq.requests import Gate, answer, parted
from edgeseq.snapshots import EarlySnapshots
from edgeseq.stale import Staleness
from edgeseq.telling import Telling

if TYPE_CHECKING:
    from edgeseq.core.exposition import Figures
    from edgeseq.homeassistant import Discovery
    from edgeseq.updates import Updates

MAX_BATCH = 512
"""Messages taken at once; more would only make the first of them wait longer."""

WAIT_S = 1.0
LONGEST_STALL_S = 10.0
"""An inbox whose oldest value is older makes no progress: the watchdog is not fed."""

CLOCK_STEP_NS = 10 * 10**9
"""Less is slewing, or a machine that slept for a moment."""

STORAGE_RETRY_S = (1.0, 30.0)
RETAIN_HEALTH_EVERY = 10
"""Reports of health; the broker writes what is retained to its disk."""

SIGNALS = {signal.SIGTERM: Stop("SIGTERM"), signal.SIGINT: Stop("SIGINT"), signal.SIGHUP: Reload()}


class CaughtUp(msgspec.Struct, frozen=True):
    """What had gathered while the disk refused has been taken; silence is counted anew from here."""


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
                self.bound_journal()
            if items := self.inbox.take(MAX_BATCH):
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
                tell_fault(self.log, self.node.resolved, item)

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
        self.listen_from(time.time_ns(), is_new_session=not is_session_present)
        self.node.had_session = True
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
        if is_new_session and self.group.mode == "none" and self.node.had_session:
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
        is_retained = is_last or self.reports % RETAIN_HEALTH_EVERY == 0
        self.send(msgspec.structs.replace(health(self.node, payload), retain=is_retained))
        if is_retained:
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

    def commit_if_strict(self) -> None:
        """Commit before anything is told, where that was asked for."""
        if self.group.mode == "strict":
            self.commit()

    def commit_all(self) -> None:
        """Commit what waits, if anything does."""
        if self.group.has_records:
            self.commit()

    def write(self, records: Sequence[Record]) -> None:
        """Write to the journal. While the disk refuses, wait and try again: nothing is acknowledged until it works.

        Raises StorageError only when told to stop meanwhile.
        """
        store = self.node.store
        if store is None:
            return
        delay_s, longest_s = STORAGE_RETRY_S
        while True:
            try:
                store.commit(records)
                break
            except StorageError as fault:
                self.metrics.storage_faults += 1
                if self.stop_reason is not None or self.inbox.has(Stop):
                    raise
                self.log("storage.failed", error=str(fault), retry_s=delay_s)
                self.notifier.status(f"waiting for the disk: {fault.found}")
                self.hold(delay_s)
                delay_s = min(2 * delay_s, longest_s)
        if delay_s > STORAGE_RETRY_S[0]:
            self.log("storage.recovered")
            self.notifier.status(self.status())
            self.inbox.put(CaughtUp())

    def hold(self, duration_s: float) -> None:
        """Keep the connection alive for a while without taking anything; waiting is progress, too."""
        end_s = time.monotonic() + duration_s
        while (rest_s := end_s - time.monotonic()) > 0 and not self.inbox.has(Stop):
            self.link.wait(min(rest_s, WAIT_S))
            self.notifier.watchdog()

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
        self.metrics.snapshots += 1
        self.log("snapshot.taken")
        return True

    def bound_journal(self) -> None:
        """Take a snapshot early. Where none can be taken the journal grows to its bound; then nothing more is taken."""
        delay_s, longest_s = STORAGE_RETRY_S
        most_bytes = self.node.resolved.config.journal.max_bytes
        while not self.take_snapshot() and self.node.store and self.node.store.journal_bytes > most_bytes:
            if self.inbox.has(Stop):
                return
            self.notifier.status("waiting for the disk: the journal is full, and no snapshot can be taken")
            self.hold(delay_s)
            delay_s = min(2 * delay_s, longest_s)
        self.notifier.status(self.status())

    def status(self) -> str:
        """Put it in a line for systemctl status."""
        return f"{self.node.state.registry.streams} streams of {len(self.node.resolved.rules)} rules"

    # --- beginning, changing, ending

    def start(self) -> None:
        """Be ready: bundles are verified and the state is restored; the broker may come when it likes."""
        for number, item in SIGNALS.items():
            signal.signal(number, lambda *_, item=item: self.inbox.put(item))
        note(self.node)
        self.send(*self.node.backlog, *look(self.node))
        self.node.backlog = []
        self.schedule.start()
        self.log(
            "daemon.ready", streams=self.node.state.registry.streams, rules=len(self.node.resolved.rules)
        )
        self.notifier.ready(self.status())

    def look(self, asked: Reload | LookForChanges) -> None:
        """Reload where somebody says so, or a file has changed."""
        if isinstance(asked, Reload) or self.files.is_changed():
            self.reload()

    def reload(self) -> None:
        """Take a new configuration and new bundles into force, or keep what is if anything about them is wrong."""
        self.notifier.reloading()
        self.commit_all()
        try:
            resolved = with_updates(read_config(self.path), self.log)
            _require_same_place(self.node.resolved, resolved)
            node = renew_node(self.node, resolved, self.log)
            self.telling.follow(resolved)
            link = self.link
            if link_settings(node) != link.settings:
                link = open_link(node, self.inbox, generation=link.generation)
            node.keep(self.link.unacknowledged())
        except EdgeseqError as fault:
            with contextlib.suppress(ConfigError):  # somebody else has taken the address meanwhile
                self.telling.follow(self.node.resolved)
            self.log("config.rejected", path=str(self.path), error=str(fault))
        else:
            self.change_to(node, link)
            self.log("config.reloaded", path=str(self.path), rules=len(resolved.rules))
        self.notifier.ready(self.status())

    def renew(self, resolved: Resolved, settle: Callable[[], None]) -> bool:
        """Let other bundles serve: the state is kept for them, then `settle` makes it count. False where that fails."""
        self.commit_all()
        try:
            node = renew_node(self.node, resolved, self.log)
            node.keep(self.link.unacknowledged())
            reach("update.renewed")
            settle()
        except EdgeseqError as fault:
            self.log("update.refused", reason=str(fault))
            return False
        self.change_to(node, self.link)
        return True

    def change_to(self, node: Node, link: mqtt.Link) -> None:
        """Put a new configuration into force."""
        if link is not self.link:
            waiting = self.link.hand_over()
            self.link.close(timeout_s=0.0)
            self.link = link
            self.send(*waiting)
        hand_over_desk(self.node, node)
        old, self.node, self.group = self.node.resolved, node, group_commit(node.resolved)
        self.updates = open_updates(self, self.updates)
        self.discovery = open_discovery(node)
        self.files = FileWatch(watched(self.path, node.resolved))
        self.log = open_log(node.resolved.config.log.level)
        if node.resolved.snapshot_every_s != old.snapshot_every_s:
            self.schedule.stop()
            self.schedule = Schedule(self.inbox.put, snapshot_every_s=node.resolved.snapshot_every_s)
            self.schedule.start()
        self.send(*look(node), info(node), *announce(node.context, node.render_state))

    def finish(self) -> None:
        """Take the messages that still wait: of QoS 0 nobody would send them again. Raises StorageError."""
        while items := self.inbox.take(MAX_BATCH):
            if isinstance(items[0], mqtt.Deliveries | mqtt.Connected):
                self.take(items)
        self.commit_all()

    def shed(self) -> None:
        """Count what was read and cannot be applied, and what waits unread and nobody will send again (QoS 0)."""
        self.node.state.counts.shed += self.node.state.counts.pending
        while items := self.inbox.take(MAX_BATCH):
            runs = [item.messages for item in items if isinstance(item, mqtt.Deliveries)]
            lost = sum(not message.mid for messages in runs for message in messages)
            self.node.state.counts.received += lost
            self.node.state.counts.shed += lost

    def stop(self) -> None:
        """Take what waits, tell everybody, keep the state, and go.

        Raises StorageError where the disk takes no more, or the state could not be kept at all.
        """
        self.notifier.stopping()
        self.schedule.stop()
        self.telling.close()
        try:
            self.finish()
        except StorageError:
            self.shed()
            self.report(is_last=True)
            raise
        self.report(is_last=True)
        self.link.close([bridge_state(self.node.context.root, "stopped")])
        self.node.is_at_rest = True
        is_kept = self.take_snapshot() or is_journaling(self.node.resolved)
        if self.node.desk:
            self.node.desk.close(self.node.state, self.node.now_ns())
        if self.node.store:
            self.node.store.close()
        if not is_kept:
            raise StorageError("the state could not be kept", where=str(self.node.resolved.state_dir))
        self.log("daemon.stopped", reason=self.stop_reason)


def run(path: Path) -> None:
    """Run the daemon until it is told to stop.

    Raises:
        OperatorError: a human must change something.
        StorageError: told to stop while the disk refuses; nothing that was acknowledged is lost.
        InternalError: a bug.
    """
    resolved = read_config(path)
    log = open_log(resolved.config.log.level)
    log("daemon.started", version=__version__, config=str(path), state_dir=str(resolved.state_dir))
    node = open_node(with_updates(resolved, log), state_dir=resolved.state_dir, log=log)
    daemon = Daemon(path, node, log, Notifier(os.environ.get("NOTIFY_SOCKET")))
    try:
        daemon.start()
        daemon.loop()
        daemon.stop()
    except EdgeseqError:
        raise
    except Exception as fault:
        log("daemon.failed", exc_info=fault)
        raise InternalError("the daemon failed", found=f"{type(fault).__name__}: {fault}") from fault


def read_config(path: Path) -> Resolved:
    """Read and resolve the configuration file. Raises ConfigError."""
    return resolve(load_config(path), path.parent, name=path.name)


def open_discovery(node: Node) -> Discovery | None:
    """Begin to tell Home Assistant of the streams, or to take away what it was told of them before."""
    if not (node.resolved.config.homeassistant.discovery or node.announced):
        return None
    from edgeseq.homeassistant import Discovery  # of no use to others

    return Discovery(node)


def open_updates(daemon: Daemon, before: Updates | None = None) -> Updates | None:
    """Take bundles over the air, where the configuration lets them; goes on with what is being received."""
    if not daemon.node.resolved.config.node.updates:
        return None
    from edgeseq.updates import Updates  # of no use to others

    return Updates(daemon, before)


def with_updates(resolved: Resolved, log: Log) -> Resolved:
    """Let bundles that came over the air serve, where the configuration lets them."""
    if not resolved.config.node.updates:
        return resolved
    from edgeseq.updates.slots import overlaid

    return overlaid(resolved, log)


def watched(path: Path, resolved: Resolved) -> list[Path]:
    """List the files whose replacement asks for a reload: the configured bundles too, where others stand in."""
    return [path, *dict.fromkeys([*resolved.configured.values(), *resolved.bundles.values()])]


def group_commit(resolved: Resolved) -> GroupCommit:
    """Begin with nothing to be committed."""
    settings = resolved.config.journal
    return GroupCommit(settings.durability, resolved.commit_every_s, resolved.config.mqtt.inflight)


def _require_same_place(old: Resolved, new: Resolved) -> None:
    """Refuse by a reload what would leave topics or files of the old configuration behind."""
    pairs = {
        "node.name": (old.config.node.name, new.config.node.name),
        "node.state_dir": (str(old.state_dir), str(new.state_dir)),
        "mqtt.topic_prefix": (old.config.mqtt.topic_prefix, new.config.mqtt.topic_prefix),
    }
    for where, (present, wished) in pairs.items():
        if present != wished:
            raise ConfigError(
                "this can only be changed by a restart",
                where=where,
                found=wished,
                wanted=present,
                do="restart edgeseq",
            )
