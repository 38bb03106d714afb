"""Calibration: coverage is what was promised, whatever the forecaster says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeseq.core import achieved, alert_band, calibrate, mixture, offsets, pending, serve
from edgeseq.core.picking import picking
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import COVERAGE, F64

LEADS = pending.leads_up_to(24)


def _columns(channels: int, horizon: int) -> dict[str, Column]:
    """Declare all that calibration needs of a table."""
    columns = pending.columns(channels, horizon, 24) | calibrate.columns(channels, horizon)
    return columns | alert_band.columns(channels) | achieved.columns(channels)


class Streams:
    """N streams of one channel whose model says what it is told to."""

    def __init__(self, n: int = 1, horizon: int = 24) -> None:
        self.leads = pending.leads_up_to(horizon)
        self.table = Table(_columns(1, horizon))
        self.rows = np.array([self.table.add_row() for _ in range(n)])
        self.work = self.table.gather(self.rows)
        self.work["serving"][...] = pending.BLEND

    def due(self, step: int) -> pending.Waiting:
        """Give what was forecast for a step."""
        n = len(self.rows)
        at = np.full(n, step)
        return pending.due(self.table, self.leads, self.rows, at, np.zeros((1, n)), np.ones((1, n)))

    def live(
        self,
        step: int,
        outcome: F64,
        said: NDArray[Any],
        *,
        baseline: float = 0.0,
        coverage: float = COVERAGE,
    ) -> None:
        """Learn of the outcomes (n,) of a step, then let the model say lower, value, upper (3,) at every lead."""
        calibrate.learn(self.work, self.leads, outcome[None], self.due(step), coverage)
        shape = (len(self.rows), 1, len(self.leads))
        widened = serve.widening(
            offsets.in_sensor_units(self.work), picking(self.work["serving"] == pending.BLEND)
        )
        naive, share = np.full(shape, baseline), np.ones(shape, np.float32)
        model = np.broadcast_to(said, (*shape, 3)).astype(np.float32)
        at = np.full(len(self.rows), step)
        pending.push(self.table, self.leads, self.rows, at, naive, model, share, widened)


def coverage(outcomes: F64, spread: float, *, from_step: int, wanted: float = COVERAGE) -> F64:
    """Run N streams whose forecaster says 0 +- spread at every lead → share inside, by lead (K,)."""
    n, steps = outcomes.shape
    streams = Streams(n)
    inside, told = np.zeros(len(LEADS)), 0
    for step in range(steps):
        offset = offsets.in_sensor_units(streams.work)[pending.BLEND, 0]
        if step >= from_step:
            inside += (np.abs(outcomes[:, step]) <= spread + offset).sum(axis=1)
            told += n
        streams.live(step, outcomes[:, step], np.array([-spread, 0, spread]), coverage=wanted)
    return inside / told


@pytest.mark.parametrize(("spread", "wanted"), [(0.0, 0.9), (2.0, 0.9), (4.0, 0.9), (2.0, 0.5), (2.0, 0.99)])
def test_coverage_is_what_was_asked_for_whatever_the_raw_interval(spread: float, wanted: float) -> None:
    """Intervals of no width, about right and twice too wide all come to it within 1.5 points at every lead."""
    outcomes = np.random.default_rng(5).standard_t(4, (20, 1500))
    assert coverage(outcomes, spread, from_step=500, wanted=wanted) == pytest.approx(wanted, abs=0.015)


def test_published_intervals_of_long_leads_hold_what_was_promised() -> None:
    """Errors that last for days fool an offset judged by its own present: those published held too little."""
    rng, steps, memory = np.random.default_rng(8), 6000, 0.98
    noise = rng.normal(size=(steps, 10))
    outcomes = np.zeros((steps, 10))
    for step in range(1, steps):
        outcomes[step] = memory * outcomes[step - 1] + noise[step]
    streams = Streams(10)
    inside = []
    for step, outcome in enumerate(outcomes):
        published = streams.due(step).offset[0]
        inside.append(np.abs(outcome) <= published)
        streams.live(step, outcome, np.zeros(3))
    assert np.mean(inside[1000:], axis=(0, 2)) == pytest.approx(0.9, abs=0.005)


def test_long_leads_widen_as_soon_as_lead_1_errs_more() -> None:
    """A sensor that scatters three times as wide widens lead 24 without an outcome of it."""
    outcomes = np.random.default_rng(4).normal(size=440)
    streams, told = Streams(), []
    for step, outcome in enumerate(outcomes.tolist()):
        y = outcome * (3 if step >= 380 else 1)
        told.append(offsets.in_sensor_units(streams.work)[pending.BLEND, 0, -1, 0])
        said = np.zeros((3, 1, len(LEADS), 1))
        said[:, :, 1:] = np.nan if step >= 380 else 0.0
        forecasts = pending.Waiting(said, said[0], said[0], np.full_like(said[0], np.nan))
        calibrate.learn(streams.work, LEADS, np.array([[y]]), forecasts, COVERAGE)
    assert told[439] > 1.15 * told[380]


def test_coverage_returns_after_the_scale_doubles() -> None:
    """Two hundred outcomes after a doubling of the scale coverage is within 5 points again at short leads."""
    outcomes = np.random.default_rng(6).normal(size=(50, 1100))
    outcomes[:, 700:] *= 2
    assert coverage(outcomes, 1.0, from_step=900)[:3] == pytest.approx(0.9, abs=0.05)


def test_stream_learns_the_same_beside_one_that_has_no_outcome_yet() -> None:
    """What a stream learns depends on its own outcomes only, whatever the others of its batch have seen."""
    outcomes = np.random.default_rng(3).normal(0, 1, 120)
    alone, beside = Streams(1), Streams(2)
    for step, outcome in enumerate(outcomes.tolist()):
        alone.live(step, np.array([outcome]), np.array([-0.5, 0, 0.5]))
        beside.live(step, np.array([outcome, np.nan]), np.array([-0.5, 0, 0.5]))
    for name in (
        "offset_scales",
        "error",
        "recent_error",
        "scored",
        "alert_width",
        "stride",
        "paired_error",
        "even_error",
        "paired",
        "log_ratio",
    ):
        np.testing.assert_array_equal(alone.work[name][..., 0], beside.work[name][..., 0], err_msg=name)


def test_due_gives_the_forecast_made_lead_steps_ago() -> None:
    """The packed ring returns to each lead what was pushed so many steps before, and NaN before that."""
    streams = Streams()
    for step in range(60):
        expected = np.array([step - lead if step >= lead else np.nan for lead in LEADS], dtype=float)
        found = streams.due(step)
        for forecaster, offset in ((pending.BASELINE, 0.5), (pending.BLEND, 1.0), (pending.MODEL, 1.0)):
            assert np.array_equal(found.value[forecaster, 0, :, 0], expected + offset, equal_nan=True)
        assert np.array_equal(found.upper[0, :, 0], expected + 2.0, equal_nan=True)
        for told in (step + 7.0, float(step)):  # the open step is told anew by each of its readings
            streams.live(step, np.array([np.nan]), told + np.arange(3), baseline=told + 0.5)


def test_forecasts_wait_without_losing_a_bit() -> None:
    """What waits for its outcome is what was published: float32 in the model's scale, float64 of the baseline."""
    rng = np.random.default_rng(3)
    table = Table(_columns(2, 4))
    rows, leads = np.array([table.add_row() for _ in range(5)]), pending.leads_up_to(4)
    naive, anchor, unit = 1e7 + rng.normal(size=(5, 2, 3)), rng.normal(size=(2, 5)), np.full((2, 5), 0.125)
    model = rng.normal(size=(5, 2, 3, 3)).astype(np.float32)
    share = rng.random((5, 2, 3)).astype(np.float32)
    published = pending.blend(
        naive, np.moveaxis(model, 3, 0) * unit.T[:, :, None] + anchor.T[:, :, None], share.astype(np.float64)
    )
    for step in range(5):
        pending.push(table, leads, rows, np.full(5, step), naive, model, share)
    found = pending.due(table, leads, rows, np.full(5, 5), anchor, unit)
    assert np.array_equal(found.value[pending.BASELINE].transpose(2, 0, 1), naive)
    for part, wanted in zip((found.lower, found.value[pending.BLEND], found.upper), published, strict=True):
        assert np.array_equal(part.transpose(2, 0, 1), wanted)


def test_interval_contains_its_value_and_widens_smoothly() -> None:
    """Between calibrated leads offsets are interpolated; a negative offset never pushes an edge past the value."""
    streams = Streams()
    streams.work["offset_scales"][0, 0, :, 0] = [-5.0, 0.0, 1.0, 2.0, 3.0, 4.0]
    streams.work["error"][...] = 1.0
    value = np.zeros((1, 1, 24))
    spread = serve.spread(
        serve.widening(offsets.in_sensor_units(streams.work), picking(np.array([False]))), LEADS, 24
    )
    lower, upper = serve.interval(spread, value, value, value)
    assert (lower <= value).all()
    assert (value <= upper).all()
    assert (np.diff(upper[0, 0]) >= 0).all()
    assert upper[0, 0, 23] == pytest.approx(4.0)


def test_alert_width_counts_an_episode_once() -> None:
    """Ten outcomes outside in a row widen the alert band as one does."""
    widths = []
    for outside in (1, 10):
        streams = Streams()
        for step in range(200):
            y = 100.0 if 150 <= step < 150 + outside else float(np.sin(step))
            streams.live(step, np.array([y]), np.zeros(3))
        widths.append(float(streams.work["alert_width"][0, 0, 0]))
    assert widths[1] == pytest.approx(widths[0], rel=0.05)
    assert widths[0] > alert_band.ALERT_START * 1.2


def _paired(model: list[float], baseline: list[float], counts: list[int]) -> tuple[Work, tuple[int, ...]]:
    """Make the work on one stream whose forecasters have erred so much at each lead."""
    streams = Streams(horizon=8)
    streams.work["paired_error"][pending.BASELINE, 0, :, 0] = baseline
    streams.work["paired_error"][pending.MODEL, 0, :, 0] = model
    streams.work["paired"][0, :, 0] = counts
    return streams.work, streams.leads


def test_model_weighs_what_would_have_erred_least() -> None:
    """Where errors go together the better one serves alone, and half of each where they are equal."""
    work, leads = _paired([1, 1, 2, 2], [2, 1, 1, 1], [99] * 4)
    share = serve.model_share(work, leads, 8)[0, 0]
    assert share[0] == 1
    assert share[1] == 0.5
    assert (share[3:] == 0).all()


@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.5, 0.9])
@pytest.mark.parametrize("ratio", [0.5, 0.8, 1.0, 1.5])
def test_share_is_nearly_the_best_of_all_shares(correlation: float, ratio: float) -> None:
    """Of jointly normal errors it costs at most 1 % beside the best share, and lies between model and baseline."""
    rng = np.random.default_rng(7)
    first, other = rng.normal(size=(2, 40_000))
    model = ratio * (correlation * first + np.sqrt(1 - correlation**2) * other)

    def error(share: F64) -> F64:
        mean: F64 = np.abs(first[:, None] + share * (model - first)[:, None]).mean(axis=0)
        return mean

    ends = error(np.array([0.0, 0.5, 1.0]))
    errors = np.array([ends[0], np.nan, ends[2]])[:, None, None, None]
    share = mixture.best_share(errors, np.full((1, 1, 1), ends[1]))
    assert 0 <= share.item() <= 1
    assert error(share.ravel()) <= 1.01 * error(np.linspace(0, 1, 101)).min()


def test_share_of_errors_that_are_zero_huge_or_unknown() -> None:
    """Who never erred serves; where neither did, both; what is not known is left to a shorter lead."""
    baseline, model = np.array([[0.0, 0, 1, 1e308, np.nan], [0, 1, 0, 1, 1]])
    errors = np.stack([baseline, baseline, model])[:, None, None]
    share = mixture.best_share(errors, np.full((1, 1, 5), np.nan))
    np.testing.assert_array_equal(share.ravel(), [0.5, 0, 1, 1, np.nan])


def test_longer_leads_remember_longer_how_model_and_baseline_erred() -> None:
    """After 150 outcomes on which the model erred too, lead 1 has forgotten half, lead 96 a fifth."""
    streams = Streams(horizon=96)
    said = np.zeros((1, len(streams.leads), 1))
    for step in range(3000 + 150):
        value = np.stack([said + 1, said, said + float(step >= 3000)])
        forecasts = pending.Waiting(value, *(value[pending.MODEL],) * 2, np.full(said.shape, np.nan))
        calibrate.learn(streams.work, streams.leads, np.zeros((1, 1)), forecasts, COVERAGE)
    error = streams.work["paired_error"][pending.MODEL, 0, :, 0]
    assert error[0] == pytest.approx(0.5, abs=0.01)
    assert error[streams.leads.index(96)] == pytest.approx(
        1 - 0.5 ** (150 / (96 * calibrate.BLEND_MEMORY_LEADS)), abs=0.01
    )


def _learn_pair(streams: Streams, baseline: F64, model: F64) -> None:
    """Learn of one outcome that baseline and model (n,) missed by so much at every lead."""
    missed = np.stack([baseline, (baseline + model) / 2, model])[:, None, None]
    value = np.broadcast_to(missed, (3, 1, len(streams.leads), missed.shape[-1])).copy()
    forecasts = pending.Waiting(value, *(value[pending.MODEL],) * 2, np.full(value.shape[1:], np.nan))
    calibrate.learn(streams.work, streams.leads, np.zeros((1, len(baseline))), forecasts, COVERAGE)


def _erred(steps: int, seed: int, of_the_usual: float = 0.7) -> F64:
    """Draw by how much baseline and model miss (steps, 2): half of it is common to both, and one in fifty is wild."""
    rng = np.random.default_rng(seed)
    missed = rng.normal(size=(steps, 2)) + rng.normal(size=(steps, 1))
    missed[rng.random(steps) < 0.02] *= 40
    return missed * [1, of_the_usual]


def test_paired_errors_are_those_of_a_slow_reference() -> None:
    """Discounted means, an outcome beyond eight usual ones counting less, all errors of it scaled alike."""
    streams, missed = Streams(horizon=96), _erred(600, 1)
    wanted = np.full((len(streams.leads), 4), np.nan)
    for count, (baseline, model) in enumerate(missed.tolist()):
        _learn_pair(streams, np.array([baseline]), np.array([model]))
        errors = np.abs([baseline, (baseline + model) / 2, model, (baseline + model) / 2])
        for k, lead in enumerate(streams.leads):
            if count == 0:
                wanted[k] = errors
                continue
            usual, weight = 8 * (wanted[k, 0] + wanted[k, 2]), 1.0
            if count > 16 and errors[0] + errors[2] > usual:
                weight = usual / (errors[0] + errors[2])
            rate = max(1 / (count + 1), 1 - 0.5 ** (1 / max(150, 5 * lead)))
            wanted[k] += rate * (weight * errors - wanted[k])
    np.testing.assert_allclose(streams.work["paired_error"][:, 0, :, 0].T, wanted[:, :3], rtol=1e-12)
    np.testing.assert_allclose(streams.work["even_error"][0, :, 0], wanted[:, 3], rtol=1e-12)


def test_wild_outcomes_of_one_stream_leave_the_others_of_a_batch_as_they_are() -> None:
    """What is clipped is clipped row by row: to the bit what the stream alone would have learned."""
    calm, wild = _erred(200, 2) * 0.01, _erred(200, 3)
    alone, beside = Streams(1), Streams(2)
    for one, other in zip(calm, wild, strict=True):
        _learn_pair(alone, one[:1], one[1:])
        _learn_pair(beside, np.array([one[0], other[0]]), np.array([one[1], other[1]]))
    for name in ("paired_error", "even_error", "paired"):
        np.testing.assert_array_equal(alone.work[name][..., 0], beside.work[name][..., 0], err_msg=name)
    share = [serve.model_share(s.work, s.leads, 24)[0] for s in (alone, beside)]
    np.testing.assert_array_equal(*share)


def test_one_wild_outcome_does_not_decide_between_model_and_baseline() -> None:
    """An outage that the model misses by more than a thousand usual errors costs a good model no ground."""
    streams = Streams()
    for _ in range(300):
        _learn_pair(streams, np.ones(1), np.full(1, 0.8))
    before = serve.model_share(streams.work, streams.leads, 24)
    _learn_pair(streams, np.full(1, 1000.0), np.full(1, 1300.0))
    after = serve.model_share(streams.work, streams.leads, 24)
    assert (before > 0.97).all()
    assert (after > 0.9).all()


@pytest.mark.parametrize(("lead", "outcomes"), [(1, 300), (24, 300), (96, 960)])
def test_a_model_that_breaks_is_left(lead: int, outcomes: int) -> None:
    """A model that was better by 30 % for long and errs twice as much as the baseline is left in two half-lives."""
    streams = Streams(horizon=96)
    for baseline, model in _erred(3000, 4):
        _learn_pair(streams, np.array([baseline]), np.array([model]))
    assert serve.model_share(streams.work, streams.leads, 96)[0, 0, lead - 1] > 0.7
    for baseline, model in _erred(outcomes, 5, 2.0):
        _learn_pair(streams, np.array([baseline]), np.array([model]))
    assert serve.model_share(streams.work, streams.leads, 96)[0, 0, lead - 1] < 0.15


def test_a_stream_that_was_kept_before_there_was_an_even_mixture_goes_on() -> None:
    """Nothing known of it is as if the errors went together; from the next outcomes on it is learned."""
    streams = Streams()
    for _ in range(300):
        _learn_pair(streams, np.ones(1), np.full(1, 0.9))
    known = serve.model_share(streams.work, streams.leads, 24)
    streams.work["even_error"][...] = np.nan
    np.testing.assert_allclose(serve.model_share(streams.work, streams.leads, 24), known, rtol=1e-6)
    for _ in range(300):
        _learn_pair(streams, np.ones(1), np.full(1, -0.9))
    assert (serve.model_share(streams.work, streams.leads, 24) < 0.7).all()


def test_errors_of_forecasters_that_never_erred_begin_to_move() -> None:
    """Of a sensor that stood still nothing is known of what is usual: its first errors count whole."""
    streams = Streams()
    for _ in range(100):
        _learn_pair(streams, np.zeros(1), np.zeros(1))
    for _ in range(100):
        _learn_pair(streams, np.ones(1), np.full(1, 3.0))
    assert (streams.work["paired_error"][pending.BASELINE] > 0.2).all()
    assert (serve.model_share(streams.work, streams.leads, 24) < 0.05).all()


def test_leads_without_outcomes_take_the_share_of_a_shorter_lead() -> None:
    """Where a long lead has no outcome yet the next shorter one speaks; with none at all the model alone serves."""
    work, leads = _paired([3, 9, 9, 9], [1, 1, 1, 1], [99, 0, 0, 0])
    assert (serve.model_share(work, leads, 8) == 0).all()
    work["paired"][...] = 0
    assert (serve.model_share(work, leads, 8) == 1).all()


def test_blend_lies_between_its_parts_and_is_as_wide_as_the_model() -> None:
    """A share of 1 is the model, of 0 the baseline's value; the width is the model's throughout."""
    naive, model = np.full(2, 10.0), np.array([[1.0, 2.0], [4.0, 4.0], [6.0, 8.0]])
    assert pending.blend(naive, model, np.ones(2)).tolist() == [[1, 2], [4, 4], [6, 8]]
    assert pending.blend(naive, model, np.zeros(2)).tolist() == [[7, 8], [10, 10], [12, 14]]
    assert pending.blend(naive, model, np.full(2, 0.5))[1].tolist() == [7, 7]


@pytest.mark.parametrize("horizon", [1, 2, 24])
def test_a_baseline_without_season_waits_once_for_all_leads(horizon: int) -> None:
    """It says the same of all leads: kept once for each origin, it comes due as if each lead had its own place."""
    leads = pending.leads_up_to(horizon)
    tables = [Table(pending.columns(2, horizon, season_steps)) for season_steps in (0, 24)]
    rows, rng = np.array([2, 0]), np.random.default_rng(5)
    for table in tables:
        for _ in range(3):
            table.add_row()
    scale = np.zeros((2, 2)), np.ones((2, 2))
    for step in range(-3, 2 * horizon + 4):
        last = np.broadcast_to(rng.standard_normal((2, 2, 1)), (2, 2, len(leads)))
        at = np.array([step, step + 7])
        found = [pending.due(table, leads, rows, at, *scale).value[0] for table in tables]
        np.testing.assert_array_equal(*found)
        for table in tables:
            pending.push(table, leads, rows, at, last, None, None)
    assert np.isfinite(found[0]).all()
    if horizon > 1:
        assert tables[0]["pending"].nbytes < tables[1]["pending"].nbytes
