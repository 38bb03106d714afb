"""The time axis of a picture: dates where the recording knows when it began, days since its start where it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray

from edgeseq.core.types import I64

DAY_NS = 86_400 * 10**9


class Times(Protocol):
    """What turns grid steps into places on an axis."""

    def at(self, steps: I64) -> NDArray[Any]:
        """Give the places of steps (n,)."""

    def mark(self, axes: Axes) -> None:
        """Label the axis."""


class Readings:
    """Steps as they are, for a series without a clock."""

    def at(self, steps: I64) -> NDArray[Any]:
        """Give the steps."""
        return steps

    def mark(self, axes: Axes) -> None:
        """Label the axis."""
        axes.set_xlabel("reading")


@dataclass(frozen=True, slots=True)
class Clock:
    """What turns grid steps into times."""

    period_ns: int
    start_ns: int | None = None
    """Time of step 0; None: unknown."""

    def at(self, steps: I64) -> NDArray[Any]:
        """Give the times of steps: datetime64 in UTC, or days since step 0."""
        if self.start_ns is None:
            return np.asarray(steps * (self.period_ns / DAY_NS))
        return (self.start_ns + steps * self.period_ns).astype("datetime64[ns]")

    def mark(self, axes: Axes) -> None:
        """Label the axis."""
        if self.start_ns is None:
            axes.set_xlabel("days since the first reading")
            return
        locator = AutoDateLocator(minticks=3, maxticks=6)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def mark_day(axes: Axes, label: str) -> None:
    """Label an axis over one day (in hours, by sixes) or over another season."""
    axes.set_xlabel(label)
    if label.startswith("hour"):
        axes.xaxis.set_major_locator(MultipleLocator(6))
