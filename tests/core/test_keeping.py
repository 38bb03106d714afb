"""Keeping: what a snapshot brings back, as it was or under another configuration."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from edgeseq.core import keeping, pipeline
from edgeseq.core.group import recent_history
from edgeseq.core.pending import BLEND
from edgeseq.core.types import (
    AlertEvent,
    AlertKind,
    ChannelSource,
    Event,
    Message,
    Readings,
    StreamCreated,
    StreamRule,
)
from edgeseq.testing.fake_stepper import FakeStepper
from tests.support.streams import (
    MEAN,
    MODEL,
    OPTIONS,
    PERIOD,
    PLAIN,
    SECOND,
    equal_states,
    forecasts,
    message,
    node,
    pair_rule,
    plain,
    run,
)


def noise(n: int, start: int = 0, topic: str = "m/a") -> list[Message]:
    """Make n minutes of noise, on which the fake model beats persistence."""
    values = np.random.default_rng(1).normal(50, 1, start + n)
    return [message(topic, 60 * k, float(values[k])) for k in range(start, start + n)]


def with_model(model: FakeStepper, rule: StreamRule = MODEL) -> pipeline.State:
    """Make a state of one rule with this model."""
    return pipeline.new_state((rule,), {"fake": model}, OPTIONS)


def carried(old: pipeline.State, new: pipeline.State) -> list[str]:
    """Bring the old state to the new one by way of JSON, as a snapshot does → ids of dropped streams."""
    header, arrays = keeping.dump(old)
    return keeping.load(new, msgspec.json.decode(msgspec.json.encode(header)), arrays)


@pytest.mark.parametrize("init", [0.0, float("nan")])
def test_serving_model_goes_on_serving_after_a_restart(init: float) -> None:
    """A snapshot brings the model's state back as it was, with whatever value its state begins."""
    old, new = (with_model(FakeStepper()) for _ in range(2))
    for state in (old, new):
        model = state.groups[0].steppers[1]
        model.state_spec = (model.state_spec[0], msgspec.structs.replace(model.state_spec[1], init=init))
    run(old, noise(300))
    assert carried(old, new) == []
    assert equal_states(old, new)
    assert plain(run(new, noise(20, 300))) == plain(run(old, noise(20, 300)))
    assert new.groups[0].table["serving"][0] == BLEND


def test_blend_of_a_snapshot_without_an_even_mixture_goes_on_serving() -> None:
    """What an older version did not keep of the blend is learned; until then errors count as going together."""
    old, new = with_model(FakeStepper()), with_model(FakeStepper())
    run(old, noise(300))
    header, arrays = keeping.dump(old)
    lacking = {name: array for name, array in arrays.items() if not name.endswith("\neven_error")}
    assert len(lacking) < len(arrays)
    assert keeping.load(new, msgspec.json.decode(msgspec.json.encode(header)), lacking) == []
    assert np.isnan(new.groups[0].table["even_error"]).all()
    run(new, noise(20, 300))
    assert new.groups[0].table["serving"][0] == BLEND
    assert np.isfinite(new.groups[0].table["even_error"]).any()


def test_restart_between_two_readings_of_a_step_goes_on_equal() -> None:
    """The provisional part of the open step is kept too."""
    old, new = node(MODEL), node(MODEL)
    run(old, [*noise(300), message("m/a", 60 * 300, 51.0)])
    assert carried(old, new) == []
    rest = [message("m/a", 60 * 300 + 10, 49.0), *noise(10, 301)]
    assert plain(run(new, rest)) == plain(run(old, rest))
    assert equal_states(old, new)


@pytest.mark.parametrize("steps", [1, 2, 50, 70, 200])
@pytest.mark.parametrize(("ring_before", "ring_after"), [(70, 90), (90, 70), (64, 300), (300, 64)])
def test_history_in_another_ring_is_that_of_a_run_from_the_start(
    steps: int, ring_before: int, ring_after: int
) -> None:
    """A longer or shorter ring holds the newest values that both have room for, in the places of a real run."""
    old, new, real = (with_model(FakeStepper(ring=ring)) for ring in (ring_before, ring_after, ring_after))
    messages = [m for k, m in enumerate(noise(steps)) if k % 7 != 3]
    run(old, messages)
    run(real, messages)
    assert carried(old, new) == []
    newest = int(real.groups[0].table["next_step"][0]) - 1
    if newest < 0:
        assert np.isnan(new.groups[0].table["history"]).all()
        return
    expected = recent_history(real.groups[0], 0, newest)[-ring_before:]
    assert np.array_equal(recent_history(new.groups[0], 0, newest), expected, equal_nan=True)
    assert np.isfinite(new.groups[0].table["history"]).sum() == np.isfinite(expected).sum()


def test_baseline_goes_on_untouched_under_another_model_and_ring() -> None:
    """Another model with another ring changes nothing that the baseline forecasts."""
    old, new, same = (
        with_model(FakeStepper(ring=70)),
        with_model(FakeStepper(ring=300, rate=0.0)),
        node(MODEL),
    )
    for state in (old, same):
        run(state, noise(40))
    assert carried(old, new) == []
    told = [f.value.tolist() for f in forecasts(run(new, noise(15, 40)))]
    assert told == [f.value.tolist() for f in forecasts(run(same, noise(15, 40)))]


def test_bundle_taken_away_leaves_the_baseline_serving() -> None:
    """Without its bundle a stream is served by the baseline at once, with its history and calibration."""
    without = msgspec.structs.replace(MODEL, bundle=None, horizon=4)
    old, new = with_model(FakeStepper()), pipeline.new_state((without,), {}, OPTIONS)
    run(old, noise(300))
    assert carried(old, new) == []
    told = forecasts(run(new, noise(50, 300)))
    assert {f.source for f in told} == {"baseline"}
    assert all(np.isfinite(f.lower).all() for f in told)


@pytest.mark.parametrize(
    "changed", [{"period_ns": 2 * PERIOD}, {"aggregate": "mean"}, {"kind": "counter"}, {"horizon": 8}]
)
def test_rule_that_means_something_else_starts_its_streams_anew(changed: dict[str, object]) -> None:
    """Another period, aggregate, kind or horizon drops the old state, says so, and goes on with a new one."""
    rule = msgspec.structs.replace(PLAIN, **changed)
    old, new = node(PLAIN), node(rule)
    run(old, noise(50, topic="t/a"))
    assert carried(old, new) == ["t-a-v"]
    assert len(forecasts(run(new, noise(10, 50, topic="t/a")))) >= 4


def test_stream_whose_rule_came_back_is_a_new_one_with_its_own_name() -> None:
    """A rule removed and restored over two restarts gives its streams their names again; the old number rests."""
    first, without, again = node(PLAIN, MEAN), node(MEAN), node(PLAIN, MEAN)
    run(first, [message("t/a", 0, 1.0), message("a/a", 0, 1.0)])
    carried(first, without)
    carried(without, again)
    events = run(again, [message("t/a", 60, 1.0)])
    created = [again.registry.infos[e.stream].id for e in events if isinstance(e, StreamCreated)]
    assert created == ["t-a-v"]
    told = {
        again.registry.infos[e.stream].id for e in pipeline.describe(again) if isinstance(e, StreamCreated)
    }
    assert told == {"t-a-v", "a-a-v"}


def test_readings_of_nobodys_streams_change_nothing() -> None:
    """Journaled readings whose rule is gone are neither applied nor remembered, and others in the batch are."""
    old, new = node(PLAIN, MEAN), node(MEAN)
    run(old, [message("t/a", 0, 1.0), message("a/a", 0, 1.0)])
    carried(old, new)
    nobody = Readings.from_rows([(0, 0, 0, 60 * SECOND, 60 * SECOND, 1.0, 5, True)] * 3)
    before = keeping.dump(new)[1]
    assert pipeline.recover(new, [], nobody) == []
    after = keeping.dump(new)[1]
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


@pytest.mark.parametrize("names", [("level", "flow"), ("flow",), ("flow", "level", "power")])
def test_journal_of_other_channels_is_nobodys(names: tuple[str, ...]) -> None:
    """The journal knows channels by number: after a crash none of its values goes to a channel of another name."""
    rule = pair_rule()
    changed = msgspec.structs.replace(
        rule, channels={name: ChannelSource(f"p/{name}", "v") for name in names}
    )
    live, same, other = node(rule), node(rule), node(changed)
    batch = pipeline.accept(live, [message("p/flow", 0, 1.0), message("p/level", 0, 100.0)])
    for state in (same, other):
        pipeline.recover(state, batch.created, batch.readings)
    assert same.groups[0].table["open_value"].tolist() == [[1.0, 100.0]]
    assert other.groups[0].table.rows == 0
    (created,) = pipeline.accept(other, [message("p/level", 60, 100.0), message("p/flow", 60, 1.0)]).created
    assert (created.id, other.registry.index_of("pump")) == ("pump", 1)


def test_journal_of_two_streams_that_had_one_id_keeps_their_numbers() -> None:
    """A rule that came and went between two crashes leaves an id twice: numbers behind it must not move up."""
    renamed = msgspec.structs.replace(PLAIN, key="renamed")
    first, second, again = node(PLAIN), node(renamed), node(PLAIN)
    created = pipeline.accept(first, [message("t/a", 0, 1.0)]).created
    pipeline.recover(second, created, Readings.empty())
    created += pipeline.accept(second, [message("t/a", 60, 2.0), message("t/b", 60, 3.0)]).created
    assert [info.id for info in created] == ["t-a-v", "t-a-v", "t-b-v"]
    for info in created:
        pipeline.recover(again, [info], Readings.empty())
    assert [info.rule for info in again.registry.infos] == ["plain", "", ""]


def test_dump_shares_no_memory_with_the_state() -> None:
    """What was dumped does not change when the state goes on."""
    state = node(PLAIN)
    run(state, noise(40, topic="t/a"))
    arrays = keeping.dump(state)[1]
    kept = {name: array.copy() for name, array in arrays.items()}
    run(state, noise(40, 40, topic="t/a"))
    assert all(np.array_equal(arrays[n], kept[n], equal_nan=arrays[n].dtype.kind == "f") for n in kept)


def test_header_is_json() -> None:
    """The header survives JSON unchanged."""
    state = node()
    run(state, noise(3))
    header, _ = keeping.dump(state)
    assert json.loads(json.dumps(header)) == header


def test_streams_told_again_have_their_present_status() -> None:
    """After a restart describe tells each stream and its status once, and changes nothing."""
    old, new = node(PLAIN), node(PLAIN)
    events: list[Event] = run(old, noise(400, topic="t/a"))
    carried(old, new)
    told = pipeline.describe(new)
    assert [type(e).__name__ for e in told] == ["StreamCreated", "StreamStatus"]
    last = [e for e in events if type(e).__name__ == "StreamStatus"][-1]
    assert plain(told[1:]) == plain([last])
    assert equal_states(old, new)
    assert new.counts.applied == 0


def test_open_alerts_are_told_again_after_a_restart_as_they_were() -> None:
    """What describes a state that was brought back repeats the opening of each open alert, field by field."""
    old, new = node(PLAIN), node(PLAIN)
    messages = [*noise(400, topic="t/a"), message("t/a", 60 * 400, 500.0)]
    opened = [event for event in run(old, messages) if isinstance(event, AlertEvent)][-1:]
    assert [event.kind for event in opened] == [AlertKind.SPIKE]
    assert carried(old, new) == []
    again = [event for event in pipeline.describe(new) if isinstance(event, AlertEvent)]
    assert plain(again) == plain(opened)
