"""Detection: scores, runs, the life of an alert, seen without the rest of the core."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseq.core import detect
from edgeseq.core.detect import CLEAR_AFTER, OUT_OF_RANGE, RUN_LENGTHS, SPIKE, STUCK
from edgeseq.core.table import Column, Table
from edgeseq.core.types import F64, AlertEvent, AlertKind
from tests.support.alerting import LEARNING, Bench, changing

NAN = float("nan")


def test_score_is_one_at_either_edge_and_bounded() -> None:
    """The score is 0 at the forecast, 1 at both edges, at most 100, and unknown where anything is."""
    value = np.array([10.0, 13.0, 8.0, 1e300, NAN, 10.0])
    expected, lower, upper = 10.0, np.array([8.0, 8, 8, 8, 8, NAN]), np.array([13.0, 13, 13, 13, 13, NAN])
    scores = detect.score(value, np.full(6, expected), lower, upper)
    assert np.array_equal(scores, [0, 1, 1, detect.MOST_SCORE, NAN, NAN], equal_nan=True)


def test_score_in_a_band_of_no_width_is_nothing_or_all() -> None:
    """Where the band has no width the forecast itself scores 0 and anything else the most there is."""
    scores = detect.score(np.array([5.0, 5.1]), np.full(2, 5.0), np.full(2, 5.0), np.full(2, 5.0))
    assert scores.tolist() == [0.0, detect.MOST_SCORE]


@pytest.mark.parametrize(("score", "p"), [(0.0, 1.0), (1.0, 0.001), (NAN, 1.0), (detect.MOST_SCORE, 1e-300)])
def test_p_value_falls_from_one_through_a_thousandth_at_the_edge(score: float, p: float) -> None:
    """P = 0.001^score; an unknown score accuses nobody."""
    assert detect.p_value(score) == pytest.approx(p)


def test_alert_clears_after_six_good_samples_not_five() -> None:
    """A bad sample starts the count again; an alert that is open is not opened twice."""
    bench = Bench()
    assert bench.take(20.0, 9.0, 10.0, 9.0, 10.0, 9.0) == ["spike opened"]
    assert bench.take(20.0, *changing(CLEAR_AFTER - 1)) == []
    assert bench.take(11.0) == ["spike cleared"]


def test_second_reading_of_a_step_replaces_the_first_in_the_count() -> None:
    """Of several readings in a step the last one counts: six in one step do not clear, one bad at its end undoes it."""
    bench = Bench()
    bench.take(20.0)
    for k in range(10):
        assert bench.see(9.0 + k % 2) == []
    bench.close()
    bench.take(*changing(4))
    assert bench.see(9.5) == ["spike cleared"]
    assert bench.see(20.0) == ["spike opened"]


def test_unobserved_sample_neither_opens_nor_clears() -> None:
    """A held value outside the limits opens nothing, and one inside clears nothing."""
    bench = Bench()
    assert bench.take(*[200.0] * 3, observed=False) == []
    assert bench.take(20.0) == ["spike opened"]
    assert bench.take(*changing(20), observed=False) == []
    assert bench.take(*changing(CLEAR_AFTER)) == ["spike cleared"]


def test_band_that_is_not_live_raises_nothing() -> None:
    """A stream that learns has no spikes; its limits hold."""
    assert Bench().take(20.0, 300.0, live=False) == ["out_of_range opened"]


def test_limits_themselves_are_in_range() -> None:
    """A value equal to a limit is allowed."""
    assert Bench().take(0.0, 100.0, live=False) == []


def test_one_sample_may_open_several_alerts() -> None:
    """Kinds live apart: one reading opens both, each with its own number."""
    bench = Bench()
    assert bench.take(300.0) == ["spike opened", "out_of_range opened"]
    assert bench.table["alert_seq"][0] == 2


def test_stuck_opens_at_the_third_equal_value_and_clears_after_six_that_move() -> None:
    """A stream that never repeated itself in two weeks of hours is stuck at three equal values."""
    bench = Bench()
    bench.take(*changing(LEARNING + 10))
    assert bench.take(10.5, 10.5) == []
    assert bench.take(10.5) == ["stuck opened"]
    assert bench.take(*[10.5] * 50) == ["stuck updated"]
    assert bench.take(*changing(CLEAR_AFTER)) == ["stuck cleared"]


def test_equal_values_that_chance_explains_are_not_stuck() -> None:
    """Six weeks of ten-minute readings that repeat one time in twenty raise no stuck alert; a long run does."""
    bench = Bench()
    rng = np.random.default_rng(11)
    told = [event for value in 10 + rng.integers(0, 20, 6048) / 20 for event in bench.take(float(value))]
    assert told == []
    assert int(bench.table["run_reached"][0, 0, 0]) > 5
    assert bench.take(*[12.5] * 12) == ["stuck opened"]


def test_a_runs_own_length_does_not_speak_for_it() -> None:
    """Where chance explains three equal values but not more, a sensor that stays stuck is named all the same."""
    bench = Bench()
    steps = (10 + (k % 7) / 10 for k in range(360))
    pairs = [value for k, value in enumerate(steps) for _ in range(2 if k % 12 == 0 else 1)]
    assert bench.take(*pairs, *changing(LEARNING)) == []
    assert bench.take(*[10.95] * 3) == []
    assert bench.take(*[10.95] * 20) == ["stuck opened"]


def test_stuck_needs_two_weeks_of_hours() -> None:
    """Before 336 samples nothing is known of runs."""
    bench = Bench()
    assert bench.take(*changing(LEARNING - 10), *[10.5] * 5) == []


def test_what_never_changed_is_not_stuck_what_changed_once_may_be() -> None:
    """A setting that stands from its first reading on raises nothing; what once changed and then stands does."""
    assert Bench().take(*[10.5] * 5000) == []
    changed = Bench()
    changed.take(*changing(LEARNING))
    assert changed.take(*[10.5] * 5) == ["stuck opened"]


def test_missing_samples_within_a_run_do_not_break_it() -> None:
    """Equal values around a missing one are still a run: the sensor said nothing else."""
    bench = Bench()
    bench.take(*changing(LEARNING + 10), 10.5, 10.5)
    assert bench.take(NAN, observed=False) == []
    assert bench.take(10.5) == ["stuck opened"]


def test_runs_a_stream_is_used_to_are_not_stuck() -> None:
    """A stream that holds each value for eight samples is stuck only when it holds one half as long again."""
    bench = Bench()
    for k in range(100):
        assert bench.take(*[8.0 + k % 4] * 8) == []
    told = [bench.take(10.5) for _ in range(40)]
    opened = [k + 1 for k, events in enumerate(told) if "stuck opened" in events]
    assert opened == [16]


def test_run_lengths_reach_a_day_of_half_minutes() -> None:
    """Lengths ascend from 3, each at most twice the one before, so that no run is told much too late."""
    assert RUN_LENGTHS[0] == 3
    assert RUN_LENGTHS[-1] >= 2880
    assert (np.diff(RUN_LENGTHS) > 0).all()
    assert (RUN_LENGTHS[1:] <= 2 * RUN_LENGTHS[:-1]).all()


def test_events_of_an_alert_tell_one_opening() -> None:
    """The cleared event repeats step and time of the opening, so that both have one identity."""
    bench = Bench()
    bench.take(*changing(5), 20.0)
    (opened,) = detect.still_open(bench.table)
    assert (opened.opened_step, opened.opened_ns) == (5, 50)
    bench.take(*changing(CLEAR_AFTER - 1))
    bench.see(9.5)
    (cleared,) = bench.told
    assert (cleared.opened_step, cleared.opened_ns, cleared.time_ns) == (5, 50, 110)
    assert detect.still_open(bench.table) == []
    assert not bench.table["alert_open"][0, 0, [SPIKE, STUCK, OUT_OF_RANGE]].any()


# --- silence --------------------------------------------------------------------------------------------------

PERIOD = 60


def arrive(table: Table, clock: int, *, silent_after: int = 0) -> list[AlertEvent]:
    """Let one reading arrive."""
    zero = np.array([0])
    return detect.arrive(table, zero, zero, zero, np.array([clock]), np.array([clock]), PERIOD, silent_after)


def waiting(streams: int = 1) -> Table:
    """Make a table of streams, which also have a grid."""
    table = Table({"stream": Column((), "int64", 0), "phase_ns": Column((), "int64", 0)} | detect.columns(1))
    for _ in range(streams):
        table.add_row()
    return table


def test_silence_is_not_judged_before_three_arrivals() -> None:
    """Two readings make no rhythm."""
    table = waiting()
    for k in range(3):
        assert detect.next_deadline_ns(table) == detect.NEVER
        arrive(table, k * PERIOD)
    assert detect.next_deadline_ns(table) == pytest.approx(2 * PERIOD + 6 * PERIOD, abs=PERIOD)


SECOND = 10**9
MINUTE = 60 * SECOND


def waits(gaps_s: F64, table: Table) -> F64:
    """Let readings of streams of minutes arrive after gaps (k, n) → the waits that they begin, (k, n) in seconds."""
    rows = np.arange(gaps_s.shape[1])
    clock = np.maximum(table["last_seen_ns"][rows], 0)
    found = np.empty_like(gaps_s)
    for k, gap_s in enumerate(gaps_s):
        clock = clock + (gap_s * SECOND).astype(np.int64)
        # No silence opens: what is asked is when it would.
        detect.arrive(table, rows, rows, 0 * rows, clock, clock, MINUTE, 0)
        found[k] = (table["deadline_ns"][rows] - clock) / SECOND
    return found


def test_deadline_follows_the_slow_nine_in_ten_of_irregular_gaps() -> None:
    """After weeks at random times the deadline lies near six times the 90 % quantile, whatever the period says."""
    gaps_s = np.random.default_rng(0).exponential(1000, (4000, 8))
    assert np.median(waits(gaps_s, waiting(8))[3000:]) == pytest.approx(6 * 2302, rel=0.15)


def test_streams_that_pause_alarm_about_once_in_four_weeks() -> None:
    """Of readings with pauses of all sizes between them silence is told seldom, though most outlast the rhythm."""
    rng = np.random.default_rng(3)
    paused = rng.random((6000, 16)) < 0.05
    gaps_s = np.where(paused, 1200 * (1 + rng.pareto(3, paused.shape)), 300.0)
    weeks = gaps_s.sum(axis=0) / 604_800
    silent = gaps_s[1:] > waits(gaps_s, waiting(16))[:-1]
    is_mature = np.cumsum(gaps_s, axis=0)[1:] > 604_800
    assert (gaps_s > 6 * 300).sum() / weeks.sum() > 7
    assert (silent & is_mature).sum() / (weeks - 1).sum() <= 1.5 / 4
    assert (silent & ~is_mature).sum() / 16 <= 3


def test_a_stream_that_rests_at_night_is_waited_for_by_day_as_before() -> None:
    """After some nights none is a silence; a sensor that dies at noon is found soon, one that dies at night by noon."""
    day = [600.0] * (14 * 6)
    gaps_s = np.array([[*day, 10 * 3600.0] * 30]).T
    found = waits(gaps_s, waiting(1))
    silent = np.flatnonzero(gaps_s[1:] > found[:-1]) // (len(day) + 1)
    assert 1 <= len(silent) <= 3
    assert silent.max() < 4
    last_day = found[-len(day) - 1 :, 0]
    assert last_day[40] <= 7 * 600
    assert 10 * 3600 < last_day[-2] <= 20 * 3600


def test_one_outage_is_no_habit() -> None:
    """A gap of a thousand periods says little of the next gap: it counts bounded, and at its own hours only."""
    table = waiting()
    before = waits(np.full((2880, 1), 60.0), table)[-1]
    after = waits(np.full((1, 1), 60_000.0), table)[-1]
    assert after <= 1.1 * before
    assert table["pause_ns"].max() <= 4 * 1.1 * before * SECOND


def test_pauses_in_which_nobody_listened_teach_nothing() -> None:
    """What was not heard while the daemon was down is no pause of the stream."""
    heard, deaf = waiting(), waiting()
    for table in (heard, deaf):
        waits(np.full((100, 1), 60.0), table)
        if table is deaf:
            detect.resume(table, int(table["last_seen_ns"][0]) + 29 * MINUTE, MINUTE, 0)
        waits(np.full((1, 1), 1800.0), table)
    assert heard["pause_ns"].max() > 20 * MINUTE
    assert deaf["pause_ns"].max() < 2 * MINUTE


def test_deadline_is_never_earlier_than_its_bound() -> None:
    """What the batch loop takes as the earliest possible deadline is one, for any rhythm."""
    for silent_after in (0, 100):
        table, clock = waiting(), 0
        for gap in [1] * 200 + [500] * 5 + [0] * 50:
            clock += gap
            arrive(table, clock, silent_after=silent_after)
            bound = clock + detect.shortest_wait_ns(PERIOD, silent_after)
            assert detect.next_deadline_ns(table) >= bound


def test_sweep_opens_once_strictly_after_the_deadline() -> None:
    """At the deadline a stream is not yet silent; after it, once; and the next reading ends it."""
    table = waiting()
    arrive(table, 0, silent_after=100)
    zero = np.array([0])
    assert detect.sweep(table, 0, 100, PERIOD) == []
    opened = detect.sweep(table, 0, 101, PERIOD)
    assert [(e.kind, e.time_ns, e.opened_step) for e in opened] == [(AlertKind.SILENT, 100, 1)]
    assert detect.sweep(table, 0, 10**6, PERIOD) == []
    assert detect.next_deadline_ns(table) == detect.NEVER
    cleared = detect.arrive(table, zero, zero, zero, np.array([500]), np.array([500]), PERIOD, 100)
    assert [(e.event_type, e.opened_ns, e.cleared_ns) for e in cleared] == [("cleared", 100, 500)]
    assert detect.next_deadline_ns(table) == 600
