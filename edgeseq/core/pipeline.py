"""A reading's way through edgeseq, on one screen.

    messages ─ accept ─▶ readings ─ advance ─▶ events ─ render.render ─▶ Outgoing
               decode, dedupe      align → step → calibrate → detect

The composition root (daemon, replay) does for each batch, in this order:

    batch = accept(state, messages)                  # registers new streams and reading ids
    events = advance(state, batch.readings)          # the only function that moves the streams
    outgoing = render(context, render_state, events)
    store.commit(records)                            # soon, or (strict) before advance; then the acknowledgements

and for each Tick `events = tick(state, now_ns)`. At start: `keeping.load` a snapshot, `recover` every journal
record, `resume`. `keeping.dump` makes the snapshot.
The state is owned by one thread and changed in place. No clock, no I/O, no randomness: the same readings give the
same state and events, however they were cut into batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

import numpy as np

from edgeseq.core import activity, detect, estimate, lateness, stepping
from edgeseq.core import known as foreseen
from edgeseq.core.activity import Activity
from edgeseq.core.estimate import NO_CLASS
from edgeseq.core.group import Group, present_ns
from edgeseq.core.intake import Batch, accept, distrust, recall, remember_new
from edgeseq.core.rounds import rounds
from edgeseq.core.state import NO_GROUP, State, add_rows, new_state, places
from edgeseq.core.status import statuses
from edgeseq.core.types import (
    I64,
    AlertEvent,
    Bool,
    Event,
    Readings,
    Reason,
    StreamCreated,
    StreamInfo,
    StreamRule,
)

__all__ = [
    "NO_GROUP",
    "Batch",
    "State",
    "accept",
    "add_rows",
    "advance",
    "describe",
    "distrust",
    "mean_gap_ns",
    "new_state",
    "recall",
    "recover",
    "resume",
    "tick",
]


def recover(state: State, created: Sequence[StreamInfo], readings: Readings) -> list[Event]:
    """Take journal records: what accept and advance did before they were written, however they are cut or joined."""
    for info in created:
        state.registry.register(info)
    add_rows(state)
    remember_new(state, readings)
    return advance(state, readings)


@np.errstate(
    over="ignore", invalid="ignore"
)  # near the largest float: known by their values, not by warnings
def advance(state: State, readings: Readings) -> list[Event]:
    """Align, step, calibrate and detect; events in the order of the readings that caused them.

    Before a reading is taken, every stream whose deadline lies before it is silent: so a silence does not depend on
    when somebody looked.
    """
    n = len(readings)
    if n == 0:
        return []
    given = _are_given(state, readings)
    clock = _clock(state, readings, given)
    reached = np.maximum.accumulate(np.maximum(clock, state.clock_ns))
    # What arrives is never stale by the clock that it arrives by, even one that was set back.
    now = reached if state.options.clock == "readings" else clock
    if given is None and _none_falls_silent(state, int(reached[-1]), int(np.minimum.reduce(clock))):
        events = _take(state, readings, clock, now, np.arange(n))
    else:
        events = _advance_in_parts(state, readings, clock, reached, now, given)
    state.clock_ns = int(reached[-1])
    return sorted(events, key=_ORDER)


_ORDER = attrgetter("order")


def _advance_in_parts(
    state: State, readings: Readings, clock: I64, reached: I64, now: I64, given: Bool | None
) -> list[Event]:
    """Cut a batch where a stream falls silent, and where what is said of the future begins or ends."""
    events: list[Event] = []
    n, start = len(readings), 0
    earliest = _earliest_deadlines(state, readings, clock)
    changes = [n] if given is None else [*(np.flatnonzero(np.diff(given)) + 1).tolist(), n]
    while start < n:
        # What is said of the future counts from its place in the order on.
        stop = min(_stop(state, reached, earliest, start), next(k for k in changes if k > start))
        if stop > start and given is not None and given[start]:
            events += _give(state, readings.take(slice(start, stop)), reached[start:stop], start)
        elif stop > start:
            part = slice(start, stop)
            events += _take(state, readings.take(part), clock[part], now[part], np.arange(start, stop))
        else:
            events += _sweep(state, int(reached[start]), order=start)
        start = stop
    return events


def tick(state: State, now_ns: int) -> list[Event]:
    """Let processing time go on: only silence and status, never a recurrent state.

    A tick without events moves nothing, not even the clock: it is in no journal.
    """
    if state.options.clock == "readings":
        return []
    reached = max(state.clock_ns, now_ns)
    events = _sweep(state, reached, order=0)
    if events:
        state.clock_ns = reached
    return events


def resume(state: State, now_ns: int, session: int | None = None) -> None:
    """Begin to listen again, in a new session of the broker where its number is given.

    Every stream has its whole deadline anew: nobody listened while the daemon was down, or the clock was set. The clock
    begins anew, too: by one that had gone before it was set back, streams would be silent after each reading.
    """
    state.session = state.session if session is None else session
    if state.options.clock == "readings":
        return
    state.clock_ns = min(state.clock_ns, now_ns)
    for group in state.groups:
        detect.resume(group.table, now_ns, group.rule.period_ns, group.rule.silent_after_ns)
        group.deadlines_from_ns = detect.next_deadline_ns(group.table)


def describe(state: State) -> list[Event]:
    """Tell all streams, their open alerts and their status, each as it was told before.

    For what remembers what subscribers know, after a start, and for a broker that may have forgotten it.
    """
    events: list[Event] = []
    for group in state.groups:
        rows = np.arange(group.table.rows)
        events += [StreamCreated(0, stream) for stream in group.table["stream"].tolist()]
        events += _told(group.rule, [*detect.still_open(group.table)])
        if group.estimator:
            known = group.table["estimate.class"] != NO_CLASS
            events += estimate.classes(group.table, rows, np.zeros(len(rows), np.int64), known)
        seen = rows[group.table["arrivals"] > 0]
        events += statuses(group, seen, np.zeros(len(seen), np.int64), changed_only=False)
    return events


def mean_gap_ns(state: State, stream: int) -> float:
    """Give the mean time between readings of a stream's channels, as its status judges it."""
    return float(state.groups[state.group_of[stream]].table["mean_gap_ns"][state.row_of[stream]])


# --- parts ----------------------------------------------------------------------------------------------------


def _are_given(state: State, readings: Readings) -> Bool | None:
    """Tell what hidden streams say from readings (n,); None where there are none."""
    if not state.covariate_of and not state.switch_of:
        return None
    given: Bool = np.isin(readings.stream_index, [*state.covariate_of, *state.switch_of])
    return given


def _clock(state: State, readings: Readings, given: Bool | None) -> I64:
    """Give the clock that silence is measured by; times of the future do not move it."""
    if state.options.clock == "wall":
        return readings.received_ns
    return readings.time_ns if given is None else np.where(given, -(2**62), readings.time_ns)


def _none_falls_silent(state: State, until_ns: int, since_ns: int) -> bool:
    """Tell whether no deadline lies before `until_ns`, nor can one that readings from `since_ns` on set."""
    for group in state.groups:
        if until_ns > since_ns + detect.shortest_wait_ns(group.rule.period_ns, group.rule.silent_after_ns):
            return False
        # Looking at every stream is worth it only where the bound says that one may be due.
        if until_ns > group.deadlines_from_ns:
            group.deadlines_from_ns = detect.next_deadline_ns(group.table)
        if until_ns > group.deadlines_from_ns:
            return False
    return True


def _give(state: State, readings: Readings, reached: I64, first: int) -> list[Event]:
    """Take what hidden streams say: the future of covariates, and whether machines are on.

    Args:
        readings: (n,).
        reached: (n,) the clock at each of them.
        first: place of the first one in its batch.
    """
    events: list[Event] = []
    is_switch = np.isin(readings.stream_index, list(state.switch_of))
    for i in np.flatnonzero(is_switch).tolist():
        group = state.groups[state.switch_of[int(readings.stream_index[i])]]
        # By the clock of the streams, which may be that of a recording.
        value, clock_ns = float(readings.value[i]), int(reached[i])
        if group.activity and activity.switch(group.activity, value, clock_ns):
            events += _switched(group, group.activity, clock_ns, first + i)
    state.counts.applied += int(np.count_nonzero(is_switch))
    if not is_switch.all():
        _foresee(state, readings.take(~is_switch))
    return events


def _switched(group: Group, now: Activity, clock_ns: int, order: int) -> list[Event]:
    """Wait for the readings of a machine that was switched on, no longer for those of one that was switched off."""
    rule, rows = group.rule, np.arange(group.table.rows)
    if now.is_on:
        detect.wake(group.table, clock_ns, rule.period_ns, rule.silent_after_ns)
        group.deadlines_from_ns = detect.next_deadline_ns(group.table)
    else:
        detect.rest(group.table, rows)
    return statuses(group, rows, np.full(len(rows), order))


def _foresee(state: State, readings: Readings) -> None:
    """Take what is said of the future of covariates."""
    places = np.array([state.covariate_of[stream] for stream in readings.stream_index.tolist()])
    for index in sorted(set(places[:, 0].tolist())):
        own = np.flatnonzero(places[:, 0] == index)
        if (known := state.groups[index].known) is not None:
            times, values = readings.time_ns[own], readings.value[own]
            message = readings.message_index[own].astype(np.int64)
            now_ns = present_ns(state.groups[index])
            foreseen.take(known, places[own, 1], times, values, message, now_ns)
    state.counts.applied += len(readings)


def _stop(state: State, reached: I64, earliest: I64, start: int) -> int:
    """Tell how many readings can be taken before a stream could fall silent.

    Readings taken together set new deadlines; `earliest` bounds those from below, so that none is passed unseen.
    """
    deadline = min((detect.next_deadline_ns(group.table) for group in state.groups), default=detect.NEVER)
    if reached[start] > deadline:
        return start
    if start + 1 == len(reached):
        return start + 1
    before = np.minimum.accumulate(np.concatenate([[deadline], earliest[start:-1]]))
    passed = np.flatnonzero(reached[start:] > before)
    return start + int(passed[0]) if len(passed) else len(reached)


def _earliest_deadlines(state: State, readings: Readings, clock: I64) -> I64:
    """Bound from below the deadline that each reading sets."""
    waits = [detect.shortest_wait_ns(g.rule.period_ns, g.rule.silent_after_ns) for g in state.groups]
    group_of, _ = places(state, readings.stream_index)
    return clock + np.array([*waits, 2**61], dtype=np.int64)[group_of]


def _take(state: State, readings: Readings, clock: I64, now: I64, order: I64) -> list[Event]:
    """Take readings (n,) at the places `order` of their batch, group by group; no deadline passes among them."""
    group_of, row_of = places(state, readings.stream_index)
    if group_of[0] != NO_GROUP and np.count_nonzero(group_of == group_of[0]) == len(order):
        return _take_group(state, int(group_of[0]), row_of, readings, clock, now, order)
    events: list[Event] = []
    if nowhere := int((group_of == NO_GROUP).sum()):
        state.counts.reject(Reason.UNKNOWN_TOPIC, nowhere)
    for index in sorted(set(group_of.tolist()) - {NO_GROUP}):
        mine = np.flatnonzero(group_of == index)
        taken = readings.take(mine)
        events += _take_group(state, index, row_of[mine], taken, clock[mine], now[mine], order[mine])
    return events


def _take_group(
    state: State, index: int, rows: I64, readings: Readings, clock: I64, now: I64, order: I64
) -> list[Event]:
    """Take readings of one rule's streams in rounds: each stream at most once in a round."""
    if (machine := state.groups[index].activity) and not machine.is_on:
        readings = replace(readings, value=np.full(len(rows), np.nan))
    ordered = rows.copy()
    ordered.sort()
    if np.count_nonzero(ordered[1:] == ordered[:-1]) == 0:
        return _take_round(state, index, rows, readings, clock, now, order)
    events: list[Event] = []
    for picked in rounds(rows):
        one, at_ns, now_ns = readings.take(picked), clock[picked], now[picked]
        events += _take_round(state, index, rows[picked], one, at_ns, now_ns, order[picked])
    return events


def _take_round(
    state: State, index: int, rows: I64, readings: Readings, clock: I64, now: I64, order: I64
) -> list[Event]:
    """Take one reading for each of different rows."""
    group = state.groups[index]
    rule, table = group.rule, group.table
    new = (table["arrivals"][rows] == 0).nonzero()[0].tolist()
    events: list[Event] = [StreamCreated(int(order[i]), int(table["stream"][rows[i]])) for i in new]
    channel = readings.channel.astype(np.int64)
    events += detect.arrive(table, rows, order, channel, clock, now, rule.period_ns, rule.silent_after_ns)
    if group.activity and not group.activity.is_on:
        detect.rest(table, rows)
    group.deadlines_from_ns = min(group.deadlines_from_ns, int(np.minimum.reduce(table["deadline_ns"][rows])))
    late = np.zeros(len(rows), dtype=np.bool_)
    if kept := state.lateness.get(index):
        events += lateness.take(group, kept, rows, readings, order, late)
    else:
        events += stepping.apply(group, rows, readings, order, late)
    too_late = int(np.count_nonzero(late))
    state.counts.late += too_late
    state.counts.applied += len(rows) - too_late
    return _told(rule, [*events, *statuses(group, rows, order)])


def _sweep(state: State, clock_ns: int, order: int) -> list[Event]:
    """Open `silent` for every stream whose deadline has passed, in the order of the deadlines."""
    events: list[Event] = []
    for group in state.groups:
        if group.deadlines_from_ns >= clock_ns or detect.next_deadline_ns(group.table) >= clock_ns:
            continue
        opened = detect.sweep(group.table, order, clock_ns, group.rule.period_ns)
        rows = np.array([state.row_of[event.stream] for event in opened], dtype=np.intp)
        events += _told(group.rule, [*opened, *statuses(group, rows, np.full(len(rows), order))])
    return sorted(events, key=lambda event: getattr(event, "time_ns", clock_ns))


def _told(rule: StreamRule, events: list[Event]) -> list[Event]:
    """Drop the alerts of kinds that a rule does not want; its status still tells silent and stuck streams."""
    if rule.alerts and not rule.alerting.kinds:
        return events
    wanted = rule.alerting.kinds if rule.alerts else ()
    return [event for event in events if not isinstance(event, AlertEvent) or event.kind in wanted]
