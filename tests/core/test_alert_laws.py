"""Alerts in the whole core: however readings are cut, recovered or restored, the same is told; late ones correct it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from edgeseq.core import detect, keeping, pipeline
from edgeseq.core.detect import surprise
from edgeseq.core.detect.detectors import DETECTORS, Detector
from edgeseq.core.detect.kinds import LEVEL_SHIFT, Closed, Scores
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import (
    AlertEvent,
    Alerting,
    AlertKind,
    Event,
    Limits,
    Message,
    StreamRule,
    StreamStatus,
)
from tests.support.streams import PERIOD, PLAIN, equal_states, message, node, plain, run, wave

LEARNING = 40
SHIPPED = DETECTORS[:]
PATIENT = Alerting(min_duration_ns=PERIOD, refractory_ns=8 * PERIOD, min_deviation={"value": (0.5, 0.0)})
RULE = msgspec.structs.replace(PLAIN, limits={"value": Limits(max=60.0)}, alerting=PATIENT)
SHOWN_FROM = 80
"""Messages before anything happens."""


def _columns(channels: int) -> dict[str, Column]:
    return {"law_far": Column((channels,), "int32", 0)}


def _score(table: Table, work: Work, closed: Closed) -> Scores:
    """Call three values above 18 in a row a shift, however patient: right by looking at it."""
    high = closed.samples.value > 18.0
    far = table["law_far"][work.rows].T
    far = np.where(closed.samples.observed, np.where(high, far + 1, 0), far)
    table["law_far"][work.rows] = far.T
    return Scores(far / 3.0 * surprise.factor(work), expected=np.full(far.shape, 12.0))


@pytest.fixture(autouse=True)
def _one_detector() -> Iterator[None]:
    """Let the only detector be the one above."""
    before = DETECTORS[:]
    DETECTORS[:] = [Detector(LEVEL_SHIFT, _columns, _score, ("law_far",))]
    yield
    DETECTORS[:] = before


def quick(rule: StreamRule = RULE) -> pipeline.State:
    """Make a state that learns quickly."""
    state = node(rule, msgspec.structs.replace(rule, key="other", topics=("b/+",)))
    for group in [*state.groups, *(kept.settled for kept in state.lateness.values())]:
        group.learning_steps = LEARNING
        group.settings = replace(group.settings, learning_steps=LEARNING)
    return state


def eventful() -> list[Message]:
    """Make streams with spikes, a shift that lasts, values out of limits, gaps and silence."""
    found = []
    for shift, topic in enumerate(("t/a", "t/b", "b/a")):
        values = [10.0 + k % 5 + 0.05 * ((7 * k + shift) % 11) for k in range(SHOWN_FROM + 170)]
        at = {SHOWN_FROM + k + 3 * shift: v for k, v in enumerate([30.0, 31.0, 32.0, 12.0, 30.0, 12.0, 12.1])}
        at |= {SHOWN_FROM + 25 + k: 25.0 + 0.1 * k for k in range(12 + LEARNING * (shift == 1))}
        at |= {SHOWN_FROM + 90 + k: 70.0 + k % 3 for k in range(4 + 3 * shift)}
        for k, usual in enumerate(values):
            if k % 17 == 13 or (SHOWN_FROM + 140 <= k < SHOWN_FROM + 152 and shift):
                continue
            found.append(message(topic, 6000 + 60 * k + shift, at.get(k, usual)))
    return sorted(found, key=lambda m: m.received_ns)


@pytest.mark.parametrize("is_shipped", [False, True])
def test_cut_recovered_and_restored_anywhere_the_same_is_told(*, is_shipped: bool) -> None:
    """A start in the middle of a watch, an alert, a quiet time or a learning phase changes nothing.

    Neither with a small detector, nor with all those that are shipped.
    """
    if is_shipped:
        DETECTORS[:] = SHIPPED
    messages = eventful()
    whole = quick()
    events = run(whole, messages)
    kinds = {(e.kind, e.event_type) for e in events if isinstance(e, AlertEvent)}
    assert {("spike", "opened"), ("level_shift", "cleared"), ("out_of_range", "opened"),
            ("silent", "cleared"), ("level_shift", "updated")} <= kinds  # fmt: skip
    assert is_shipped or any(e.is_normal_now for e in events if isinstance(e, AlertEvent))
    assert {e.alert for e in events if isinstance(e, StreamStatus)} == {"none", "watch", "alert"}
    alone, recovered = quick(), quick()
    rng = np.random.default_rng(3)
    stops = set(rng.choice(np.arange(3 * SHOWN_FROM, len(messages)), 60, replace=False).tolist())
    told: list[Event] = []
    again: list[Event] = []
    for k, one in enumerate(messages):
        batch = pipeline.accept(alone, [one])
        told += pipeline.advance(alone, batch.readings)
        again += pipeline.recover(recovered, batch.created, batch.readings)
        if k in stops:
            fresh = quick()
            assert keeping.load(fresh, *keeping.dump(recovered)) == []
            recovered = fresh
    assert plain(told) == plain(events)
    assert plain(again) == plain(events)
    assert equal_states(whole, alone)
    assert equal_states(whole, recovered)


def test_what_is_open_is_told_again_as_it_was_told_last() -> None:
    """At any moment the description of a state holds the newest event of each open alert, and no other."""
    state, newest = quick(), {}
    for one in eventful():
        for event in run(state, [one]):
            if isinstance(event, AlertEvent):
                identity = event.stream, event.channel, event.opened_as, event.opened_step
                newest[identity] = event
                if event.event_type == "cleared":
                    del newest[identity]
    described = [e for e in pipeline.describe(state) if isinstance(e, AlertEvent)]
    assert sorted(plain(described)) == sorted(plain(list(newest.values())))


def test_alert_numbers_and_identities_are_never_used_twice() -> None:
    """Numbers of a stream's events are 1, 2, 3, …; each alert opens once and clears once."""
    told = [e for e in run(quick(), eventful()) if isinstance(e, AlertEvent)]
    for stream in {e.stream for e in told}:
        own = [e for e in told if e.stream == stream]
        assert sorted(e.seq for e in own) == list(range(1, len(own) + 1))
    opened = [(e.stream, e.opened_as, e.opened_step) for e in told if e.event_type == "opened"]
    cleared = [(e.stream, e.opened_as, e.opened_step) for e in told if e.event_type == "cleared"]
    assert len(opened) == len(set(opened))
    assert set(cleared) <= set(opened)
    assert len(cleared) == len(set(cleared))


def test_calm_streams_keep_nothing() -> None:
    """Without anything unusual the ledger is empty, and so is what a snapshot holds of it."""
    state = quick()
    run(state, wave(120))
    _, arrays = keeping.dump(state)
    assert arrays["plain\nalerts.place"].shape == (0, 3)
    assert sum(arrays[f"plain\n{name}"].nbytes for name in ("alerts.numbers", "alerts.evidence")) == 0


def test_kinds_cost_a_stream_little() -> None:
    """What a further kind costs each channel of each stream is counted in single bytes."""
    with_kinds = detect.columns(1)
    each = sum(
        int(np.prod(column.shape)) * np.dtype(column.dtype).itemsize
        for column in with_kinds.values()
        if column.shape == (1, len(detect.KINDS))
    )
    assert each <= 4 * len(detect.KINDS)


def test_late_readings_correct_what_was_told() -> None:
    """A spike that turns out to be in good company is taken back; one that comes late is told."""
    late = msgspec.structs.replace(PLAIN, lateness_steps=2)
    usual = [10.0 + k % 5 + 0.05 * (7 * k % 11) for k in range(SHOWN_FROM + 20)]
    messages = [message("t/a", 6000 + 60 * k, value) for k, value in enumerate(usual)]
    state = quick(late)
    run(state, messages[:SHOWN_FROM])
    run(state, messages[SHOWN_FROM + 1 : SHOWN_FROM + 2])
    events = run(state, [message("t/a", 6000 + 60 * SHOWN_FROM, 30.0)])
    told = [e for e in events if isinstance(e, AlertEvent)]
    assert [(e.kind, e.event_type, e.opened_step) for e in told] == [(AlertKind.SPIKE, "opened", SHOWN_FROM)]
    cleared = [e for e in run(state, messages[SHOWN_FROM + 2 :]) if isinstance(e, AlertEvent)]
    assert [(e.kind, e.event_type) for e in cleared] == [(AlertKind.SPIKE, "cleared")]


def test_a_late_reading_may_give_an_alert_another_name() -> None:
    """A spike that a late reading shows to be a shift stays the same alert."""
    late = msgspec.structs.replace(PLAIN, lateness_steps=4)
    usual = [10.0 + k % 5 + 0.05 * (7 * k % 11) for k in range(SHOWN_FROM)]
    state = quick(late)
    run(state, [message("t/a", 6000 + 60 * k, value) for k, value in enumerate(usual)])
    at = 6000 + 60 * SHOWN_FROM
    told = [e for e in run(state, [message("t/a", at, 25.0)]) if isinstance(e, AlertEvent)]
    assert [(e.kind, e.event_type) for e in told] == [("spike", "opened")]
    rest = [message("t/a", at + 120, 25.2), message("t/a", at + 180, 25.1)]
    assert [e for e in run(state, rest) if isinstance(e, AlertEvent)] == []
    (named,) = [e for e in run(state, [message("t/a", at + 60, 25.3)]) if isinstance(e, AlertEvent)]
    assert (named.kind, named.event_type) == ("level_shift", "updated")
    assert (named.opened_as, named.opened_step, named.seq) == ("spike", told[0].opened_step, 2)
    described = [e for e in pipeline.describe(state) if isinstance(e, AlertEvent)]
    assert plain(described) == plain([named])


def test_a_channel_that_becomes_a_covariate_has_no_alerts() -> None:
    """What is no longer judged has nothing open, nor watched, after a start with another model."""
    state = quick()
    run(state, eventful()[: 3 * SHOWN_FROM + 10])
    group = state.groups[0]
    assert group.table.notes
    arrays = detect.dump(group.table)
    detect.load(group.table, arrays, targets=0)
    assert not group.table.notes
    assert not group.table["alert_open"].any()
    assert not group.table["alert_level"].any()
