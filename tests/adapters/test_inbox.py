"""The inbox: order, bounds, and waking."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator

import pytest

from edgeseq.adapters.inbox import Inbox
from edgeseq.core.types import Stop, Tick
from edgeseq.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that stands still."""
    return ManualClock()


@pytest.fixture
def inbox(clock: ManualClock) -> Iterator[Inbox]:
    """Give an empty inbox."""
    made = Inbox(clock.seconds)
    yield made
    made.close()


def is_readable(inbox: Inbox) -> bool:
    """Ask the selector, without waiting."""
    return bool(select.select([inbox], [], [], 0)[0])


def test_inbox_take_gives_runs_of_one_type_in_order(inbox: Inbox) -> None:
    """A batch ends where another kind of value stands: nothing overtakes anything."""
    for item in (1, 2, 3, "a", 4):
        inbox.deliver(item)
    assert [inbox.take(2), inbox.take(2), inbox.take(9), inbox.take(9), inbox.take(9)] == [
        [1, 2],
        [3],
        ["a"],
        [4],
        [],
    ]


def test_inbox_reminder_waits_once(inbox: Inbox) -> None:
    """Of a reminder that nobody has taken yet, one waits; taken, the next one may come."""
    inbox.put(Tick(1))
    inbox.put(Tick(2))
    inbox.put(Stop("signal"))
    assert inbox.take(9) == [Tick(1)]
    inbox.put(Tick(3))
    assert (inbox.take(9), inbox.take(9)) == ([Stop("signal")], [Tick(3)])


def test_inbox_put_from_thread_wakes(inbox: Inbox) -> None:
    """A value put by another thread makes the inbox readable until the wake-ups are cleared."""
    assert not is_readable(inbox)
    thread = threading.Thread(target=inbox.put, args=(Tick(1),))
    thread.start()
    thread.join()
    assert is_readable(inbox)
    inbox.clear_wakeups()
    assert not is_readable(inbox)


def test_inbox_wakeups_never_block(inbox: Inbox) -> None:
    """A loop that does not read its wake-ups cannot block those who wake it."""
    for _ in range(200_000):
        inbox.wake()
    inbox.clear_wakeups()
    assert not is_readable(inbox)


def test_inbox_age_is_that_of_the_oldest(inbox: Inbox, clock: ManualClock) -> None:
    """The age tells how long the oldest value has waited; empty, it is 0."""
    assert inbox.oldest_age_s() == 0.0
    inbox.deliver("old")
    clock.advance(7.0)
    inbox.deliver("young")
    assert inbox.oldest_age_s() == 7.0
    inbox.take(1)
    assert inbox.oldest_age_s() == 0.0


def test_inbox_full_at_its_capacity(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says when no more messages should be read."""
    monkeypatch.setattr("edgeseq.adapters.inbox.CAPACITY", 2)
    inbox.deliver(1)
    assert not inbox.is_full
    inbox.deliver(2)
    assert inbox.is_full
