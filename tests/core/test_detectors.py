"""Detectors of closed steps: each fault is told by its own kind, ordinary days by none, whatever the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edgeseq.core.detect import bitmap, detectors, novelty_map, record, relation, spike, stuck, surprise
from edgeseq.core.detect.kinds import (
    BROKEN_PROFILE,
    BROKEN_RELATION,
    DRIFT,
    LEVEL_SHIFT,
    LIMIT_AHEAD,
    MOST_SCORE,
    NOVELTY,
    VARIANCE_CHANGE,
    Band,
    Closed,
    Judged,
    Settings,
)
from edgeseq.core.detect.step import describe
from edgeseq.core.table import Column, Table
from edgeseq.core.types import F64, I64

HOUR_NS = 3600 * 10**9
DAY = 24
LEARNING = 336
LEADS = (1, 2, 4, 8)
ONSET = 40 * DAY


def plant(days: int, streams: int = 1, channels: int = 1, seed: int = 3) -> F64:
    """Make days of hours (T, C, n): a daily wave, common to all channels in part, and noise of a tenth of it."""
    noise = np.random.default_rng(seed).standard_normal((days * DAY, channels + 1, streams))
    wave = 5 * np.sin(2 * np.pi * np.arange(days * DAY) / DAY)[:, None, None]
    return 20 + wave + 0.5 * noise[:, :1] + 0.2 * noise[:, 1:]


def table_of(channels: int, streams: int) -> Table:
    """Make the table of streams that have seen nothing."""
    table = Table(stuck.columns(channels) | detectors.columns(channels))
    for _ in range(streams):
        table.add_row()
    return table


def play(table: Table, rows: I64, values: F64, first: int = 0) -> Iterator[dict[int, F64]]:
    """Close steps of rows with readings (T, C, n), forecast as the day before was → what each detector scores."""
    for t in range(first, len(values)):
        value = values[t]
        observed = np.isfinite(value)
        yesterday = values[t - DAY] if t >= DAY else np.full(value.shape, np.nan)
        forecasts = np.broadcast_to(yesterday[:, None], (3, len(value), len(LEADS), len(rows)))
        is_model = np.zeros(len(rows), dtype=np.bool_)
        steps = np.full(len(rows), t)
        closed = Closed(
            Judged(rows, steps, steps * HOUR_NS, value, observed),
            Band(yesterday, yesterday - 1, yesterday + 1, observed, is_model),
            forecasts,
            LEADS,
            Settings(LEARNING),
            len(value),
            HOUR_NS,
        )
        work = table.gather(rows)
        work["run_samples"][...] += observed
        scores, said = detectors.scores(table, work, closed)
        work.put()
        yield dict(zip(said, scores, strict=True))


def scored(values: F64) -> dict[int, F64]:
    """Play readings (T, C, n) → kind and its scores (T, C, n)."""
    streams = values.shape[2]
    told = list(play(table_of(values.shape[1], streams), np.arange(streams), values))
    return {kind: np.array([step[kind] for step in told]) for kind in told[0]}


def shifted(x: F64) -> None:
    """Be elsewhere."""
    x[ONSET:] += 12


def drifting(x: F64) -> None:
    """Rise by 12 in 72 hours."""
    x[ONSET:] += 12 * np.clip(np.arange(len(x) - ONSET) / 72, 0, 1)[:, None, None]


def noisy(x: F64) -> None:
    """Scatter eight times as much for three days."""
    x[ONSET : ONSET + 72] += 4 * np.random.default_rng(9).standard_normal((72, *x.shape[1:]))


def backwards(x: F64) -> None:
    """Let a day run backwards."""
    x[ONSET : ONSET + DAY] = x[ONSET : ONSET + DAY][::-1].copy()


FAULTS = [(LEVEL_SHIFT, shifted), (DRIFT, drifting), (VARIANCE_CHANGE, noisy), (BROKEN_PROFILE, backwards)]


@pytest.mark.parametrize(("kind", "fault"), FAULTS)
def test_fault_reaches_the_threshold_of_its_kind_within_its_time(
    kind: int, fault: Callable[[F64], None]
) -> None:
    """Each of twenty streams of a plant with a fault is told so by the kind that it is of, before the window ends."""
    values = plant(44, streams=20)
    fault(values)
    scores = scored(values)[kind][ONSET : ONSET + 96, 0]
    assert (scores >= 1).any(axis=0).all()


def test_level_shift_is_told_by_its_third_reading_and_no_drift() -> None:
    """A shift is told within three readings, and as long as it is news nothing is called a drift."""
    values = plant(44, streams=20)
    shifted(values)
    scores = scored(values)
    assert (scores[LEVEL_SHIFT][ONSET : ONSET + 3, 0] >= 1).any(axis=0).all()
    assert not (scores[DRIFT][ONSET : ONSET + 48] >= 1).any()


def test_drift_is_mostly_called_a_drift() -> None:
    """Of twenty ramps no fewer than fifteen are never called a level shift while they rise."""
    values = plant(44, streams=20)
    drifting(values)
    called_shift = (scored(values)[LEVEL_SHIFT][ONSET : ONSET + 72, 0] >= 1).any(axis=0)
    assert np.count_nonzero(called_shift) <= 5


def test_ordinary_days_raise_at_most_the_budgeted_alarms() -> None:
    """Forty streams in six quiet weeks each alarm less than once in two weeks, all kinds together."""
    values = plant(42, streams=40)
    begins = 0
    for scores in scored(values).values():
        above = scores[:, 0] >= 1
        begins += int((above[1:] & ~above[:-1]).sum())
    assert begins <= 40 * 6 // 2


def test_first_week_of_an_ordinary_day_raises_nothing() -> None:
    """While a stream shows its daily pattern for the first time no kind alarms."""
    for scores in scored(plant(7, streams=20)).values():
        assert not (scores >= 1).any()


def test_lone_spike_is_no_change_of_level_or_variance() -> None:
    """One wild reading is neither a level shift nor a drift nor a change of variance in the hours after it."""
    values = plant(44, streams=20)
    values[ONSET] += 15
    scores = scored(values)
    for kind in (LEVEL_SHIFT, DRIFT, VARIANCE_CHANGE):
        assert np.count_nonzero((scores[kind][ONSET : ONSET + DAY - 1, 0] >= 1).any(axis=0)) <= 1


def test_relation_is_broken_where_a_channel_leaves_the_others() -> None:
    """A channel that shows its own past stays in its range, and is told with itself as the one that the others miss."""
    values = plant(44, streams=5, channels=3)
    values[ONSET : ONSET + 30, 1] = values[ONSET - 6 : ONSET + 24, 1]
    scores = scored(values)[BROKEN_RELATION]
    window = scores[ONSET : ONSET + 36]
    assert (window[:, 1] >= 1).any(axis=0).all()
    assert not (window[:, [0, 2]] >= 1).any()
    assert not (scores[LEARNING:ONSET] >= 1).any()


def test_single_channel_has_no_relation() -> None:
    """A stream of one channel keeps no state for relations and is not judged by them."""
    assert not [name for name in detectors.columns(1) if name.startswith("relation")]
    assert np.isnan(scored(plant(16))[BROKEN_RELATION]).all()


def test_value_never_seen_is_novel() -> None:
    """A reading far out of all that was seen is told at once, and no other one while the alarm rests."""
    values = plant(44, streams=20)
    values[ONSET] += 15
    values[ONSET + 20] -= 40
    above = scored(values)[NOVELTY][:, 0] >= 1
    assert above[ONSET].all()
    assert not above[ONSET + 20].any()


def test_missing_steps_are_not_judged_and_change_no_verdict() -> None:
    """Where nothing was observed nothing is scored; a day without readings makes no alarm afterwards."""
    values = plant(44, streams=10)
    values[ONSET : ONSET + DAY] = np.nan
    for scores in scored(values).values():
        assert np.isnan(scores[ONSET : ONSET + DAY]).all()
        begins = (scores[ONSET + DAY : ONSET + 2 * DAY, 0] >= 1).any(axis=0)
        assert np.count_nonzero(begins) <= 1


def test_rows_are_scored_alike_whatever_the_batch() -> None:
    """Scores of six streams are bit for bit the same alone, together, and in another order."""
    values = plant(20, streams=6, channels=3)
    values[16 * DAY :, 1, 2] += 9
    values[100:130, :, 4] = np.nan
    together = scored(values)
    order = np.array([3, 0, 5, 1, 4, 2])
    apart = table_of(3, 6)
    in_turns = [play(apart, order[k : k + 2], values[:, :, order[k : k + 2]]) for k in (0, 2, 4)]
    for t, steps in enumerate(zip(*in_turns, strict=True)):
        for kind in together:
            joined = np.concatenate([step[kind] for step in steps], axis=1)
            np.testing.assert_array_equal(joined, together[kind][t][:, order])


def test_flat_rows_learn_alike_whatever_the_batch() -> None:
    """Of flat streams the whole state is bit for bit the same alone and together: no zero has a sign."""
    values = np.round(plant(16, streams=6) / 5) * 5
    values[:, :, 2:] = [20.0, 0.0, -3.0, 1e-9]
    together = table_of(1, 6)
    for _ in play(together, np.arange(6), values):
        pass
    for row in range(6):
        alone = table_of(1, 1)
        for _ in play(alone, np.zeros(1, dtype=np.int64), values[:, :, row : row + 1]):
            pass
        found, wanted = alone.row(0), together.row(row)
        assert [name for name in wanted if found[name].tobytes() != wanted[name].tobytes()] == []


def test_wild_numbers_break_nothing() -> None:
    """After the largest float64, zeros and equal values all columns are finite or their initial NaN."""
    values = plant(20, streams=4, channels=2)
    values[400, :, 0] = np.finfo(np.float64).max
    values[401, :, 0] = -np.finfo(np.float64).max
    values[:, :, 1] = 0.0
    values[:, :, 2] = 1e-300
    with np.errstate(over="ignore", invalid="ignore"):
        scores = scored(values)
    for kind in scores.keys() - {LIMIT_AHEAD}:
        assert np.isfinite(scores[kind][-1, :, 3]).all()
        assert not (scores[kind][:, :, 1] >= 1).any()


# --- parts ------------------------------------------------------------------------------------------------------


def test_record_is_stretched_while_young_and_held_back() -> None:
    """What is found enters a record only after HELD readings, and then as twice the threshold at most."""
    records = (record.Record("x"),)
    table = Table(stuck.columns(1) | record.columns(1, records))
    table.add_row()
    ratios, least = [], np.zeros((1, 1, 1))
    for t in range(900):
        work = table.gather(np.array([0]))
        work["run_samples"][...] += 1
        found = np.array([[[1.0 if t < 300 else 10.0]]])
        learning = work["run_samples"][None] <= 300
        ratios.append(record.judge(work, found, 4 * HOUR_NS, learning, least, records).item())
        work.put()
    assert ratios[0] == MOST_SCORE
    assert ratios[1] == pytest.approx(1 / float(record.stretch(np.array(1 / 3))), rel=0.01)
    assert ratios[300] == pytest.approx(10 / record.MARGIN, rel=0.01)
    assert min(ratios[300 : 300 + record.HELD]) >= ratios[300]
    assert ratios[520] > 10 / record.MARGIN / (record.MOST_GROWTH * record.MARGIN) > ratios[-1]
    assert ratios[-1] == pytest.approx(1 / record.MARGIN, rel=0.2)


def test_young_relations_are_judged_by_how_well_they_are_known() -> None:
    """Of streams that have just learned what relates them one in a hundred is too far; taken for known, many."""
    noise = np.random.default_rng(4).standard_normal((LEARNING + 1, 8, 100))
    for t in range(LEARNING):
        noise[t + 1] += 0.7 * noise[t]
    table, nothing = table_of(8, 100), np.zeros((3, 8, 1, 100))
    for t, value in enumerate(noise):
        work, rows, steps = table.gather(np.arange(100)), np.arange(100), np.full(100, t)
        judged = Judged(rows, steps, steps * HOUR_NS, value, np.isfinite(value))
        band = Band(value, value, value, judged.observed, np.zeros(100, dtype=np.bool_))
        closed = Closed(judged, band, nothing, (1,), Settings(LEARNING), 8, HOUR_NS)
        score = relation.score(table, work, describe(work, closed)).score
        work.put()
    distance = np.nanmax(score, axis=0) * relation.LEAST
    known, unknown = relation._by_chance(8, np.array([1e9, LEARNING * relation.RATE / 2]))
    assert np.mean(distance >= 1) <= 0.01
    assert np.mean(distance >= known / unknown) >= 0.05


@pytest.mark.parametrize("kinds", [1, 5])
def test_budget_is_kept_by_a_stream_that_always_exceeds_it(kinds: int) -> None:
    """Scores that grow beyond any bound still alarm about once a week in the long run, however many kinds there are."""
    table = Table(surprise.columns())
    table.add_row()
    rng, weeks = np.random.default_rng(1), 200
    alarms = sum(_is_alarm(table, rng.pareto(3, kinds) * 3) for _ in range(weeks * 168))
    assert alarms <= 1.5 * weeks


def _is_alarm(table: Table, ratios: F64) -> bool:
    work = table.gather(np.array([0]))
    before = float(work["surprise_alarms"][0])
    surprise.spend(work, np.array([ratios.max()]) / surprise.factor(work), HOUR_NS)
    is_alarm = float(work["surprise_alarms"][0]) > before + 0.5
    work.put()
    return is_alarm


def test_budget_counts_an_alarm_for_less_the_more_is_known_of_a_stream() -> None:
    """An alarm costs a new stream much sight, one that has been calm for weeks little, and either pays it back."""
    table = Table(surprise.columns())
    for _ in range(2):
        table.add_row()

    def factors_after(rows: int, hours: int, *, alarm: bool = False) -> list[float]:
        for k in range(hours):
            work = table.gather(np.arange(rows))
            surprise.spend(work, np.full(rows, 5.0 if alarm and k == 0 else 0.1), HOUR_NS)
            work.put()
        return list(map(float, surprise.factor(table.gather(np.arange(2)))))

    calm = factors_after(1, 8 * 168)
    assert calm == [1.0, pytest.approx(2**0.5)]
    known, young = factors_after(2, 2 * surprise.INCIDENT, alarm=True)
    assert 1.0 < known < 1.15
    assert young > 1.5
    assert factors_after(2, 8 * 168) == [1.0, 1.0]


def test_budget_holds_in_the_first_weeks_of_a_restless_stream() -> None:
    """Streams that exceed their thresholds by all sizes three times a day alarm on three of four days at most."""
    rng, streams, hours = np.random.default_rng(8), 40, 14 * DAY
    alarms = np.zeros(streams)
    table = Table(surprise.columns())
    rows = np.array([table.add_row() for _ in range(streams)])
    for _ in range(hours):
        work = table.gather(rows)
        sizes = np.where(rng.random(streams) < 3 / DAY, rng.random(streams) ** (-1 / surprise.TAIL), 0.1)
        before = work["surprise_alarms"].copy()
        surprise.spend(work, sizes / surprise.factor(work), HOUR_NS)
        alarms[...] += work["surprise_alarms"] > before + 0.5
        work.put()
    assert alarms.mean() <= 14 * 0.75


def test_spike_where_a_stream_has_been_before_is_none() -> None:
    """A job that runs at no fixed hour is no news when it runs again; one of half its size is."""
    rng, hours = np.random.default_rng(5), 45 * DAY
    values = 0.1 * rng.standard_normal((hours, 1, 1))
    values[rng.choice(np.arange(LEARNING, hours - 60), 20, replace=False)] += 20
    values[-50], values[-25] = 20, 10
    table, rows = table_of(1, 1), np.array([0])
    for _ in play(table, rows, values[:-50]):
        pass
    far = []
    for t in (-50, -25):
        work, asked = table.gather(rows), np.ones((1, 1), dtype=np.bool_)
        far.append(len(spike.known(table, work, values[t], asked)[0]))
    assert far == [1, 0]


def test_joined_bits_are_pairs_in_the_lower_half() -> None:
    """Bit k of a joined word is set where bit 2k or 2k + 1 was."""
    words = np.random.default_rng(5).integers(0, 2**63, 50).astype(np.uint64)
    joined = bitmap.joined_bits(words)
    for word, got in zip(words.tolist(), joined.tolist(), strict=True):
        wanted = sum(1 << k for k in range(32) if word >> 2 * k & 3)
        assert got == wanted


def test_nearest_bit_is_that_of_a_search() -> None:
    """The distance to the nearest set bit's middle is that of trying all bits, full and single ones included."""
    rng = np.random.default_rng(6)
    words = np.array([2**64 - 1, 1, 1 << 63, *rng.integers(1, 2**63, 40)], dtype=np.uint64)[:, None]
    at = rng.integers(0, 64, (len(words), 1))
    within = rng.random((len(words), 1))
    got = bitmap.to_nearest_bit(words, at, within)
    for j, word in enumerate(words[:, 0].tolist()):
        place = at[j, 0] + within[j, 0]
        wanted = min(abs(k + 0.5 - place) for k in range(64) if word >> k & 1)
        assert got[j, 0] == pytest.approx(wanted)


def test_map_remembers_where_it_was_after_its_range_has_grown() -> None:
    """A range that grows a hundredfold joins cells; what was known before is still near."""
    table = Table({**stuck.columns(1), **novelty_map.columns(1), "other": Column(())})
    table.add_row()
    rng = np.random.default_rng(2)

    def step(x: float) -> float:
        work = table.gather(np.array([0]))
        work["run_samples"][...] += 1
        seen, place = np.ones((1, 1), dtype=np.bool_), np.zeros((1, 1), dtype=np.intp)
        found, _ = novelty_map.distance(table, work, np.array([[x]]), seen, place)
        work.put()
        return float(found[0, 0])

    for _ in range(400):
        step(rng.random())
    assert step(0.5) == 0.0
    for x in (3.0, -8.0, 30.0, -100.0):
        assert step(x) > 0.2
        for _ in range(40):
            step(rng.random())
    assert max(step(rng.random()) for _ in range(40)) < 0.1
