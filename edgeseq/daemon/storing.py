"""Keeping things on a disk that may refuse: nothing is acknowledged and nothing is taken until it works again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from edgeseq.adapters.journal import Record
from edgeseq.core.types import Stop
from edgeseq.errors import StorageError

if TYPE_CHECKING:
    from edgeseq.daemon.loop import Daemon

STORAGE_RETRY_S = (1.0, 30.0)
"""First and longest pause before the disk is tried again."""

FEED_S = 1.0
"""So often the watchdog is fed meanwhile."""


class CaughtUp(msgspec.Struct, frozen=True):
    """What had gathered while the disk refused has been taken; silence is counted anew from here."""


def write(daemon: Daemon, records: Sequence[Record]) -> None:
    """Write to the journal. While the disk refuses, wait and try again: nothing is acknowledged until it works.

    Raises StorageError only when told to stop meanwhile.
    """
    store = daemon.node.store
    if store is None:
        return
    delay_s, longest_s = STORAGE_RETRY_S
    while True:
        try:
            store.commit(records)
            break
        except StorageError as fault:
            daemon.metrics.storage_faults += 1
            if daemon.stop_reason is not None or daemon.inbox.has(Stop):
                raise
            daemon.log("storage.failed", error=str(fault), retry_s=delay_s)
            daemon.notifier.status(f"waiting for the disk: {fault.found}")
            _hold(daemon, delay_s)
            delay_s = min(2 * delay_s, longest_s)
    if delay_s > STORAGE_RETRY_S[0]:
        daemon.log("storage.recovered")
        daemon.notifier.status(daemon.status())
        daemon.inbox.put(CaughtUp())


def bound_journal(daemon: Daemon) -> None:
    """Take a snapshot early. Where none can be taken the journal grows to its bound; then nothing more is taken."""
    delay_s, longest_s = STORAGE_RETRY_S
    most_bytes = daemon.node.resolved.config.journal.max_bytes
    while not daemon.take_snapshot() and daemon.node.store and daemon.node.store.journal_bytes > most_bytes:
        if daemon.inbox.has(Stop):
            return
        daemon.notifier.status("waiting for the disk: the journal is full, and no snapshot can be taken")
        _hold(daemon, delay_s)
        delay_s = min(2 * delay_s, longest_s)
    daemon.notifier.status(daemon.status())


def _hold(daemon: Daemon, duration_s: float) -> None:
    """Keep the connection alive for a while without taking anything; waiting is progress, too."""
    end_s = time.monotonic() + duration_s
    while (rest_s := end_s - time.monotonic()) > 0 and not daemon.inbox.has(Stop):
        daemon.link.wait(min(rest_s, FEED_S))
        daemon.notifier.watchdog()
