"""The injected faults: exact, repeatable, where the plan says, and never moved."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeseq.core.types import F64
from tests.bench.alerts import placed
from tests.bench.alerts.clean import Recording
from tests.bench.alerts.faults import FADE, MAKERS, Fault, inject, nine, scales
from tests.bench.alerts.plan import PLAN, Placed, Unplaced, place, read_plan

DAY = 24
ROWS = 100 * DAY
TEST = 80 * DAY
ONSET = TEST + 5 * DAY

DIGESTS = {
    PLAN: "8515a3fede560e8ed78d9caabb6f37f351ac623439c4ffdb18e842657532fc97",
    placed.FAULTS: "fddb7ee65558fac305fe859fe77e1f5ae0d5d1509f1b638bfbee6f05e35814c5",
}
"""SHA-256 of what was fixed before the detectors were written."""


def plant() -> F64:
    """Two channels of one plant with a daily profile, and a third that is alone (ROWS, 3)."""
    t, rng = np.arange(ROWS), np.random.default_rng(3)
    load = 10 * np.sin(2 * np.pi * t / DAY) + 0.1 * np.cumsum(rng.standard_normal(ROWS))
    noise = rng.standard_normal((ROWS, 3))
    return np.column_stack([load, 2 * load, np.zeros(ROWS)]) + 0.3 * noise + 100


def recording(values: F64, name: str = "ett/made") -> Recording:
    """Lay hourly readings out, from a midnight on."""
    channels = tuple(f"c{c}" for c in range(values.shape[1]))
    return Recording(name, values, channels, 3600, 0, TEST, np.zeros(len(values), dtype=np.bool_))


def a_fault(kind: str, **changes: object) -> Fault:
    """Make a fault of the first channel."""
    duration = {"spike": 1, "spike_step": 1}.get(kind, DAY)
    fault = Fault("ett/made", 0, kind, 4.0, ONSET, duration, 6, DAY, 36, seed=11)
    return replace(fault, **changes)  # type: ignore[arg-type] # names and types are Fault's


@pytest.mark.parametrize("path", DIGESTS, ids=lambda path: path.name)
def test_plan_and_places_are_those_of_before_the_detectors(path: Path) -> None:
    """The faults are those that were fixed before the detectors were written."""
    assert hashlib.sha256(path.read_bytes()).hexdigest() == DIGESTS[path]


def test_makers_make_the_nine_kinds() -> None:
    """The plan has nine kinds, and tells of each that there is a maker for."""
    kinds = {nine(kind) for kind in MAKERS}
    assert len(kinds) == 9
    assert set(MAKERS) <= set(read_plan())


@pytest.mark.parametrize("kind", MAKERS)
def test_inject_changes_its_channel_from_the_onset_on_and_is_repeatable(kind: str) -> None:
    """Nothing differs before the onset or in another channel, the onset's reading or the fault's rows do."""
    values = plant()
    known, fault = scales(values[:TEST]), a_fault(kind)
    changed = inject(values, fault, known)
    np.testing.assert_array_equal(changed, inject(values, fault, known))
    np.testing.assert_array_equal(changed[:ONSET], values[:ONSET])
    np.testing.assert_array_equal(changed[:, 1:], values[:, 1:])
    differs = ~(changed[:, 0] == values[:, 0])
    assert differs[ONSET : ONSET + fault.duration].mean() > 0.9
    if kind not in ("level_shift", "drift"):
        assert not differs[ONSET + fault.duration :].any()


@pytest.mark.parametrize(
    ("kind", "unit"), [("spike", "channel"), ("spike_step", "step"), ("level_shift", "channel"), ("drift", "channel")]
)  # fmt: skip
def test_inject_change_has_the_amplitude_asked(kind: str, unit: str) -> None:
    """A change is as high as its amplitude says, in its unit."""
    values = plant()
    known, fault = scales(values[:TEST]), a_fault(kind)
    change = inject(values, fault, known)[:, 0] - values[:, 0]
    assert abs(change[ONSET + fault.duration - 1]) == pytest.approx(4 * getattr(known, unit)[0])


def test_inject_variance_adds_noise_of_the_amplitude_asked() -> None:
    """What is added has a mean near zero and the standard deviation that the amplitude says."""
    values = plant()
    known, fault = scales(values[:TEST]), a_fault("variance", duration=15 * DAY)
    added = (inject(values, fault, known) - values)[ONSET : ONSET + 15 * DAY, 0]
    assert added.std() == pytest.approx(4 * known.step[0], rel=0.1)
    assert abs(added.mean()) < 0.2 * added.std()


def test_inject_stuck_silent_and_out_of_range() -> None:
    """Stuck repeats the reading before, silent brings none, out of range lies beyond the limits."""
    values = plant()
    known, rows = scales(values[:TEST]), slice(ONSET, ONSET + DAY)
    assert set(inject(values, a_fault("stuck"), known)[rows, 0]) == {values[ONSET - 1, 0]}
    assert np.isnan(inject(values, a_fault("silent"), known)[rows, 0]).all()
    low, high = known.limits(0)
    beyond = inject(values, a_fault("out_of_range"), known)[rows, 0]
    assert ((beyond < low) | (beyond > high)).all()
    assert ((values[:TEST, 0] > low) & (values[:TEST, 0] < high)).all()


def test_inject_seasons_and_past_show_the_channels_own_values() -> None:
    """A day turned round holds the day's own values, a broken relation in its middle those of its past."""
    values = plant()
    known, rows = scales(values[:TEST]), slice(ONSET, ONSET + DAY)
    reversed_, shifted = (
        inject(values, a_fault(f"season_{how}"), known)[rows, 0] for how in ("reversed", "shifted")
    )
    np.testing.assert_array_equal(reversed_, values[rows, 0][::-1])
    np.testing.assert_array_equal(shifted[DAY // 2 :], values[rows, 0][: DAY // 2])
    past = a_fault("relation_past", duration=3 * DAY)
    middle = slice(ONSET + FADE, ONSET + 3 * DAY - FADE)
    np.testing.assert_array_equal(
        inject(values, past, known)[middle, 0], values[middle.start - 36 : middle.stop - 36, 0]
    )


def test_inject_offset_is_measured_against_what_the_other_channels_leave() -> None:
    """A channel that hangs on another one leaves it by the amplitude asked, far less than its own spread."""
    values = plant()
    known = scales(values[:TEST])
    change = (inject(values, a_fault("relation_offset"), known) - values)[ONSET + FADE, 0]
    assert abs(change) == pytest.approx(4 * known.relation[0])
    assert abs(change) < known.channel[0]
    assert known.explained[0] > 0.9
    assert known.explained[2] < 0.1


def test_inject_keeps_missing_readings_missing() -> None:
    """A reading that never came is not made up by a fault."""
    values = plant()
    values[ONSET + 3, 0] = np.nan
    known = scales(values[:TEST])
    for kind in MAKERS:
        assert np.isnan(inject(values, a_fault(kind), known)[ONSET + 3, 0]), kind


def test_inject_direction_keeps_a_sensor_of_no_negative_numbers_so() -> None:
    """Where a channel was never negative, no fault of the first four kinds makes it so."""
    values = np.abs(plant() - 100)
    known = scales(values[:TEST])
    for seed in range(20):
        for kind in ("spike", "level_shift"):
            changed = inject(values, a_fault(kind, seed=seed), known)
            assert changed[ONSET, 0] >= 0


def test_place_puts_faults_into_the_clean_part_and_repeats_itself() -> None:
    """All faults lie behind the training part, away from labels, copies reach as far as the plan says."""
    made, plan = recording(plant()), read_plan()
    made.labelled[TEST + 200 : TEST + 220] = True
    found = [p for p in place(made, plan) if isinstance(p, Placed)]
    assert found == [p for p in place(made, plan) if isinstance(p, Placed)]
    assert {nine(p.fault.kind) for p in found} == {nine(kind) for kind in MAKERS}
    usual = plan["family"]["ett"]["warm"]
    for p in found:
        start, stop = p.fault.window
        assert p.first == max(0, start - plan[p.fault.kind].get("warm", usual))
        assert p.stop == stop + plan["tail"] <= ROWS
        assert start >= TEST
        assert not made.labelled[p.first : stop].any()
    assert len({p.fault.onset for p in found}) > len(found) / 2
    assert len({p.fault.seed for p in found}) == len(found)


def test_place_says_what_a_recording_cannot_show() -> None:
    """A channel without profile, relation or movement is told, not left out in silence."""
    values = plant()
    values[:, 2] = 5.0
    found = list(place(recording(values[:, 2:]), read_plan()))
    assert {x.why for x in found if isinstance(x, Unplaced)} == {"the channel never moves"}
    assert len(found) == len([x for x in found if isinstance(x, Unplaced)])
    noise = np.random.default_rng(1).standard_normal((ROWS, 1))
    why = {x.kind: x.why for x in place(recording(noise), read_plan()) if isinstance(x, Unplaced)}
    assert why == {
        "season_reversed": "the channel has no daily profile",
        "season_shifted": "the channel has no daily profile",
        "relation_offset": "the channel hangs on no other",
        "relation_past": "the channel hangs on no other",
    }


def test_moved_names_faults_that_left_their_place_in_recordings_that_are_known() -> None:
    """A fault that lies elsewhere than the file says is named; a recording that the file does not name may be new."""
    found = [p for p in place(recording(plant()), read_plan()) if isinstance(p, Placed)]
    known = [placed.row(p) for p in found]
    assert placed.moved(found, known) == []
    assert placed.moved(found, []) == []
    later = [replace(found[0], fault=replace(found[0].fault, onset=found[0].fault.onset + 1)), *found[1:]]
    assert len(placed.moved(later, known)) == 2
    assert len(placed.moved(found[1:], known)) == 1
