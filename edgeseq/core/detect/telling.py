"""Alert events: how severe an alert is, and what its events say."""

from __future__ import annotations

import math
from typing import Literal

from edgeseq.core.detect import ledger
from edgeseq.core.detect.kinds import (
    BEHAVIOUR,
    KINDS,
    LIMIT_AHEAD,
    OUT_OF_RANGE,
    SPIKE,
    Evidence,
    Place,
    p_value,
)
from edgeseq.core.detect.ledger import OPEN, Entry
from edgeseq.core.table import Table
from edgeseq.core.types import AlertEvent, AlertKind, Severity

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
INFO, WARNING, CRITICAL = range(3)

WARNING_SCORE, CRITICAL_SCORE = 1.5, 4.0
"""Scores from which a deviation is a warning, and critical: half as far again as the alert's threshold, which chance
reaches once in thirty thousand samples; and four times as far."""


def severity(kind: int, score: float) -> int:
    """Say how much an alert matters: an index into SEVERITIES.

    Outside a configured limit is critical; stuck, silent and a limit ahead are warnings. Other deviations go by their
    score, but a lone spike is never critical.

    >>> [severity(SPIKE, s) for s in (1.0, 1.5, 9.0)], severity(OUT_OF_RANGE, math.nan)
    ([0, 1, 1], 2)
    """
    if kind == OUT_OF_RANGE:
        return CRITICAL
    if kind not in BEHAVIOUR or not math.isfinite(score):
        return WARNING
    if score < WARNING_SCORE:
        return INFO
    return CRITICAL if score >= CRITICAL_SCORE and kind != SPIKE else WARNING


def worst(kind: int) -> int:
    """Give the highest severity that a kind can have."""
    return severity(kind, math.inf) if kind not in BEHAVIOUR else WARNING if kind == SPIKE else CRITICAL


def correct(table: Table, at: Place, order: int, time_ns: int, before: Entry | None) -> AlertEvent:
    """Tell that an alert should have opened before, or (it was `before`) should not stay: readings out of order."""
    seq = next_seq(table, at.row)
    if before is not None:
        return event(table, at, before, order, "cleared", time_ns, seq=seq)
    entry = ledger.entries(table)[at]._replace(seq=seq, is_update=0)
    ledger.put(table, at, entry)
    return event(table, at, entry, order, "opened", entry.opened_ns)


def rename(table: Table, at: Place, order: int, time_ns: int) -> AlertEvent:
    """Tell that an alert has another name, as readings out of order have shown."""
    entry = ledger.entries(table)[at]
    entry = entry._replace(seq=next_seq(table, at.row), is_update=1, told_ns=time_ns)
    ledger.put(table, at, entry)
    return event(table, at, entry, order, "updated", time_ns)


def still_open(table: Table) -> list[AlertEvent]:
    """Repeat the newest event of each open alert, exactly as it was told."""
    found = sorted((at, entry) for at, entry in ledger.entries(table).items() if entry.level == OPEN)
    return [
        event(table, at, entry, 0, "updated" if entry.is_update else "opened", entry.told_ns)
        for at, entry in found
    ]


def next_seq(table: Table, row: int) -> int:
    """Count an event of a stream: numbers never depend on other streams."""
    table["alert_seq"][row] += 1
    return int(table["alert_seq"][row])


def event(
    table: Table,
    at: Place,
    entry: Entry,
    order: int,
    event_type: Literal["opened", "updated", "cleared"],
    time_ns: int,
    *,
    evidence: Evidence | None = None,
    seq: int | None = None,
    is_normal_now: bool = False,
) -> AlertEvent:
    """Put an alert's event together; evidence and number are the entry's where they are not given."""
    shown = evidence or entry.evidence
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
        observed=shown.observed,
        expected=shown.expected,
        lower=shown.lower,
        upper=shown.upper,
        p_value=p_value(shown.score) if math.isfinite(shown.score) and at.kind != LIMIT_AHEAD else math.nan,
        seq=entry.seq if seq is None else seq,
        source="model" if shown.is_model else "baseline",
        opened_as=KINDS[entry.born],
        since_ns=entry.since_ns,
        score=shown.score,
        severity=SEVERITIES[entry.shown],
        signs=_named(entry.signs),
        channels=_bits(int(shown.channels)),
        is_normal_now=is_normal_now,
        crossing_steps=_crossing(shown) if at.kind == LIMIT_AHEAD else None,
    )


def _crossing(shown: Evidence) -> tuple[float | None, float | None, float | None]:
    crossing, earliest, latest = (
        steps if math.isfinite(steps) else None for steps in (shown.crossing, shown.earliest, shown.latest)
    )
    return crossing, earliest, latest


def _named(signs: int) -> tuple[AlertKind, ...]:
    return tuple(KINDS[kind] for kind in _bits(signs))


def _bits(number: int) -> tuple[int, ...]:
    """List the bits that are set.

    >>> _bits(0), _bits(5)
    ((), (0, 2))
    """
    return tuple(bit for bit in range(number.bit_length()) if number >> bit & 1)
