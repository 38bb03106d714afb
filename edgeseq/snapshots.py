"""When a snapshot is taken early: before the journal would take long to replay, or much room."""

from __future__ import annotations

from dataclasses import dataclass

from edgeseq.store import Store

REPLAY_S = 2.0
"""Longest replay after a crash, as far as it can be foreseen."""

FLASH_SHARE = 0.5
"""Of the journal's bytes, which snapshots may cost the flash: slow machines wait longer for a start, and spare it."""

REPLAY_US = 5.0
"""Of a reading, where no start has measured it: a thousand streams with the model of the benches, joined."""

MEASURED_READINGS = 10_000
"""So many readings say how long one takes."""

EARLY_BYTES = 16 * 2**20
"""A commit a second takes 15 MB an hour."""

RETRY_S = 60.0


@dataclass(slots=True)
class EarlySnapshots:
    """Says when one is due. Times are of a monotonic clock, in s."""

    replay_us: float = REPLAY_US
    is_wanted: bool = False
    """What is kept is not what serves: as soon as the disk takes one."""
    _not_before_s: float = 0.0

    def measured(self, readings: int, duration_s: float) -> None:
        """Learn from a start how long the replay of readings takes."""
        if readings >= MEASURED_READINGS:
            self.replay_us = 1e6 * duration_s / readings

    def is_due(self, store: Store | None, now_s: float) -> bool:
        """Tell whether to take one."""
        if store is None or now_s < self._not_before_s:
            return False
        if self.is_wanted or store.journal is None:
            return self.is_wanted
        replay_s = 1e-6 * self.replay_us * store.journal_readings
        is_worth_it = store.snapshot_bytes <= FLASH_SHARE * store.journal_bytes
        return (replay_s > REPLAY_S and is_worth_it) or store.journal_bytes > max(
            EARLY_BYTES, 2 * store.snapshot_bytes
        )

    def failed(self, now_s: float) -> None:
        """Do not try again at once."""
        self._not_before_s = now_s + RETRY_S
