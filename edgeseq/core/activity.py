"""Whether a machine is on: while it is off its readings count as missing, and nothing of it is silent.

One switch holds for all streams of a rule. What it says counts from its place in the order on, as of all readings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.parsing import Fault, type_name
from edgeseq.core.types import I64, Bool, Reason

ALWAYS_NS = -(2**62)

ON_WORDS = frozenset({"on", "true", "yes", "running", "active"})
"""Texts that mean on where no value is configured; numbers other than 0 do, too."""


@dataclass(slots=True)
class Activity:
    """The switch of a rule; a machine of which nothing was heard is on."""

    settle_ns: int
    is_on: bool = True
    since_ns: int = ALWAYS_NS
    """When it was switched on."""


def switch(activity: Activity, value: float, clock_ns: int) -> bool:
    """Take what a switch says at a time of the clock that silence is measured by; True where that is new."""
    is_on = value != 0
    if is_on == activity.is_on:
        return False
    activity.is_on = is_on
    if is_on:
        activity.since_ns = clock_ns
    return True


def is_settled(activity: Activity, time_ns: I64) -> Bool:
    """Tell at which times (n,) readings may be judged."""
    settled: Bool = time_ns >= activity.since_ns + activity.settle_ns
    return settled


def meaning(raw: Any, equals: str | None) -> float | Fault:
    """Say whether a value means on (1) or off (0).

    >>> meaning("ON", None), meaning(0.0, None), meaning("auto", "Auto"), meaning(2, "2.0")
    (1.0, 0.0, 1.0, 1.0)
    """
    if not isinstance(raw, str | int | float):
        return Fault(Reason.WRONG_TYPE, f"a switch is {type_name(raw)}")
    text = str(raw).strip().casefold()
    number = _number(text)
    if number is not None and math.isnan(number):
        return Fault(Reason.NOT_FINITE, "a switch is NaN")
    if equals is not None:
        wanted = equals.casefold()
        return float(text == wanted or (number is not None and number == _number(wanted)))
    return float(text in ON_WORDS or number not in (None, 0.0))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def dump(activity: Activity) -> NDArray[np.generic]:
    """Give the switch as an array (2,)."""
    return np.array([activity.is_on, activity.since_ns], dtype=np.int64)


def load(activity: Activity, array: NDArray[np.generic]) -> None:
    """Set a switch as it was kept."""
    is_on, activity.since_ns = np.asarray(array, dtype=np.int64).tolist()
    activity.is_on = bool(is_on)
