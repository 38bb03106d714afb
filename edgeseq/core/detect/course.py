"""What may come next of one alert: what a sample makes of what is watched, open, or not there yet (`life`)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgeseq.core.detect import ledger
from edgeseq.core.detect.kinds import (
    AT_ONCE,
    BEHAVIOUR,
    LEARNED,
    LEVEL_SHIFT,
    RANK,
    SPIKE,
    STUCK,
    Evidence,
    Place,
    Settings,
)
from edgeseq.core.detect.ledger import BAD, OPEN, QUIET, WATCH, Entry
from edgeseq.core.detect.telling import INFO, event, next_seq, severity, worst
from edgeseq.core.table import Table
from edgeseq.core.types import I64, AlertEvent

FIRST_UPDATE_STEPS = 24
"""An alert that lasts is told again after so many steps, and whenever it has lasted twice as long as then."""


class Sample(NamedTuple):
    """One sample of a channel, as one kind sees it."""

    order: int
    step: int
    time_ns: int
    evidence: Evidence


# --- before an alert --------------------------------------------------------------------------------------------


def watch(table: Table, at: Place, entry: Entry | None, sample: Sample, now: int) -> Entry:
    """Watch a deviation; it began with its first bad sample."""
    old = entry or Entry(WATCH, at.kind)
    goes_on = old.bad > 0 or (old.level == WATCH and old.now == BAD)
    watched = old._replace(level=WATCH, since_ns=old.since_ns if goes_on else sample.time_ns, now=now)
    ledger.put(table, at, watched)
    return watched


def worsen(
    table: Table, at: Place, entry: Entry | None, sample: Sample, settings: Settings
) -> list[AlertEvent]:
    """Open an alert of a bad sample, watch on, or count it to another one that is open."""
    if at.kind in BEHAVIOUR and (other := _spoken_for(table, at, settings)) is not None:
        if entry is not None:
            ledger.put(table, at, None)
        return _join(table, other, at, sample)
    watched = watch(table, at, entry, sample, BAD)
    long = at.kind in AT_ONCE or watched.bad + 1 > settings.min_steps[at.kind]
    if not long or sample.step < _not_before(table, at, watched, sample):
        return []
    return [open_alert(table, at, sample, watched.since_ns)]


def _spoken_for(table: Table, at: Place, settings: Settings) -> Place | None:
    """Find the alert that tells how a channel behaves; else one that says that its value has ceased to mean anything.

    A sensor that is stuck leaves its profile, its scatter and its relations: that is one fault.
    """
    level = table["alert_level"][at.row, at.channel]
    kind = next((kind for kind in BEHAVIOUR if level[kind] == OPEN), None)
    if kind is None and level[STUCK] == OPEN and settings.is_on(STUCK):
        kind = STUCK
    return None if kind is None else at._replace(kind=kind)


def _not_before(table: Table, at: Place, watched: Entry, sample: Sample) -> int:
    """Give the first step in which an alert may open: those of behaviour rest together, unless it is a warning."""
    if at.kind not in BEHAVIOUR or severity(at.kind, sample.evidence.score) > INFO:
        return watched.not_before
    level, kept = table["alert_level"][at.row, at.channel], ledger.entries(table)
    resting = (kept[at._replace(kind=kind)] for kind in BEHAVIOUR if level[kind] in (QUIET, WATCH))
    return max(entry.not_before for entry in resting)


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


def goes_on(at: Place, entry: Entry, step: int, settings: Settings) -> bool:
    """Tell whether an alert is open and cannot have anything new to tell, whatever its sample shows."""
    if entry.level != OPEN or entry.shown < worst(at.kind):
        return False
    lasted = step - entry.step
    return lasted < _due(entry) and not (at.kind in LEARNED and lasted >= settings.learning_steps)


def _due(entry: Entry) -> int:
    """Give the steps that an alert has lasted when it is told again."""
    return max(FIRST_UPDATE_STEPS, 2 * (entry.told_step - entry.step))


def go_on(
    table: Table, at: Place, entry: Entry, sample: Sample, settings: Settings, *, is_bad: bool
) -> AlertEvent | None:
    """Tell an alert again where it has become more severe or has lasted; end it where it is the new normal."""
    lasted = sample.step - entry.step
    if at.kind in LEARNED and lasted >= settings.learning_steps:
        return clear(table, at, sample, settings.refractory_steps[at.kind], is_normal_now=True)
    if not is_bad:
        return None
    shown = max(entry.shown, severity(at.kind, sample.evidence.score))
    is_news = shown > entry.shown or lasted >= _due(entry)
    return _update(table, at, entry, sample, shown) if is_news else None


def _join(table: Table, other: Place, at: Place, sample: Sample) -> list[AlertEvent]:
    """Count a bad sample to an alert that is open by another kind, which gives it its name where that says more."""
    entry = ledger.entries(table)[other]
    entry = entry._replace(signs=entry.signs | 1 << at.kind)
    shown = max(entry.shown, severity(at.kind, sample.evidence.score))
    if other.kind in BEHAVIOUR:
        # It has not ended while anything speaks for it; a stuck value has when it moves.
        table["good_now"][other] = 0
    if other.kind in BEHAVIOUR and RANK[at.kind] > RANK[other.kind]:
        ledger.put(table, other, None)
        table["good"][at] = table["good_now"][at] = 0
        return [_update(table, at, entry, sample, shown)]
    if min(shown, worst(other.kind)) > entry.shown:
        return [_update(table, other, entry, sample, min(shown, worst(other.kind)))]
    ledger.put(table, other, entry)
    return []


def _update(table: Table, at: Place, entry: Entry, sample: Sample, shown: int) -> AlertEvent:
    evidence, before = sample.evidence, ledger.entries(table).get(at)
    if at.kind == LEVEL_SHIFT and before is not None:
        # The forecast has followed by now: what was expected is the level that was left.
        evidence = evidence._replace(expected=before.evidence.expected)
    told = entry._replace(
        is_update=1,
        told_step=sample.step,
        told_ns=sample.time_ns,
        seq=next_seq(table, at.row),
        shown=shown,
        evidence=evidence,
    )
    ledger.put(table, at, told)
    return event(table, at, told, sample.order, "updated", sample.time_ns)


def clear(
    table: Table, at: Place, sample: Sample, refractory_steps: int = 0, *, is_normal_now: bool = False
) -> AlertEvent:
    """Clear an alert; neither it nor, if it tells how a channel behaves, another such one opens for so many steps."""
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


def rest_after_stuck(table: Table, at: Place, entry: Entry, step: int, settings: Settings) -> None:
    """Let kinds that a stuck value (its alert's entry, cleared now) has set off rest until they have seen it move.

    They look back over a dozen readings. A spike does not: it rests for nothing.
    """
    for kind in BEHAVIOUR - {SPIKE}:
        if entry.signs >> kind & 1 and table["alert_level"][at.row, at.channel, kind] != OPEN:
            rest = Entry(QUIET, kind, not_before=step + settings.refractory_steps[kind])
            ledger.put(table, at._replace(kind=kind), rest)


def opened_ns(table: Table, rows: I64, kind: int) -> I64:
    """Tell since when alerts of the first channel of some rows (m,) are open."""
    found = ledger.entries(table)
    return np.array([found[Place(row, 0, kind)].opened_ns for row in rows.tolist()], dtype=np.int64)
