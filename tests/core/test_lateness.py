"""Late readings that may still come: whatever their order within those steps, the state is the same."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseq.core import keeping, pipeline
from edgeseq.core.lateness import KEPT, MAX_WAITING
from edgeseq.core.types import AlertKind, Message, StreamRule
from tests.support.streams import MEAN, MODEL, PLAIN, alerts, equal_states, forecasts, message, node, run

LATE = 2
RULES = tuple(msgspec.structs.replace(rule, lateness_steps=LATE) for rule in (PLAIN, MODEL, MEAN))
TOPICS = {"plain": "t/a", "model": "m/a", "mean": "a/a"}
BOOKKEEPING = {"alerts.place", "alerts.numbers", "alerts.evidence"}


def made(state: pipeline.State) -> dict[str, bytes]:
    """Give all that readings make of a state, apart from their arrival and from what was told."""
    _, arrays = keeping.dump(state)
    return {
        name: array.tobytes()
        for name, array in arrays.items()
        if name.split("\n")[-1].removeprefix("settled.") not in KEPT | BOOKKEEPING and name != "recent"
    }


def series(topic: str, n: int, seed: int = 5) -> list[Message]:
    """Make n minutes of a noisy season with a jitter of the stamps, some minutes with two readings or none."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        for _ in range(int(rng.choice([0, 1, 1, 1, 2]))):
            at_s = 60 * i + float(rng.uniform(-20, 20))
            found.append(message(topic, 6000 + at_s, float(10 + i % 5 + rng.normal(0, 0.1))))
    return sorted(found, key=lambda m: m.received_ns)


def shuffled(messages: list[Message], seed: int) -> list[Message]:
    """Move each message behind others that are at most a minute and a half newer."""
    rng = np.random.default_rng(seed)
    late_by = rng.integers(0, 90, len(messages)) * 10**9
    order = np.argsort(
        [m.received_ns + int(by) for m, by in zip(messages, late_by, strict=True)], kind="stable"
    )
    return [messages[i] for i in order]


def of(rule: StreamRule) -> list[Message]:
    """Make the rule's messages."""
    return series(TOPICS[rule.key], 80)


def test_any_order_within_the_steps_gives_the_same_state() -> None:
    """What forecasts and intervals come from does not depend on the order of arrival."""
    for rule, seed in itertools.product(RULES, range(3)):
        ordered, other = node(rule), node(rule)
        run(ordered, of(rule))
        run(other, shuffled(of(rule), seed))
        assert other.counts.late == 0
        assert other.counts.applied == ordered.counts.applied == len(of(rule))
        assert made(ordered) == made(other), rule.key


def test_order_matters_where_nothing_may_come_late() -> None:
    """The law above is one of lateness_steps: without it the same readings are late and make another state."""
    ordered, other = node(PLAIN), node(PLAIN)
    run(ordered, of(PLAIN))
    run(other, shuffled(of(PLAIN), 0))
    assert other.counts.late > 0
    assert made(ordered) != made(other)


def test_in_order_nothing_differs_from_a_stream_without_late_readings() -> None:
    """Readings in order give the very same forecasts as without lateness_steps."""
    for rule in RULES:
        plain = msgspec.structs.replace(rule, lateness_steps=0)
        told = [run(node(r), of(rule)) for r in (rule, plain)]
        paths = [[(f.step, f.value.tobytes(), f.upper.tobytes()) for f in forecasts(t)] for t in told]
        assert paths[0] == paths[1]


def test_a_late_reading_makes_the_newest_forecast_again() -> None:
    """A reading that fills the minute before is told by a new forecast of the newest step."""
    (state,) = [node(RULES[0])]
    messages = [message("t/a", 6000 + 60 * i, 10.0 + i % 5) for i in range(40)]
    run(state, [*messages[:38], messages[39]])
    (event,) = forecasts(run(state, [messages[38]]))
    assert event.step == 39
    assert state.counts.late == 0


def test_a_reading_behind_the_steps_is_late() -> None:
    """Three steps behind the newest is too late where two are allowed; the state stays as it is."""
    state = node(RULES[0])
    messages = [message("t/a", 6000 + 60 * i, 10.0 + i % 5) for i in range(40)]
    run(state, [*messages[:36], *messages[37:]])
    before = made(state)
    run(state, [messages[36]])
    assert state.counts.late == 1
    assert made(state) == before


def test_what_waits_is_no_more_than_the_steps_hold() -> None:
    """A reading that can have no predecessor any more is settled, and waits no longer."""
    state = node(RULES[0])
    run(state, [message("t/a", 6000 + 60 * i, 10.0 + i % 5) for i in range(60)])
    (kept,) = (kept for kept in state.lateness.values() if kept.waiting)
    assert len(kept.waiting[0]) == LATE + 1


def test_many_readings_of_a_step_settle_early_and_what_comes_before_them_is_late() -> None:
    """What waits is bounded whatever the rate: of more readings the oldest settle, and none is taken before those."""
    state = node(RULES[2])
    crowd = [message("a/a", 6000 + 0.1 * i, 10.0) for i in range(MAX_WAITING)]
    run(state, [*crowd, *(message("a/a", 6060 + 0.1 * i, 10.0) for i in range(MAX_WAITING))])
    (kept,) = (kept for kept in state.lateness.values() if kept.waiting)
    assert len(kept.waiting[0]) == MAX_WAITING
    run(state, [message("a/a", 5945.0, 99.0)])
    assert state.counts.late == 1


def test_a_restored_state_takes_late_readings_as_the_one_that_was_kept() -> None:
    """What waits and what is settled are kept with the state."""
    for rule in RULES:
        messages = shuffled(of(rule), 3)
        state, restored = node(rule), node(rule)
        run(state, messages[:50])
        keeping.load(restored, *keeping.dump(state))
        assert equal_states(state, restored)
        run(state, messages[50:])
        run(restored, messages[50:])
        assert equal_states(state, restored)


def test_a_state_kept_without_late_readings_goes_on_with_them() -> None:
    """Where lateness_steps is new, all that was taken counts as settled."""
    plain, state = node(PLAIN), node(RULES[0])
    run(plain, of(PLAIN)[:40])
    keeping.load(state, *keeping.dump(plain))
    run(state, shuffled(of(PLAIN)[40:], 1))
    assert state.counts.applied > 30


def test_an_alert_that_a_late_reading_shows_to_be_wrong_is_cleared() -> None:
    """Three equal values are stuck, until the one that was between them comes."""
    state = node(RULES[0])
    noise = np.random.default_rng(2).normal(0, 0.1, 400)
    run(state, [message("t/a", 6000 + 60 * i, float(10 + i % 5 + noise[i])) for i in range(400)])
    equal = [message("t/a", 6000 + 60 * i, 10.25) for i in (400, 402, 403)]
    (opened,) = alerts(run(state, equal), AlertKind.STUCK)
    (cleared,) = alerts(run(state, [message("t/a", 6000 + 60 * 401, 11.1)]), AlertKind.STUCK)
    assert (opened.event_type, cleared.event_type) == ("opened", "cleared")
    assert cleared.seq == opened.seq + 1
    assert cleared.opened_step == opened.opened_step


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 70), max_size=6), seed=st.integers(0, 50))
def test_how_readings_are_cut_into_batches_does_not_matter(cuts: list[int], seed: int) -> None:
    """Batches are a matter of transport, also where readings come late."""
    messages = shuffled(of(RULES[0]), seed)
    whole, parts = node(RULES[0]), node(RULES[0])
    run(whole, messages)
    run(parts, messages, [c for c in cuts if c < len(messages)])
    assert equal_states(whole, parts)
