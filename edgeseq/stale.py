"""A model that has lost its skill: the baseline errs less for so long that it should be trained anew.

A stream is stale when its skill (1 - error of the forecasts with the model / error of the baseline) has been below 0 at
every look for 336 steps and two seasons; it is so no longer from a skill of 2 % on, and can then be told of again. The
forecasts suffer less than that: where the baseline is better it serves. The time begins anew with a start or a reload.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from edgeseq.compose import Node
from edgeseq.core.align import NOT_STARTED
from edgeseq.core.bridge import listed
from edgeseq.core.group import Group
from edgeseq.core.payloads import EventPayload
from edgeseq.core.types import F64, I64, Bool

MIN_STEPS = 336
_RECOVERED = math.log(0.98)


@dataclass(slots=True)
class Watch:
    """What is known of the streams of one group, by row."""

    since: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    """Step from which skill was below 0; NOT_STARTED: it is not."""
    is_stale: Bool = field(default_factory=lambda: np.zeros(0, np.bool_))

    def look(self, steps: I64, log_ratio: F64, wanted_steps: int) -> I64:
        """Take the steps (n,) and the logarithms of error over the baseline's (n,) → rows that have become stale."""
        new = len(steps) - len(self.since)
        self.since = np.concatenate([self.since, np.full(new, NOT_STARTED)])
        self.is_stale = np.concatenate([self.is_stale, np.zeros(new, np.bool_)])
        below = log_ratio > 0
        self.since = np.where(below, np.where(self.since == NOT_STARTED, steps, self.since), NOT_STARTED)
        became = below & ~self.is_stale & (steps - self.since >= wanted_steps)
        self.is_stale = (self.is_stale | became) & ~(log_ratio < _RECOVERED)
        return np.flatnonzero(became)


class Staleness:
    """The watches of a node's models."""

    def __init__(self) -> None:
        self._node: Node | None = None
        self._watches: list[Watch] = []

    def look(self, node: Node) -> Iterator[EventPayload]:
        """Give an event for each table of which streams have become stale."""
        groups = node.state.groups
        if node is not self._node:
            self._node, self._watches = node, [Watch() for _ in groups]
        for group, watch in zip(groups, self._watches, strict=True):
            if group.model is None:
                continue
            rows = watch.look(group.table["next_step"].copy(), _log_ratio(group), _wanted_steps(group))
            if len(rows):
                streams = [node.context.infos[n].id for n in group.table["stream"][rows].tolist()]
                yield EventPayload(
                    event="model.outdated",
                    bundle=group.rule.bundle or "",
                    streams=listed(streams),
                    count=len(rows),
                )


def _wanted_steps(group: Group) -> int:
    return max(MIN_STEPS, 2 * group.rule.season_steps)


def _log_ratio(group: Group) -> F64:
    """Average over the forecast channels that are known; NaN where none is, or the model has not joined."""
    table = group.table
    logs = table["log_ratio"][:, : group.targets]
    known = np.isfinite(logs) & (table["model_warm"] != 0)[:, None]
    count = known.sum(axis=1)
    mean: F64 = np.where(known, logs, 0.0).sum(axis=1) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.nan)
