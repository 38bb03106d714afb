"""Streams for the core's tests: rules, messages, and how events and states are compared."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core import keeping, pipeline
from edgeseq.core.group import MODEL as MODEL_STATE
from edgeseq.core.group import read_state
from edgeseq.core.types import (
    F32,
    F64,
    AlertEvent,
    AlertKind,
    ChannelSource,
    Event,
    Forecast,
    ForecastColumns,
    Message,
    OnGap,
    Options,
    Source,
    StreamRule,
)
from edgeseq.testing.fake_stepper import FakeStepper

SECOND = 10**9
PERIOD = 60 * SECOND
OPTIONS = Options(clock="readings", synchronised=False)

PLAIN = StreamRule(
    key="plain",
    period_ns=PERIOD,
    topics=("t/+",),
    fields=("v",),
    time_field="time",
    horizon=4,
    season_steps=5,
)
MODEL = StreamRule(
    key="model",
    period_ns=PERIOD,
    topics=("m/+",),
    fields=("v",),
    time_field="time",
    bundle="fake",
    season_steps=5,
)
MEAN = StreamRule(
    key="mean",
    period_ns=PERIOD,
    topics=("a/+",),
    fields=("v",),
    time_field="time",
    aggregate="mean",
    horizon=4,
)


def pair_rule(on_gap: OnGap = "missing") -> StreamRule:
    """Make a rule of one stream with two channels."""
    channels = {"flow": ChannelSource("p/flow", "v"), "level": ChannelSource("p/level", "v")}
    return StreamRule(
        key="pump",
        name="pump",
        period_ns=PERIOD,
        channels=channels,
        time_field="time",
        horizon=4,
        on_gap=on_gap,
    )


RULES = (PLAIN, MODEL, MEAN, pair_rule())


def node(*rules: StreamRule, options: Options = OPTIONS) -> pipeline.State:
    """Make a state with the fake model."""
    return pipeline.new_state(rules or RULES, {"fake": FakeStepper()}, options)


def message(topic: str, at_s: float, value: float | None) -> Message:
    """Make one message with payload time."""
    payload = json.dumps({"time": at_s, "v": value}).encode()
    return Message(topic, payload, received_ns=int(at_s * SECOND))


def run(state: pipeline.State, messages: list[Message], cuts: list[int] | None = None) -> list[Event]:
    """Feed messages in batches that end at `cuts`."""
    events: list[Event] = []
    edges = [0, *sorted(cuts or []), len(messages)]
    for start, stop in itertools.pairwise(edges):
        batch = pipeline.accept(state, messages[start:stop])
        events += pipeline.advance(state, batch.readings)
    return events


def plain(events: Sequence[Event]) -> list[str]:
    """Make events comparable, apart from their place in a batch."""
    return [str([value for name, value in fields(e).items() if name != "order"]) for e in events]


def fields(event: Event) -> dict[str, object]:
    """Give what an event says by name, arrays as bytes; of a forecast its own row of the columns."""
    names = event.__struct_fields__
    if isinstance(event, Forecast):
        names = (*(name for name in names if name not in ("row", "columns")), *ForecastColumns.__slots__)
    values = {name: getattr(event, name) for name in names}
    return {k: np.array(v).tobytes() if isinstance(v, np.ndarray) else v for k, v in values.items()}


def one_forecast(
    columns: Mapping[str, F64],
    *,
    stream: int = 0,
    step: int = 1,
    origin_ns: int = 0,
    source: Source = "baseline",
    leads_filled: int = 0,
) -> Forecast:
    """Make a forecast alone of its arrays (C,) and (C, H), which are named as in ForecastColumns."""
    only = ForecastColumns(**{name: column[None] for name, column in columns.items()})
    return Forecast(0, stream, step, origin_ns, source, leads_filled, 0, only)


def equal_states(a: pipeline.State, b: pipeline.State) -> bool:
    """Compare whole dumps, bit for bit."""
    (header_a, arrays_a), (header_b, arrays_b) = keeping.dump(a), keeping.dump(b)
    same = all(arrays_a[name].tobytes() == arrays_b[name].tobytes() for name in arrays_a)
    return header_a == header_b and arrays_a.keys() == arrays_b.keys() and same


def recurrent(state: pipeline.State, name: str, which: str = "committed", kind: int = MODEL_STATE) -> F32:
    """Give a part of the recurrent state of the first stream of the first rule."""
    group = state.groups[0]
    names = [spec.name for spec in group.steppers[kind].state_spec]
    part: F32 = read_state(group, kind, which, np.array([0]))[names.index(name)][0]
    return part


def committed(arrays: Mapping[str, NDArray[np.generic]], name: str) -> NDArray[Any]:
    """Give a state of the model after the last closed step, of all rows of a dump: of the two kept, the one told."""
    states = next(a for key, a in arrays.items() if key.endswith(f"model.states.{name}"))
    which = next(a for key, a in arrays.items() if key.endswith("model.which"))
    return np.asarray(states)[np.arange(len(states)), np.asarray(which, dtype=np.int64)]


def forecasts(events: list[Event]) -> list[Forecast]:
    """Pick the forecasts."""
    return [e for e in events if isinstance(e, Forecast)]


def alerts(events: list[Event], kind: AlertKind) -> list[AlertEvent]:
    """Pick the alerts of a kind."""
    return [e for e in events if isinstance(e, AlertEvent) and e.kind == kind]


def wave(n: int, start_s: float = 0, topic: str = "t/a") -> list[Message]:
    """Make n minutes of a noisy five-minute season."""
    noise = np.random.default_rng(7).normal(0, 0.1, n)
    return [message(topic, start_s + 60 * i, float(10 + i % 5 + noise[i])) for i in range(n)]
