"""Laws of the demo's material: the recordings are whole, and what is played is what was recorded, faults apart."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeseq.demo import recordings, scenario
from edgeseq.demo.recordings import HOUR_NS, WEEK_NS


@pytest.fixture(scope="module")
def plan() -> scenario.Scenario:
    """The demo's scenario."""
    return scenario.make()


def test_recordings_have_the_rows_of_their_sources() -> None:
    """Traffic is 17,520 gapless hours with 104 missing values; the pipeline 1,268 readings in rising order."""
    traffic, pipeline = recordings.traffic(), recordings.pipeline()
    assert (len(traffic), int(np.isnan(traffic.value).sum())) == (17_520, 104)
    assert set(np.diff(traffic.time_ns).tolist()) == {HOUR_NS}
    assert (len(pipeline), int(np.isnan(pipeline.value).sum())) == (1_268, 0)
    assert (np.diff(pipeline.time_ns) > 0).all()


def test_moved_traffic_keeps_weekday_and_hour(plan: scenario.Scenario) -> None:
    """The traffic is moved by whole weeks, and its last five are the test weeks."""
    moved_ns = int(plan.training.time_ns[0] - recordings.traffic().time_ns[0])
    assert moved_ns % WEEK_NS == 0
    assert int(plan.truth.time_ns[-1]) + HOUR_NS - scenario.TEST_FROM_NS == 5 * WEEK_NS


def test_training_ends_where_the_test_weeks_begin(plan: scenario.Scenario) -> None:
    """Nothing of the test weeks is in the training part, and the faults lie in the last two weeks of the test."""
    assert int(plan.training.time_ns[-1]) + HOUR_NS == scenario.TEST_FROM_NS
    two_weeks_before_end = int(plan.truth.time_ns[-1]) - 2 * WEEK_NS
    assert min(fault.start_ns for fault in plan.faults) == plan.clean_until_ns > two_weeks_before_end


def test_history_ends_where_the_live_readings_begin(plan: scenario.Scenario) -> None:
    """Replayed and live readings join without gap or overlap, and both sensors begin live in the same hour."""
    assert int(plan.history.time_ns[-1]) + HOUR_NS == scenario.LIVE_FROM_NS
    firsts = {reading.stream: reading.time_ns for reading in reversed(plan.live)}
    assert set(firsts.values()) == {scenario.LIVE_FROM_NS}


def test_live_readings_are_in_time_order_and_differ_only_by_the_faults(plan: scenario.Scenario) -> None:
    """Every recorded reading is played as it is, except within the injected faults."""
    times = [reading.time_ns for reading in plan.live]
    assert times == sorted(times)
    played = {r.time_ns: r.value for r in plan.live if r.stream == scenario.TRAFFIC}
    changed = [
        time_ns
        for time_ns, value in zip(plan.truth.time_ns.tolist(), plan.truth.value.tolist(), strict=True)
        if played.get(time_ns, math.nan) != value and not math.isnan(value)
    ]
    assert len(changed) == 1 + (scenario.STUCK_H - 1) + scenario.SILENT_H
    assert all(any(f.start_ns <= t < f.end_ns for f in plan.faults) for t in changed)
    assert sum(reading.stream == scenario.PIPELINE for reading in plan.live) == 1_268


def test_gaps_to_be_reported_are_the_recordings_own(plan: scenario.Scenario) -> None:
    """Of the pipeline's six gaps of 7 h and more, between readings that exist, those that are no habit by then."""
    gaps = [window for window in plan.real if window.name.startswith("gap")]
    assert [window.name for window in gaps] == [f"gap of {h} h" for h in (32, 11, 23)]
    times = set(recordings.pipeline().time_ns.tolist())
    assert all({gap.start_ns - HOUR_NS, gap.end_ns} <= times for gap in gaps)
