"""Deduplication: what is recognised, what is forgotten, and what must never be lost."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.core import dedupe, pipeline
from edgeseq.core.table import Table
from edgeseq.core.types import Message, Options, Readings, Reason, StreamRule
from tests.support.streams import PERIOD, PLAIN, message, node

BY_ARRIVAL = StreamRule(key="r", period_ns=PERIOD, topics=("t/+",), fields=("v",), horizon=4)


def fresh(channels: int = 1, streams: int = 1) -> Table:
    """Make a table that has seen nothing."""
    table = Table(dedupe.columns(channels))
    for _ in range(streams):
        table.add_row()
    return table


def seen(
    table: Table, ids: list[int], rows: list[int] | None = None, *, comparable: bool = True
) -> list[bool]:
    """Remember readings of these identities → which of them were duplicates."""
    readings = Readings.from_rows([(0, 0, 0, 0, 0, 1.0, i, comparable) for i in ids])
    return [bool(d) for d in dedupe.remember(table, np.array(rows or [0] * len(ids)), readings)]


def oracle(ids: list[int]) -> list[bool]:
    """Say the same with a list: the newest 32 different ones are known."""
    known: list[int] = []
    told = []
    for i in ids:
        told.append(i in known[-dedupe.RECENT_IDS :])
        if not told[-1]:
            known.append(i)
    return told


@given(st.lists(st.integers(1, 60), max_size=200), st.integers(1, 50))
def test_last_32_identities_are_known_however_the_readings_are_cut(ids: list[int], size: int) -> None:
    """A stream knows its newest 32 identities, no more and no fewer, in batches of any size."""
    table = fresh()
    told = [d for start in range(0, len(ids), size) for d in seen(table, ids[start : start + size])]
    assert told == oracle(ids)


def test_set_is_bounded() -> None:
    """A thousand identities take the room of 32."""
    table = fresh()
    before = table["recent_ids"].nbytes
    seen(table, list(range(1, 1001)))
    assert table["recent_ids"].nbytes == before


def test_each_channel_has_room_for_32() -> None:
    """Three channels that come in one message do not push each other out."""
    table = fresh(channels=3)
    assert not any(seen(table, list(range(1, 97))))
    assert all(seen(table, list(range(1, 97))))


def test_older_reading_is_no_duplicate_because_newer_ones_are_known() -> None:
    """There is no high-water mark: an identity below all known ones is new."""
    table = fresh()
    seen(table, [100, 101, 102])
    assert seen(table, [5, 101, 4]) == [False, True, False]


def test_streams_do_not_share_identities() -> None:
    """The same identity in another stream is another reading."""
    table = fresh(streams=2)
    assert seen(table, [7, 7, 7, 7], [0, 1, 0, 1]) == [False, False, True, True]


def test_no_identity_is_never_a_duplicate() -> None:
    """Readings without an identity (0) are neither recognised nor remembered."""
    table = fresh()
    assert seen(table, [0, 0, 0]) == [False] * 3
    assert table["recent_position"][0] == 0


def test_incomparable_reading_is_remembered_but_not_recognised() -> None:
    """A packet id used again for a new message is not looked up; its redelivery later is."""
    table = fresh()
    assert seen(table, [9, 9], comparable=False) == [False, False]
    assert seen(table, [9]) == [True]


def test_duplicate_is_not_remembered_again() -> None:
    """Redelivering one reading for ever does not push the others out."""
    table = fresh()
    seen(table, [1, 2])
    seen(table, [2] * 100)
    assert seen(table, [1]) == [True]


# --- as messages ----------------------------------------------------------------------------------------------


def deliver(state: pipeline.State, *messages: Message) -> tuple[int, int]:
    """Accept messages → readings, duplicates."""
    batch = pipeline.accept(state, list(messages))
    return len(batch.readings), sum(r.reason == Reason.DUPLICATE for r in batch.rejections)


def test_packet_id_is_compared_only_on_a_redelivery() -> None:
    """Equal payloads under one packet id are two readings, unless the broker marks the second DUP."""
    state = node(BY_ARRIVAL, options=Options())
    first = Message("t/a", b'{"v":1}', received_ns=PERIOD, mid=4)
    again = msgspec.structs.replace(first, received_ns=2 * PERIOD)
    assert deliver(state, first) == (1, 0)
    assert deliver(state, again) == (1, 0)
    assert deliver(state, msgspec.structs.replace(again, dup=True)) == (0, 1)


def test_redelivery_of_what_was_never_seen_is_taken() -> None:
    """DUP alone accuses nobody: what was lost before the journal comes with DUP set."""
    state = node(BY_ARRIVAL, options=Options())
    assert deliver(state, Message("t/a", b'{"v":1}', received_ns=PERIOD, mid=4, dup=True)) == (1, 0)


def test_packet_ids_of_another_session_are_others() -> None:
    """A session begins with packet ids from 1: of the one before, none is known; other identities outlast it."""
    state, timed = node(BY_ARRIVAL, options=Options()), node(PLAIN)
    first = Message("t/a", b'{"v":1}', received_ns=PERIOD, mid=4)
    again = msgspec.structs.replace(first, dup=True)
    assert deliver(state, first) == (1, 0)
    assert deliver(timed, message("t/a", 60, 1.0)) == (1, 0)
    for each in (state, timed):
        pipeline.resume(each, PERIOD, 1)
    assert deliver(state, again) == (1, 0)
    assert deliver(state, again) == (0, 1)
    assert deliver(timed, message("t/a", 60, 1.0)) == (0, 1)


def test_same_time_and_another_value_is_another_reading() -> None:
    """With payload times a correction is a reading of its own; the same again is not."""
    state = node(PLAIN)
    assert deliver(state, message("t/a", 60, 1.0), message("t/a", 60, 2.0), message("t/a", 60, 1.0)) == (2, 1)


def test_duplicates_of_a_recovered_journal_are_recognised() -> None:
    """What was journaled before a crash is known after it, when the broker delivers it again."""
    live, recovered = node(PLAIN), node(PLAIN)
    sent = [message("t/a", 60 * k, float(k)) for k in range(20)]
    batch = pipeline.accept(live, sent)
    pipeline.recover(recovered, batch.created, batch.readings)
    assert deliver(recovered, *sent) == (0, 20)


def _all_seen(recent: dedupe.Recent, ids: list[int]) -> list[bool]:
    """Look up and remember readings of one stream in the node's set."""
    readings = Readings.from_rows([(0, 0, 0, 0, 0, 1.0, i, True) for i in ids])
    duplicate = dedupe.is_recent(recent, readings)
    dedupe.remember_in_node(recent, readings.take(~duplicate))
    return [bool(d) for d in duplicate]


def test_all_that_one_stream_had_in_flight_is_known_when_it_comes_again() -> None:
    """A thousand readings of one stream, delivered once more after a restart, are all recognised, and none else."""
    recent: dedupe.Recent = {}
    ids = list(range(1, 1001))
    assert not any(_all_seen(recent, ids))
    again = dedupe.load_recent(dedupe.dump_recent(recent))
    assert all(_all_seen(again, ids))
    assert not any(_all_seen(again, [1001, 1002]))
    assert _all_seen(again, [1003, 1003]) == [False, True]


def test_nodes_set_is_bounded_and_forgets_the_oldest() -> None:
    """It keeps the newest 8192 identities, whatever the batches."""
    recent: dedupe.Recent = {}
    for start in range(1, 10_001, 100):
        _all_seen(recent, list(range(start, start + 100)))
    assert dedupe.dump_recent(recent)[:, 1].tolist() == list(range(10_001 - dedupe.RECENT_IN_NODE, 10_001))


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), max_size=40),
    st.lists(st.integers(0, 39), max_size=4),
)
def test_journal_joined_in_any_way_leaves_the_same_identities(
    pairs: list[tuple[int, int]], cuts: list[int]
) -> None:
    """However a journal's readings are cut, streams and node remember the same: the newest, in their order."""
    readings = Readings.from_rows([(k, row, 0, 1, 1, 0.0, key, False) for k, (row, key) in enumerate(pairs)])
    rows = readings.stream_index.astype(np.int64)

    def remembered(bounds: list[int]) -> tuple[object, ...]:
        table, recent = fresh(streams=3), dict[bytes, None]()
        for start, stop in pairwise(bounds):
            part = readings.take(slice(start, stop))
            dedupe.insert(table, rows[start:stop], part)
            dedupe.remember_in_node(recent, part)
        return table["recent_ids"].tolist(), table["recent_position"].tolist(), list(recent)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedupe, "RECENT_IN_NODE", 5)
        ends = sorted({0, len(pairs), *(cut for cut in cuts if cut < len(pairs))})
        assert remembered(ends) == remembered([0, len(pairs)]) == remembered(list(range(len(pairs) + 1)))


@given(st.lists(st.integers(1, 60), max_size=200))
def test_journal_leaves_what_the_live_readings_left(ids: list[int]) -> None:
    """What was taken live and what a journal of it restores is the same set, at the same places."""
    live, restored = fresh(), fresh()
    kept = [i for i, is_known in zip(ids, seen(live, ids), strict=True) if not is_known]
    dedupe.insert(
        restored,
        np.zeros(len(kept), np.int64),
        Readings.from_rows([(0, 0, 0, 0, 0, 1.0, i, True) for i in kept]),
    )
    assert restored["recent_ids"].tolist() == live["recent_ids"].tolist()
    assert restored["recent_position"].tolist() == live["recent_position"].tolist()


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.booleans()), max_size=60), st.integers(1, 20)
)
def test_node_knows_what_a_list_knows(arrived: list[tuple[int, int, bool]], size: int) -> None:
    """The node's set says what a list of all that came says, in batches of any size: the same stream and identity,
    where it may be compared; no identity is never known.
    """
    readings = Readings.from_rows(
        [(k, stream, 0, 1, 1, 0.0, key, may) for k, (stream, key, may) in enumerate(arrived)]
    )
    recent: dedupe.Recent = {}
    told: list[bool] = []
    for start in range(0, len(arrived), size):
        part = readings.take(slice(start, start + size))
        duplicate = dedupe.is_recent(recent, part)
        dedupe.remember_in_node(recent, part.take(~duplicate))
        told += duplicate.tolist()
    known: list[tuple[int, int]] = []
    for (stream, key, may), is_duplicate in zip(arrived, told, strict=True):
        assert is_duplicate == (may and key != 0 and (stream, key) in known)
        if key and not is_duplicate:
            known = [other for other in known if other != (stream, key)] + [(stream, key)]
    assert [tuple(row) for row in dedupe.dump_recent(recent).tolist()] == known


@pytest.mark.parametrize("size", [3, 40, 300])
def test_nodes_set_forgets_the_same_however_the_readings_are_cut(size: int) -> None:
    """A batch in which the oldest identities make room knows no more than the same readings one by one."""
    rule = msgspec.structs.replace(BY_ARRIVAL, id_field="id")
    ids = np.random.default_rng(3).integers(0, 160, 300).tolist()
    messages = [Message("t/a", b'{"v": 1, "id": %d}' % i, PERIOD, mid=1) for i in ids]

    def applied(step: int) -> list[int]:
        state = node(rule)
        cuts = range(0, len(messages), step)
        batches = [pipeline.accept(state, messages[start : start + step]) for start in cuts]
        return [int(identity) for batch in batches for identity in batch.readings.id_hash]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedupe, "RECENT_IN_NODE", 50)
        assert applied(size) == applied(1)
