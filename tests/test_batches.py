"""How many messages the daemon takes at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgeseq.adapters.inbox import Inbox
from edgeseq.adapters.mqtt import Deliveries
from edgeseq.core.types import Message, Tick
from edgeseq.daemon.batches import LARGEST_BATCH, MAX_BATCH, next_batch


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """Give an empty inbox."""
    made = Inbox()
    yield made
    made.close()


def arrive(inbox: Inbox, numbers: range, *, streams: int, mid: int = 0) -> None:
    """Let the readings of some streams in turn arrive in one piece."""
    messages = [Message(f"t/{number % streams}", b"1", number, mid=mid) for number in numbers]
    inbox.deliver(Deliveries(messages, 1), len(messages))


def taken(inbox: Inbox) -> list[int]:
    """Take a batch, and name the readings in it."""
    items = next_batch(inbox)
    return [one.received_ns for item in items if isinstance(item, Deliveries) for one in item.messages]


@pytest.mark.parametrize(
    ("streams", "size"), [(3, MAX_BATCH), (MAX_BATCH, MAX_BATCH), (1000, 1000), (5000, LARGEST_BATCH)]
)
def test_batch_goes_on_as_long_as_streams_differ(inbox: Inbox, streams: int, size: int) -> None:
    """More than MAX_BATCH are taken where they are of different streams; the rest waits, in order."""
    for start in range(0, 3000, 300):
        arrive(inbox, range(start, start + 300), streams=streams)
    assert taken(inbox) == list(range(size))
    assert taken(inbox) == list(range(size, 2 * size))
    assert len(inbox) == 3000 - 2 * size


@pytest.mark.parametrize("qos_0", [0, 1, 600])
def test_batch_of_messages_to_be_acknowledged_is_no_larger(inbox: Inbox, qos_0: int) -> None:
    """While it is in work the broker sends as many again."""
    arrive(inbox, range(qos_0), streams=1000)
    arrive(inbox, range(qos_0, 1000), streams=1000, mid=1)
    assert len(taken(inbox)) == MAX_BATCH


def test_batch_ends_where_something_else_happened(inbox: Inbox) -> None:
    """Nothing overtakes anything."""
    arrive(inbox, range(600), streams=1000)
    inbox.put(Tick(1))
    arrive(inbox, range(600, 900), streams=1000)
    assert len(taken(inbox)) == 600
    assert next_batch(inbox) == [Tick(1)]
    assert len(taken(inbox)) == 300
