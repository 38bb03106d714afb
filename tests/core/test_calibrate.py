"""Calibration: coverage is what was promised, whatever the forecaster says."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseq.core import calibrate
from edgeseq.core.table import Table
from edgeseq.core.types import F64

LEADS = calibrate.leads_up_to(24)


def coverage(outcomes: F64, spread: float, *, from_step: int) -> F64:
    """Run N streams whose forecaster says 0 +- spread at every lead → share inside, by lead (K,)."""
    streams, steps = outcomes.shape
    table = Table(calibrate.columns(1, 24))
    for _ in range(streams):
        table.add_row()
    rows = np.arange(streams)
    raw = np.empty((streams, len(calibrate.FORECASTERS), 1, 3, len(LEADS)))
    raw[..., calibrate.LOWER, :], raw[..., calibrate.VALUE, :], raw[..., calibrate.UPPER, :] = (
        -spread,
        0,
        spread,
    )
    inside, told = np.zeros(len(LEADS)), 0
    for step in range(steps):
        outcome = outcomes[:, step, None]
        offset = table["offset"][:, 0, 0].copy()
        forecasts = calibrate.due(table, LEADS, rows, np.full(streams, step))
        if step >= from_step:
            inside += (np.abs(outcome) <= spread + offset).sum(axis=0)
            told += streams
        calibrate.learn(table, LEADS, rows, outcome, forecasts)
        calibrate.push(table, LEADS, rows, np.full(streams, step), raw)
    return inside / told


@pytest.mark.parametrize("spread", [0.0, 2.0, 4.0])
def test_coverage_is_ninety_percent_whatever_the_raw_interval(spread: float) -> None:
    """Intervals of no width, about right and twice too wide all come to 90 % within 1.5 points at every lead."""
    outcomes = np.random.default_rng(5).standard_t(4, (20, 1500))
    assert coverage(outcomes, spread, from_step=500) == pytest.approx(0.9, abs=0.015)


def test_coverage_returns_after_the_scale_doubles() -> None:
    """Two hundred outcomes after a doubling of the scale coverage is within 5 points again at short leads."""
    outcomes = np.random.default_rng(6).normal(size=(50, 1100))
    outcomes[:, 700:] *= 2
    assert coverage(outcomes, 1.0, from_step=900)[:3] == pytest.approx(0.9, abs=0.05)


def test_due_gives_the_forecast_made_lead_steps_ago() -> None:
    """The packed ring returns to each lead what was pushed so many steps before, and NaN before that."""
    table = Table(calibrate.columns(1, 24))
    row = np.array([table.add_row()])
    for step in range(60):
        forecasts = calibrate.due(table, LEADS, row, np.array([step]))
        expected = [step - lead if step >= lead else np.nan for lead in LEADS]
        assert np.array_equal(forecasts[0, 0, 0, 1], np.array(expected, dtype=float), equal_nan=True)
        calibrate.push(table, LEADS, row, np.array([step]), np.full((1, 3, 1, 3, len(LEADS)), float(step)))


def test_interval_contains_its_value_and_widens_smoothly() -> None:
    """Between calibrated leads offsets are interpolated; a negative offset never pushes an edge past the value."""
    table = Table(calibrate.columns(1, 24))
    row = np.array([table.add_row()])
    table["offset"][0, 0, 0] = [-5.0, 0.0, 1.0, 2.0, 3.0, 4.0]
    raw = np.zeros((1, 1, 3, 24))
    lower, value, upper = calibrate.interval(table, LEADS, row, np.array([0]), raw)
    assert (lower <= value).all()
    assert (value <= upper).all()
    assert (np.diff(upper[0, 0]) >= 0).all()
    assert upper[0, 0, 23] == pytest.approx(4.0)


def test_alert_width_counts_an_episode_once() -> None:
    """Ten outcomes outside in a row widen the alert band as one does."""
    widths = []
    for outside in (1, 10):
        table = Table(calibrate.columns(1, 24))
        row = np.array([table.add_row()])
        raw = np.zeros((1, 3, 1, 3, len(LEADS)))
        for step in range(200):
            y = 100.0 if 150 <= step < 150 + outside else float(np.sin(step))
            forecasts = calibrate.due(table, LEADS, row, np.array([step]))
            calibrate.learn(table, LEADS, row, np.array([[y]]), forecasts)
            calibrate.push(table, LEADS, row, np.array([step]), raw)
        widths.append(float(table["alert_width"][0, 0, 0]))
    assert widths[1] == pytest.approx(widths[0], rel=0.05)
    assert widths[0] > calibrate.ALERT_START * 1.2


def _paired(model: list[float], baseline: list[float], counts: list[int]) -> tuple[Table, tuple[int, ...]]:
    """Make a table of one stream whose forecasters have erred so much at each lead."""
    leads = calibrate.leads_up_to(8)
    table = Table(calibrate.columns(1, 8))
    table.add_row()
    table["paired_error"][0, :2, 0] = np.array([baseline, model])
    table["paired"][0, 0] = counts
    return table, leads


def test_model_weighs_most_until_errors_speak_against_it() -> None:
    """At equal errors the model has 73 %, at half the error all but all, at twice the error next to nothing."""
    table, leads = _paired([1, 1, 2, 2], [2, 1, 1, 1], [99] * 4)
    share = calibrate.model_share(table, leads, np.array([0]), 8)[0, 0]
    assert share[0] > 0.9999
    assert share[1] == pytest.approx(1 / (1 + np.exp(-calibrate.BLEND_TRUST)))
    assert (share[3:] < 0.001).all()
    assert share[1] > share[2] > share[3]


def test_longer_leads_remember_longer_how_model_and_baseline_erred() -> None:
    """After 150 outcomes on which only the model erred, lead 1 has forgotten half, lead 96 a twentieth."""
    table, leads, row = Table(calibrate.columns(1, 96)), calibrate.leads_up_to(96), np.array([0])
    table.add_row()
    forecasts = np.zeros((1, 3, 1, 3, len(leads)))
    for step in range(3000 + 150):
        forecasts[:, calibrate.MODEL] = 1.0 if step >= 3000 else 0.0
        calibrate.learn(table, leads, row, np.array([[0.0]]), forecasts)
    error = table["paired_error"][0, calibrate.MODEL, 0]
    assert error[0] == pytest.approx(0.5, abs=0.01)
    assert error[leads.index(96)] == pytest.approx(
        1 - 0.5 ** (150 / (96 * calibrate.BLEND_MEMORY_LEADS)), abs=0.01
    )


def test_leads_without_outcomes_take_the_share_of_a_shorter_lead() -> None:
    """Where a long lead has no outcome yet the next shorter one speaks; with none at all the model alone serves."""
    table, leads = _paired([3, 9, 9, 9], [1, 1, 1, 1], [99, 0, 0, 0])
    assert (calibrate.model_share(table, leads, np.array([0]), 8) < 0.001).all()
    table["paired"][0, 0] = 0
    assert (calibrate.model_share(table, leads, np.array([0]), 8) == 1).all()


def test_blend_lies_between_its_parts_and_is_as_wide_as_the_model() -> None:
    """A share of 1 is the model, of 0 the baseline's value; the width is the model's throughout."""
    raw = np.zeros((1, 3, 1, 3, 2))
    raw[0, 0, 0] = 10.0
    raw[0, 1, 0] = [[1, 2], [4, 4], [6, 8]]
    assert calibrate.blend(raw, np.ones((1, 1, 2)))[0, 0].tolist() == [[1, 2], [4, 4], [6, 8]]
    assert calibrate.blend(raw, np.zeros((1, 1, 2)))[0, 0].tolist() == [[7, 8], [10, 10], [12, 14]]
    assert calibrate.blend(raw, np.full((1, 1, 2), 0.5))[0, 0, 1].tolist() == [7, 7]
