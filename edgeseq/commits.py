"""Group commit: what the state has taken and the journal has not, and when that is to change.

The laws, which tests and the simulator hold:

1. Whatever moves the state is a record, and records are committed in the order in which they moved it. A commit is
   there after a crash as a whole or not at all.
2. A message is acknowledged when all that came before it and all that it did is committed; one that did nothing (a
   duplicate, a bad payload), too: what it repeats may wait yet. So what a crash takes from memory comes again.
3. An alert is told after the commit of what it was made of, and after a crash it is made again with the same bytes. A
   forecast or another state need not wait: the next of its topic replaces it, and after a crash it is told anew.
4. A snapshot is taken when nothing waits, and no batch is half taken.

`strict` commits before anything is told; `none` has no records, so nothing waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from edgeseq.adapters.journal import Record, record_of
from edgeseq.adapters.mqtt import Deliveries
from edgeseq.core.packing import join
from edgeseq.core.pipeline import Batch
from edgeseq.core.types import Outgoing

MOST_READINGS = 16_384
"""Committed early beyond it: some MB of memory."""

MOST_BYTES = 2**22
"""Of payloads that wait to be acknowledged: useless ones, too, are kept until what came before them is durable."""

ALERT_WITHIN_S = 0.1
"""Alerts wait no longer for a commit, so that a storm of them makes ten commits a second, not a thousand."""

SMALLEST_WINDOW = 8
"""No broker has fewer messages on their way by default: 10 and 20 are usual."""

QUIET_SHARE = 0.75
"""Of the time between commits without a message, after which a broker may be waiting for us."""


class GroupCommit:
    """What waits for the next commit. Times are of a monotonic clock, in s."""

    def __init__(self, mode: Literal["none", "batched", "strict"], every_s: float, inflight: int) -> None:
        self.mode = mode
        self.deliveries: list[Deliveries] = []
        self.alerts: list[Outgoing] = []
        self._every_s = every_s
        # Half of what the broker may send ahead is on its way while the other half is committed.
        self._most_unacknowledged = self._half_inflight = max(1, inflight // 2)
        self._suspected = 0
        self._records: list[Record] = []
        self._run: list[Batch] = []
        self._readings = 0
        self._unacknowledged = self._bytes = 0
        self._since_s = 0.0
        self._arrived_s = 0.0
        self._committed_s = -ALERT_WITHIN_S

    @property
    def has_records(self) -> bool:
        """Whether the state is ahead of the journal."""
        return bool(self._records or self._run)

    def take_batch(self, batch: Batch, deliveries: Iterable[Deliveries], now_s: float) -> None:
        """Add a batch and the messages that it came from."""
        if self.mode != "none" and (len(batch.readings) or batch.created or batch.heard):
            self._begin(now_s)
            self._run.append(batch)
            self._readings += len(batch.readings)
        for found in deliveries:
            waiting = [message for message in found.messages if message.mid]
            if waiting:
                self.deliveries.append(Deliveries(waiting, found.generation))
                self._unacknowledged += len(waiting)
                self._bytes += sum([len(message.payload) for message in waiting])
        self._arrived_s = now_s
        if self._unacknowledged > self._most_unacknowledged != self._half_inflight:
            self._most_unacknowledged = self._half_inflight  # its window is larger than it seemed

    def take_moment(self, record: Record, now_s: float) -> None:
        """Add a tick or a resumption; nothing is joined across it."""
        if self.mode != "none":
            self._begin(now_s)
            self._close_run()
            self._records.append(record)

    def records(self) -> list[Record]:
        """Give the records of the commit, in order."""
        self._close_run()
        return self._records

    def wait_s(self, now_s: float) -> float | None:
        """Tell how long the next commit can wait: 0 where it is due, None where there is nothing to be done."""
        if not self.has_records:
            return 0.0 if self.deliveries else None
        is_full = self._unacknowledged >= self._most_unacknowledged or self._readings >= MOST_READINGS
        if self.mode == "strict" or is_full or self._bytes >= MOST_BYTES:
            return 0.0
        due_s = self._since_s + self._every_s
        if self.alerts:
            due_s = min(due_s, self._committed_s + ALERT_WITHIN_S)
        return max(0.0, due_s - now_s)

    def committed(self, now_s: float) -> tuple[list[Deliveries], list[Outgoing]]:
        """Begin anew → what can be acknowledged and told now."""
        if self.has_records:
            self._look_for_window(now_s)
            self._committed_s = now_s
        done = self.deliveries, self.alerts
        self.deliveries, self.alerts, self._records, self._run = [], [], [], []
        self._readings = self._unacknowledged = self._bytes = 0
        return done

    def _begin(self, now_s: float) -> None:
        if not self.has_records:
            self._since_s = now_s

    def _close_run(self) -> None:
        if self._run:
            created = [info for batch in self._run for info in batch.created]
            heard = [told for batch in self._run for told in batch.heard]
            self._records.append(record_of(created, join([batch.readings for batch in self._run]), heard))
            self._run = []

    def _look_for_window(self, now_s: float) -> None:
        """Notice a broker that sends fewer messages ahead than we would take (mosquitto's default is 20).

        It falls silent with as many unacknowledged as it allows, and goes on as soon as they are acknowledged: where
        that happens twice with the same number, that is its window, and a commit is due when it is full.
        """
        is_timed = now_s - self._since_s >= self._every_s
        is_quiet = now_s - self._arrived_s >= QUIET_SHARE * self._every_s
        if self.mode != "batched" or not is_timed or not is_quiet:
            return
        if SMALLEST_WINDOW <= self._unacknowledged == self._suspected:
            self._most_unacknowledged = self._unacknowledged
        self._suspected = self._unacknowledged
