"""Silence: deadlines, who waits for whom, and what alerts = false leaves of it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseq.core import keeping, pipeline
from edgeseq.core.types import (
    AlertEvent,
    AlertKind,
    ChannelSource,
    DataStatus,
    Event,
    Forecast,
    Options,
    StreamRule,
    StreamStatus,
)
from tests.support.streams import (
    OPTIONS,
    PERIOD,
    PLAIN,
    SECOND,
    alerts,
    equal_states,
    message,
    node,
    pair_rule,
    plain,
    run,
    wave,
)

WALL = Options(clock="wall", synchronised=False)
QUIET = msgspec.structs.replace(PLAIN, alerts=False)


def data_statuses(events: list[Event], stream: int = 0) -> list[DataStatus]:
    """Pick what was told of a stream's data."""
    return [e.data for e in events if isinstance(e, StreamStatus) and e.stream == stream]


@pytest.mark.timeout(20)
def test_stream_without_alerts_falls_silent_in_its_status_only() -> None:
    """With alerts = false a silence is no alert, and it never holds up the readings of others."""
    state = node(QUIET)
    others = [m for m in wave(50, topic="t/b") if m.received_ns > 600 * SECOND]
    events = run(state, [*wave(5), *others])
    assert [e for e in events if isinstance(e, AlertEvent)] == []
    assert data_statuses(events) == [DataStatus.OK, DataStatus.SILENT]
    assert {e.alert for e in events if isinstance(e, StreamStatus)} == {"none"}


def test_stream_without_alerts_raises_none_whatever_it_does() -> None:
    """With alerts = false a spike and a stuck value raise nothing."""
    messages = wave(500)
    messages[400] = message("t/a", 60 * 400, 60.0)
    messages[450:460] = [message("t/a", 60 * i, 12.0) for i in range(450, 460)]
    events = run(node(QUIET), messages)
    assert [e for e in events if isinstance(e, AlertEvent)] == []


def test_resuming_often_does_not_postpone_silence() -> None:
    """After any number of reconnections a stream has its own wait once, from the last of them."""
    state = node(PLAIN, options=WALL)
    run(state, wave(20))
    last = 19 * PERIOD
    wait = int(state.groups[0].table["deadline_ns"][0]) - last
    for k in range(1, 9):
        pipeline.resume(state, last + k * 5 * PERIOD)
    now = last + 8 * 5 * PERIOD
    assert int(state.groups[0].table["deadline_ns"][0]) == now + wait
    assert pipeline.tick(state, now + wait) == []
    assert len(alerts(pipeline.tick(state, now + wait + 1), AlertKind.SILENT)) == 1


def test_tick_without_events_moves_nothing() -> None:
    """Such a tick is in no journal: whatever comes after it, a clock that was set back included, goes as without it."""
    ticked, plain = node(PLAIN, options=WALL), node(PLAIN, options=WALL)
    for state in (ticked, plain):
        run(state, wave(20))
    assert pipeline.tick(ticked, 19 * PERIOD + 1) == []
    assert equal_states(ticked, plain)


def test_clock_set_back_neither_hides_silence_nor_tells_it_at_each_reading() -> None:
    """A clock that was an hour ahead leaves nothing behind once it is right: neither a deadline nor a silence."""
    state = node(PLAIN, options=WALL)
    ahead = [m for pair in zip(wave(10, 3600), wave(10, 3600, topic="t/b"), strict=True) for m in pair]
    ahead += [message("t/a", 3600 + 60 * k, 10.0) for k in range(10, 20)]
    assert len(alerts(run(state, ahead), AlertKind.SILENT)) == 1
    pipeline.resume(state, 20 * PERIOD)
    events = run(state, [message(f"t/{name}", 60 * k, 10.0) for k in range(21, 30) for name in "ab"])
    assert [e.event_type for e in alerts(events, AlertKind.SILENT)] == ["cleared"]
    assert len(alerts(pipeline.tick(state, 40 * PERIOD), AlertKind.SILENT)) == 2


def test_resume_is_for_streams_that_wait() -> None:
    """A stream too young to be judged, or silent already, is not changed by a resumption."""
    state = node(PLAIN, options=WALL)
    run(state, [message("t/a", 0, 1.0)])
    run(state, wave(10, topic="t/b"))
    pipeline.tick(state, 100 * PERIOD)
    pipeline.resume(state, 101 * PERIOD)
    assert pipeline.tick(state, 200 * PERIOD) == []


def test_wall_clock_set_back_leaves_the_rhythm_alone() -> None:
    """A clock set back by a day neither makes the cadence a mismatch nor declares anybody silent."""
    state = node(PLAIN, options=WALL)
    forward = wave(60)
    events = run(state, forward)
    back = [
        msgspec.structs.replace(m, received_ns=m.received_ns - 86400 * SECOND) for m in wave(120, 60 * 60)
    ]
    events += run(state, back)
    assert alerts(events, AlertKind.SILENT) == []
    assert data_statuses(events) == [DataStatus.OK]
    assert state.groups[0].table["mean_gap_ns"][0] == pytest.approx(PERIOD, rel=0.01)


@pytest.mark.parametrize("apart_s", [0, 1])
def test_many_channels_of_one_cadence_are_no_mismatch(apart_s: int) -> None:
    """Six channels that each report once a period have that period, together in one message or apart."""
    channels = {f"c{i}": ChannelSource(f"p/{i}", "v") for i in range(6)}
    rule = StreamRule(key="p", name="p", period_ns=PERIOD, channels=channels, time_field="time", horizon=4)
    messages = [
        message(f"p/{i}", 60 * k + apart_s * i, float(i + k % 3)) for k in range(60) for i in range(6)
    ]
    assert data_statuses(run(node(rule), messages)) == [DataStatus.OK]


@pytest.mark.parametrize(("aggregate", "told"), [("mean", DataStatus.OK), ("last", DataStatus.MISMATCH)])
def test_many_readings_a_period_are_a_mismatch_only_for_last(aggregate: str, told: DataStatus) -> None:
    """Readings every second are what a mean over a minute is for; for `last` most of them are lost."""
    rule = msgspec.structs.replace(PLAIN, aggregate=aggregate)
    events = run(node(rule), [message("t/a", k, float(k % 7)) for k in range(200)])
    assert data_statuses(events)[-1] == told


def test_configured_deadline_holds_from_the_first_reading() -> None:
    """silent_after needs no rhythm to be learned."""
    rule = msgspec.structs.replace(PLAIN, silent_after_ns=100 * SECOND)
    events = run(node(rule), [message("t/a", 0, 1.0), message("t/b", 101, 1.0)])
    assert [e.time_ns for e in alerts(events, AlertKind.SILENT)] == [100 * SECOND]


def test_silence_ends_after_it_began_by_the_same_clock() -> None:
    """A sensor that hands in old readings after a pause ends its silence when they arrive, not when they were made."""
    state = node(PLAIN, options=WALL)
    run(state, wave(20))
    opened = alerts(pipeline.tick(state, 40 * PERIOD), AlertKind.SILENT)
    late = msgspec.structs.replace(message("t/a", 60 * 20, 10.0), received_ns=41 * PERIOD)
    cleared = alerts(run(state, [late]), AlertKind.SILENT)
    assert [e.cleared_ns for e in cleared] == [41 * PERIOD]
    assert cleared[0].opened_ns == opened[0].time_ns < 41 * PERIOD


def test_recordings_from_before_1970_have_silences_like_others() -> None:
    """Nothing hangs on the sign of a time: a recording shifted by 80 years has the same alerts."""

    def opened(start_s: int) -> list[int]:
        both = [*wave(20, start_s), *wave(30, start_s + 20 * 60, topic="t/b")]
        return [e.time_ns - start_s * SECOND for e in alerts(run(node(PLAIN), both), AlertKind.SILENT)]

    shift = 80 * 365 * 86400
    assert opened(-shift) == opened(shift) != []


YEARS_S = 5 * 365 * 86400


@pytest.mark.parametrize("together", [False, True])
def test_recording_of_an_older_date_is_silent_once(together: bool) -> None:
    """By the readings' clock a recording years behind another one falls silent once, and no reading of it ends that."""
    newer, older = wave(60, YEARS_S), wave(60, topic="t/b")
    messages = [m for pair in zip(newer, older, strict=True) for m in pair] if together else [*newer, *older]
    events = run(node(PLAIN), messages)
    assert [(e.stream, e.event_type) for e in alerts(events, AlertKind.SILENT)] == [(1, "opened")]
    assert data_statuses(events, stream=1) == [DataStatus.OK, DataStatus.SILENT]
    assert len([e for e in events if isinstance(e, Forecast) and e.stream == 1]) == 60


def test_older_recording_that_catches_up_ends_its_silence() -> None:
    """The first reading that is itself no longer overdue ends a silence, at its own time."""
    state = node(PLAIN)
    events = run(state, [*wave(20), *wave(30, 3600, topic="t/b")])
    assert [e.event_type for e in alerts(events, AlertKind.SILENT)] == ["opened"]
    newest_s = 3600 + 29 * 60
    wait_s = int(state.groups[0].table["deadline_ns"][0]) // SECOND - 19 * 60
    stale, fresh = newest_s - wait_s - 60, newest_s - wait_s + 60
    assert alerts(run(state, [message("t/a", stale, 10.0)]), AlertKind.SILENT) == []
    (cleared,) = alerts(run(state, [message("t/a", fresh, 10.0)]), AlertKind.SILENT)
    assert (cleared.event_type, cleared.time_ns) == ("cleared", fresh * SECOND)


def test_silence_never_ends_before_it_began() -> None:
    """A reading a little out of order, from before the deadline, ends the silence when it began."""
    rule = msgspec.structs.replace(PLAIN, silent_after_ns=100 * SECOND)
    sent = [message("t/a", 0, 1.0), message("t/b", 150, 1.0), message("t/a", 80, 1.0)]
    opened, cleared = alerts(run(node(rule), sent), AlertKind.SILENT)
    assert (opened.time_ns, cleared.time_ns) == (100 * SECOND, 100 * SECOND)


@settings(max_examples=8)
@given(st.lists(st.integers(0, 120), max_size=8), st.integers(0, 120))
def test_recordings_of_different_dates_cut_anywhere_and_recovered_are_the_same(
    cuts: list[int], stop: int
) -> None:
    """However their readings are cut into batches, and whenever a restart comes, events and state are the same."""
    # The older one catches up by a leap, and the newer one then falls behind.
    older = [*wave(30, topic="t/b"), *wave(30, 2 * YEARS_S, topic="t/b")]
    messages = [m for pair in zip(wave(60, YEARS_S), older, strict=True) for m in pair]
    whole, cut, back = node(PLAIN), node(PLAIN), node(PLAIN)
    told = run(whole, messages)
    assert plain(run(cut, messages, cuts)) == plain(told)
    first = run(cut_short := node(PLAIN), messages[:stop])
    keeping.load(back, *keeping.dump(cut_short))
    assert plain([*first, *run(back, messages[stop:])]) == plain(told)
    assert equal_states(whole, cut)
    assert equal_states(whole, back)


def test_wall_clock_set_back_still_ends_a_silence() -> None:
    """By the wall clock any arrival ends a silence, whatever the clock says."""
    state = node(PLAIN, options=WALL)
    run(state, wave(20))
    assert len(alerts(pipeline.tick(state, 100 * PERIOD), AlertKind.SILENT)) == 1
    arrived = msgspec.structs.replace(message("t/a", 60 * 20, 10.0), received_ns=5 * PERIOD)
    assert [e.cleared_ns for e in alerts(run(state, [arrived]), AlertKind.SILENT)] == [5 * PERIOD]


def test_silences_are_told_in_the_order_of_their_deadlines() -> None:
    """Streams of several rules that one reading finds silent are told oldest deadline first."""
    state = node(PLAIN, msgspec.structs.replace(PLAIN, key="fast", topics=("f/+",), period_ns=PERIOD // 2))
    early = [m for k in range(10) for m in (message("t/a", 30 * k, k), message("f/a", 30 * k, k))]
    events = run(state, [*early, message("t/c", 60 * 300, 1.0)])
    times = [e.time_ns for e in alerts(events, AlertKind.SILENT)]
    assert len(times) == 2
    assert times == sorted(times)


def test_tick_changes_alerts_status_and_clock_only() -> None:
    """Processing time never touches a recurrent state, a forecast, a calibration or the grid."""
    state = node(options=WALL)
    run(state, [*wave(80), *wave(80, topic="m/a"), *wave(80, topic="a/a")])
    before = keeping.dump(state)[1]
    assert pipeline.tick(state, 10**6 * PERIOD) != []
    after = keeping.dump(state)[1]
    changed = {name.split("\n")[1] for name in before if before[name].tobytes() != after[name].tobytes()}
    told = {
        "alert_open",
        "alert_level",
        "alert_seq",
        "alerts.place",
        "alerts.numbers",
        "alerts.evidence",
        "status",
    }
    assert changed == told


def test_recover_with_ticks_and_resumptions_equals_live() -> None:
    """A journal of readings, ticks that had an effect and resumptions brings back the live state."""
    live, recovered = node(PLAIN, pair_rule(), options=WALL), node(PLAIN, pair_rule(), options=WALL)
    messages = [*wave(30), *wave(30, 60 * 60), *wave(3, 600 * 60)]
    events, again = [], []
    for k, one in enumerate(messages):
        now = one.received_ns
        for tick_ns in range(max(live.clock_ns, now - 20 * PERIOD), now, PERIOD):
            if told := pipeline.tick(live, tick_ns):
                events += told
                again += pipeline.tick(recovered, tick_ns)
        if k in (15, 40):
            pipeline.resume(live, now)
            pipeline.resume(recovered, now)
        batch = pipeline.accept(live, [one])
        events += pipeline.advance(live, batch.readings)
        again += pipeline.recover(recovered, batch.created, batch.readings)
    assert len(alerts(events, AlertKind.SILENT)) == 4
    assert plain(events) == plain(again)
    assert equal_states(live, recovered)


def test_memory_does_not_grow_with_readings() -> None:
    """The state of a stream is as large after a thousand readings as after one; what the node remembers of them all
    is bounded by itself (`core.dedupe`).
    """
    state = node(PLAIN, options=OPTIONS)

    def size() -> int:
        return sum(array.nbytes for name, array in keeping.dump(state)[1].items() if name != keeping.RECENT)

    run(state, wave(1))
    before = size()
    run(state, wave(1000, 60))
    assert size() == before
    assert np.isfinite(state.groups[0].table["history"]).all()
