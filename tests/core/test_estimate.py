"""Laws of estimators on a stream: what they are fed, when they speak, and that their state is kept."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseq.core import keeping, pipeline
from edgeseq.core.estimate import Estimator
from edgeseq.core.features import normalise
from edgeseq.core.forecast import initial_state
from edgeseq.core.network import NetworkSpec, NetworkStepper
from edgeseq.core.types import ClassChanged, Estimate, Event, Message, Readings
from tests.support.estimators import (
    ANCHOR,
    CLASSIFY,
    ESTIMATE,
    ROOM,
    RULE,
    SCALE,
    day,
    make_estimator,
    make_weights,
    reading,
    room,
)
from tests.support.streams import OPTIONS, PLAIN, equal_states, forecasts, message, plain, run

SPECS = pytest.mark.parametrize("spec", [CLASSIFY, ESTIMATE], ids=["classify", "estimate"])


def estimates(events: list[Event]) -> list[Estimate]:
    """Pick the estimates."""
    return [event for event in events if isinstance(event, Estimate)]


def changes(events: list[Event]) -> list[ClassChanged]:
    """Pick the changes of class."""
    return [event for event in events if isinstance(event, ClassChanged)]


def carried(old: pipeline.State, new: pipeline.State) -> list[str]:
    """Bring the old state to the new one by way of JSON, as a snapshot does → ids of dropped streams."""
    header, arrays = keeping.dump(old)
    return keeping.load(new, msgspec.json.decode(msgspec.json.encode(header)), arrays)


@SPECS
def test_estimates_are_the_networks_own_from_the_first_reading_on(spec: NetworkSpec) -> None:
    """Each step's numbers are those of the network stepped through the stream's values in the bundle's scales."""
    estimator = make_estimator(spec)
    events = estimates(run(room(estimator), day(50)))
    assert [e.step for e in events] == list(range(events[0].step, events[0].step + 50))
    state = initial_state(estimator.stepper.state_spec, 1)
    values = np.array([[_value(m) for m in pair] for pair in zip(day(50)[::2], day(50)[1::2], strict=True)])
    for event, row in zip(events, normalise(values, ANCHOR, SCALE), strict=True):
        said, state = estimator.stepper.step(row[None], state)
        expected = said[0, 0, 0].astype(np.float64)
        if not estimator.target.classes:
            expected = 20.0 + 2.0 * expected
        assert event.numbers.tolist() == expected.tolist()
        assert event.quality == "ok"


def _value(message: Message) -> float:
    return float(msgspec.json.decode(message.payload)["v"])


@settings(max_examples=6, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=8))
def test_batches_cut_anywhere_give_the_same_estimates_and_state(cuts: list[int]) -> None:
    """Where a batch ends changes neither events nor state."""
    whole, parts = room(), room()
    messages = [*day(22), *reading(22, None, 450.0), *reading(30), *day(3, 31)]
    cuts = [min(cut, len(messages)) for cut in cuts]
    assert plain(run(whole, messages)) == plain(run(parts, messages, cuts))
    assert equal_states(whole, parts)


@SPECS
@pytest.mark.parametrize("cut", [1, 40, 77])
def test_snapshot_brings_the_estimator_back_bit_for_bit(spec: NetworkSpec, cut: int) -> None:
    """A state kept anywhere, between two channels of a step too, goes on as if it had never stopped."""
    old, new = room(make_estimator(spec)), room(make_estimator(spec))
    messages = day(60)
    run(old, messages[:cut])
    assert carried(old, new) == []
    assert equal_states(old, new)
    assert plain(run(new, messages[cut:])) == plain(run(old, messages[cut:]))
    assert equal_states(old, new)


def test_journal_gives_the_same_state_and_estimates() -> None:
    """Recovering the readings of a journal does to the estimator what they did when they came."""
    live, recovered = room(), room()
    messages = day(30)
    batch = pipeline.accept(live, messages)
    events = pipeline.advance(live, batch.readings)
    again = pipeline.recover(recovered, batch.created, batch.readings)
    assert plain(again) == plain(events)
    assert equal_states(live, recovered)


def test_open_step_is_estimated_again_from_the_closed_ones() -> None:
    """A second reading in a step replaces the first, as if that had never been."""
    twice, once = room(), room()
    run(twice, [*day(30), *reading(30, 900.0, 450.0), *reading(30, 520.0, 0.0, extra_s=9), *day(2, 31)])
    run(once, [*day(30), *reading(30, 520.0, 0.0, extra_s=9), *day(2, 31)])
    for name in ("estimate.committed.h0", "estimate.next.h0", "estimate.next.ring"):
        assert np.array_equal(twice.groups[0].table[name], once.groups[0].table[name])


@SPECS
def test_estimator_that_joins_a_running_stream_is_warmed_by_its_history(spec: NetworkSpec) -> None:
    """A bundle given later says what it would have said from the first reading on, and starts with no class."""
    bare = msgspec.structs.replace(RULE, estimate=None)
    old, new, real = room(rule=bare), room(make_estimator(spec)), room(make_estimator(spec))
    run(old, day(45))
    run(real, day(45))
    assert carried(old, new) == []
    late, early = run(new, day(10, 45)), run(real, day(10, 45))
    assert [e.numbers.tolist() for e in estimates(late)] == [e.numbers.tolist() for e in estimates(early)]


def test_another_estimator_forgets_what_the_first_one_left() -> None:
    """States and class are the model's: with another one they begin anew, and forecasts go on untouched."""
    old, new, same = room(), room(make_estimator(seed=8, name="room@11111111")), room()
    for state in (old, same):
        run(state, day(39))
    assert old.groups[0].table["estimate.class"].tolist() == [1]
    assert carried(old, new) == []
    assert new.groups[0].table["estimate.class"].tolist() == [-1]
    events = run(new, day(10, 39))
    assert len(changes(events)) >= 1
    assert plain(forecasts(events)) == plain(forecasts(run(same, day(10, 39))))


def test_class_changes_are_told_once_with_their_time() -> None:
    """A change is told with the step it happened at, and nothing while the class stays."""
    events = run(room(), day(60))
    told = changes(events)
    firsts = [estimates(events)[k] for k in (0, 20, 40)]
    assert [(c.index, c.since_ns) for c in told] == [
        (index, e.origin_ns) for index, e in zip((0, 1, 0), firsts, strict=True)
    ]


def test_class_is_described_after_a_restart_as_it_was() -> None:
    """What was retained can be told again from a snapshot alone; describing changes nothing."""
    old, new = room(), room()
    events = run(old, day(30))
    carried(old, new)
    again = changes(pipeline.describe(new))
    assert plain(again) == plain(changes(events)[-1:])
    assert equal_states(old, new)


@pytest.mark.parametrize(
    ("co2", "light", "quality"),
    [(None, 450.0, "degraded"), (600.0, None, "degraded"), (None, None, "missing"), (600.0, 450.0, "ok")],
)
@SPECS
def test_missing_inputs_are_told_and_never_raise(
    spec: NetworkSpec, co2: float | None, light: float | None, quality: str
) -> None:
    """Where some inputs lack the estimate is of lesser quality; where all do there is none, and the class stays."""
    state = room(make_estimator(spec))
    run(state, day(30))
    # The step closes with the first reading of the next one, if a channel lacks.
    events = run(state, [*reading(30, co2, light), *reading(31)])
    event = estimates(events)[-2]
    assert (event.step, event.quality) == (estimates(events)[-1].step - 1, quality)
    assert np.isfinite(event.numbers).all() == (quality != "missing")
    if quality == "missing":
        assert [c for c in changes(events) if c.since_ns <= event.origin_ns] == []


def test_stream_that_begins_with_a_bad_reading_has_no_class_until_a_good_one() -> None:
    """With no input at all there is no class; the first good step has one."""
    state = room()
    events = run(state, [*reading(0, None, None), *reading(1, None, None), *reading(2, 600.0, 450.0)])
    assert {e.quality for e in estimates(events)[:-1]} <= {"missing"}
    assert [c.index for c in changes(events)] == [1]


def test_gap_longer_than_the_history_starts_the_estimator_anew() -> None:
    """After a reset it says what it says to a stream's first reading."""
    worn, fresh = room(), room()
    run(worn, day(30))
    far = 5000
    late, first = run(worn, reading(far, 700.0, 450.0)), run(fresh, reading(far, 700.0, 450.0))
    assert [e.numbers.tolist() for e in estimates(late)] == [e.numbers.tolist() for e in estimates(first)]


def test_estimates_depend_on_how_high_the_inputs_stand() -> None:
    """The scales are the bundle's, not the stream's: the same course at another level is another room."""
    low, high = (
        run(room(), [m for k in range(60) for m in reading(k, 600.0 + k % 3, level + k % 3)])
        for level in (0.0, 450.0)
    )
    assert [c.index for c in changes(low)] == [0]
    assert [c.index for c in changes(high)] == [1]


def test_streams_of_one_table_do_not_touch_each_other() -> None:
    """Three machines of one rule, mixed in a batch, are estimated as each alone."""
    spec = msgspec.structs.replace(CLASSIFY, channels=1)
    estimator = Estimator(NetworkStepper(spec, make_weights(spec)), ROOM, ANCHOR[1:], SCALE[1:])
    rule = msgspec.structs.replace(PLAIN, estimate="room.edgeseq")
    courses = [
        [message(f"t/{name}", 60 * k, 450.0 * (k // n % 2)) for k in range(30)]
        for n, name in enumerate("abc", 3)
    ]
    mixed = run(room(estimator, rule), [m for step in zip(*courses, strict=True) for m in step])
    for stream, course in enumerate(courses):
        alone = estimates(run(room(estimator, rule), course))
        together = [e for e in estimates(mixed) if e.stream == stream]
        assert [e.numbers.tolist() for e in together] == [e.numbers.tolist() for e in alone]


class BrokenStepper:
    """An estimator's stepper that breaks after a while, as a faulty model behind the guard does: NaN."""

    def __init__(self, estimator: Estimator, after: int) -> None:
        self.inner = estimator.stepper
        self.name, self.channels, self.horizon = self.inner.name, 2, 1
        self.levels, self.ring, self.known = self.inner.levels, self.inner.ring, 0
        self.state_spec = self.inner.state_spec
        self.left = after

    def step(self, x: object, state: object, known: object = None) -> object:
        """Step the inner one, and lose its words once there were enough of them."""
        said, following = self.inner.step(x, state)  # type: ignore[arg-type]
        self.left -= 1
        return (said if self.left >= 0 else np.full_like(said, np.nan)), following

    def replay(self, x: object, state: object, known: object = None) -> object:
        """Replay the inner one."""
        return self.inner.replay(x, state)  # type: ignore[arg-type]


def test_faulty_model_gives_no_estimate_and_no_class() -> None:
    """Numbers that are not finite are told as unknown; the class stays what it was."""
    estimator = make_estimator()
    broken = Estimator(BrokenStepper(estimator, 25), estimator.target, ANCHOR, SCALE)  # type: ignore[arg-type]
    state = room(broken)
    events = run(state, day(50))
    assert np.isnan(estimates(events)[-1].numbers).all()
    assert [c.index for c in changes(events)] == [0, 1]


def test_stream_without_estimator_has_no_column_and_no_event_of_one() -> None:
    """Who wants no estimate pays nothing."""
    state = pipeline.new_state((msgspec.structs.replace(RULE, estimate=None),), {}, OPTIONS)
    events = run(state, day(5))
    assert estimates(events) == []
    assert [name for name in state.groups[0].table.columns if name.startswith("estimate.")] == []
    assert pipeline.recover(state, [], Readings.empty()) == []
