"""Slow jobs put values, and nothing else."""

from __future__ import annotations

from edgeseq.adapters.schedule import Schedule, TakeSnapshot
from edgeseq.core.types import Tick
from tests.support.broker import wait_until


def test_schedule_puts_ticks_and_snapshots_until_stopped() -> None:
    """Ticks and due snapshots arrive as values; after `stop` nothing does."""
    items: list[object] = []
    schedule = Schedule(items.append, snapshot_every_s=0.2)
    assert items == []
    schedule.start()
    wait_until(lambda: {type(i) for i in items} >= {Tick, TakeSnapshot}, "a tick and a snapshot")
    schedule.stop()
    count = len(items)
    ticks = [i.now_ns for i in items if isinstance(i, Tick)]
    assert ticks == sorted(ticks)
    assert len(items) == count
