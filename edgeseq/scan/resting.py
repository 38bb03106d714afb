"""What never changed while the scan listened: a setting, a limit, a counter at rest. Nobody wants it forecast.

Only where no family of devices is known, whose numbers all are what it says they are; and only a field of which all
topics of a table say so: one that rests among others that move may move tomorrow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Protocol

from edgeseq.scan.observe import Number

FEWEST_EQUAL = 30
"""Readings of which all are the same: of fewer a slow sensor may have had no time to move."""


class Listed(Protocol):
    """What is looked at of a [[streams]] table."""

    decoder: str
    fields: list[str]
    numbers: list[Number]
    resting: list[Number]
    is_off: bool


def never_changed(number: Number) -> bool:
    """Tell whether a number was always the same, and that often enough."""
    return number.count >= FEWEST_EQUAL and number.rises == number.falls == 0


def set_aside(tables: Iterable[Listed]) -> None:
    """Take resting fields out of tables, and switch off tables that rest; unless all do, when nothing else is known."""
    known = list(tables)
    all_rest = []
    for table in known:
        resting = set() if table.decoder else _resting(table.numbers)
        if resting == {number.name for number in table.numbers}:
            all_rest.append(table)
        else:
            table.resting = [number for number in table.numbers if number.name in resting]
            table.numbers = [number for number in table.numbers if number.name not in resting]
            table.fields = [name for name in table.fields if name not in resting]
    for table in all_rest:
        table.is_off = len(all_rest) < len(known)


def _resting(numbers: Iterable[Number]) -> set[str]:
    """Name the fields that never changed on any topic."""
    by_name: dict[str, list[Number]] = defaultdict(list)
    for number in numbers:
        by_name[number.name].append(number)
    return {name for name, group in by_name.items() if all(map(never_changed, group))}
