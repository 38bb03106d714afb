"""Readings around an alert: taken from the streams' own history while it still holds them, on the stream's grid.

What is kept is what the detectors saw: a value for each period, NaN where there was none; up to 200 before the alert
opened and 100 from then on, of the alert's own channel. A stream's history is a ring of at least 64 periods, so a label
that comes days later finds them in the ledger, not in the stream.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import cast

import numpy as np

from edgeseq.adapters.ledger import ReadingsRow
from edgeseq.core import align
from edgeseq.core.group import NONE_YET, Group
from edgeseq.core.pipeline import NO_GROUP, State
from edgeseq.core.types import F64

BEFORE, AFTER = 200, 100
MOST_AT_ONCE = 200
"""Alerts whose readings are gathered at the same time: of an outage of a thousand streams the first ones."""


@dataclass(slots=True)
class Around:
    """Readings of one alert, as far as they have come."""

    id: str
    stream: str
    channel: int
    opened_step: int
    first_step: int
    first_ns: int
    period_ns: int
    values: F64
    is_complete: bool = False

    @property
    def end_step(self) -> int:
        """Give the step that comes next."""
        return self.first_step + len(self.values)


def begin(state: State, name: str, stream: int, channel: int, opened_step: int) -> Around | None:
    """Take the readings before an alert; None where the stream has no rows."""
    if (found := _place(state, stream)) is None:
        return None
    group, row = found
    table = group.table
    known_from = int(table["first_step"][row])
    if known_from == NONE_YET:
        known_from = int(table["next_step"][row])
    first = max(opened_step - BEFORE, known_from, int(table["next_step"][row]) - group.ring)
    first = min(first, opened_step)
    at_ns = align.origin_ns(table, group.rule, np.array([row]), np.array([first]))
    around = Around(
        id=name,
        stream=state.registry.infos[stream].id,
        channel=channel,
        opened_step=opened_step,
        first_step=first,
        first_ns=int(at_ns[0]),
        period_ns=group.rule.period_ns,
        values=np.empty(0),
    )
    go_on(state, around)
    return around


def go_on(state: State, around: Around, least: int = 1) -> bool:
    """Take the readings that have come since, if there are so many; tell whether it has."""
    stream = state.registry.index_of(around.stream)
    found = None if stream is None else _place(state, stream)
    if found is None:
        around.is_complete = True
        return True
    group, row = found
    last = around.opened_step + AFTER
    stop = min(int(group.table["next_step"][row]), last)
    if stop - around.end_step < (least if stop < last else 1):
        return False
    steps = np.arange(around.end_step, stop)
    values = group.table["history"][row, around.channel, steps % group.ring].astype(np.float64)
    newest = int(group.table["next_step"][row])
    held_from = max(int(group.table["first_step"][row]), newest - group.ring)
    values[steps < held_from] = np.nan
    around.values = np.concatenate([around.values, values])
    around.is_complete = around.end_step >= last
    return True


def is_due(state: State, around: Around) -> bool:
    """Take what has come when half of the stream's history is new; tell whether anything was."""
    stream = state.registry.index_of(around.stream)
    found = None if stream is None else _place(state, stream)
    return go_on(state, around, 1 if found is None else found[0].ring // 2)


def to_row(around: Around) -> ReadingsRow:
    """Write it for the ledger."""
    place = json.dumps({"stream": around.stream, "channel": around.channel})
    onset = around.opened_step - around.first_step
    values = around.values.astype("<f8").tobytes()
    return ReadingsRow(
        around.id, place, around.is_complete, around.first_step, around.first_ns, around.period_ns, onset, values
    )  # fmt: skip


def from_row(row: ReadingsRow) -> Around:
    """Read it back from the ledger."""
    place = json.loads(row.place)
    return Around(
        id=row.id,
        stream=place["stream"],
        channel=place["channel"],
        opened_step=row.first_step + row.onset,
        first_step=row.first_step,
        first_ns=row.first_ns,
        period_ns=row.period_ns,
        values=np.frombuffer(row.values, dtype="<f8").astype(np.float64),
        is_complete=row.is_complete,
    )


def numbers(row: ReadingsRow) -> list[float | None]:
    """Give the values of a row; None where missing."""
    values = np.frombuffer(row.values, dtype="<f8").tolist()
    return [value if np.isfinite(value) else None for value in cast("list[float]", values)]


def _place(state: State, stream: int) -> tuple[Group, int] | None:
    index = state.group_of[stream]
    return None if index == NO_GROUP else (state.groups[index], state.row_of[stream])
