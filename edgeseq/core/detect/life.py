"""The life of an alert: it opens at what shows it, and clears after 6 good samples. Missing data never clears one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from edgeseq.core.detect import ledger
from edgeseq.core.detect.kinds import KINDS, SILENT, Evidence, Place, p_value
from edgeseq.core.detect.ledger import Entry
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


class Moment(NamedTuple):
    """When the samples of m rows were taken, (m,) each."""

    order: I64
    step: I64
    time_ns: I64


def columns(channels: int) -> dict[str, Column]:
    """Declare the state of what is open or not; the rest is in the ledger. Axis G is KINDS."""
    cg = (channels, len(KINDS))
    return {
        "alert_open": Column(cg, "bool", init=False),
        "alert_seq": Column((), "int64", 0, apart=True),
        "good": Column(cg, "int8", 0),
        "good_now": Column(cg, "int8", 0),
    }


def turn(
    table: Table, rows: I64, verdict: Verdict, when: Moment, show: Callable[[int, int, int], Evidence]
) -> list[AlertEvent]:
    """Count good samples, open and clear alerts of different rows (m,); counts are provisional until `commit`.

    show: gives the evidence of a place: (index into rows, channel, kind).
    """
    bad, good, judged = verdict
    was_open = table["alert_open"][rows]
    before = table["good"][rows]
    counted = np.where(bad, 0, np.minimum(before + good, CLEAR_AFTER))
    table["good_now"][rows] = np.where(judged, counted, before)
    opening = bad & ~was_open
    clearing = was_open & good & (counted >= CLEAR_AFTER)
    clearing[..., SILENT] = False
    events = []
    for i, channel, kind in np.argwhere(opening | clearing).tolist():
        evidence, place = show(i, channel, kind), Place(int(rows[i]), channel, kind)
        order, step, time_ns = (int(part[i]) for part in when)
        if opening[i, channel, kind]:
            events.append(open_alert(table, place, order, step, time_ns, evidence))
        else:
            events.append(clear(table, place, order, time_ns, evidence))
    return events


def commit(table: Table, rows: I64) -> None:
    """Make the counts of the open step final; a row without an alert has none."""
    if not ledger.entries(table):
        return
    rows = rows[table["alert_open"][rows].any(axis=(1, 2))]
    if len(rows):
        good = np.where(table["alert_open"][rows], table["good_now"][rows], 0)
        table["good"][rows] = table["good_now"][rows] = good


def open_alert(
    table: Table, at: Place, order: int, step: int, time_ns: int, evidence: Evidence
) -> AlertEvent:
    """Open an alert; its numbers count per stream, so that they never depend on other streams."""
    seq = _next_seq(table, at.row)
    entry = Entry(step, time_ns, seq, evidence)
    ledger.entries(table)[at] = entry
    table["alert_open"][at] = True
    table["good"][at] = table["good_now"][at] = 0
    return _event(table, at, entry, order, "opened", time_ns, evidence, seq)


def clear(table: Table, at: Place, order: int, time_ns: int, evidence: Evidence) -> AlertEvent:
    """Clear an alert."""
    entry = ledger.entries(table).pop(at)
    table["alert_open"][at] = False
    return _event(table, at, entry, order, "cleared", time_ns, evidence, _next_seq(table, at.row))


def correct(
    table: Table, at: Place, order: int, time_ns: int, before: Entry | None
) -> AlertEvent:  # fmt: skip
    """Tell that an alert should have opened before, or (it was `before`) should not stay: readings out of order."""
    seq = _next_seq(table, at.row)
    if before is not None:
        return _event(table, at, before, order, "cleared", time_ns, before.evidence, seq)
    entry = ledger.entries(table)[at] = ledger.entries(table)[at]._replace(seq=seq)
    return _event(table, at, entry, order, "opened", entry.opened_ns, entry.evidence, seq)


def still_open(table: Table) -> list[AlertEvent]:
    """Repeat the openings of all open alerts, each exactly as it was told."""
    return [
        _event(table, at, entry, 0, "opened", entry.opened_ns, entry.evidence, entry.seq)
        for at, entry in sorted(ledger.entries(table).items())
    ]


def opened_ns(table: Table, rows: I64, kind: int) -> I64:
    """Tell since when alerts of the first channel of some rows (m,) are open."""
    found = ledger.entries(table)
    return np.array([found[Place(row, 0, kind)].opened_ns for row in rows.tolist()], dtype=np.int64)


def _next_seq(table: Table, row: int) -> int:
    table["alert_seq"][row] += 1
    return int(table["alert_seq"][row])


def _event(
    table: Table,
    at: Place,
    entry: Entry,
    order: int,
    event_type: Literal["opened", "cleared"],
    time_ns: int,
    evidence: Evidence,
    seq: int,
) -> AlertEvent:
    """Put an alert's event together."""
    return AlertEvent(
        order=order,
        stream=int(table["stream"][at.row]),
        channel=at.channel,
        kind=KINDS[at.kind],
        event_type=event_type,
        opened_step=entry.step,
        opened_ns=entry.opened_ns,
        time_ns=time_ns,
        cleared_ns=time_ns if event_type == "cleared" else None,
        observed=evidence.observed,
        expected=evidence.expected,
        lower=evidence.lower,
        upper=evidence.upper,
        p_value=p_value(evidence.score) if math.isfinite(evidence.score) else float("nan"),
        seq=seq,
        source="model" if evidence.is_model else "baseline",
    )
