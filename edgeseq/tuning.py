"""Find the sensitivity of each table that raises as many alerts a week as its budget says.

A recording is decoded once and goes through the device's own core again for every sensitivity tried; all tables are
searched at the same time, each by false position on logarithmic scales, until what is left is chance. What is told
together counts once, as it does live (`core.budget`). Labels have the last word: a real event that any sensitivity
finds must be found, which may cost alerts; of what is left, false alarms are to be silent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import msgspec

from edgeseq.compose import Node
from edgeseq.core.alert_payload import group_id, group_span_ns
from edgeseq.core.budget import WEEK_NS
from edgeseq.core.pipeline import Batch, State, accept, new_state, recover
from edgeseq.core.types import AlertEvent, Message, StreamRule

BATCH = 4096

MOST_TRIALS = 7
"""Times that the recording is run."""

CLOSE = 1.1
"""A rate within such a factor of the budget is as good as it; so is one that is off by a single alert."""

STEEPNESS = 2.0
"""Alerts a week grow with about this power of the sensitivity, as far as a first guess is concerned."""

LOWEST, HIGHEST = 1 / 64, 16.0

SHORTEST_WEEKS = 0.5
"""Time after learning of which a rate by the week can be told at all."""


class Label(NamedTuple):
    """What a person said of an alert."""

    stream: str
    opened_ns: int
    is_real: bool


class Trial(NamedTuple):
    """What one sensitivity of a table amounts to."""

    sensitivity: float
    per_week: float
    found: frozenset[int]
    """Indices of the labels that lie within an alert's group."""


@dataclass(slots=True)
class Tuned:
    """One table's search."""

    rule: StreamRule
    budget: float
    from_ns: int
    """Alerts count from here on: a stream without gaps has learned by then."""
    weeks: float
    labels: list[Label]
    trials: dict[float, Trial] = field(default_factory=dict)
    chosen: float = 1.0
    why: str = ""


class Recording(NamedTuple):
    """Readings as the core takes them."""

    batches: list[Batch]
    first_ns: int
    last_ns: int


def read(node: Node, messages: Iterable[Message]) -> Recording:
    """Decode a recording; the node's streams are registered, but not moved."""
    rest, batches = iter(messages), []
    while chunk := list(islice(rest, BATCH)):
        batches.append(accept(node.state, chunk))
    times = [batch.readings.time_ns for batch in batches if len(batch.readings)]
    first = min((int(part.min()) for part in times), default=0)
    return Recording(batches, first, max((int(part.max()) for part in times), default=0))


def tune(
    node: Node,
    recording: Recording,
    budgets: Mapping[str, float],
    labels: Sequence[Label] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> list[Tuned]:
    """Search all tables that have a budget; those whose recording is too short are left as they are, and say so.

    tell: called after each run, with what it has shown.
    """
    tables = [_begin(node, rule, recording, budgets[rule.key], labels) for rule in _rules(node, budgets)]
    able = [one for one in tables if one.weeks >= SHORTEST_WEEKS]
    for _ in range(MOST_TRIALS):
        following = {one.rule.key: _next(one) for one in able}
        if all(following[one.rule.key] in one.trials for one in able):
            break
        _try(node, recording, able, following)
        tell(", ".join(f"{one.rule.key}: {_newest(one)}" for one in able))
    for one in able:
        one.chosen, one.why = choose(one.trials.values(), one.budget, one.labels)
    return tables


def measure(
    node: Node, recording: Recording, sensitivity: Mapping[str, float], from_ns: int
) -> dict[str, float]:
    """Tell how many alerts a week each table raises from a time on, at given sensitivities."""
    tables = [_begin(node, rule, recording, 0.0, (), from_ns) for rule in _rules(node, sensitivity)]
    _try(node, recording, tables, dict(sensitivity))
    return {one.rule.key: next(iter(one.trials.values())).per_week for one in tables}


def choose(trials: Iterable[Trial], budget: float, labels: Sequence[Label]) -> tuple[float, str]:
    """Choose among what was tried → sensitivity, and why.

    >>> tried = [Trial(s, rate, frozenset()) for s, rate in ((0.5, 0.4), (1.0, 1.9), (2.0, 9.0))]
    >>> choose(tried, 2.0, [])
    (1.0, 'budget')
    """
    tried = sorted(trials)
    near = min(tried, key=lambda one: (abs(_log(one.per_week) - _log(budget)), one.sensitivity))
    chosen, why = near.sensitivity, "budget"
    false = frozenset(i for i, label in enumerate(labels) if not label.is_real)
    real = frozenset(i for i, label in enumerate(labels) if label.is_real)
    quiet = [one.sensitivity for one in tried if not one.found & false]
    if near.found & false:
        chosen = max((s for s in quiet if s < chosen), default=tried[0].sensitivity)
        why = "false alarms are silent" if quiet else "false alarms cannot be silenced"
    best = max((len(one.found & real) for one in tried), default=0)
    enough = [one.sensitivity for one in tried if len(one.found & real) == best]
    if enough and chosen < min(enough):
        chosen, why = min(enough), "real events are found"
    return chosen, why


def with_sensitivity(rule: StreamRule, sensitivity: float) -> StreamRule:
    """Change how sensitive a rule's alerts are."""
    alerting = msgspec.structs.replace(rule.alerting, sensitivity=sensitivity)
    return msgspec.structs.replace(rule, alerting=alerting)


# --- one trial --------------------------------------------------------------------------------------------------


def _rules(node: Node, wanted: Mapping[str, float]) -> list[StreamRule]:
    return [rule for rule in node.resolved.rules if rule.key in wanted]


def _begin(
    node: Node,
    rule: StreamRule,
    recording: Recording,
    budget: float,
    labels: Sequence[Label],
    not_before_ns: int = 0,
) -> Tuned:
    own = {info.id for info in node.state.registry.infos if info.rule == rule.key}
    group = next(group for group in node.state.groups if group.rule.key == rule.key)
    from_ns = max(not_before_ns, recording.first_ns + group.learning_steps * rule.period_ns)
    weeks = (recording.last_ns - from_ns) / WEEK_NS
    return Tuned(rule, budget, from_ns, weeks, [label for label in labels if label.stream in own])


def _try(node: Node, recording: Recording, tables: Sequence[Tuned], sensitivity: Mapping[str, float]) -> None:
    """Run the recording once, each table with its own sensitivity."""
    wanted = [one for one in tables if sensitivity[one.rule.key] not in one.trials]
    if not wanted:
        return
    state = _fresh(node, sensitivity)
    opened: dict[str, list[AlertEvent]] = {one.rule.key: [] for one in wanted}
    for batch in recording.batches:
        for event in recover(state, batch.created, batch.readings):
            if isinstance(event, AlertEvent) and event.event_type == "opened":
                opened.get(state.registry.infos[event.stream].rule, []).append(event)
    for one in wanted:
        tried = sensitivity[one.rule.key]
        one.trials[tried] = _judge(one, tried, opened[one.rule.key], state)


def _fresh(node: Node, sensitivity: Mapping[str, float]) -> State:
    """Make a state that has seen nothing; the node's models serve it."""
    rules = [
        msgspec.structs.replace(with_sensitivity(rule, sensitivity.get(rule.key, 1.0)), estimate=None)
        for rule in node.resolved.rules
    ]
    inputs = {group.rule.bundle: group.known.inputs for group in node.state.groups if group.known}
    known = {key: value for key, value in inputs.items() if key is not None}
    return new_state(rules, node.steppers, node.resolved.options, inputs=known)


def _judge(one: Tuned, tried: float, opened: Sequence[AlertEvent], state: State) -> Trial:
    """Count the groups of alerts, and the labels that they hold."""
    groups = {
        group_id(one.rule, event.kind, event.opened_ns) for event in opened if event.time_ns >= one.from_ns
    }
    near_ns = group_span_ns(one.rule)
    at: dict[str, list[int]] = {}
    for event in opened:
        at.setdefault(state.registry.infos[event.stream].id, []).append(event.opened_ns)
    found = frozenset(
        i
        for i, label in enumerate(one.labels)
        if any(abs(opened_ns - label.opened_ns) <= near_ns for opened_ns in at.get(label.stream, []))
    )
    return Trial(tried, len(groups) / one.weeks, found)


def _next(one: Tuned) -> float:
    """Say what to try next; what has been tried where nothing is to be gained."""
    if not one.trials:
        return one.rule.alerting.sensitivity
    tried = sorted(one.trials.values())
    near = min(tried, key=lambda trial: abs(_log(trial.per_week) - _log(one.budget)))
    off = abs(_log(near.per_week) - _log(one.budget))
    if off <= math.log(CLOSE) or abs(near.per_week - one.budget) * one.weeks <= 1.0:
        return near.sensitivity
    above = [trial for trial in tried if trial.per_week >= one.budget]
    upper = above[0] if above else None
    below = [trial for trial in tried if upper is None or trial.sensitivity < upper.sensitivity]
    if upper is None or not below:
        factor = math.pow(max(near.per_week, 0.1 / one.weeks) / one.budget, -1 / STEEPNESS)
        return min(HIGHEST, max(LOWEST, near.sensitivity * min(8.0, max(1 / 8, factor))))
    lower = below[-1]
    span = math.log(upper.sensitivity / lower.sensitivity)
    share = (_log(one.budget) - _log(lower.per_week)) / (_log(upper.per_week) - _log(lower.per_week) or 1.0)
    # Not too near an end: alerts come in steps, and a step would hold the search there.
    return lower.sensitivity * math.exp(span * min(0.8, max(0.2, share)))


def _newest(one: Tuned) -> str:
    """Put the newest trial in words."""
    trial = list(one.trials.values())[-1]
    return f"sensitivity {trial.sensitivity:.3g} raises {trial.per_week:.3g} a week"


def _log(per_week: float) -> float:
    return math.log(max(per_week, 1e-3))
