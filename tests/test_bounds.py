"""Nothing grows without bound, whatever comes: caches, queues and what is kept of what nobody wants."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgeseq.adapters import snapshot
from edgeseq.adapters.inbox import CAPACITY, CAPACITY_BYTES, Inbox
from edgeseq.adapters.journal import Record
from edgeseq.adapters.mqtt import Deliveries, packets
from edgeseq.adapters.mqtt.outbox import MAX_OUTBOX, Outbox
from edgeseq.adapters.mqtt.packets import MAX_TOPICS, Publishes, length_bytes
from edgeseq.commits import MOST_BYTES, GroupCommit
from edgeseq.core import keeping, pipeline
from edgeseq.core.dedupe import RECENT_IN_NODE
from edgeseq.core.registry import MAX_ROUTES
from edgeseq.core.topics import MAX_TOPIC_CHARS
from edgeseq.core.types import Message, Options, Outgoing, Reason, StreamInfo, StreamRule
from edgeseq.disk import Disk

MB = 2**20
SMALL = 256
"""Entries of a cache that is soon full."""

NOW_NS = 1_772_359_200 * 10**9
RULE = StreamRule("flood/#", 10**9, topics=("flood/#",), fields=("v",), id_field="id", horizon=2)


def packet(topic: str, payload: bytes) -> bytes:
    """Make a PUBLISH of QoS 0, MQTT 3.1.1."""
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + payload
    return b"\x30" + length_bytes(len(body)) + body


def kept_bytes() -> int:
    """Tell what Python objects hold now."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def traced() -> Iterator[None]:
    """Trace memory for a while."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize(
    "topic_of", ["flood/{}", "elsewhere/{}", "flood/{}/" + "x" * 20_000], ids=["wanted", "unwanted", "long"]
)
def test_flood_of_distinct_topics_leaves_nothing_behind(
    traced: None, monkeypatch: pytest.MonkeyPatch, topic_of: str
) -> None:
    """After caches are full, more topics that nobody knew cost no memory; wanted ones are refused and counted.

    Through the reader of packets and the core, as the daemon has them.
    """
    state = pipeline.new_state([RULE], {}, Options(max_streams=50))
    reader = Publishes(is_version_5=False, max_bytes=MB)

    def flood(numbers: range) -> None:
        for start in range(numbers.start, numbers.stop, 64):
            read: list[Message] = []
            data = b"".join(
                packet(topic_of.format(n), json.dumps({"v": 1, "id": n}).encode())
                for n in range(start, min(start + 64, numbers.stop))
            )
            reader.read(data, 0, read, 64, NOW_NS)
            batch = pipeline.accept(state, read)
            pipeline.advance(state, batch.readings)

    monkeypatch.setattr(packets, "MAX_TOPICS", SMALL)
    state.registry._max_routes = SMALL
    count = 4 * SMALL  # so that the cache is as full in the end as before
    flood(range(count))
    before = kept_bytes()
    flood(range(count, 2 * count))
    assert kept_bytes() - before < MB / 8
    assert before < 3 * MB
    assert state.registry.streams <= 50
    counts = state.counts
    refused = counts.rejected.get(Reason.TOO_MANY_STREAMS, 0) + counts.rejected.get(Reason.UNKNOWN_TOPIC, 0)
    assert (counts.received, counts.applied + refused) == (2 * count, 2 * count)


def test_hundred_thousand_topics_keep_to_the_bounds_of_each_cache() -> None:
    """The caches that topics have hold no more than they say, and what is kept of one is not more than its length."""
    state = pipeline.new_state([RULE], {}, Options(max_streams=10))
    reader = Publishes(is_version_5=False, max_bytes=MB)
    for start in range(0, 100_000, 500):
        read: list[Message] = []
        reader.read(
            b"".join(packet(f"flood/{n}", b"1") for n in range(start, start + 500)), 0, read, 500, NOW_NS
        )
        pipeline.accept(state, read)
    assert len(reader._topics) <= MAX_TOPICS
    assert len(state.registry._routes) <= MAX_ROUTES
    assert len(state.registry.topics) <= 10
    assert len(state.recent) <= RECENT_IN_NODE
    assert state.counts.received == sum(state.counts.rejected.values()) == 100_000
    state.registry.route("flood/" + "x" * MAX_TOPIC_CHARS)
    assert max(map(len, state.registry._routes)) <= MAX_TOPIC_CHARS


def messages(count: int, size_bytes: int) -> Deliveries:
    """Make messages of one length."""
    return Deliveries([Message("t", bytes(size_bytes), n) for n in range(count)], 1)


def deliver(inbox: Inbox, batch: Deliveries) -> None:
    """Deliver them as a link does."""
    inbox.deliver(batch, len(batch), sum(len(m.payload) for m in batch.messages))


def test_inbox_is_bounded_in_messages_and_in_bytes() -> None:
    """Long payloads fill it before their number does; room comes back as they are taken, to the last byte."""
    inbox = Inbox()
    taken = 0
    for size_bytes, bound in ((10, CAPACITY), (MB, CAPACITY_BYTES // MB)):
        delivered = 0
        while inbox.room:
            deliver(inbox, messages(min(8, inbox.room), size_bytes))
            delivered += 8
        assert bound <= delivered <= bound + 8
        taken = sum(
            len(part) for _ in range(delivered) for part in inbox.take(3) if isinstance(part, Deliveries)
        )
        assert taken == delivered
        assert (inbox.room, len(inbox), inbox._bytes) == (CAPACITY, 0, 0)
    inbox.close()


def test_what_waits_for_a_commit_is_bounded_in_bytes() -> None:
    """Of messages without an acknowledgement nothing is kept; long ones that want one hasten the commit."""
    waiting = GroupCommit("batched", every_s=60.0, inflight=1000)
    waiting.take_moment(Record(tick_ns=1), 0.0)
    nothing = pipeline.accept(pipeline.new_state([RULE], {}, Options()), [])
    waiting.take_batch(nothing, [messages(50, MB)], 0.0)
    assert (waiting.deliveries, waiting.wait_s(0.0)) == ([], 60.0)
    for mid in range(1, MOST_BYTES // MB + 1):
        assert waiting.wait_s(0.0) == 60.0
        waiting.take_batch(nothing, [Deliveries([Message("t", bytes(MB), 1, mid=mid)], 1)], 0.0)
    assert waiting.wait_s(0.0) == 0.0
    assert len(waiting.committed(0.0)[0]) == MOST_BYTES // MB
    waiting.take_moment(Record(tick_ns=2), 1.0)
    assert waiting.wait_s(1.0) == 60.0


def test_outbox_is_bounded_and_drops_the_oldest() -> None:
    """A broker that stays away costs the oldest alerts, which are counted."""
    outbox = Outbox()
    for n in range(MAX_OUTBOX + 7):
        outbox.add(Outgoing("a", str(n).encode(), qos=1, alert_id=str(n)))
    assert (len(outbox), outbox.dropped, outbox.all()[0].payload) == (MAX_OUTBOX, 7, b"7")


def test_payload_longer_than_allowed_is_refused_before_it_is_parsed() -> None:
    """Neither plain nor JSON: by its length alone."""
    state = pipeline.new_state([RULE], {}, Options(max_payload_bytes=100))
    for payload, reason in ((b"[" * 101, Reason.PAYLOAD_TOO_LARGE), (b"[" * 100, Reason.MALFORMED_JSON)):
        (rejection,) = pipeline.accept(state, [Message("flood/1", payload, NOW_NS)]).rejections
        assert rejection.reason is reason


def test_rejections_of_long_topics_are_short() -> None:
    """What a log is told does not grow with the topic."""
    state = pipeline.new_state([RULE], {}, Options())
    sent: Any = Message("flood/" + "x" * 60_000, b"1", NOW_NS)
    (rejection,) = pipeline.accept(state, [sent]).rejections
    assert (rejection.reason, len(rejection.topic)) == (Reason.UNKNOWN_TOPIC, MAX_TOPIC_CHARS)


def test_streams_of_one_table_leave_places_to_the_others() -> None:
    """A table's own limit holds beside the node's, for streams that were read back too; the refusal names the table."""
    first = msgspec.structs.replace(RULE, max_streams=2)
    other = StreamRule("b", 10**9, topics=("b/+",))
    state = pipeline.new_state([first, other], {}, Options(max_streams=4))
    state.registry.register(StreamInfo("flood-0-v", "flood/#", "flood/0", "v", 0))
    sent = [Message(f"flood/{n}", b'{"v":1}', NOW_NS) for n in range(5)]
    batch = pipeline.accept(state, [*sent, *(Message(f"b/{n}", b"1", NOW_NS) for n in range(3))])
    assert [state.registry.infos[n].topic for n in batch.readings.stream_index] == [
        "flood/0",
        "flood/1",
        "b/0",
        "b/1",
    ]
    refused = [(r.topic, r.detail) for r in batch.rejections if r.reason is Reason.TOO_MANY_STREAMS]
    assert refused == [
        *((f"flood/{n}", "allowed 2 of streams flood/#") for n in (2, 3, 4)),
        ("b/2", "allowed 4"),
    ]


def test_snapshot_needs_memory_for_one_array_at_a_time(traced: None, tmp_path: Path) -> None:
    """Neither the state nor what is written of it is copied as a whole: the peak of a node's memory would be there."""
    state = pipeline.new_state([RULE], {}, Options(max_streams=2000))
    pipeline.accept(state, [Message(f"flood/{n}", b'{"v":1}', NOW_NS) for n in range(2000)])
    header, arrays = keeping.lay_open(state)
    whole, largest = sum(a.nbytes for a in arrays.values()), max(a.nbytes for a in arrays.values())
    assert whole > 3 * largest
    assert all(
        np.shares_memory(a, state.groups[0].table[name.split("\n")[1]])
        for name, a in arrays.items()
        if name.partition("\n")[2] in state.groups[0].table.columns
    )
    before = kept_bytes()
    tracemalloc.reset_peak()
    snapshot.write(tmp_path / "s", 1, {}, {}, arrays, Disk())
    assert tracemalloc.get_traced_memory()[1] - before < largest + whole / 4
    assert header["clock_ns"] == state.clock_ns
