"""What a stream does not ask for costs it nothing: no detectors without alerts, no words of a model without one."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgeseq.core import keeping, pipeline
from edgeseq.core.detect import detectors
from edgeseq.core.types import AlertEvent, Message, StreamRule, StreamStatus
from tests.support.streams import MODEL, PLAIN, equal_states, forecasts, message, node, plain, run

QUIET = msgspec.structs.replace(PLAIN, alerts=False)
MINUTES = 600
"""Much more than a stream learns from."""


def noise(first: int, last: int, topic: str = "t/a") -> list[Message]:
    """Make minutes of a noisy day, one of 500 minutes."""
    minutes = np.arange(first, last)
    values = 20 + 5 * np.sin(minutes / 80) + np.random.default_rng(3).normal(0, 1, 10_000)[first:last]
    return [message(topic, 60 * k, float(v)) for k, v in zip(minutes.tolist(), values, strict=True)]


def row_bytes(state: pipeline.State) -> int:
    """Count the bytes of a row of the first table."""
    return sum(
        int(np.prod(column.shape)) * np.dtype(column.dtype).itemsize
        for column in state.groups[0].table.columns.values()
    )


def carried(old: pipeline.State, *rules: StreamRule) -> pipeline.State:
    """Bring a state under other rules, as a reload does."""
    new = node(*rules)
    assert keeping.load(new, *keeping.dump(old)) == []
    return new


def test_quiet_stream_without_model_is_small() -> None:
    """Neither detectors nor a model's words stand in the table, and a stream weighs less than half as much."""
    rule = StreamRule(key="k", period_ns=10**10, topics=("s/+",), fields=("v",))
    loud, quiet = node(rule), node(msgspec.structs.replace(rule, alerts=False))
    columns = quiet.groups[0].table.columns
    assert not columns.keys() & {"pending_model", *detectors.columns(1)}
    assert "pending_model" not in loud.groups[0].table.columns
    assert row_bytes(quiet) < 2400 < row_bytes(loud) - 1500


def test_alerts_decide_nothing_but_alerts() -> None:
    """Without them each forecast, each status but for its alert, and what is told of no reading stay the same."""
    messages = [m for k, m in enumerate(noise(0, MINUTES)) if k % 97]
    messages[500:500] = [message("t/a", 60 * 521.2, 500.0)]
    loud, quiet = (run(node(rule), messages) for rule in (PLAIN, QUIET))
    assert [plain([e]) for e in forecasts(loud)] == [plain([e]) for e in forecasts(quiet)]
    assert any(isinstance(event, AlertEvent) for event in loud)
    assert not any(isinstance(event, AlertEvent) for event in quiet)
    told = [[(e.phase, e.data) for e in events if isinstance(e, StreamStatus)] for events in (loud, quiet)]
    assert set(told[1]) <= set(told[0])


def test_quiet_stream_goes_on_equal_after_a_restart() -> None:
    """A snapshot in the middle changes no bit."""
    whole, cut = node(QUIET), node(QUIET)
    run(whole, noise(0, 500))
    run(cut, noise(0, 250))
    cut = carried(cut, QUIET)
    run(cut, noise(250, 500))
    assert equal_states(whole, cut)


def test_detectors_learn_first_when_alerts_are_switched_on() -> None:
    """What was read while nobody looked is no experience: they accuse nobody before they have learned."""
    state = node(QUIET)
    run(state, noise(0, MINUTES))
    state = carried(state, PLAIN)
    assert not state.groups[0].table["run_samples"].any()
    events = run(state, noise(MINUTES, MINUTES + 300))
    assert not [e for e in events if isinstance(e, AlertEvent)]


def test_alerts_that_stay_on_keep_their_experience() -> None:
    """A reload that leaves them on begins nothing anew."""
    state = node(PLAIN)
    run(state, noise(0, MINUTES))
    assert carried(state, PLAIN).groups[0].table["run_samples"][0, 0] == MINUTES - 1


def test_model_joins_what_began_without_one() -> None:
    """A table that kept no model's words takes them from the first step on."""
    rule = msgspec.structs.replace(MODEL, bundle=None, horizon=4)
    state = node(rule)
    run(state, noise(0, 100, "m/a"))
    state = carried(state, MODEL)
    table = state.groups[0].table
    assert np.isnan(table["pending_model"]).all()
    run(state, noise(100, 160, "m/a"))
    assert table["model_warm"][0] == 1
    assert np.isfinite(table["pending_model"]).any()


@pytest.mark.parametrize(("name", "most"), [("run_reached", 65535), ("departure_count", 65535)])
def test_counts_of_earlier_versions_are_taken_over(name: str, most: int) -> None:
    """Those versions kept them as int32; what is more than fits stops at the largest number."""
    state = node(PLAIN)
    run(state, noise(0, 400))
    header, arrays = keeping.dump(state)
    wide = np.array(arrays[f"plain\n{name}"], dtype=np.int32)
    wide[0, 0, :2] = 70_000, 300
    new = node(PLAIN)
    keeping.load(new, header, {**arrays, f"plain\n{name}": wide})
    kept = new.groups[0].table[name]
    assert kept[0, 0, :2].tolist() == [most, 300]
    assert np.array_equal(kept[0, 0, 2:], wide[0, 0, 2:])


def test_counts_stop_at_the_largest_number() -> None:
    """One more does not begin again at 0, and what is learned stays finite."""
    state = node(PLAIN)
    run(state, noise(0, 400))
    table = state.groups[0].table
    for name in ("run_reached", "departure_count"):
        table[name][:] = np.iinfo(table[name].dtype).max
    run(state, [message("t/a", 60 * k, 20.0) for k in range(400, 500)])
    for name in ("run_reached", "departure_count"):
        assert (table[name] == np.iinfo(table[name].dtype).max).all()
    assert np.isfinite(table["departure_profile"]).all()
