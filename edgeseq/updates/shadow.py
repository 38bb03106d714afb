"""Two models on the same streams, beside the durable core: what each would have forecast, and what came.

They are fed from the streams' history rings, from time to time, so that no reading waits for them. Of each table the
first 256 streams take part. Each step counts once, with the mean over its streams, channels and leads of the pinball
losses of lower, value and upper, in units of each stream's own spread: streams of one house err together. Nothing of it
is kept: after a restart the comparison begins anew.

Axes: n rows, C channels of which the first are forecast, K leads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.align import NOT_STARTED, origin_ns
from edgeseq.core.comparison import Comparison, Verdict, new_comparison
from edgeseq.core.features import normalise
from edgeseq.core.forecast import Stepper, initial_state, put_rows, take_rows
from edgeseq.core.group import Group, recent_history
from edgeseq.core.known import look
from edgeseq.core.types import F32, F64, I64

MOST_STREAMS = 256
MOST_WARMED = 8
"""Streams that join at one look: a replay of a ring takes milliseconds."""
MOST_STEPS = 64
"""Of a stream at one look."""


class Pair:
    """Two models on the streams of one group."""

    def __init__(self, group: Group, steppers: tuple[Stepper, Stepper]) -> None:
        self.group, self.steppers = group, steppers
        self.leads = np.array(group.leads)
        self.seen = np.zeros(0, np.int64)
        self.states: list[tuple[NDArray[Any], ...]] = [initial_state(s.state_spec, 0) for s in steppers]
        self._slots = group.horizon + 1
        self._made = np.zeros((2, 0, self._slots, group.targets, len(self.leads), 3), np.float32)
        wanted = np.array([(1 - group.rule.coverage) / 2, 0.5, (1 + group.rule.coverage) / 2])
        self._levels = wanted.astype(np.float32)
        self._picked = [np.abs(np.array(s.levels)[:, None] - wanted).argmin(axis=0) for s in steppers]

    def losses(self) -> list[tuple[int, F64]]:
        """Take what has come since the last time → step and (2, m) losses of its streams, in no order of steps."""
        self._grow()
        table, rows = self.group.table, np.arange(len(self.seen))
        newest = np.where(table["next_step"][rows] == NOT_STARTED, NOT_STARTED, table["next_step"][rows] - 1)
        begun = self.seen != NOT_STARTED
        # What a gap has made worthless, or what the ring no longer holds, begins anew.
        lost = begun & ((newest - self.seen >= self.group.ring) | (table["first_step"][rows] > self.seen))
        self.seen[lost] = NOT_STARTED
        found: list[tuple[int, F64]] = []
        for _ in range(MOST_STEPS):
            moved = np.flatnonzero((self.seen != NOT_STARTED) & (newest > self.seen))
            if len(moved) == 0:
                break
            found += self._step(moved)
        ready = np.isfinite(table["unit"][rows]).all(axis=1) & (table["first_step"][rows] != NOT_STARTED)
        for row in np.flatnonzero((self.seen == NOT_STARTED) & ready)[:MOST_WARMED].tolist():
            self._warm(row, int(newest[row]))
        return found

    def _grow(self) -> None:
        more = min(self.group.table.rows, MOST_STREAMS) - len(self.seen)
        if more <= 0:
            return
        self.seen = np.concatenate([self.seen, np.full(more, NOT_STARTED)])
        for kind, stepper in enumerate(self.steppers):
            new = initial_state(stepper.state_spec, more)
            self.states[kind] = tuple(
                np.concatenate([a, b]) for a, b in zip(self.states[kind], new, strict=True)
            )
        shape = (2, more, *self._made.shape[2:])
        self._made = np.concatenate([self._made, np.full(shape, np.nan, np.float32)], axis=1)

    def _warm(self, row: int, step: int) -> None:
        """Let both join a stream, by its history up to `step`."""
        rows = np.array([row])
        history = recent_history(self.group, row, step)
        x = normalise(history, *self._scale(rows))[None]
        known = self._known(
            rows, np.array([step - x.shape[1] + 1], np.int64), x.shape[1] + self.group.horizon
        )
        self._made[:, row] = np.nan
        for kind, stepper in enumerate(self.steppers):
            quantiles, state = stepper.replay(x, initial_state(stepper.state_spec, 1), known)
            put_rows(self.states[kind], rows, state)
            self._put(kind, rows, np.array([step]), quantiles)
        self.seen[row] = step

    def _step(self, rows: I64) -> list[tuple[int, F64]]:
        """Let rows take one step more."""
        step = self.seen[rows] + 1
        values = self.group.table["history"][rows, :, step % self.group.ring]
        x = normalise(values, *self._scale(rows))
        losses = self._score(rows, step, x[:, : self.group.targets])
        known = self._known(rows, step, 1 + self.group.horizon)
        for kind, stepper in enumerate(self.steppers):
            quantiles, state = stepper.step(x, take_rows(self.states[kind], rows), known)
            put_rows(self.states[kind], rows, state)
            self._put(kind, rows, step, quantiles)
        self.seen[rows] = step
        return [(int(one), losses[:, step == one]) for one in np.unique(step)]

    def _scale(self, rows: I64) -> tuple[F64, F64]:
        return self.group.table["anchor"][rows], self.group.table["unit"][rows]

    def _known(self, rows: I64, first: I64, width: int) -> F32 | None:
        group = self.group
        if group.known is None:
            return None
        named_ns = origin_ns(group.table, group.rule, rows, first)
        return look(group.known, group.table["phase_ns"][rows], first, width, named_ns)[0]

    def _put(self, kind: int, rows: I64, step: I64, quantiles: F32) -> None:
        said = quantiles[:, : self.group.targets][:, :, self.leads - 1][..., self._picked[kind]]
        self._made[kind, rows, step % self._slots] = said

    def _score(self, rows: I64, step: I64, x: F32) -> F64:
        """Give the mean pinball losses (2, n) of the forecasts made for `step`, over what both have said."""
        slots = (step[:, None] - self.leads) % self._slots
        # (2, n, K, C, 3): of each lead what was said so many steps ago.
        made = np.stack(
            [self._made[:, rows, slots[:, k]][:, :, :, k] for k in range(len(self.leads))], axis=2
        ).astype(np.float64)
        missed = x[None, :, None, :, None] - made
        loss = np.maximum(self._levels * missed, (self._levels - 1) * missed).sum(axis=-1)
        both = np.isfinite(loss).all(axis=0)
        count = both.sum(axis=(1, 2))
        total = np.where(both, loss, 0.0).sum(axis=(2, 3))
        mean: F64 = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return mean


class Trial:
    """A new model against an old one, on all groups that it would serve."""

    def __init__(self, groups: Sequence[Group], old: Stepper, new: Stepper) -> None:
        self.pairs = [Pair(group, (old, new)) for group in groups]
        season = max((group.rule.season_steps for group in groups), default=0)
        horizon = max((group.horizon for group in groups), default=1)
        self.comparison: Comparison = new_comparison(horizon, season)
        self._waiting: dict[int, F64] = {}
        self._verdict: Verdict | None = None

    def look(self) -> Verdict | None:
        """Take what has come → a verdict, once there is one; it stays, for whoever could not act on it."""
        if self._verdict is None:
            self._verdict = self._look()
        return self._verdict

    def _look(self) -> Verdict | None:
        for step, losses in (found for pair in self.pairs for found in pair.losses()):
            sound = np.isfinite(losses).all(axis=0)
            row = np.array([*losses[:, sound].sum(axis=1), np.count_nonzero(sound)])
            self._waiting[step] = self._waiting.get(step, 0.0) + row
        seen = np.concatenate([pair.seen[pair.seen != NOT_STARTED] for pair in self.pairs] or [[]])
        if len(seen) == 0:
            return None
        # The middle one of all streams: a clock that runs ahead shall not close steps for the others.
        front = int(np.sort(seen)[(len(seen) - 1) // 2])
        for step in sorted(step for step in self._waiting if step < front):
            new_and_old = self._waiting.pop(step)
            if new_and_old[2] == 0:
                continue
            self.comparison.add(new_and_old[1] / new_and_old[2], new_and_old[0] / new_and_old[2])
            if verdict := self.comparison.look():
                return verdict
        return None
