"""Estimate what no sensor tells: a number or a class that a model makes of a stream's channels, step by step.

An estimator's anchor and scale are fixed in training, unlike a forecaster's, which settle on each stream: what CO2
says of a room depends on how high it stands, and no device sees the target that could tell it otherwise. So an
estimator works from the first reading. Its recurrent state is kept twice, as a forecaster's: after the last closed
step, and with the open one as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeseq.core.features import normalise
from edgeseq.core.forecast import RecurrentState, Stepper, initial_state
from edgeseq.core.table import Column, Table
from edgeseq.core.types import (
    COVERAGE,
    F64,
    I64,
    Bool,
    ClassChanged,
    Estimate,
    Event,
    Target,
)

NO_CLASS = -1
"""Class of a stream that has none yet."""


@dataclass(frozen=True, slots=True)
class Estimator:
    """A model of a target that is no input, with the scales that training fixed."""

    stepper: Stepper
    """Its step gives quantiles (B, 1, 1, Q) of the target, or probabilities (B, 1, 1, N) of its classes."""
    target: Target
    anchor: F64
    """(C,) of the inputs."""
    scale: F64
    """(C,)"""


def columns(estimator: Estimator) -> dict[str, Column]:
    """Declare the state of estimating."""
    named = {
        "estimate.warm": Column((), "bool", init=False),
        "estimate.class": Column((), "int64", NO_CLASS, apart=True),
        "estimate.since_ns": Column((), "int64", 0, apart=True),
    }
    for spec in estimator.stepper.state_spec:
        for which in ("committed", "next"):
            named[f"estimate.{which}.{spec.name}"] = Column(spec.shape, spec.dtype, spec.init)
    return named


def commit(table: Table, estimator: Estimator, rows: I64) -> None:
    """Promote the states of a step that is final now; rows that another model served have none to promote."""
    rows = rows[table["estimate.warm"][rows]]
    _write(table, estimator, "committed", rows, _read(table, estimator, "next", rows))


def warm(table: Table, estimator: Estimator, row: int, history: F64) -> None:
    """Let an estimator join a row at work: step it through the closed steps (T, C), T >= 1."""
    x = normalise(history, estimator.anchor, estimator.scale)
    _, state = estimator.stepper.replay(x[None], initial_state(estimator.stepper.state_spec, 1))
    _write(table, estimator, "committed", np.array([row]), state)


def step(table: Table, estimator: Estimator, rows: I64, values: F64) -> F64:
    """Step from the committed states: values (n, C), NaN where missing → the numbers of `Estimate` (n, 3 or N)."""
    table["estimate.warm"][rows] = True
    x = normalise(values, estimator.anchor, estimator.scale)
    outputs, state = estimator.stepper.step(x, _read(table, estimator, "committed", rows))
    _write(table, estimator, "next", rows, state)
    said = outputs[:, 0, 0].astype(np.float64)
    target = estimator.target
    if target.classes:
        return said
    bounds = ((1 - COVERAGE) / 2, 0.5, (1 + COVERAGE) / 2)
    levels = np.array(estimator.stepper.levels)
    picked: F64 = said[:, [int(np.abs(levels - level).argmin()) for level in bounds]]
    return target.anchor + target.scale * picked


def tell(
    table: Table, estimator: Estimator, rows: I64, order: I64, steps: I64, origin_ns: I64, values: F64, numbers: F64
) -> list[Event]:  # fmt: skip
    """Tell the estimates of rows, and which of them changed their class.

    Args:
        table: only the columns declared here are touched.
        estimator: whose numbers they are.
        rows: (n,) all different.
        order: (n,) position of the causing reading in its batch.
        steps: (n,)
        origin_ns: (n,) times of the steps.
        values: (n, C) inputs, NaN where missing; without any there is no estimate.
        numbers: (n, 3 or N) what `step` gave.
    """
    known: Bool = np.isfinite(values)
    some, all_ = np.asarray(known.any(axis=1)), np.asarray(known.all(axis=1))
    numbers = np.where(some[:, None], numbers, np.nan)
    streams = table["stream"][rows]
    events: list[Event] = [
        Estimate(
            order=int(order[i]),
            stream=int(streams[i]),
            step=int(steps[i]),
            origin_ns=int(origin_ns[i]),
            quality="ok" if all_[i] else "degraded" if some[i] else "missing",
            numbers=numbers[i],
        )
        for i in range(len(rows))
    ]
    if not estimator.target.classes:
        return events
    found: I64 = np.where(np.isfinite(numbers).all(axis=1), numbers.argmax(axis=1), NO_CLASS)
    changed: Bool = (found != NO_CLASS) & (found != table["estimate.class"][rows])
    table["estimate.class"][rows[changed]] = found[changed]
    table["estimate.since_ns"][rows[changed]] = origin_ns[changed]
    return events + classes(table, rows, order, changed)


def classes(table: Table, rows: I64, order: I64, wanted: Bool) -> list[Event]:
    """Tell the present class of the wanted ones of rows."""
    told = table["stream"][rows], table["estimate.class"][rows], table["estimate.since_ns"][rows]
    return [ClassChanged(int(order[i]), *(int(column[i]) for column in told)) for i in np.flatnonzero(wanted)]


def forget(table: Table) -> None:
    """Take back what another estimator left: states and class."""
    names = {name: column for name, column in table.columns.items() if name.startswith("estimate.")}
    table.reset(np.arange(table.rows), names)


def _read(table: Table, estimator: Estimator, which: str, rows: I64) -> RecurrentState:
    return tuple(table[f"estimate.{which}.{s.name}"][rows] for s in estimator.stepper.state_spec)


def _write(table: Table, estimator: Estimator, which: str, rows: I64, state: RecurrentState) -> None:
    for spec, array in zip(estimator.stepper.state_spec, state, strict=True):
        table[f"estimate.{which}.{spec.name}"][rows] = array
