"""The life of an alert: watched, open, told again, named anew, cleared, quiet; and what the settings make of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edgeseq.core import detect
from edgeseq.core.detect import CLEAR_AFTER, KINDS, OUT_OF_RANGE, SPIKE, STUCK, surprise
from edgeseq.core.detect.course import FIRST_UPDATE_STEPS
from edgeseq.core.detect.detectors import DETECTORS
from edgeseq.core.detect.kinds import DRIFT, LEVEL_SHIFT, NOVELTY
from edgeseq.core.detect.ledger import NONE, OPEN, QUIET, WATCH
from edgeseq.core.types import AlertKind
from tests.support.alerting import LEARNING, STEP_NS, Bench, changing, scripted

NAN = float("nan")
LUKEWARM = 12.7
"""Within the band, but not well within."""


def steps(number: int) -> tuple[int, ...]:
    """Give the same number of steps for all kinds."""
    return (number,) * len(KINDS)


@pytest.fixture
def told_what_to_say() -> Iterator[None]:
    """Let the detectors be three that say what they are told."""
    before = DETECTORS[:]
    DETECTORS[:] = [scripted(kind) for kind in (LEVEL_SHIFT, DRIFT, NOVELTY)]
    yield
    DETECTORS[:] = before


# --- before it opens ------------------------------------------------------------------------------------------


def test_a_deviation_is_watched_until_it_has_lasted() -> None:
    """Bad for longer than two steps opens an alert, which says since when."""
    bench = Bench(min_steps=steps(2))
    bench.take(*changing(5))
    assert bench.take(20.0, 21.0) == []
    assert bench.level(SPIKE) == WATCH
    assert detect.still_open(bench.table) == []
    assert bench.take(22.0) == ["spike opened"]
    (opened,) = detect.still_open(bench.table)
    assert (opened.since_ns, opened.opened_ns, opened.opened_step) == (5 * STEP_NS, 7 * STEP_NS, 7)


def test_a_good_sample_ends_the_watch_and_a_missing_one_does_not() -> None:
    """Only bad samples count; what is between good and bad, and what is missing, changes nothing."""
    bench = Bench(min_steps=steps(2))
    bench.take(20.0, 20.0, 10.0)
    assert (bench.level(SPIKE), bench.table.notes) == (NONE, {})
    bench.take(20.0, 20.0)
    assert bench.take(NAN, NAN, observed=False) == []
    assert bench.take(LUKEWARM) == []
    assert bench.level(SPIKE) == WATCH
    assert bench.take(20.0) == ["spike opened"]


def test_several_readings_of_a_step_are_one_of_a_watch() -> None:
    """The last one decides: bad ones in one step do not add up, and a good one at its end undoes the step."""
    bench = Bench(min_steps=steps(1))
    for _ in range(5):
        assert bench.see(20.0) == []
    assert bench.see(10.0) == []
    assert bench.level(SPIKE) == QUIET
    assert bench.see(20.0) == []
    assert bench.level(SPIKE) == WATCH
    bench.close()
    assert bench.see(20.5) == ["spike opened"]


def test_stuck_and_silent_have_durations_of_their_own() -> None:
    """`min_duration` does not delay a stuck value, which has lasted by its nature."""
    bench = Bench(min_steps=steps(50))
    bench.take(*changing(LEARNING + 10))
    assert bench.take(10.5, 10.5, 10.5) == ["stuck opened"]


def test_no_alert_opens_in_the_refractory_time() -> None:
    """What is bad soon after an alert is watched; it opens one if it still is when that time has passed."""
    bench = Bench(refractory_steps=steps(10))
    assert bench.take(20.0, *changing(CLEAR_AFTER)) == ["spike opened", "spike cleared"]
    assert bench.take(20.0) == []
    assert bench.level(SPIKE) == WATCH
    bench.take(*changing(1))
    assert bench.level(SPIKE) == QUIET
    assert bench.take(*[20.0] * 7) == []
    assert bench.take(20.0) == ["spike opened"]
    bench.take(*changing(CLEAR_AFTER))
    bench.take(*changing(12))
    assert bench.table.notes == {}


@pytest.mark.usefixtures("told_what_to_say")
def test_kinds_of_behaviour_rest_together() -> None:
    """What another kind says so soon after an alert is the same incident; a limit that is crossed is not."""
    bench = Bench(refractory_steps=steps(10))
    bench.scores |= {LEVEL_SHIFT: 0.1, DRIFT: 0.1, NOVELTY: 0.1}
    assert bench.take(20.0, *changing(CLEAR_AFTER)) == ["spike opened", "spike cleared"]
    bench.scores |= {DRIFT: 1.4}
    assert bench.take(*changing(5)) == []
    assert (bench.level(DRIFT), bench.level(LEVEL_SHIFT)) == (WATCH, NONE)
    assert bench.take(101.0) == ["out_of_range opened"]
    assert bench.take(*changing(10)) == ["drift opened", "out_of_range cleared"]


@pytest.mark.usefixtures("told_what_to_say")
def test_a_warning_of_another_kind_opens_at_once_after_an_alert() -> None:
    """A slight drift that has just ended does not hide a spike of many times the band, nor a spike a great drift."""
    bench = Bench(refractory_steps=steps(10))
    bench.scores |= {LEVEL_SHIFT: 0.1, DRIFT: 1.4, NOVELTY: 0.1}
    assert bench.take(*changing(1)) == ["drift opened"]
    bench.scores |= {DRIFT: 0.1}
    assert bench.take(*changing(CLEAR_AFTER)) == ["drift cleared"]
    assert bench.take(20.0) == ["spike opened"]
    bench.take(*changing(CLEAR_AFTER))
    bench.scores |= {DRIFT: 2.0}
    assert bench.take(*changing(1)) == []  # its own rest goes on
    assert bench.take(*changing(4)) == ["drift opened"]


@pytest.mark.usefixtures("told_what_to_say")
@pytest.mark.parametrize("kind", [LEVEL_SHIFT, DRIFT, NOVELTY])
def test_alarm_of_one_kind_makes_the_others_patient(kind: int) -> None:
    """They pay from one budget: in a young stream an alert of any kind then takes two fifths more, and so does a spike.

    Not before the incident is over: until then all kinds may say what it is.
    """
    bench = Bench()
    bench.take(*changing(1))
    before = float(bench.table["spike_threshold"][0, 0])
    bench.scores |= {kind: 1.1}
    assert bench.take(10.0) == [f"{KINDS[kind].value} opened"]
    assert float(bench.table["spike_threshold"][0, 0]) == pytest.approx(before, rel=1e-3)
    bench.scores |= {kind: 0.1}
    bench.take(*changing(CLEAR_AFTER + surprise.INCIDENT))
    after = float(bench.table["spike_threshold"][0, 0])
    assert after == pytest.approx(before * (1 + 1 / surprise.FIRST) ** (1 / surprise.TAIL), rel=1e-3)
    other = NOVELTY if kind != NOVELTY else DRIFT
    bench.scores |= {other: 1.1}
    assert bench.take(*changing(3)) == []
    bench.scores |= {other: 1.5}
    assert bench.take(10.0) == [f"{KINDS[other].value} opened"]


@pytest.mark.usefixtures("told_what_to_say")
def test_incident_is_paid_for_once() -> None:
    """However many kinds speak of it, however often and however long, until it has been over for a while."""
    bench = Bench()
    for _ in range(3):
        bench.scores |= {LEVEL_SHIFT: 5.0, DRIFT: 5.0}
        bench.take(*changing(30))
        bench.scores |= {LEVEL_SHIFT: 0.1, DRIFT: 0.1}
        bench.take(*changing(surprise.INCIDENT - 1))
    assert float(bench.table["surprise_alarms"][0]) == pytest.approx(surprise.FIRST + 1, rel=1e-3)
    bench.take(*changing(2))
    bench.scores |= {NOVELTY: 5.0}
    bench.take(10.0)
    assert float(bench.table["surprise_alarms"][0]) == pytest.approx(surprise.FIRST + 2, rel=1e-3)


# --- while it is open -----------------------------------------------------------------------------------------


def test_what_hovers_at_the_threshold_neither_clears_nor_reopens() -> None:
    """Good is well within the band: from there on six clear the alert."""
    bench = Bench()
    bench.take(20.0, *changing(CLEAR_AFTER - 1))
    assert bench.take(LUKEWARM, LUKEWARM - 0.1, LUKEWARM) == []
    assert bench.take(10.0) == ["spike cleared"]


def test_limits_are_left_well_before_they_count_as_kept() -> None:
    """Between two limits a value at the very edge is allowed, but not good again."""
    bench = Bench()
    bench.take(101.0, live=False)
    assert bench.take(*[99.0 + k % 2 for k in range(1, 2 * CLEAR_AFTER, 2)], live=False) == []
    assert bench.take(*[98.0 + k % 2 for k in range(CLEAR_AFTER)], live=False) == ["out_of_range cleared"]


def test_an_alert_that_lasts_is_told_again_ever_more_rarely() -> None:
    """After 24 steps, and after each doubling; the newest event is what is repeated at a start."""
    bench = Bench()
    bench.take(*changing(3))
    told = [bench.take(20.0 + k % 2) for k in range(200)]
    assert [k for k, events in enumerate(told) if "spike updated" in events] == [24, 48, 96, 192]
    (again,) = detect.still_open(bench.table)
    assert again == bench.all[-1]
    assert (again.event_type, again.seq, again.opened_step) == ("updated", 5, 3)


def test_an_alert_that_becomes_more_severe_is_told_at_once() -> None:
    """Severity rises with the score, never falls while the alert is open, and a spike is never critical."""
    bench = Bench()
    told = [bench.take(value) for value in (13.5, 13.6, 14.6, 13.5, 90.0, 14.7)]
    assert told == [["spike opened"], [], ["spike updated"], [], [], []]
    assert [event.severity for event in bench.all] == ["info", "warning"]
    assert [event.score for event in bench.all] == pytest.approx([3.5 / 3, 4.6 / 3])


@pytest.mark.parametrize(
    ("kind", "score", "word"),
    [
        (SPIKE, 1.2, "info"), (SPIKE, 50.0, "warning"), (DRIFT, 1.2, "info"), (DRIFT, 2.0, "warning"),
        (DRIFT, 4.0, "critical"), (OUT_OF_RANGE, NAN, "critical"), (STUCK, NAN, "warning"),
        (detect.SILENT, NAN, "warning"), (detect.LIMIT_AHEAD, 5.0, "warning"),
    ],
)  # fmt: skip
def test_severity_goes_by_kind_and_score(kind: int, score: float, word: str) -> None:
    """As the schema says."""
    assert detect.SEVERITIES[detect.severity(kind, score)] == word


@pytest.mark.usefixtures("told_what_to_say")
def test_a_spike_that_begins_a_shift_is_one_alert_with_another_name() -> None:
    """Identity, opening and start stay; kind, evidence and signs are those of what it proves to be."""
    bench = Bench()
    assert bench.take(20.0) == ["spike opened"]
    bench.scores[LEVEL_SHIFT] = 2.0
    assert bench.take(20.0) == ["level_shift updated"]
    (event,) = bench.told
    assert (event.opened_as, event.opened_step, event.seq) == (AlertKind.SPIKE, 0, 2)
    assert (event.signs, event.severity) == ((AlertKind.SPIKE, AlertKind.LEVEL_SHIFT), "warning")
    assert (bench.level(SPIKE), bench.level(LEVEL_SHIFT)) == (NONE, OPEN)
    (spike,) = (e for e in bench.all if e.event_type == "opened")
    # The forecast's band raises spikes; a shift with a range of its own would bring it.
    assert (spike.lower, spike.upper) == (7.0, 13.0)
    assert np.isnan([event.lower, event.upper]).all()
    assert bench.take(*[20.0] * 5) == []
    assert [e.kind for e in detect.still_open(bench.table)] == [AlertKind.LEVEL_SHIFT]
    bench.scores[LEVEL_SHIFT] = 0.1
    assert bench.take(*changing(CLEAR_AFTER)) == ["level_shift cleared"]
    assert (bench.told[0].opened_as, bench.told[0].opened_step) == (AlertKind.SPIKE, 0)


@pytest.mark.usefixtures("told_what_to_say")
def test_of_two_kinds_of_behaviour_the_first_stays() -> None:
    """What else speaks for an open alert is a sign of it, not another alert; told again where it is more severe."""
    bench = Bench()
    bench.scores |= {DRIFT: 1.1}
    assert bench.take(10.0) == ["drift opened"]
    bench.scores |= {LEVEL_SHIFT: 1.2, NOVELTY: 1.2}
    assert bench.take(14.0) == []
    assert bench.see(20.0) == ["drift updated"]
    assert (bench.told[0].severity, bench.told[0].observed) == ("warning", 20.0)
    bench.scores |= {DRIFT: 4.5}
    assert bench.close() == ["drift updated"]
    (event,) = bench.told
    assert set(event.signs) == {AlertKind.SPIKE, AlertKind.LEVEL_SHIFT, AlertKind.DRIFT, AlertKind.NOVELTY}
    assert (event.severity, event.opened_as) == ("critical", AlertKind.DRIFT)


@pytest.mark.usefixtures("told_what_to_say")
def test_a_spike_that_is_novel_too_is_no_more_severe_for_it() -> None:
    """What joins a spike without giving it a name makes it no worse than a spike can be."""
    bench = Bench()
    bench.scores |= {NOVELTY: 90.0}
    assert bench.take(20.0, 10.0) == ["spike opened"]
    assert bench.all[-1].severity == "warning"


@pytest.mark.usefixtures("told_what_to_say")
def test_an_alert_goes_on_while_anything_speaks_for_it() -> None:
    """One incident is one alert: it clears when all of its kinds have been good for as long as it takes."""
    bench = Bench()
    bench.scores |= {LEVEL_SHIFT: 1.2, DRIFT: 1.2}
    assert bench.take(10.0) == ["level_shift opened"]
    bench.scores |= {LEVEL_SHIFT: 0.1}
    assert bench.take(*changing(2 * CLEAR_AFTER)) == []
    bench.scores |= {DRIFT: 0.1}
    assert bench.take(*changing(3)) == []
    assert bench.take(20.0) == ["level_shift updated"]  # as a warning
    assert bench.take(*changing(CLEAR_AFTER)) == ["level_shift cleared"]
    assert bench.all[-1].signs == (AlertKind.SPIKE, AlertKind.LEVEL_SHIFT, AlertKind.DRIFT)


@pytest.mark.usefixtures("told_what_to_say")
def test_scores_of_detectors_are_watched_near_their_threshold() -> None:
    """From 0.9 on watched, an alert at 1, good from 0.8 down; what is not judged changes nothing."""
    bench = Bench()
    for score, level in ((0.85, NONE), (0.95, WATCH), (0.85, WATCH), (NAN, WATCH), (0.79, NONE), (1.0, OPEN)):
        bench.scores[DRIFT] = score
        bench.take(10.0)
        assert bench.level(DRIFT) == level, score
    assert bench.all[-1].p_value == pytest.approx(0.001)


@pytest.mark.usefixtures("told_what_to_say")
def test_what_lasts_as_long_as_a_new_stream_learns_is_the_new_normal() -> None:
    """The alert ends and says so, its detector accepts the present, and it does not open again."""
    bench = Bench()
    bench.scores |= {DRIFT: 1.2, NOVELTY: 1.2}
    assert bench.take(*changing(LEARNING)) == ["drift opened", *["drift updated"] * 4]
    assert bench.take(10.5) == ["drift cleared"]
    assert bench.told[0].is_normal_now
    accepted = [int(bench.table[f"scripted_{kind}_accepted"][0, 0]) for kind in (DRIFT, NOVELTY, LEVEL_SHIFT)]
    assert accepted == [1, 1, 0]
    assert not bench.all[0].is_normal_now


def test_limits_are_never_the_new_normal() -> None:
    """What a person has configured is not unlearned."""
    bench = Bench()
    told = bench.take(*[101.0 + k % 2 for k in range(2 * LEARNING)], live=False)
    assert "out_of_range cleared" not in told
    assert told.count("out_of_range updated") == int(np.log2(2 * LEARNING / FIRST_UPDATE_STEPS)) + 1


# --- settings -------------------------------------------------------------------------------------------------


def test_small_deviations_raise_nothing() -> None:
    """Absolute or as a share of what is expected, whichever is larger; beyond it the band decides."""
    assert Bench(least=np.array([[4.0, 0.0]])).take(13.9, 6.1) == []
    assert Bench(least=np.array([[4.0, 0.0]])).take(14.1) == ["spike opened"]
    assert Bench(least=np.array([[0.0, 0.5]])).take(14.9, 15.1) == ["spike opened"]
    bench = Bench(least=np.array([[4.0, 0.0]]))
    bench.take(15.0)
    assert bench.take(*[13.8, 13.9] * 3) == ["spike cleared"]


def test_direction_leaves_out_one_side() -> None:
    """Above means above what is expected; limits are judged all the same."""
    assert Bench(below=False).take(1.0, 20.0) == ["spike opened"]
    assert Bench(above=False).take(20.0, 1.0) == ["spike opened"]
    assert Bench(below=False).take(-1.0) == ["out_of_range opened"]


def test_sensitivity_scales_the_threshold() -> None:
    """At 2 half the deviation is enough, at 0.5 it takes twice as much; limits stay."""
    assert Bench(sensitivity=2.0).take(11.4, 11.6) == ["spike opened"]
    assert Bench(sensitivity=0.5).take(15.9, 16.1) == ["spike opened"]
    assert Bench(sensitivity=0.01).take(101.0) == ["out_of_range opened"]


@pytest.mark.usefixtures("told_what_to_say")
def test_kinds_that_are_not_wanted_neither_open_nor_hide_others() -> None:
    """A spike that nobody wants to know does not stand in the way of a shift."""
    wanted = np.array([kind == LEVEL_SHIFT for kind in range(len(KINDS))])
    bench = Bench(enabled=wanted)
    bench.scores |= {DRIFT: 5.0}
    assert bench.take(20.0, 300.0) == []
    bench.scores |= {LEVEL_SHIFT: 1.5}
    assert bench.take(20.0) == ["level_shift opened"]
    assert bench.told[0].signs == (AlertKind.LEVEL_SHIFT,)
