"""A daemon's life: it is made from a configuration, begins, runs its loop, and ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from edgeseq import __version__
from edgeseq.adapters import mqtt
from edgeseq.adapters.log import open_log
from edgeseq.adapters.sdnotify import Notifier
from edgeseq.compose import is_journaling, look, note, open_node
from edgeseq.core.bridge import bridge_state
from edgeseq.core.types import Reload, Stop
from edgeseq.daemon.batches import MAX_BATCH
from edgeseq.daemon.loop import Daemon
from edgeseq.daemon.parts import read_config, with_updates
from edgeseq.errors import EdgeseqError, InternalError, StorageError

SIGNALS = {signal.SIGTERM: Stop("SIGTERM"), signal.SIGINT: Stop("SIGINT"), signal.SIGHUP: Reload()}


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
        start(daemon)
        daemon.loop()
        stop(daemon)
    except EdgeseqError:
        raise
    # One of two places that may catch everything, the other is `cli.exit_code`: our bug stands in the log, as one line
    # that is found by its event. The process ends all the same, and systemd starts one from what is durable.
    except Exception as fault:
        log("daemon.failed", exc_info=fault)
        raise InternalError("the daemon failed", found=f"{type(fault).__name__}: {fault}") from fault


def start(daemon: Daemon) -> None:
    """Be ready: bundles are verified and the state is restored; the broker may come when it likes."""
    for number, item in SIGNALS.items():
        signal.signal(number, lambda *_, item=item: daemon.inbox.put(item))
    note(daemon.node)
    daemon.send(*daemon.node.backlog, *look(daemon.node))
    daemon.node.backlog = []
    daemon.schedule.start()
    daemon.log(
        "daemon.ready", streams=daemon.node.state.registry.streams, rules=len(daemon.node.resolved.rules)
    )
    daemon.notifier.ready(daemon.status())


def stop(daemon: Daemon) -> None:
    """Take what waits, tell everybody, keep the state, and go.

    Raises StorageError where the disk takes no more, or the state could not be kept at all.
    """
    daemon.notifier.stopping()
    daemon.schedule.stop()
    daemon.telling.close()
    try:
        _finish(daemon)
    except StorageError:
        _shed(daemon)
        daemon.report(is_last=True)
        raise
    daemon.report(is_last=True)
    daemon.link.close([bridge_state(daemon.node.context.root, "stopped")])
    daemon.node.is_at_rest = True
    is_kept = daemon.take_snapshot() or is_journaling(daemon.node.resolved)
    if daemon.node.desk:
        daemon.node.desk.close(daemon.node.state, daemon.node.now_ns())
    if daemon.node.store:
        daemon.node.store.close()
    if not is_kept:
        raise StorageError("the state could not be kept", where=str(daemon.node.resolved.state_dir))
    daemon.log("daemon.stopped", reason=daemon.stop_reason)


def _finish(daemon: Daemon) -> None:
    """Take the messages that still wait: of QoS 0 nobody would send them again. Raises StorageError."""
    while items := daemon.inbox.take(MAX_BATCH):
        if isinstance(items[0], mqtt.Deliveries | mqtt.Connected):
            daemon.take(items)
    daemon.commit_all()


def _shed(daemon: Daemon) -> None:
    """Count what was read and cannot be applied, and what waits unread and nobody will send again (QoS 0)."""
    daemon.node.state.counts.shed += daemon.node.state.counts.pending
    while items := daemon.inbox.take(MAX_BATCH):
        runs = [item.messages for item in items if isinstance(item, mqtt.Deliveries)]
        lost = sum(not message.mid for messages in runs for message in messages)
        daemon.node.state.counts.received += lost
        daemon.node.state.counts.shed += lost
