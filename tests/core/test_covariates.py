"""Past covariates: channels that a model reads and nobody forecasts."""

from __future__ import annotations

import msgspec
import numpy as np

from edgeseq.core import keeping, pipeline
from edgeseq.core.render import RenderContext, RenderState, render
from edgeseq.core.types import AlertEvent, AlertKind, Event, Limits, Message, StreamRule
from edgeseq.testing.fake_stepper import FakeStepper
from tests.support.streams import (
    OPTIONS,
    alerts,
    equal_states,
    forecasts,
    message,
    node,
    pair_rule,
    recurrent,
    run,
)

WILD = 50.0
RULE = msgspec.structs.replace(pair_rule(), bundle="fake", covariates=1, limits={"level": Limits(max=1.0)})
"""flow is forecast, level is a covariate: of it even a reading out of range is no matter."""


def pump(steps: int, start: int = 0) -> list[Message]:
    """Make minutes of a calm flow and of a level that jumps ever farther and leaves its limits."""
    noise = np.random.default_rng(2).normal(0, 1, start + steps)
    made = []
    for k in range(start, start + steps):
        level = 2 + noise[k] / 10 + WILD * (1 + k // 97) * (k % 97 == 0)
        made += [message("p/flow", 60 * k, 10 + noise[k]), message("p/level", 60 * k + 1, level)]
    return made


def state_of(rule: StreamRule) -> pipeline.State:
    """Make a state with a model of two channels."""
    return pipeline.new_state((rule,), {"fake": FakeStepper(channels=2)}, OPTIONS)


def told(state: pipeline.State, events: list[Event]) -> set[str]:
    """Render events; give the topics below the node's."""
    registry = state.registry
    context = RenderContext("e", "n", registry.infos, registry.rules, {RULE.key: "fake@0"})
    return {out.topic.removeprefix("e/n/") for out in render(context, RenderState(), events)}


def test_a_covariate_gets_no_forecast_and_no_alert() -> None:
    """Forecasts have the target's row only, no alert is of the covariate, and no topic bears its name."""
    state = state_of(RULE)
    events = run(state, pump(420))
    assert {f.value.shape[0] for f in forecasts(events)} == {1}
    assert {e.channel for e in events if isinstance(e, AlertEvent)} <= {0}
    topics = told(state, events)
    assert "pump/flow/forecast" in topics
    assert not any("level" in topic for topic in topics)


def test_the_same_readings_do_raise_alerts_of_a_channel_that_is_no_covariate() -> None:
    """The law above can fail: as an ordinary channel the level raises alerts of several kinds."""
    events = run(state_of(msgspec.structs.replace(RULE, covariates=0)), pump(420))
    kinds = {e.kind for e in events if isinstance(e, AlertEvent) and e.channel == 1}
    assert {"spike", "out_of_range"} <= {str(kind) for kind in kinds}


def test_the_model_is_fed_the_covariate() -> None:
    """Both channels enter the model's state."""
    state = state_of(RULE)
    run(state, pump(200))
    assert np.abs(recurrent(state, "level")).min() > 0


def test_a_covariate_that_falls_silent_keeps_nobody_from_learning() -> None:
    """A target learns, goes live and is served by the model, though its covariate has stopped."""
    state = state_of(RULE)
    run(state, [m for m in pump(380) if m.topic == "p/flow" or m.received_ns < 60 * 60 * 10**9])
    scored = state.groups[0].table["scored"][0][..., 0]
    assert scored[:, 1].max() < 336 <= scored[:, 0].min()
    assert state.groups[0].table["status"][0].tolist()[0] == 1


def test_cut_and_kept_states_are_equal_with_covariates() -> None:
    """Batches and snapshots change nothing for streams with covariates either."""
    whole, cut, kept = state_of(RULE), state_of(RULE), state_of(RULE)
    run(whole, pump(150))
    run(cut, pump(150), cuts=[1, 77, 200, 201])
    assert equal_states(whole, cut)
    keeping.load(kept, *keeping.dump(cut))
    assert equal_states(whole, kept)


def test_an_alert_of_a_channel_ends_where_it_becomes_a_covariate() -> None:
    """What was open under another configuration does not stay open for ever."""
    before = state_of(msgspec.structs.replace(RULE, covariates=0))
    events = run(before, [*pump(60), message("p/level", 3600, 9.0), message("p/flow", 3600, 10.0)])
    assert alerts(events, AlertKind.OUT_OF_RANGE)
    after = state_of(RULE)
    keeping.load(after, *keeping.dump(before))
    assert not any(isinstance(e, AlertEvent) for e in pipeline.describe(after))


def test_a_rule_without_channels_is_as_before() -> None:
    """A plain stream has one channel, which is forecast."""
    assert node().registry.rules["plain"].forecast_names == ("value",)
