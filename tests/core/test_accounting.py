"""Each reading is counted once: received = applied + late + duplicate + rejected, whatever comes in what order."""

from __future__ import annotations

import json
from collections import Counter, deque
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseq.core import pipeline
from edgeseq.core.dedupe import RECENT_IDS
from edgeseq.core.known import Covariate, KnownInputs
from edgeseq.core.types import Counts, KnownSource, Message, Options, Reason
from edgeseq.testing.fake_stepper import FakeStepper
from tests.support.streams import MEAN, MODEL, PLAIN, SECOND, message, node, pair_rule

law = settings(max_examples=60, deadline=None)

OPTIONS = Options(max_streams=5, max_payload_bytes=200, clock="readings", synchronised=False)
FUTURE = msgspec.structs.replace(
    MODEL,
    key="future",
    known={"outdoor": KnownSource("weather", "hours"), "wind": KnownSource("weather", "hours", value="wind")},
)
INPUTS = KnownInputs(covariates=(Covariate("outdoor", 0.0, 1.0), Covariate("wind", 0.0, 1.0)))
TOPICS = ("t/a", "t/b", "m/a", "a/a", "a/b", "p/flow", "p/level", "t/c", "no/body")
"""More streams than are allowed, and one that nobody reads."""

GARBAGE = (b"", b"{", b"[" * 300, b"\xff", b"{}", b'{"v":1}', b'{"v":[],"time":1}', b'{"time":5e3,"v":1e999}')


def forecast_of_weather(at_s: float, items: list[Any]) -> Message:
    """Make a message that says something of the future, or tries to."""
    return Message("weather", json.dumps({"hours": items}).encode(), int(at_s * SECOND))


@st.composite
def mixtures(draw: st.DrawFn) -> list[Message]:
    """Draw good, late, repeated, useless and retained messages, and what others say of the future."""
    now = 5000.0
    made: list[Message] = []
    for _ in range(draw(st.integers(1, 60))):
        now += draw(st.sampled_from([0, 1, 30, 60, 7000]))
        topic = draw(st.sampled_from(TOPICS))
        match draw(st.sampled_from(["good", "late", "again", "garbage", "missing", "retained", "weather"])):
            case "again" if made:
                made.append(draw(st.sampled_from(made)))
            case "late":
                made.append(message(topic, now - draw(st.sampled_from([60, 300, 9000])), 1.0))
            case "garbage":
                payload = draw(st.sampled_from(GARBAGE) | st.binary(max_size=300))
                made.append(Message(topic, payload, int(now * SECOND)))
            case "missing":
                made.append(message(topic, now, None))
            case "retained":
                made.append(msgspec.structs.replace(message(topic, now, 3.0), retained=True))
            case "weather":
                item: dict[str, Any] = {"time": now + 600, "value": 1.0}
                items = [item, {**item, "wind": None}, {"time": "never", "value": 1, "wind": 2}, 7]
                made.append(forecast_of_weather(now, draw(st.lists(st.sampled_from(items), max_size=4))))
            case _:
                made.append(message(topic, now, float(draw(st.integers(-3, 3)))))
    return made


def settled(counts: Counts) -> int:
    """Add up what became of readings."""
    rejected = sum(counts.rejected.values())
    return counts.applied + counts.late + counts.duplicate + rejected + counts.shed


@law
@given(mixtures(), st.lists(st.integers(1, 9), min_size=1), st.booleans())
def test_every_reading_is_counted_once_after_every_batch(
    messages: list[Message], lengths: list[int], is_model_told: bool
) -> None:
    """The account is even after each batch; within one, what is accepted and not advanced yet is pending.

    Also where a rule names what will be known of the future, and its model takes none of it.
    """
    inputs = {"fake": INPUTS} if is_model_told else None
    stepper = FakeStepper(known=2) if is_model_told else FakeStepper()
    state = pipeline.new_state((PLAIN, FUTURE, MEAN, pair_rule()), {"fake": stepper}, OPTIONS, inputs=inputs)
    start, told = 0, 0
    while start < len(messages):
        length = lengths[start % len(lengths)]
        batch = pipeline.accept(state, messages[start : start + length])
        told += len(batch.readings) + len(batch.rejections)
        assert state.counts.pending == len(batch.readings)
        pipeline.advance(state, batch.readings)
        assert state.counts.pending == 0
        assert state.counts.received == settled(state.counts) == told
        start += length


def expected_of(messages: list[Message]) -> Counter[str]:
    """Say what becomes of messages of one topic, by the rules' words: no array, no batch.

    A reading is a duplicate if time and value were among the last RECENT_IDS of its stream; it is late if its period
    is older than the newest one.
    """
    found: Counter[str] = Counter()
    recent: deque[tuple[float, float]] = deque(maxlen=RECENT_IDS)
    first, newest = None, -(10**9)
    for sent in messages:
        content = json.loads(sent.payload)
        if "v" not in content:
            found["rejected"] += 1
            continue
        at, value = content["time"], content["v"]
        if (at, value) in recent:
            found["duplicate"] += 1
            continue
        recent.append((at, value))
        first = at if first is None else first
        step = (at - first + 30) // 60
        found["late" if step < newest else "applied"] += 1
        newest = max(newest, step)
    return found


@law
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 1), st.sampled_from(["v", "v", "v", "w"])), min_size=1
    ),
    st.integers(1, 30),
)
def test_each_counter_counts_what_its_name_says(drawn: list[tuple[int, int, str]], length: int) -> None:
    """Applied, late, duplicate and rejected are those of a plain reading of the rules, in batches of any length."""
    messages = [
        Message("t/a", json.dumps({"time": 5000 + 25 * at, key: float(value)}).encode(), SECOND)
        for at, value, key in drawn
    ]
    state = node()
    for start in range(0, len(messages), length):
        batch = pipeline.accept(state, messages[start : start + length])
        pipeline.advance(state, batch.readings)
    counts = state.counts
    rejected = counts.rejected.get(Reason.NO_FIELD, 0)
    got = {
        "applied": counts.applied,
        "late": counts.late,
        "duplicate": counts.duplicate,
        "rejected": rejected,
    }
    assert {name: count for name, count in got.items() if count} == dict(expected_of(messages))
