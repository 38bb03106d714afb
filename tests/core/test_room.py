"""A topic that finds no room is refused unread, and nothing that could be a reading is."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.core import pipeline
from edgeseq.core.registry import Registry
from edgeseq.core.topics import compiled, is_match
from edgeseq.core.types import ChannelSource, KnownSource, Message, Options, Reason, StreamRule

NOW_NS = 1_772_359_200 * 10**9
WILD = StreamRule("w", 10**9, topics=("a/#", "b"), exclude=("a/x/+",), fields=("v", "u"))
LIMITED = StreamRule("l", 10**9, topics=("+/l",), fields=("v", "p"), max_streams=1)
PLAIN = StreamRule("p", 10**9, topics=("a/+",))
WHOLE = StreamRule(
    "c", 10**9, channels={"one": ChannelSource("a/one", "v"), "two": ChannelSource("a/+/two", None)}
)
KNOWN = StreamRule(
    "k", 10**9, topics=("k/+",), fields=("v",), known={"t": KnownSource("a/known", None, "time", "value")}
)
RULES = (WILD, LIMITED, PLAIN, WHOLE, KNOWN)

levels = st.sampled_from(["a", "b", "l", "x", "one", "two", "known", "k", "$s", "", "a\n", "a.b"])
topics = st.lists(levels, min_size=1, max_size=3).map("/".join)
filters = st.one_of(
    st.just("#"),
    st.tuples(
        st.lists(levels | st.just("+"), min_size=1, max_size=3).map("/".join), st.sampled_from(["", "/#"])
    ).map("".join),
)
payloads = st.sampled_from(
    [b"1", b'{"v": 1}', b'{"u": 2}', b'{"v": 1, "u": 2, "p": 3}', b"{", b"[]", b'{"v": null}']
)


@given(st.lists(filters, max_size=3), topics)
def test_compiled_filters_match_what_the_filters_match(wanted: list[str], topic: str) -> None:
    """One pattern says of every topic what its filters say one by one."""
    assert bool(compiled(wanted).fullmatch(topic)) is any(is_match(each, topic) for each in wanted)


@given(
    st.lists(st.tuples(topics, payloads, st.booleans()), max_size=40),
    st.integers(1, 4),
    st.sets(st.sampled_from(range(len(RULES))), min_size=1),
)
def test_refusing_unread_changes_no_reading(
    sent: list[tuple[str, bytes, bool]], max_streams: int, chosen: set[int]
) -> None:
    """Streams and readings are those of a node that reads everything; each message unread is one rejection."""
    messages = [
        Message(topic, payload, NOW_NS + n, retained) for n, (topic, payload, retained) in enumerate(sent)
    ]
    rules = [RULES[n] for n in sorted(chosen)]

    def run(
        registry_type: type[Registry], messages: Sequence[Message]
    ) -> tuple[pipeline.State, list[pipeline.Batch]]:
        state = pipeline.new_state(rules, {}, Options(max_streams=max_streams))
        state.registry = registry_type(rules)
        return state, [pipeline.accept(state, [message]) for message in messages]

    state, batches = run(Registry, messages)
    reader, read = run(ReadsAll, messages)
    assert state.registry.infos == reader.registry.infos
    for message, found, wanted in zip(messages, batches, read, strict=True):
        assert found.readings.value.tolist() == wanted.readings.value.tolist()
        assert found.readings.stream_index.tolist() == wanted.readings.stream_index.tolist()
        if found.rejections != wanted.rejections:
            assert [rejection.reason for rejection in found.rejections] == [Reason.TOO_MANY_STREAMS], message
    for counts in (state.counts, reader.counts):
        given_back = sum(counts.rejected.values()) + counts.duplicate
        assert counts.received - given_back == sum(len(batch.readings) for batch in batches)


class ReadsAll(Registry):
    """A registry that refuses nothing unread."""

    def refusal(self, topic: str, max_streams: int) -> str | None:
        """Have every message read."""
        return None


@pytest.mark.parametrize("payload", [b'{"v": 1, "u": 2}', b"{", b"", b'{"u": null}'])
def test_stranger_at_a_full_node_is_one_reading_refused(payload: bytes) -> None:
    """Whatever it holds, since nobody looks; a topic that has a stream is read as before, though the node is full."""
    state = pipeline.new_state([WILD], {}, Options(max_streams=1))
    pipeline.accept(state, [Message("a/known", b'{"v": 1}', NOW_NS)])
    batch = pipeline.accept(state, [Message("a/stranger", payload, NOW_NS)])
    assert [(r.reason, r.detail) for r in batch.rejections] == [(Reason.TOO_MANY_STREAMS, "allowed 1")]
    assert (state.counts.received, state.counts.rejected) == (2, {Reason.TOO_MANY_STREAMS: 1})
    batch = pipeline.accept(state, [Message("a/known", b'{"v": 2, "u": 2}', NOW_NS)])
    assert (len(batch.readings), [r.reason for r in batch.rejections]) == (1, [Reason.TOO_MANY_STREAMS])


def test_crowd_of_strangers_compiles_no_route() -> None:
    """What is kept of topics is kept of those that have streams: a crowd drives none of them out."""
    state = pipeline.new_state([WILD], {}, Options(max_streams=1))
    pipeline.accept(state, [Message("a/known", b'{"v": 1}', NOW_NS)])
    before = dict(state.registry._routes)
    pipeline.accept(state, [Message(f"a/{n}", b'{"v": 1}', NOW_NS) for n in range(500)])
    assert state.registry._routes == before
    assert state.registry.topics == {"a/known"}


def test_room_of_another_rule_is_room() -> None:
    """A rule at its limit refuses for itself only: a message may hold what another rule wants."""
    state = pipeline.new_state([LIMITED, msgspec.structs.replace(WILD, topics=("+/l",))], {}, Options())
    sent = [
        Message("1/l", b'{"v": 1}', NOW_NS),
        Message("2/l", b'{"v": 1}', NOW_NS),
        Message("2/l", b'{"u": 1}', NOW_NS),
    ]
    batch = pipeline.accept(state, sent)
    assert [r.message_index for r in batch.rejections] == [1]
    assert batch.readings.message_index.tolist() == [0, 2]


def test_topics_of_channels_are_read_though_no_stream_was_made_of_them() -> None:
    """The stream that another topic made takes them; so does a known covariate, which needs no room."""
    state = pipeline.new_state([WHOLE, WILD, KNOWN], {}, Options(max_streams=1))
    pipeline.accept(state, [Message("a/x/two", b"1", NOW_NS)])
    future = b'[{"time": "2026-03-01T10:00:00Z", "value": 1}]'
    sent = [Message("a/y/two", b"2", NOW_NS), Message("a/known", future, NOW_NS)]
    assert len(pipeline.accept(state, sent).readings) == 2


def test_named_topic_is_read_where_only_a_wildcard_is_full() -> None:
    """A rule that names a topic has room of its own."""
    named = StreamRule("n", 10**9, topics=("2/l",), fields=("u",))
    state = pipeline.new_state([LIMITED, named], {}, Options())
    pipeline.accept(state, [Message("1/l", b'{"v": 1}', NOW_NS)])
    assert len(pipeline.accept(state, [Message("2/l", b'{"u": 1}', NOW_NS)]).readings) == 1


def test_topic_that_nobody_wants_is_unknown_at_a_full_node_too() -> None:
    """Excluded from the only rule that matches it: not a matter of room."""
    state = pipeline.new_state([WILD], {}, Options(max_streams=1))
    pipeline.accept(state, [Message("a/known", b'{"v": 1}', NOW_NS)])
    (rejection,) = pipeline.accept(state, [Message("a/x/1", b'{"v": 1}', NOW_NS)]).rejections
    assert rejection.reason is Reason.UNKNOWN_TOPIC
