"""The shipped core on recordings, one reading of each stream at a time: what it publishes, and what it compares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from edgeseq.bundle import Bundle
from edgeseq.core import pending, pipeline
from edgeseq.core.forecast import Stepper
from edgeseq.core.types import F64, Bool, Event, Forecast, Options, StreamInfo, StreamRule
from edgeseq_train import core_feed

KEY = "bench"
HISTORY = 3000
"""Readings before the part that is judged: a stream has long been live by then."""


class Told(NamedTuple):
    """What was published and what waited beside it, by target: (T, S, K); NaN where nothing was."""

    value: F64
    lower: F64
    upper: F64
    modelled: Bool
    """(T, S) by origin: whether the model was in what served."""
    baseline: F64
    """What the baseline said."""
    raw_lower: F64
    """The blend's interval as the model said it, before calibration."""
    raw_upper: F64


def stepper_of(bundle: Bundle) -> Stepper:
    """Open a bundle's default variant in the device's runtime."""
    from edgeseq.adapters.interpreter import open_stepper

    return open_stepper(bundle, "litert")


def rule_of(period_s: int, season: int, horizon: int, *, bundle: bool, **settings: Any) -> StreamRule:
    """Describe streams of one channel as a configuration without further settings would."""
    return StreamRule(
        key=KEY, period_ns=period_s * 10**9, topics=("bench/+",), season_steps=season, horizon=horizon,
        bundle=KEY if bundle else None, **settings,
    )  # fmt: skip


def new_state(rule: StreamRule, stepper: Stepper | None, streams: int) -> pipeline.State:
    """Make the state of a node that serves one rule to so many streams."""
    options = Options(max_streams=streams, clock="readings")
    state = pipeline.new_state([rule], {KEY: stepper} if stepper else {}, options)
    for s in range(streams):
        state.registry.register(StreamInfo(f"stream-{s}", rule.key, f"bench/{s}", None, 0))
    pipeline.add_rows(state)
    return state


def play(
    state: pipeline.State, rule: StreamRule, values: F64, take: Callable[[int, list[Event]], None]
) -> None:
    """Feed values (T, S) to the core, a step at a time; NaN is a reading known to be bad.

    take: is given each step and its events.
    """
    for t, row in enumerate(values):
        take(t, pipeline.advance(state, core_feed.readings(row[:, None], t * rule.period_ns)))


def tell(rule: StreamRule, stepper: Stepper | None, values: F64, start: int, leads: tuple[int, ...]) -> Told:
    """Play values (T, S) and keep what was published at the origins from `start` - 1 on, by target."""
    T, S = values.shape
    after = T + max(leads)
    first, second, third, *others = (np.full((after, S, len(leads)), np.nan) for _ in range(6))
    told = Told(first, second, third, np.zeros((T, S), np.bool_), *others)
    state = new_state(rule, stepper, S)
    group = state.groups[0]
    which = [group.leads.index(lead) for lead in leads]

    def take(t: int, events: list[Event]) -> None:
        if t < start - 1:
            return
        for event in events:
            if isinstance(event, Forecast):
                told.modelled[t, event.stream] = event.source == "model"
                for k, lead in enumerate(leads):
                    place = (t + lead, event.stream, k)
                    told.value[place] = event.value[0, lead - 1]
                    told.lower[place], told.upper[place] = event.lower[0, lead - 1], event.upper[0, lead - 1]
        scale = group.table["anchor"].T, group.table["unit"].T
        due = pending.due(group.table, group.leads, np.arange(S), np.full(S, t + 1), *scale)
        told.baseline[t + 1] = due.value[pending.BASELINE, 0, which].T
        told.raw_lower[t + 1], told.raw_upper[t + 1] = due.lower[0, which].T, due.upper[0, which].T

    play(state, rule, values, take)
    numbers = (told.value, told.lower, told.upper, told.baseline, told.raw_lower, told.raw_upper)
    value, lower, upper, *beside = (part[:T] for part in numbers)
    return Told(value, lower, upper, told.modelled, *beside)
