"""A house whose model is told the weather of the next days."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import numpy as np
from hypothesis import Phase, settings

from edgeseq.core import known as k
from edgeseq.core import pipeline
from edgeseq.core.known import Covariate, KnownInputs
from edgeseq.core.types import (
    I64,
    KnownSource,
    Message,
    Options,
    StreamRule,
)
from edgeseq.testing.fake_stepper import FakeStepper
from tests.support.streams import (
    OPTIONS,
    SECOND,
    message,
)

HOUR = 3600 * SECOND
START_S = int(dt.datetime(2026, 3, 2, tzinfo=dt.UTC).timestamp())
INPUTS = KnownInputs(covariates=(Covariate("outdoor", 10.0, 2.0), Covariate("wind", 0.0, 1.0)))
RULE = StreamRule(
    key="house", period_ns=HOUR, topics=("m/+",), fields=("v",), time_field="time", bundle="fake",
    known={
        "wind": KnownSource("weather", field="hours", time="at", value="wind"),
        "outdoor": KnownSource("weather", field="hours", time="at", value="outdoor"),
    },
)  # fmt: skip
ONE = KnownInputs(covariates=(Covariate("outdoor", 10.0, 2.0),))
law = settings(max_examples=4, phases=[Phase.explicit, Phase.reuse, Phase.generate])


def hours(*steps: int) -> I64:
    """Give times of steps since the start."""
    return (START_S + 3600 * np.array(steps, dtype=np.int64)) * SECOND


def weather(hour: float, values: dict[int, Any], sent_s: float = 0, **more: Any) -> Message:
    """Make a forecast that arrives at an hour: step → outdoor temperature, or (outdoor, wind)."""
    items = []
    for step, value in values.items():
        outdoor, wind = value if isinstance(value, tuple) else (value, 0.0)
        at = dt.datetime.fromtimestamp(START_S + 3600 * step, dt.UTC).isoformat()
        items.append({"at": at, "outdoor": outdoor, "wind": wind})
    received_ns = int((START_S + 3600 * hour + sent_s) * SECOND)
    return Message("weather", json.dumps({"hours": items}).encode(), received_ns, **more)


def reading(hour: float, value: float, topic: str = "m/a") -> Message:
    """Make a reading at an hour."""
    return message(topic, START_S + 3600 * hour, value)


def house(options: Options = OPTIONS) -> pipeline.State:
    """Make a state whose model takes two known covariates."""
    model = FakeStepper(known=2)
    return pipeline.new_state((RULE,), {"fake": model}, options, inputs={"fake": INPUTS})


def known_of(state: pipeline.State) -> k.Known:
    """Give what the rule has been told."""
    known = state.groups[0].known
    assert known is not None
    return known


def days(start: int = 0, stop: int = 60) -> list[Message]:
    """Make hourly readings of noise, and each six hours a forecast for the next ten."""
    noise = np.random.default_rng(5).normal(20, 1, stop)
    made = []
    for hour in range(start, stop):
        if hour % 6 == 0:
            made.append(weather(hour, {s: (10.0 + s % 5, 0.5) for s in range(hour, hour + 11)}, sent_s=-10))
        made.append(reading(hour, float(noise[hour])))
    return made
