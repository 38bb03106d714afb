"""What is kept of alerts, and of what may become one, alone: a stream without any pays nothing for it.

A table has it as `table.notes`: place of the alert → Entry. It belongs to the state like any column, and is kept with
it as arrays, in the order of the places: those of row, channel and kind, the whole numbers, and the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.detect.kinds import NOTHING_EXPECTED, Evidence, Place
from edgeseq.core.table import Table
from edgeseq.core.types import I64

PLACES, NUMBERS, EVIDENCE = "alerts.place", "alerts.numbers", "alerts.evidence"

NONE, QUIET, WATCH, OPEN = range(4)
"""Levels: nothing; no alert opens yet, since one has just cleared; something is unusual; an alert is open."""

UNJUDGED, BAD, GOOD, NEAR = range(4)
"""What the newest sample of the open step says of what is watched; near is unusual, but no deviation."""


class Entry(NamedTuple):
    """An alert, or what may become one. Times of alerts that are not open have no meaning."""

    level: int
    born: int
    """Kind that it opened as: another name is given to it, never another identity."""
    step: int = 0
    """Of its opening."""
    opened_ns: int = 0
    since_ns: int = 0
    """Time of the first sample of the deviation."""
    is_update: int = 0
    """Whether the newest event was an update, else it was the opening."""
    told_step: int = 0
    """Of the newest event, like the following three."""
    told_ns: int = 0
    seq: int = 0
    shown: int = 0
    """Severity, an index into SEVERITIES."""
    signs: int = 0
    """Bit g is set for each kind that has spoken for it."""
    bad: int = 0
    """Closed steps of the deviation so far, while it is watched."""
    now: int = UNJUDGED
    """What the open step says; provisional."""
    not_before: int = 0
    """First step in which an alert may open."""
    evidence: Evidence = NOTHING_EXPECTED
    """Of the newest event."""


_WHOLE = len(Entry._fields) - 1


def entries(table: Table) -> dict[Place, Entry]:
    """Give what is kept of a table's alerts, to be read and written."""
    found: dict[Place, Entry] = table.notes
    return found


def put(table: Table, at: Place, entry: Entry | None) -> None:
    """Keep an entry, or (None) forget it, and let the columns say so."""
    level = NONE if entry is None else entry.level
    if entry is None:
        entries(table).pop(at, None)
    else:
        entries(table)[at] = entry
    table["alert_level"][at] = level
    table["alert_open"][at] = level == OPEN


def of_row(table: Table, row: int) -> dict[Place, Entry]:
    """Give what is kept of a row's alerts: a copy."""
    return {at: entry for at, entry in entries(table).items() if at.row == row}


def set_row(table: Table, row: int, own: Mapping[Place, Entry]) -> None:
    """Let a row have these and no others."""
    for at in of_row(table, row):
        put(table, at, None)
    for at, entry in own.items():
        put(table, at, entry)


def dump(table: Table) -> dict[str, NDArray[np.generic]]:
    """Give places (n, 3), whole numbers (n, …) and evidence (n, …)."""
    kept = sorted(entries(table).items())
    width = len(Evidence._fields)
    return {
        PLACES: np.array([at for at, _ in kept], dtype=np.int64).reshape(-1, 3),
        NUMBERS: np.array([entry[:_WHOLE] for _, entry in kept], dtype=np.int64).reshape(-1, _WHOLE),
        EVIDENCE: np.array([entry.evidence for _, entry in kept], dtype=np.float64).reshape(-1, width),
    }


def load(table: Table, arrays: Mapping[str, NDArray[Any]], targets: int) -> None:
    """Fill a table from `dump`; channels from `targets` on raise no alerts any more, so they have none to clear.

    Without what `dump` gives (kept by an earlier version) no alert is open.
    """
    table.notes.clear()
    for name in ("alert_open", "alert_level"):
        table[name][:] = table.columns[name].init
    if not all(name in arrays for name in (PLACES, NUMBERS, EVIDENCE)):
        return
    for at, entry in _read(*(np.asarray(arrays[name]) for name in (PLACES, NUMBERS, EVIDENCE))).items():
        if at.channel < targets:
            put(table, at, entry)


def _read(places: I64, numbers: I64, evidence: NDArray[Any]) -> dict[Place, Entry]:
    if numbers.shape[1] != _WHOLE or evidence.shape[1] != len(Evidence._fields):
        return {}
    rows = zip(places.tolist(), numbers.tolist(), evidence.tolist(), strict=True)
    return {Place(*at): Entry._make((*whole, Evidence._make(shown))) for at, whole, shown in rows}
