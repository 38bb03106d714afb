"""When a commit is due, what it holds, and what waits for it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.adapters.journal import Record
from edgeseq.adapters.mqtt import Deliveries
from edgeseq.commits import ALERT_WITHIN_S, MOST_READINGS, GroupCommit
from edgeseq.core.packing import join
from edgeseq.core.pipeline import Batch
from edgeseq.core.types import Message, Outgoing, Readings

INFLIGHT = 100


def batch(values: list[float]) -> Batch:
    """Make a batch of one reading a message."""
    rows = [(k, 0, 0, 1, 1, value, 0, False) for k, value in enumerate(values)]
    return Batch(Readings.from_rows(rows), [], [])


def delivered(count: int, *, qos: int = 1) -> list[Deliveries]:
    """Make messages of one connection."""
    return [Deliveries([Message("t", b"1", 1, mid=k + 1 if qos else 0) for k in range(count)], 1)]


def group(mode: Literal["none", "batched", "strict"] = "batched") -> GroupCommit:
    """Make a group that commits every second."""
    return GroupCommit(mode, 1.0, INFLIGHT)


def take(waiting: GroupCommit, count: int, now_s: float, *, qos: int = 1) -> None:
    """Take a batch."""
    waiting.take_batch(batch([float(k) for k in range(count)]), delivered(count, qos=qos), now_s)


def test_batches_are_joined_to_one_record_but_not_across_a_moment() -> None:
    """What has nothing else between it is one record; ticks and resumptions stay where they were."""
    waiting = group()
    waiting.take_batch(batch([1.0]), [], 0.0)
    waiting.take_batch(batch([2.0, 3.0]), [], 0.1)
    waiting.take_moment(Record(tick_ns=7), 0.2)
    waiting.take_batch(batch([4.0]), [], 0.3)
    first, moment, second = waiting.records()
    assert first.readings().value.tolist() == [1.0, 2.0, 3.0]
    assert moment.tick_ns == 7
    assert second.readings().value.tolist() == [4.0]
    assert waiting.records() == [first, moment, second], "asked again, for another try"


@given(st.lists(st.lists(st.integers(0, 3), max_size=5), max_size=5))
def test_joined_messages_stay_apart(parts: list[list[int]]) -> None:
    """Readings of one message keep a number of their own, and no other's have it."""
    batches = [Readings.from_rows([(m, 0, 0, 1, 1, 0.0, 0, False) for m in sorted(p)]) for p in parts]
    joined = join(batches)
    told = [(number, m) for number, p in enumerate(parts) for m in sorted(p)]
    assert len(joined) == len(told)
    pairs = set(zip(joined.message_index.tolist(), told, strict=True))
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)


def test_commit_is_due_after_its_time_and_not_before() -> None:
    """The first of what waits decides; what comes later does not put it off."""
    waiting = group()
    assert waiting.wait_s(5.0) is None
    take(waiting, 1, 10.0)
    take(waiting, 1, 10.9)
    assert waiting.wait_s(10.9) == pytest.approx(0.1)
    assert waiting.wait_s(11.0) == 0.0


def test_commit_is_due_when_half_of_the_broker_window_waits() -> None:
    """The broker never stops sending because acknowledgements wait for the clock; QoS 0 has no window."""
    waiting = group()
    take(waiting, INFLIGHT // 2 - 1, 0.0)
    assert waiting.wait_s(0.0) == 1.0
    take(waiting, 1, 0.0)
    assert waiting.wait_s(0.0) == 0.0
    waiting = group()
    take(waiting, INFLIGHT, 0.0, qos=0)
    assert waiting.wait_s(0.0) == 1.0


def test_commit_is_due_when_much_waits_in_memory() -> None:
    """What waits has a bound, also where nothing is to be acknowledged."""
    waiting = group()
    take(waiting, MOST_READINGS, 0.0, qos=0)
    assert waiting.wait_s(0.0) == 0.0


def test_alert_brings_the_commit_forward() -> None:
    """An alert waits for a commit of its own, but a storm of them does not make a storm of commits."""
    waiting = group()
    alert = Outgoing("a/alert", b"{}", qos=1, alert_id="x:1")
    take(waiting, 1, 50.0)
    waiting.alerts.append(alert)
    assert waiting.wait_s(50.0) == 0.0
    assert waiting.committed(50.0)[1] == [alert]
    take(waiting, 1, 50.01)
    waiting.alerts.append(alert)
    assert waiting.wait_s(50.01) == pytest.approx(ALERT_WITHIN_S - 0.01)


def test_message_that_did_nothing_is_acknowledged_with_what_came_before() -> None:
    """A duplicate of what waits is acknowledged with it, not before; where nothing waits, at once."""
    waiting = group()
    waiting.take_batch(batch([]), delivered(1), 0.0)
    assert waiting.wait_s(0.0) == 0.0
    assert len(waiting.committed(0.0)[0]) == 1
    take(waiting, 1, 1.0)
    waiting.take_batch(batch([]), delivered(1), 1.1)
    assert waiting.wait_s(1.1) == pytest.approx(0.9)
    assert len(waiting.committed(2.0)[0]) == 2
    assert waiting.wait_s(2.0) is None


def test_without_journal_nothing_waits() -> None:
    """none: no records, so messages are acknowledged as soon as they are taken."""
    waiting = group("none")
    take(waiting, 1, 0.0)
    waiting.take_moment(Record(tick_ns=1), 0.0)
    assert not waiting.has_records
    assert waiting.wait_s(0.0) == 0.0


def test_strict_commit_is_due_at_once() -> None:
    """strict: what was taken is to be committed before anything else."""
    waiting = group("strict")
    take(waiting, 1, 0.0)
    assert waiting.wait_s(0.0) == 0.0


def stalled(waiting: GroupCommit, count: int, now_s: float) -> None:
    """Let a broker send as many as it may, and wait until the commit's time."""
    take(waiting, count, now_s)
    assert waiting.wait_s(now_s) == 1.0
    waiting.committed(now_s + 1.0)


def test_smaller_window_of_the_broker_is_noticed() -> None:
    """A broker that falls silent twice with the same number unacknowledged is waiting: from then on the commit is due
    when so many wait, until it shows that it would send more.
    """
    waiting = group()
    for turn in range(2):
        stalled(waiting, 20, float(turn))
    take(waiting, 19, 2.0)
    assert waiting.wait_s(2.0) == 1.0
    take(waiting, 1, 2.001)
    assert waiting.wait_s(2.001) == 0.0
    waiting.committed(2.002)
    take(waiting, 21, 3.0)
    waiting.committed(3.0)
    take(waiting, 20, 4.0)
    assert waiting.wait_s(4.0) == 1.0


@pytest.mark.parametrize("counts", [(20, 19), (3, 3)])
def test_sensors_that_pause_are_no_small_window(counts: tuple[int, int]) -> None:
    """Other numbers each time, or fewer than any broker allows, are sensors that pause."""
    waiting = group()
    for turn, count in enumerate(counts):
        stalled(waiting, count, float(turn))
    take(waiting, counts[-1], 9.0)
    assert waiting.wait_s(9.0) == 1.0


def test_sensors_that_go_on_are_no_small_window() -> None:
    """Where messages still come when the time is over, the broker is not waiting."""
    waiting = group()
    for turn in range(3):
        take(waiting, 10, float(turn))
        take(waiting, 10, turn + 0.5)
        waiting.committed(turn + 1.0)
    take(waiting, 20, 9.0)
    assert waiting.wait_s(9.0) == 1.0


def test_nothing_taken_costs_nothing() -> None:
    """A commit of nothing has no records."""
    assert group().records() == []
    assert np.array_equal(join([]).value, np.empty(0))
