"""The detectors of closed steps: the one place where a further one is added.

The package's docstring says what a detector is and how it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from edgeseq.core.detect import (
    departure,
    drift,
    level_shift,
    limit_ahead,
    novelty,
    profile,
    record,
    relation,
    spike,
    surprise,
    variance,
)
from edgeseq.core.detect.kinds import (
    BEHAVIOUR,
    BROKEN_PROFILE,
    BROKEN_RELATION,
    DRIFT,
    LEVEL_SHIFT,
    LIMIT_AHEAD,
    NOVELTY,
    SPIKE,
    VARIANCE_CHANGE,
    Closed,
    Scores,
)
from edgeseq.core.detect.step import Step, describe
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64


class Detector(NamedTuple):
    """A kind of anomaly that is told from closed steps."""

    kind: int
    """Index into KINDS."""
    columns: Callable[[int], dict[str, Column]]
    """Declares the state of a stream of so many channels; names are the detector's own, such as drift_mean."""
    score: Callable[[Table, Work, Step], Scores]
    """Scores the closed step of n rows, then learns from it."""
    worthless: tuple[str, ...] = ()
    """Columns that a gap longer than the history makes worthless: set back to their initial values then."""
    accept: Callable[[Table, Work, int, int], None] | None = None
    """Takes the present of row `work.rows[i]` (i, the third argument) and a channel as the new normal: an alert of this
    kind was open for as long as a new stream learns. None where `score` sees to that."""
    measure: Callable[[Table, Work, Step], None] | None = None
    """Writes to `step.found` what is divided by a record, before any detector scores."""


DETECTORS: list[Detector] = [
    Detector(
        LEVEL_SHIFT,
        level_shift.columns,
        level_shift.score,
        level_shift.PASSING,
        departure.accept,
        level_shift.measure,
    ),
    Detector(DRIFT, drift.columns, drift.score, (), departure.accept),
    Detector(VARIANCE_CHANGE, variance.columns, variance.score, variance.PASSING, measure=variance.measure),
    Detector(BROKEN_PROFILE, profile.columns, profile.score, measure=profile.measure),
    Detector(BROKEN_RELATION, relation.columns, relation.score, (), relation.accept),
    Detector(NOVELTY, novelty.columns, novelty.score),
    Detector(LIMIT_AHEAD, limit_ahead.columns, limit_ahead.score),
]
"""In the order in which they are asked."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the state of all detectors."""
    own = {name: column for one in DETECTORS for name, column in one.columns(channels).items()}
    return own | record.columns(channels) | spike.columns(channels) | surprise.columns()


def worthless() -> tuple[str, ...]:
    """Name what a gap longer than the history makes worthless."""
    return tuple(name for one in DETECTORS for name in one.worthless)


def scores(table: Table, work: Work, closed: Closed) -> tuple[F64, dict[int, Scores]]:
    """Ask all detectors → scores (D, C, n), finite only for observed targets; by kind, what they say."""
    step = describe(work, closed)
    for one in DETECTORS:
        if one.measure is not None:
            one.measure(table, work, step)
    _judge(work, step)
    spiked = spike.ratio(table, work, step)[: step.targets] if step.settings.is_on(SPIKE) else None
    said = {one.kind: one.score(table, work, step) for one in DETECTORS}
    found = np.empty((len(said), *step.value.shape))
    for mine, one_said in zip(found, said.values(), strict=True):
        mine[...] = one_said.score
    if not step.all_seen or step.targets < len(step.value):
        judged = step.samples.observed & (np.arange(len(step.value)) < step.targets)[:, None]
        np.copyto(found, np.nan, where=~judged)
    _pay(work, step, dict(zip(said, found, strict=True)), spiked)
    return found, said


def _pay(work: Work, step: Step, found: dict[int, F64], spiked: F64 | None) -> None:
    """Divide scores (C, n) by what the stream's budget asks, and let the alarms that are told spend it."""
    patience, told = surprise.factor(work), []
    for kind in BEHAVIOUR & found.keys():
        found[kind] /= patience
        if step.settings.is_on(kind):
            told.append(found[kind])
    if spiked is not None:
        told.append(spiked / patience)
    if told:
        surprise.spend(work, np.fmax.reduce(np.concatenate(told)), step.period_ns)
    spike.follow(work, step)


def _judge(work: Work, step: Step) -> None:
    """Divide what was measured by the records."""
    least = np.empty(step.found.shape)
    least[...] = record.ROUNDING * np.abs(step.value)
    least[record.PROFILE] = record.RECORDS[record.PROFILE].least
    step.ratio[...] = record.judge(work, step.found, step.period_ns, step.learning, least)
    if step.is_learning:
        step.ratio[step.learning] = np.nan


def accept(table: Table, work: Work, i: int, channel: int, kind: int) -> None:
    """Let the detector of a kind take the present of a row and channel as the new normal."""
    for one in DETECTORS:
        if one.kind == kind and one.accept is not None:
            one.accept(table, work, i, channel)
