"""The life of an alert: watch → alert → cleared. Missing data never clears one.

- A sample that is bad begins an alert, or is watched until the deviation has lasted for `min_duration`; what is close
  to bad is watched, too. A good sample ends a watch.
- Six good samples clear an alert; for some steps after it none of its kind opens (`refractory`), and where it said how
  a channel behaves, no slight one that says so: what comes then is the end of the same incident.
- While it is open it is told again as it becomes more severe, and after 24, 48, 96, … steps of it.
- Of the kinds that say how a channel behaves one is open at a time: what else speaks for it is noted with it (`signs`),
  and it does not clear before all of them are good.
  One that began as a mere spike or novelty takes the name of what it proves to be.
- While a value is stuck such kinds are signs of that alone, and those that spoke rest once more when it moves again.
- What has been open for as long as a new stream learns, and was learned, is the new normal: cleared, and said so.

What the open step says is provisional until `commit`, but an opening is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from edgeseq.core.detect import ledger
from edgeseq.core.detect.course import (
    Sample,
    clear,
    go_on,
    goes_on,
    rest_after_stuck,
    watch,
    worsen,
)
from edgeseq.core.detect.kinds import BEHAVIOUR, KINDS, SILENT, STUCK, Evidence, Place, Settings
from edgeseq.core.detect.ledger import BAD, GOOD, NEAR, OPEN, QUIET, UNJUDGED, WATCH, Entry
from edgeseq.core.table import Column, Table
from edgeseq.core.types import I64, AlertEvent, Bool

_BEHAVIOUR = sorted(BEHAVIOUR)

CLEAR_AFTER = 6
"""Good samples that clear an alert (DESIGN.md, Alerts)."""


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


def concerned(table: Table, rows: I64, bad: list[Bool]) -> Bool:
    """Tell which rows (n,) have anything watched or open, or something bad in any of the masks (C, n)."""
    found = np.zeros(len(rows), dtype=np.bool_)
    if table.notes:
        found |= np.any(table["alert_level"][rows], axis=(1, 2))
    for mask in bad:
        if np.count_nonzero(mask):
            found |= mask.any(axis=0)
    return found


def turn(
    table: Table,
    rows: I64,
    verdict: Verdict,
    when: Moment,
    settings: Settings,
    show: Callable[[int, int, int], Evidence],
    accept: Callable[[int, int, int], None] = lambda *_: None,
) -> list[AlertEvent]:
    """Let the alerts of different rows (m,) live on.

    Args:
        show: gives the evidence of a place: (index into rows, channel, kind).
        accept: takes the present of a place as normal.
    """
    bad, good, _, near = verdict
    moving, clearing = _count(table, rows, verdict)
    events: list[AlertEvent] = []
    kept, orders, steps, times = ledger.entries(table), *(part.tolist() for part in when)
    normal: set[tuple[int, int]] = set()
    for i, channel, kind in np.argwhere(moving).tolist():
        at = Place(int(rows[i]), channel, kind)
        entry = kept.get(at)
        is_clearing = bool(clearing[i, channel, kind])
        # In a storm nearly all alerts just go on, and nothing is to be shown.
        if entry is not None and not is_clearing and goes_on(at, entry, steps[i], settings):
            continue
        if kind in BEHAVIOUR and (i, channel) in normal:
            continue
        sample = Sample(orders[i], steps[i], times[i], show(i, channel, kind))
        is_bad, is_near = bool(bad[i, channel, kind]), near is not None and bool(near[i, channel, kind])
        if entry is not None and entry.level == OPEN:
            told = _while_open(table, at, entry, sample, settings, is_bad=is_bad, is_clearing=is_clearing)
        elif is_bad:
            told = worsen(table, at, entry, sample, settings)
        else:
            told = _while_watched(
                table, at, entry, sample, is_near=is_near, is_good=bool(good[i, channel, kind])
            )
        events += told
        if told and told[0].is_normal_now:
            normal.add((i, channel))
            for sign in told[0].signs:
                accept(i, channel, KINDS.index(sign))
    return events


def _while_open(
    table: Table,
    at: Place,
    entry: Entry,
    sample: Sample,
    settings: Settings,
    *,
    is_bad: bool,
    is_clearing: bool,
) -> list[AlertEvent]:
    """Clear an alert, or let it go on."""
    if is_clearing:
        if at.kind == STUCK:
            rest_after_stuck(table, at, entry, sample.step, settings)
        return [clear(table, at, sample, settings.refractory_steps[at.kind])]
    told = go_on(table, at, entry, sample, settings, is_bad=is_bad)
    return [told] if told else []


def _while_watched(
    table: Table, at: Place, entry: Entry | None, sample: Sample, *, is_near: bool, is_good: bool
) -> list[AlertEvent]:
    """Watch what is close to bad; what is good ends a watch."""
    if is_near:
        watch(table, at, entry, sample, NEAR)
    elif entry is not None and entry.level == WATCH:
        level, now = (QUIET, GOOD) if is_good else (WATCH, NEAR)
        ledger.put(table, at, entry._replace(level=level, now=now))
    return []


def _count(table: Table, rows: I64, verdict: Verdict) -> tuple[Bool, Bool]:
    """Count good samples → (where something may happen, where an alert clears), (m, C, G) each."""
    bad, good, judged, near = verdict
    good[..., _BEHAVIOUR] &= ~bad[..., _BEHAVIOUR].any(axis=-1, keepdims=True)
    was_open, level = table["alert_open"][rows], table["alert_level"][rows]
    before = table["good"][rows]
    counted = np.where(bad, 0, np.minimum(before + good, CLEAR_AFTER))
    table["good_now"][rows] = np.where(judged, counted, before)
    clearing = was_open & good & (counted >= CLEAR_AFTER)
    moving = bad | clearing | (judged & ~good & was_open) | (judged & (level == WATCH))
    if near is not None:
        moving |= near
    moving[..., SILENT] = False
    return moving, clearing


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
