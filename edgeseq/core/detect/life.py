"""The life of an alert: watch → alert → cleared. Missing data never clears one.

- A sample that is bad begins an alert, or is watched until the deviation has lasted for `min_duration`; what is close
  to bad is watched, too. A good sample ends a watch.
- Six good samples clear an alert; for some steps after it none of its kind opens (`refractory`).
- While it is open it is told again as it becomes more severe, and after 24, 48, 96, … steps of it.
- Of the kinds that say how a channel behaves one is open at a time: what else speaks for it is noted with it (`signs`).
  One that began as a mere spike or novelty takes the name of what it proves to be.
- What has been open for as long as a new stream learns, and was learned, is the new normal: cleared, and said so.

What the open step says is provisional until `commit`, but an opening is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from edgeseq.core.detect import ledger
from edgeseq.core.detect.kinds import (
    AT_ONCE,
    BEHAVIOUR,
    KINDS,
    LEARNED,
    SILENT,
    SYMPTOMS,
    Evidence,
    Place,
    Settings,
)
from edgeseq.core.detect.ledger import BAD, GOOD, NEAR, OPEN, QUIET, UNJUDGED, WATCH, Entry
from edgeseq.core.detect.telling import event, next_seq, severity
from edgeseq.core.table import Column, Table
from edgeseq.core.types import I64, AlertEvent, Bool

CLEAR_AFTER = 6
"""Good samples that clear an alert (DESIGN.md, Alerts)."""

FIRST_UPDATE_STEPS = 24
"""An alert that lasts is told again after so many steps, and whenever it has lasted twice as long as then."""


class Verdict(NamedTuple):
    """What the samples of m rows say of each kind, all (m, C, G)."""

    bad: Bool
    good: Bool
    judged: Bool
    """What is not judged counts neither way; what is judged may be neither good nor bad."""
    near: Bool | None = None
    """Unusual, but not bad."""


class Moment(NamedTuple):
    """When the samples of m rows were taken, (m,) each."""

    order: I64
    step: I64
    time_ns: I64


class Sample(NamedTuple):
    """One sample of a channel, as one kind sees it."""

    order: int
    step: int
    time_ns: int
    evidence: Evidence


def columns(channels: int) -> dict[str, Column]:
    """Declare the state of what is watched or open; the rest is in the ledger. Axis G is KINDS."""
    cg = (channels, len(KINDS))
    return {
        "alert_open": Column(cg, "bool", init=False),
        "alert_level": Column(cg, "int8", 0),
        "alert_seq": Column((), "int64", 0, apart=True),
        "good": Column(cg, "int8", 0),
        "good_now": Column(cg, "int8", 0),
    }


def turn(
    table: Table,
    rows: I64,
    verdict: Verdict,
    when: Moment,
    settings: Settings,
    show: Callable[[int, int, int], Evidence],
    accept: Callable[[int, int, int], None] | None = None,
) -> list[AlertEvent]:
    """Let the alerts of different rows (m,) live on.

    Args:
        show: gives the evidence of a place: (index into rows, channel, kind).
        accept: takes the present of a place as normal.
    """
    bad, good, judged, near = verdict
    was_open, level = table["alert_open"][rows], table["alert_level"][rows]
    before = table["good"][rows]
    counted = np.where(bad, 0, np.minimum(before + good, CLEAR_AFTER))
    table["good_now"][rows] = np.where(judged, counted, before)
    clearing = was_open & good & (counted >= CLEAR_AFTER)
    moving = bad | clearing | (judged & ~good & was_open) | (judged & (level == WATCH))
    if near is not None:
        moving |= near
    moving[..., SILENT] = False
    events = []
    for i, channel, kind in np.argwhere(moving).tolist():
        at = Place(int(rows[i]), channel, kind)
        order, step, time_ns = (int(part[i]) for part in when)
        sample = Sample(order, step, time_ns, show(i, channel, kind))
        entry = ledger.entries(table).get(at)
        if entry is not None and entry.level == OPEN:
            if clearing[i, channel, kind]:
                events.append(clear(table, at, sample, settings.refractory_steps[kind]))
            elif told := _go_on(table, at, entry, sample, settings, is_bad=bool(bad[i, channel, kind])):
                events.append(told)
                if told.is_normal_now and accept is not None:
                    accept(i, channel, kind)
        elif bad[i, channel, kind]:
            events += _worsen(table, at, entry, sample, settings)
        elif near is not None and near[i, channel, kind]:
            _watch(table, at, entry, sample, NEAR)
        elif entry is not None and entry.level == WATCH:
            ended = bool(good[i, channel, kind])
            ledger.put(
                table, at, entry._replace(level=QUIET if ended else WATCH, now=GOOD if ended else NEAR)
            )
    return events


def commit(table: Table, rows: I64, step: I64) -> None:
    """Make what the open step said final: good samples, and how long something has been watched."""
    if not ledger.entries(table):
        return
    level = table["alert_level"][rows]
    concerned = np.flatnonzero(level.any(axis=(1, 2)))
    if len(concerned) == 0:
        return
    rows, step, level = rows[concerned], step[concerned], level[concerned]
    good = np.where(level == OPEN, table["good_now"][rows], 0)
    table["good"][rows] = table["good_now"][rows] = good
    for i, channel, kind in np.argwhere((level == WATCH) | (level == QUIET)).tolist():
        at = Place(int(rows[i]), channel, kind)
        ledger.put(table, at, _committed(ledger.entries(table)[at], int(step[i])))


def _committed(entry: Entry, step: int) -> Entry | None:
    """Let a step end for what is watched, or quiet; None where nothing is left to remember."""
    if entry.level == WATCH:
        return entry._replace(bad=entry.bad + (entry.now == BAD), now=UNJUDGED)
    return entry._replace(bad=0, now=UNJUDGED) if entry.not_before > step + 1 else None


# --- before an alert --------------------------------------------------------------------------------------------


def _watch(table: Table, at: Place, entry: Entry | None, sample: Sample, now: int) -> Entry:
    """Watch a deviation; it began with its first bad sample."""
    old = entry or Entry(WATCH, at.kind)
    goes_on = old.bad > 0 or (old.level == WATCH and old.now == BAD)
    watched = old._replace(level=WATCH, since_ns=old.since_ns if goes_on else sample.time_ns, now=now)
    ledger.put(table, at, watched)
    return watched


def _worsen(
    table: Table, at: Place, entry: Entry | None, sample: Sample, settings: Settings
) -> list[AlertEvent]:
    """Open an alert of a bad sample, watch on, or count it to another one that is open."""
    if at.kind in BEHAVIOUR and (other := _open_behaviour(table, at)) is not None:
        if entry is not None:
            ledger.put(table, at, None)
        return _join(table, other, at, sample)
    watched = _watch(table, at, entry, sample, BAD)
    long = at.kind in AT_ONCE or watched.bad + 1 > settings.min_steps[at.kind]
    if not long or sample.step < watched.not_before:
        return []
    return [open_alert(table, at, sample, watched.since_ns)]


def _open_behaviour(table: Table, at: Place) -> Place | None:
    """Find the alert that tells how a channel behaves."""
    level = table["alert_level"][at.row, at.channel]
    kind = next((kind for kind in BEHAVIOUR if level[kind] == OPEN), None)
    return None if kind is None else at._replace(kind=kind)


# --- while it is open -------------------------------------------------------------------------------------------


def open_alert(table: Table, at: Place, sample: Sample, since_ns: int | None = None) -> AlertEvent:
    """Open an alert."""
    entry = Entry(
        level=OPEN,
        born=at.kind,
        step=sample.step,
        opened_ns=sample.time_ns,
        since_ns=sample.time_ns if since_ns is None else since_ns,
        told_step=sample.step,
        told_ns=sample.time_ns,
        seq=next_seq(table, at.row),
        shown=severity(at.kind, sample.evidence.score),
        signs=1 << at.kind,
        evidence=sample.evidence,
    )
    ledger.put(table, at, entry)
    table["good"][at] = table["good_now"][at] = 0
    return event(table, at, entry, sample.order, "opened", sample.time_ns)


def _go_on(
    table: Table, at: Place, entry: Entry, sample: Sample, settings: Settings, *, is_bad: bool
) -> AlertEvent | None:
    """Tell an alert again where it has become more severe or has lasted; end it where it is the new normal."""
    lasted = sample.step - entry.step
    if at.kind in LEARNED and lasted >= settings.learning_steps:
        return clear(table, at, sample, settings.refractory_steps[at.kind], is_normal_now=True)
    if not is_bad:
        return None
    shown = max(entry.shown, severity(at.kind, sample.evidence.score))
    due = max(FIRST_UPDATE_STEPS, 2 * (entry.told_step - entry.step))
    return _update(table, at, entry, sample, shown) if shown > entry.shown or lasted >= due else None


def _join(table: Table, other: Place, at: Place, sample: Sample) -> list[AlertEvent]:
    """Count a bad sample to an alert that is open by another kind, which gives it its name where that says more."""
    entry = ledger.entries(table)[other]
    entry = entry._replace(signs=entry.signs | 1 << at.kind)
    ledger.put(table, other, entry)
    if other.kind not in SYMPTOMS or at.kind in SYMPTOMS:
        return []
    ledger.put(table, other, None)
    table["good"][at] = table["good_now"][at] = 0
    return [_update(table, at, entry, sample, max(entry.shown, severity(at.kind, sample.evidence.score)))]


def _update(table: Table, at: Place, entry: Entry, sample: Sample, shown: int) -> AlertEvent:
    told = entry._replace(
        is_update=1,
        told_step=sample.step,
        told_ns=sample.time_ns,
        seq=next_seq(table, at.row),
        shown=shown,
        evidence=sample.evidence,
    )
    ledger.put(table, at, told)
    return event(table, at, told, sample.order, "updated", sample.time_ns)


def clear(
    table: Table, at: Place, sample: Sample, refractory_steps: int = 0, *, is_normal_now: bool = False
) -> AlertEvent:
    """Clear an alert; none of its kind opens for so many steps."""
    entry = ledger.entries(table)[at]
    quiet = Entry(QUIET, at.kind, not_before=sample.step + refractory_steps)
    ledger.put(table, at, quiet if refractory_steps else None)
    seq = next_seq(table, at.row)
    return event(
        table,
        at,
        entry,
        sample.order,
        "cleared",
        sample.time_ns,
        evidence=sample.evidence,
        seq=seq,
        is_normal_now=is_normal_now,
    )


def opened_ns(table: Table, rows: I64, kind: int) -> I64:
    """Tell since when alerts of the first channel of some rows (m,) are open."""
    found = ledger.entries(table)
    return np.array([found[Place(row, 0, kind)].opened_ns for row in rows.tolist()], dtype=np.int64)
