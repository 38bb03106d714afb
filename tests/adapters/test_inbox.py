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


def test_inbox_room_is_what_its_capacity_leaves(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how many more messages should be read; what stands for several counts as several."""
    monkeypatch.setattr("edgeseq.adapters.inbox.CAPACITY", 5)
    assert inbox.room == 5
    inbox.deliver([1])
    inbox.deliver([2, 3, 4], 3)
    assert (inbox.room, len(inbox)) == (1, 4)
    inbox.deliver([5, 6, 7], 3)
    assert (inbox.room, len(inbox)) == (0, 7)
    inbox.take(3)
    assert (inbox.room, len(inbox)) == (1, 4)


def test_inbox_several_in_one_are_cut_at_the_limit(inbox: Inbox) -> None:
    """A batch holds at most its limit, takes from several deliveries, and nothing is lost, repeated or overtaken."""
    for first in (0, 3, 6):
        inbox.deliver(list(range(first, first + 3)), 3)
    inbox.deliver("other")
    inbox.deliver([9], 1)
    taken = [inbox.take(4) for _ in range(6)]
    assert taken == [[[0, 1, 2], [3]], [[4, 5], [6, 7]], [[8]], ["other"], [[9]], []]
    assert len(inbox) == 0


def test_inbox_age_of_what_was_cut_stays(inbox: Inbox, clock: ManualClock) -> None:
    """What is left of a delivery is as old as it was."""
    inbox.deliver([1, 2, 3], 3)
    clock.advance(7.0)
    inbox.take(2)
    assert inbox.oldest_age_s() == 7.0
