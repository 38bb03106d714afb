"""Machines that are switched on and off: off is missing, no alert, no silence; order decides, as of all readings."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgeseq.core import keeping, pipeline
from edgeseq.core.activity import meaning
from edgeseq.core.parsing import Fault
from edgeseq.core.types import (
    AlertKind,
    Event,
    Limits,
    Message,
    Reason,
    StreamRule,
    StreamStatus,
    SwitchSource,
)
from tests.support.streams import (
    MEAN,
    OPTIONS,
    PERIOD,
    PLAIN,
    SECOND,
    alerts,
    equal_states,
    forecasts,
    message,
    node,
    plain,
    run,
)

RUN = "plc/run"
MACHINE = msgspec.structs.replace(
    PLAIN, limits={"value": Limits(max=20.0)}, active_when=SwitchSource(RUN), settle_ns=3 * PERIOD
)
WALL = msgspec.structs.replace(OPTIONS, clock="wall")


def switch(at_s: float, word: str = "on", *, retained: bool = False) -> Message:
    """Make a message of the switch."""
    return Message(RUN, word.encode(), int(at_s * SECOND), retained=retained)


def minutes(first: int, stop: int, value: float = 10.0) -> list[Message]:
    """Make readings of some minutes, no two neighbours alike."""
    return [message("t/a", 60 * k, value + 0.1 * (k % 2)) for k in range(first, stop)]


def told(events: list[Event]) -> list[str]:
    """List what the statuses say of the data."""
    return [event.data.value for event in events if isinstance(event, StreamStatus)]


def day() -> list[Message]:
    """Make a day in which a machine is off twice and its readings leave the limits, off, settling and on."""
    return [
        *minutes(0, 20),
        switch(20 * 60 - 1, "off"),
        *minutes(20, 40, 99.0),
        switch(40 * 60 - 1),
        *minutes(40, 42, 99.0),
        *minutes(42, 50),
        *minutes(50, 52, 99.0),
        *minutes(52, 60),
        switch(60 * 60, "false"),
        switch(200 * 60, "1"),
        *minutes(201, 230),
    ]


@pytest.mark.parametrize(
    ("raw", "equals", "value"),
    [
        ("on", None, 1.0), ("Off", None, 0.0), (True, None, 1.0), (False, None, 0.0), (" 3 ", None, 1.0),
        ("0.0", None, 0.0), ("", None, 0.0), ("auto", "auto", 1.0), ("manual", "auto", 0.0), (1, "1", 1.0),
        (True, "true", 1.0), (2.0, "2", 1.0), ("-inf", None, 1.0),
    ],
)  # fmt: skip
def test_a_value_means_on_or_off(raw: object, equals: str | None, value: float) -> None:
    """Words, booleans and numbers are understood; a configured value is compared as text and as a number."""
    assert meaning(raw, equals) == value


def test_what_is_no_switch_is_rejected() -> None:
    """An object, a list, null and NaN say nothing, and count as rejected."""
    odd: list[object] = [{}, [], None, "NaN"]
    faults = [meaning(raw, None) for raw in odd]
    found = [fault.reason for fault in faults if isinstance(fault, Fault)]
    assert found == [*[Reason.WRONG_TYPE] * 3, Reason.NOT_FINITE]
    by_path = msgspec.structs.replace(MACHINE, active_when=SwitchSource(RUN, "state.run"))
    state = node(by_path)
    payloads = [b'{"state": {"run": null}}', b'{"state": 1}', b"on", b"\xff"]
    batch = pipeline.accept(state, [Message(RUN, payload, SECOND) for payload in payloads])
    assert len(batch.readings) == 0
    assert len(batch.rejections) == len(payloads)


def test_readings_of_a_machine_that_is_off_are_missing() -> None:
    """They are applied, but no value: nothing is learned, no limit is left, and the forecast says so."""
    state = node(MACHINE)
    events = run(state, [*minutes(0, 10), switch(599, "off"), *minutes(10, 20, 99.0)])
    observed = [float(f.observed[0]) for f in forecasts(events)]
    assert np.isfinite(observed[:10]).all()
    assert np.isnan(observed[10:]).all()
    assert len(observed) == 20
    assert alerts(events, AlertKind.OUT_OF_RANGE) == []
    assert told(events) == ["ok", "off"]
    assert state.counts.applied == 21


def test_nothing_is_judged_until_the_machine_has_settled() -> None:
    """After the start readings count, but raise no alerts for a while; then they do. The clock is the streams' own."""
    for options, settled in ((WALL, 6), (OPTIONS, 5)):
        state = node(MACHINE, options=options)
        run(state, [switch(0, "off"), *minutes(0, 3)])
        events = run(state, [switch(180), *minutes(3, settled, 99.0)])
        assert all(np.isfinite(f.observed[0]) for f in forecasts(events))
        assert alerts(events, AlertKind.OUT_OF_RANGE) == []
        opened = alerts(run(state, minutes(settled, 9, 99.0)), AlertKind.OUT_OF_RANGE)
        assert [event.time_ns for event in opened] == [settled * PERIOD]


def test_an_alert_that_is_open_stays_while_the_machine_is_off() -> None:
    """Missing data clears nothing; good readings after the start do."""
    state = node(MACHINE)
    assert len(alerts(run(state, minutes(0, 2, 99.0)), AlertKind.OUT_OF_RANGE)) == 1
    assert alerts(run(state, [switch(119, "off"), *minutes(2, 30)]), AlertKind.OUT_OF_RANGE) == []
    events = run(state, [switch(1800), *minutes(30, 50)])
    assert [event.event_type for event in alerts(events, AlertKind.OUT_OF_RANGE)] == ["cleared"]


def test_a_machine_that_is_off_is_not_silent() -> None:
    """No deadline while it is off, a whole one from the start on."""
    for options in (OPTIONS, WALL):
        state = node(MACHINE, MEAN, options=options)
        run(state, [*minutes(0, 10), switch(600, "off")])
        assert pipeline.tick(state, 10**5 * SECOND) == []
        clock = [message("a/a", 3000 + 60 * k, 1.0 + k % 2) for k in range(10)]
        assert [e.stream for e in alerts(run(state, clock), AlertKind.SILENT)] == []
        assert alerts(run(state, [switch(3600), message("a/a", 3660, 1.0)]), AlertKind.SILENT) == []
        late = alerts(run(state, [message("a/a", 3600 + 60 * 30, 1.0)]), AlertKind.SILENT)
        assert 0 in [event.stream for event in late]


def test_a_switch_is_no_stream() -> None:
    """It has no row, no topic and no place in the count; what it says again changes nothing."""
    state = node(MACHINE)
    events = run(state, [switch(1), switch(2, retained=True), switch(3, "on"), *minutes(1, 3)])
    assert (state.registry.streams, state.groups[0].table.rows) == (1, 1)
    assert told(events) == ["ok"]
    assert state.counts.pending == 0


def test_cut_anywhere_gives_the_same_events_and_state() -> None:
    """However a day is cut into batches, it is told the same; alone, too, and restored from any point."""
    messages = day()
    whole = node(MACHINE)
    events = run(whole, messages)
    assert told(events).count("off") == 2
    assert len(alerts(events, AlertKind.OUT_OF_RANGE)) == 2
    alone = node(MACHINE)
    assert plain(run(alone, messages, list(range(1, len(messages))))) == plain(events)
    assert equal_states(whole, alone)
    for at in (5, 21, 41, 43, 55, len(messages) - 10):
        first, second = node(MACHINE), node(MACHINE)
        before = run(first, messages[:at])
        assert keeping.load(second, *keeping.dump(first)) == []
        assert plain([*before, *run(second, messages[at:])]) == plain(events)
        assert equal_states(whole, second)


def test_a_journal_brings_the_switch_back() -> None:
    """What a switch said is a reading of a hidden stream, in the journal like any other."""
    live, again = node(MACHINE), node(MACHINE)
    for one in day():
        batch = pipeline.accept(live, [one])
        events = pipeline.advance(live, batch.readings)
        assert plain(pipeline.recover(again, batch.created, batch.readings)) == plain(events)
    assert equal_states(live, again)


def test_a_rule_without_a_switch_forgets_what_it_said() -> None:
    """A switch that is configured no longer leaves a stream that is on."""
    was, now = node(MACHINE), node(PLAIN)
    run(was, [*minutes(0, 10), switch(600, "off")])
    keeping.load(now, *keeping.dump(was))
    events = run(now, minutes(11, 13))
    assert all(np.isfinite(f.observed[0]) for f in forecasts(events))
    assert told(events) == ["ok"]


def test_each_rule_has_its_own_switch() -> None:
    """A topic may switch several rules, and may be a stream itself."""
    other = StreamRule(
        key="other",
        period_ns=PERIOD,
        topics=("t/b", RUN),
        horizon=4,
        active_when=SwitchSource(RUN, None, "0"),
    )
    state = node(MACHINE, other)
    run(state, [message("t/a", 0, 1.0), Message("t/b", b"1", SECOND)])
    batch = pipeline.accept(state, [switch(10, "0")])
    assert len(batch.readings) == 3
    pipeline.advance(state, batch.readings)
    assert [group.activity is not None and group.activity.is_on for group in state.groups] == [False, True]
