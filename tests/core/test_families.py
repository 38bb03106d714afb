"""Laws of decoders: what each family says becomes its streams and no others; what is malformed is counted by reason."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseq.config import StreamConfig
from edgeseq.config.place import Place
from edgeseq.config.rules import resolve_stream
from edgeseq.core import keeping, pipeline
from edgeseq.core.decode import decode
from edgeseq.core.decoders import FAMILIES
from edgeseq.core.registry import Registry
from edgeseq.core.types import Message, Options, Reason, StreamRule
from tests.support.families import EVERY_NS, HOUSEHOLDS, START_NS, Household, messages

OPTIONS = Options(max_streams=200)
STEPS = 12
S_LATER = 1000 * 10**9


def rule_of(household: Household, **changes: object) -> StreamRule:
    """Resolve the shortest table that reads a household."""
    table = StreamConfig(every="10s", topic=list(household.topics), decoder=household.decoder, **changes)  # type: ignore[arg-type]  # of its types
    return resolve_stream(table, Place("test.toml", "streams[0]"))


def told(household: Household, steps: int = STEPS) -> list[Message]:
    """Give all that a household says in some steps."""
    found = messages(household.start(START_NS), START_NS)
    for step in range(steps):
        time_ns = START_NS + (step + 1) * EVERY_NS
        found += messages(household.at(step, time_ns), time_ns)
    return found


def test_every_decoder_has_a_household_and_the_other_way_round() -> None:
    """No decoder is left out of the tests below."""
    assert set(HOUSEHOLDS) == set(FAMILIES)


@pytest.mark.parametrize("household", HOUSEHOLDS.values(), ids=HOUSEHOLDS)
def test_household_makes_its_streams_and_no_others(household: Household) -> None:
    """Every number becomes a stream, nothing else does, and nothing normal is counted as rejected."""
    state = pipeline.new_state((rule_of(household),), {}, OPTIONS)
    sent = told(household)
    batch = pipeline.accept(state, sent)
    pipeline.advance(state, batch.readings)
    made = {(info.topic, info.field) for info in state.registry.infos}
    assert made == household.streams
    assert [r for r in batch.rejections if r.reason is not Reason.RETAINED] == []
    heard = {*batch.readings.message_index.tolist(), *(r.message_index for r in batch.rejections)}
    assert state.counts.ignored == len(sent) - len(heard)
    assert (state.counts.ignored > 0) is (household.decoder != "influx")  # whose lines all have a number
    seen = np.bincount(batch.readings.stream_index, minlength=len(made))
    assert seen.min() >= STEPS - 1
    assert {
        (i.topic, i.field): i.unit for i in state.registry.infos if (i.topic, i.field) in household.units
    } == (household.units)


@pytest.mark.parametrize("household", HOUSEHOLDS.values(), ids=HOUSEHOLDS)
def test_default_topics_match_the_readings(household: Household) -> None:
    """Without a topic the family's usual ones are subscribed: they bring readings of devices that keep to them."""
    table = StreamConfig(every="10s", decoder=household.decoder)
    rule = resolve_stream(table, Place("test.toml", "streams[0]"))
    assert rule.topics == FAMILIES[household.decoder].topics
    readings, rejections, _ = decode(Registry((rule,)), OPTIONS, told(household))
    usual = household.decoder != "homeassistant"  # its base topic has no usual name
    assert (len(readings) > 0) is usual
    assert {r.reason for r in rejections} <= {Reason.UNKNOWN_TOPIC, Reason.RETAINED}


@pytest.mark.parametrize("household", HOUSEHOLDS.values(), ids=HOUSEHOLDS)
def test_malformed_messages_are_counted_by_reason_and_disturb_nothing(household: Household) -> None:
    """Each malformed sample is one rejection of its reason, before and after the streams are known."""
    state = pipeline.new_state((rule_of(household),), {}, OPTIONS)
    sent = told(household)
    for sample, reason in household.malformed:
        (message,) = messages([sample], START_NS + S_LATER)
        pipeline.advance(state, pipeline.accept(state, sent).readings)
        before = len(state.registry)
        batch = pipeline.accept(state, [message])
        assert [r.reason for r in batch.rejections] == [reason], sample
        assert len(batch.readings) == 0
        assert len(state.registry) == before
        again = decode(Registry((rule_of(household),)), OPTIONS, [message])
        assert len(again[0]) == 0
        assert len(again[1]) <= 1


@pytest.mark.parametrize("household", HOUSEHOLDS.values(), ids=HOUSEHOLDS)
def test_cutting_batches_anywhere_changes_nothing(household: Household) -> None:
    """Message by message or all together: the same readings, rejections and streams."""
    sent = told(household)
    whole, parts = Registry((rule_of(household),)), Registry((rule_of(household),))
    readings, rejections, _ = decode(whole, OPTIONS, sent)
    single = [decode(parts, OPTIONS, [message]) for message in sent]
    assert readings.value.tolist() == pytest.approx(
        [v for r, _, _ in single for v in r.value.tolist()], nan_ok=True
    )
    assert readings.id_hash.tolist() == [v for r, _, _ in single for v in r.id_hash.tolist()]
    assert readings.time_ns.tolist() == [v for r, _, _ in single for v in r.time_ns.tolist()]
    assert len(rejections) == sum(len(faults) for _, faults, _ in single)
    assert whole.infos == parts.infos


@pytest.mark.parametrize("household", HOUSEHOLDS.values(), ids=HOUSEHOLDS)
def test_any_bytes_on_any_topic_become_readings_rejections_or_are_ignored(household: Household) -> None:
    """Total: no bytes raise; the account stays even; what is kept of it survives a snapshot."""
    state = pipeline.new_state((rule_of(household),), {}, OPTIONS)
    sent = told(household, 2)
    topics = sorted({message.topic for message in sent})
    payloads = st.binary(max_size=80) | st.sampled_from([message.payload for message in sent])

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from(topics), payloads, st.binary(max_size=3), st.booleans()), max_size=6
        )
    )
    def law(inputs: list[tuple[str, bytes, bytes, bool]]) -> None:
        made = [
            Message(
                topic, payload[: len(payload) // 2] + tail if tail else payload, START_NS, retained=retained
            )
            for topic, payload, tail, retained in inputs
        ]
        ignored = state.counts.ignored
        batch = pipeline.accept(state, made)
        pipeline.advance(state, batch.readings)
        heard = {*batch.readings.message_index.tolist(), *(r.message_index for r in batch.rejections)}
        assert state.counts.ignored - ignored == len(made) - len(heard)
        assert not np.isinf(batch.readings.value).any()
        assert state.counts.pending == 0
        msgspec.json.encode(keeping.dump(state)[0])

    law()
