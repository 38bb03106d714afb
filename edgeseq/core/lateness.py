"""Readings out of order: `lateness_steps` keeps an earlier state of each stream, and steps again from there.

    settled state ── waiting readings, by their own time ──▶ live state ──▶ forecasts, alerts

A reading waits until no earlier one can be taken any more: until the stream has moved on by more than
`lateness_steps`. One that comes in order moves the live state at once, as without this. One that comes behind others
takes its place among them, and the live state is made again from the settled one. So what forecasts and intervals
come from is the same for every order of arrival within those steps. What arrival itself decides, the rhythm and the
silence of a stream, is not made again; alerts that were told are corrected by further events, never renumbered.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseq.core import detect, estimate, stepping
from edgeseq.core.align import NOT_STARTED
from edgeseq.core.group import Group, dump_group, load_group
from edgeseq.core.rounds import rounds
from edgeseq.core.types import I64, AlertEvent, Bool, Estimate, Event, Forecast, Readings

MAX_WAITING = 256
"""Readings of one stream that wait; beyond, the oldest settle early, and what would come before them is late."""

TOLD = ("alert_seq", "status", "leads_told", "serving_told")
ARRIVAL = (
    "arrivals",
    "last_seen_ns",
    "channel_seen_ns",
    "gap_q90_ns",
    "mean_gap_ns",
    "pause_ns",
    "listening_ns",
    "deadline_ns",
    "recent_ids",
    "recent_position",
)
KEPT = frozenset({"stream", *TOLD, *ARRIVAL})
"""Columns that are not made again: what subscribers were told, and what the order of arrival decides."""

_OF_ALERTS = (
    "alert_open",
    "alert_level",
    "good",
    "good_now",
)
_WAITING = "waiting"
_SETTLED = "settled."


class Reading(NamedTuple):
    """A reading that waits, in the order of such."""

    time_ns: int
    channel: int
    bits: int
    """The value's: NaN has no order."""


@dataclass(slots=True)
class Lateness:
    """What is kept of a group beside its live table."""

    settled: Group
    """A twin whose rows have taken what can have no more predecessors."""
    waiting: list[list[Reading]] = field(default_factory=list)
    """Row → readings that the live state has taken and the settled one has not, sorted."""


def take(group: Group, kept: Lateness, rows: I64, readings: Readings, order: I64, late: Bool) -> list[Event]:
    """Take one reading for each of n different rows, in whatever order they come.

    Args:
        group: the live state.
        kept: the settled one.
        rows: (n,) row of each reading, all different.
        readings: (n,).
        order: (n,) position of each reading in its batch.
        late: (n,) written: True where a reading came later than may be.
    """
    _grow(group, kept)
    late[:] = _is_too_late(group, kept, rows, readings.time_ns)
    bits = readings.value.view(np.int64).tolist()
    items = list(map(Reading, readings.time_ns.tolist(), readings.channel.tolist(), bits))
    events: list[Event] = []
    ordered = []
    for i in np.flatnonzero(~late).tolist():
        waiting = kept.waiting[rows[i]]
        if not waiting or waiting[-1] <= items[i]:
            waiting.append(items[i])
            ordered.append(i)
        else:
            bisect.insort(waiting, items[i])
            events += _again(group, kept, int(rows[i]), int(order[i]), items[i].time_ns)
    if ordered:
        picked = np.array(ordered)
        none = np.zeros(len(picked), dtype=np.bool_)
        events += stepping.apply(group, rows[picked], readings.take(picked), order[picked], none)
    for i in np.flatnonzero(~late).tolist():
        _settle(group, kept, int(rows[i]))
    return events


def new_lateness(settled: Group) -> Lateness:
    """Begin with nothing; `settled` is an empty twin of the live group."""
    return Lateness(settled)


def _grow(group: Group, kept: Lateness) -> None:
    while kept.settled.table.rows < group.table.rows:
        row = kept.settled.table.add_row()
        kept.settled.table["stream"][row] = group.table["stream"][row]
        kept.waiting.append([])


def _is_too_late(group: Group, kept: Lateness, rows: I64, time_ns: I64) -> Bool:
    """Tell which readings belong before what is settled, or too far behind the newest step."""
    table, steps = group.table, group.rule.lateness_steps
    newest, settled = table["open_step"][rows], kept.settled.table["open_step"][rows]
    step = (time_ns - table["phase_ns"][rows]) // group.rule.period_ns
    started = newest != NOT_STARTED
    too_late: Bool = started & ((step < np.where(started, newest, 0) - steps) | (step < settled))
    return too_late


def _apply_all(group: Group, row: int, items: list[Reading], order: int) -> list[Event]:
    """Let several readings of one row move a state, one after the other."""
    n = len(items)
    channel = np.array([item.channel for item in items], dtype=np.int16)
    time_ns = np.array([item.time_ns for item in items], dtype=np.int64)
    value = np.array([item.bits for item in items], dtype=np.int64).view(np.float64)
    none = np.zeros(n, dtype=np.int32)
    readings = Readings(
        none, none, channel, time_ns, time_ns, value, none.astype(np.uint64), none.astype(np.bool_)
    )
    rows = np.full(n, row)
    events: list[Event] = []
    for picked in rounds(rows):
        late = np.zeros(1, dtype=np.bool_)
        events += stepping.apply(group, rows[picked], readings.take(picked), np.full(1, order), late)
    return events


def _settle(group: Group, kept: Lateness, row: int) -> None:
    """Let the settled state take what can have no more predecessors."""
    waiting, table = kept.waiting[row], group.table
    newest = int(table["open_step"][row]) - group.rule.lateness_steps
    first_ns = newest * group.rule.period_ns + int(table["phase_ns"][row])
    n = max(bisect.bisect_left(waiting, (first_ns,)), len(waiting) - MAX_WAITING)
    if n:
        _apply_all(kept.settled, row, waiting[:n], 0)
        del waiting[:n]


# --- again ------------------------------------------------------------------------------------------------------


def _again(group: Group, kept: Lateness, row: int, order: int, time_ns: int) -> list[Event]:
    """Make a row's live state again, and tell what has become of forecast, class and alerts."""
    table = group.table
    before = {name: np.array(table[name][row]) for name in table.columns}
    alerts = detect.of_row(table, row)
    for name in table.columns.keys() - KEPT:
        table[name][row] = kept.settled.table[name][row]
    detect.set_row(table, row, detect.of_row(kept.settled.table, row))
    made = _apply_all(group, row, kept.waiting[row], order)
    for name in TOLD:
        table[name][row] = before[name]
    told: list[Event] = [*_newest(made, Forecast), *_newest(made, Estimate)]
    if group.estimator and table["estimate.class"][row] != before["estimate.class"]:
        one = np.array([row])
        told += estimate.classes(table, one, np.array([order]), np.ones(1, dtype=np.bool_))
    return [*told, *_correct_alerts(group, row, before, alerts, order, time_ns)]


def _newest(events: list[Event], kind: type[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, kind)][-1:]


def _correct_alerts(
    group: Group,
    row: int,
    before: Mapping[str, NDArray[Any]],
    alerts: Mapping[detect.Place, detect.Entry],
    order: int,
    time_ns: int,
) -> list[AlertEvent]:
    """Tell the alerts that should have been, or not; what was told and holds keeps its id and its evidence."""
    table = group.table
    for name in _OF_ALERTS:
        table[name][row][:, detect.SILENT] = before[name][:, detect.SILENT]
    # Silence is not made again: it stays as it was.
    made = {at: entry for at, entry in detect.of_row(table, row).items() if at.kind != detect.SILENT}
    silence = {at: entry for at, entry in alerts.items() if at.kind == detect.SILENT}
    kept = {at: alerts[at] for at in _open_ones(made) & _open_ones(alerts)}
    detect.set_row(table, row, {**silence, **made, **kept})
    gone, come = _open_ones(alerts) - _open_ones(made) - silence.keys(), _open_ones(made) - _open_ones(alerts)
    renamed = {at: old for at in come for old in gone if _is_same(alerts[old], made[at], old, at)}
    told = [detect.rename(table, at, order, time_ns) for at in sorted(renamed)]
    changed = sorted((gone - set(renamed.values())) | (come - renamed.keys()))
    told += [detect.correct(table, at, order, time_ns, alerts[at] if at in gone else None) for at in changed]
    return told


def _is_same(before: detect.Entry, now: detect.Entry, old: detect.Place, at: detect.Place) -> bool:
    """Tell whether two entries are one alert, which has another name by now."""
    return old.channel == at.channel and (before.born, before.step) == (now.born, now.step)


def _open_ones(entries: Mapping[detect.Place, detect.Entry]) -> set[detect.Place]:
    return {at for at, entry in entries.items() if entry.level == detect.OPEN}


# --- keeping and bringing back ----------------------------------------------------------------------------------


def dump_lateness(kept: Lateness) -> dict[str, NDArray[np.generic]]:
    """Give views of the settled state, and what waits as rows of row, time, channel and the value's bits (n, 4)."""
    arrays = {_SETTLED + name: array for name, array in dump_group(kept.settled).items()}
    rows = [(row, *item) for row, items in enumerate(kept.waiting) for item in items]
    return arrays | {_WAITING: np.array(rows, dtype=np.int64).reshape(-1, 4)}


def load_lateness(
    group: Group, kept: Lateness, fit: Mapping[str, Any], arrays: Mapping[str, NDArray[np.generic]]
) -> None:
    """Fill the settled state; where none was kept, all that the live state has taken counts as settled."""
    if _WAITING not in arrays:
        load_group(kept.settled, fit, arrays)
        kept.waiting = [[] for _ in range(group.table.rows)]
        return
    own = {name[len(_SETTLED) :]: a for name, a in arrays.items() if name.startswith(_SETTLED)}
    load_group(kept.settled, fit, own)
    kept.waiting = [[] for _ in range(kept.settled.table.rows)]
    for row, *item in np.asarray(arrays[_WAITING], dtype=np.int64).tolist():
        kept.waiting[row].append(Reading(*item))
    _grow(group, kept)
