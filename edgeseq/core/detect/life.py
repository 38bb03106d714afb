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
from edgeseq.core.detect.course import Sample, clear, go_on, goes_on, watch, worsen
from edgeseq.core.detect.kinds import KINDS, SILENT, Evidence, Place, Settings
from edgeseq.core.detect.ledger import BAD, GOOD, NEAR, OPEN, QUIET, UNJUDGED, WATCH, Entry
from edgeseq.core.table import Column, Table
from edgeseq.core.types import I64, AlertEvent, Bool

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
    accept: Callable[[int, int, int], None] | None = None,
) -> list[AlertEvent]:
    """Let the alerts of different rows (m,) live on.

    Args:
        show: gives the evidence of a place: (index into rows, channel, kind).
        accept: takes the present of a place as normal.
    """
    bad, good, _, near = verdict
    moving, clearing = _count(table, rows, verdict)
    events = []
    kept, orders, steps, times = ledger.entries(table), *(part.tolist() for part in when)
    for i, channel, kind in np.argwhere(moving).tolist():
        at = Place(int(rows[i]), channel, kind)
        entry = kept.get(at)
        # In a storm nearly all alerts just go on, and nothing is to be shown.
        if entry is not None and not clearing[i, channel, kind] and goes_on(at, entry, steps[i], settings):
            continue
        sample = Sample(orders[i], steps[i], times[i], show(i, channel, kind))
        if entry is not None and entry.level == OPEN:
            if clearing[i, channel, kind]:
                events.append(clear(table, at, sample, settings.refractory_steps[kind]))
            elif told := go_on(table, at, entry, sample, settings, is_bad=bool(bad[i, channel, kind])):
                events.append(told)
                if told.is_normal_now and accept is not None:
                    accept(i, channel, kind)
        elif bad[i, channel, kind]:
            events += worsen(table, at, entry, sample, settings)
        elif near is not None and near[i, channel, kind]:
            watch(table, at, entry, sample, NEAR)
        elif entry is not None and entry.level == WATCH:
            ended = bool(good[i, channel, kind])
            ledger.put(
                table, at, entry._replace(level=QUIET if ended else WATCH, now=GOOD if ended else NEAR)
            )
    return events


def _count(table: Table, rows: I64, verdict: Verdict) -> tuple[Bool, Bool]:
    """Count good samples → (where something may happen, where an alert clears), (m, C, G) each."""
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
