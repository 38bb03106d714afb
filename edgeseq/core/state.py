"""All that a node remembers, and where its streams stand in it."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edgeseq.core import dedupe
from edgeseq.core.estimate import Estimator
from edgeseq.core.forecast import Stepper
from edgeseq.core.group import Group, new_group
from edgeseq.core.known import NO_INPUTS, KnownInputs
from edgeseq.core.lateness import Lateness, new_lateness
from edgeseq.core.registry import SWITCH, Registry
from edgeseq.core.types import I32, Counts, Index, Options, StreamRule

NO_GROUP = -1
"""Group of a stream whose rule is gone: it keeps its number, its readings go nowhere."""


def _indices() -> array[int]:
    """Make an empty array that grows, of NumPy's type of indices."""
    return array(np.dtype(np.intp).char)


@dataclass(slots=True)
class State:
    """All that a node remembers."""

    options: Options
    registry: Registry
    groups: list[Group]
    lateness: dict[int, Lateness]
    """Group index → what rules that take late readings keep beside the live state."""
    group_of: array[int] = field(default_factory=_indices)
    """Stream index → group index."""
    row_of: array[int] = field(default_factory=_indices)
    """Stream index → row in the group's table."""
    covariate_of: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Index of a hidden stream → group index, covariate index."""
    switch_of: dict[int, int] = field(default_factory=dict)
    """Index of a hidden stream → index of the group that it switches on and off."""
    recent: dedupe.Recent = field(default_factory=dict)
    """Identities of the newest readings, of all streams."""
    session: int = 0
    """Number of the broker's session: packet ids tell messages apart within one."""
    clock_ns: int = -(2**62)
    """The clock that silence is measured by, as far as it has been seen."""
    counts: Counts = field(default_factory=Counts)


def new_state(
    rules: Sequence[StreamRule],
    steppers: Mapping[str, Stepper],
    options: Options,
    estimators: Mapping[str, Estimator] | None = None,
    inputs: Mapping[str, KnownInputs] | None = None,
) -> State:
    """Make the state of a node that has seen nothing.

    `steppers` maps a rule's `bundle` to its model, `inputs` to what is known to it for the future, `estimators` maps a
    rule's `estimate`.
    """

    def empty(rule: StreamRule) -> Group:
        return new_group(
            rule,
            steppers[rule.bundle] if rule.bundle else None,
            estimators[rule.estimate] if rule.estimate and estimators else None,
            inputs.get(rule.bundle, NO_INPUTS) if rule.bundle and inputs else NO_INPUTS,
        )

    groups = [empty(rule) for rule in rules]
    twins = {
        index: new_lateness(replace(empty(group.rule), known=group.known, activity=group.activity))
        for index, group in enumerate(groups)
        if group.rule.lateness_steps
    }
    return State(options, Registry(rules), groups, twins)


def add_rows(state: State, until: int | None = None) -> None:
    """Give newly registered streams, up to index `until`, a row in their rule's table."""
    index_of = {group.rule.key: index for index, group in enumerate(state.groups)}
    for stream in range(len(state.group_of), len(state.registry) if until is None else until):
        index = index_of.get(state.registry.infos[stream].rule, NO_GROUP)
        row = NO_GROUP
        if stream in state.registry.hidden:
            name = state.registry.hidden[stream][1]
            names = state.groups[index].known_covariates
            if name == SWITCH:
                state.switch_of[stream] = index
            elif name in names:
                state.covariate_of[stream] = index, names.index(name)
            index = NO_GROUP
        if index != NO_GROUP:
            row = state.groups[index].table.add_row()
            state.groups[index].table["stream"][row] = stream
        state.group_of.append(index)
        state.row_of.append(row)


def places(state: State, streams: I32) -> tuple[Index, Index]:
    """Find group and row of streams (n,)."""
    if len(streams) == 0:
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    group_of, row_of = (np.frombuffer(column, dtype=np.intp) for column in (state.group_of, state.row_of))
    return group_of[streams], row_of[streams]
