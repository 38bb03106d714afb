"""Laws of the demo's checks: they pass on what should be received, and each fails when its part is broken."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from edgeseq.demo import scenario
from edgeseq.demo.accuracy import Accuracy, Comparison, H, compare, filled, fit_ridge, seasonal
from edgeseq.demo.checks import MAX_OTHERS, Check, run_checks
from edgeseq.demo.evidence import Alert, Evidence, Forecast, Path, note, to_ns
from edgeseq.demo.recordings import HOUR_NS, Recording, iso

PLAN = scenario.make()
GOOD = Comparison((Accuracy("served", 140, 250, 240), Accuracy("weekly naive", 300, 298, 300)), 500, 0.9, 0.9)


def perfect() -> Evidence:
    """Make what a faultless node would have sent."""
    evidence = Evidence()
    for reading in PLAN.live:
        time = dt.datetime.fromtimestamp(reading.time_ns / 1e9, dt.UTC)
        forecast = Forecast(reading.stream, time, observed=reading.value)
        evidence.forecasts.setdefault(reading.stream, {})[reading.time_ns] = forecast
    for window in (*PLAN.faults, *PLAN.real):
        cleared_ns = window.end_ns if window.must_clear else None
        evidence.alerts[window.name] = Alert(
            window.stream, window.kinds[0].value, window.start_ns, "", cleared_ns
        )
    return evidence


def failed(evidence: Evidence, comparison: Comparison | None = GOOD) -> list[str]:
    """Name the checks that fail."""
    return [check.name for check in run_checks(PLAN, evidence, comparison) if not check.passed]


def test_checks_pass_on_faultless_evidence() -> None:
    """Everything answered, named and cleared passes every check."""
    assert failed(perfect()) == []


@pytest.mark.parametrize("stream", [scenario.TRAFFIC, scenario.PIPELINE])
def test_check_lost_forecast_fails(stream: str) -> None:
    """One forecast missing of more than a thousand fails the check of its stream."""
    evidence = perfect()
    evidence.forecasts[stream].pop(PLAN.live[-500 if stream == scenario.PIPELINE else 0].time_ns, None)
    assert failed(evidence) == [f"{stream}: a forecast for every reading"]


def test_check_forecast_of_another_value_fails() -> None:
    """A forecast made from another value than the one sent does not count."""
    evidence = perfect()
    time_ns = PLAN.live[0].time_ns
    forecast = evidence.forecasts[scenario.TRAFFIC][time_ns]
    evidence.forecasts[scenario.TRAFFIC][time_ns] = msgspec.structs.replace(forecast, observed=1.0)
    assert failed(evidence) == [f"{scenario.TRAFFIC}: a forecast for every reading"]


def _drop(evidence: Evidence, name: str) -> None:
    del evidence.alerts[name]


def _misname(evidence: Evidence, name: str) -> None:
    evidence.alerts[name].kind = "other"


def _leave_open(evidence: Evidence, name: str) -> None:
    evidence.alerts[name].cleared_ns = None


@pytest.mark.parametrize("harm", [_drop, _misname, _leave_open])
@pytest.mark.parametrize("window", [*PLAN.faults, *PLAN.real], ids=lambda window: window.name)
def test_check_event_missed_misnamed_or_left_open_fails(
    window: scenario.Window, harm: Callable[[Evidence, str], None]
) -> None:
    """An event without alert, with an alert of another kind or with one still open fails its own check alone."""
    evidence = perfect()
    harm(evidence, window.name)
    stays_open = harm is _leave_open and not window.must_clear
    assert failed(evidence) == ([] if stays_open else [f"{window.stream}: {window.name}"])


@pytest.mark.parametrize(("count", "passes"), [(MAX_OTHERS, True), (MAX_OTHERS + 1, False)])
def test_check_other_alerts_are_few(count: int, passes: bool) -> None:
    """Three alerts that belong to no event are tolerated, four are not; a second alert within an event is free."""
    evidence = perfect()
    for i in range(count):
        evidence.alerts[f"false {i}"] = Alert(
            scenario.TRAFFIC, "spike", scenario.TEST_FROM_NS + i * HOUR_NS, ""
        )
    outage = next(w for w in PLAN.real if w.name.startswith("outage"))
    evidence.alerts["again"] = Alert(outage.stream, "stuck", outage.start_ns + HOUR_NS, "", outage.end_ns)
    assert failed(evidence) == ([] if passes else ["other alerts"])


def test_check_without_any_alert_fails_for_every_event() -> None:
    """A detector that says nothing fails every event's check."""
    evidence = replace(perfect(), alerts={})
    assert len(failed(evidence)) == len(PLAN.faults) + len(PLAN.real)


@pytest.mark.parametrize("lead", ["mae_1", "mae_24", "mae_1_to_24"])
def test_check_accuracy_not_better_than_a_naive_fails(lead: str) -> None:
    """Equal to the best naive forecast at one of the leads is not good enough."""
    worse = replace(GOOD, rows=(replace(GOOD.rows[0], **{lead: getattr(GOOD.rows[1], lead)}), GOOD.rows[1]))
    assert len(failed(perfect(), worse)) == 1


def test_check_accuracy_without_forecasts_fails() -> None:
    """Nothing served is a failed check, not a skipped one."""
    assert failed(perfect(), None) == ["accuracy"]


def test_check_says_what_was_wanted_and_found() -> None:
    """Each check tells both sides."""
    checks: list[Check] = run_checks(PLAN, perfect(), GOOD)
    assert all(check.wanted and check.found for check in checks)


# --- evidence ---------------------------------------------------------------------------------------------------


def test_note_keeps_alerts_from_opening_to_end() -> None:
    """An alert's events of one id become one alert with its end; a repeated event changes nothing."""
    evidence = Evidence()
    opened = {
        "event_type": "opened",
        "id": "a",
        "stream": "s",
        "kind": "spike",
        "opened": "2026-03-01T10:00:00Z",
    }
    cleared = {**opened, "event_type": "cleared", "cleared": "2026-03-01T12:00:00Z"}
    for event in (opened, opened, cleared, cleared):
        note(evidence, "edgeseq/demo/s/alert", msgspec.json.encode(event))
    [alert] = evidence.alerts.values()
    assert (iso(alert.opened_ns), iso(alert.cleared_ns or 0)) == (
        "2026-03-01T10:00:00Z",
        "2026-03-01T12:00:00Z",
    )


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff", b'{"origin":"2026-03-01T10:00:00","stream":"s"}'])
def test_note_counts_what_it_cannot_read(payload: bytes) -> None:
    """A payload that is no forecast is counted, and nothing raises."""
    evidence = Evidence()
    note(evidence, "edgeseq/demo/s/forecast", payload)
    assert (evidence.unreadable, evidence.forecasts) == (1, {})


# --- accuracy ---------------------------------------------------------------------------------------------------


def _week_pattern(weeks: int) -> Recording:
    hours = np.arange(weeks * 168)
    value = 1000 + 500 * np.sin(hours * 2 * np.pi / 24) + 200 * np.sin(hours * 2 * np.pi / 168)
    return Recording(hours * HOUR_NS, value)


def test_seasonal_repeats_the_newest_season_seen() -> None:
    """Each lead repeats the value a whole number of seasons before it, never one from the future."""
    value = np.arange(100.0)
    assert seasonal(value, np.array([50]), 1)[0].tolist() == [50.0] * H
    assert seasonal(value, np.array([50]), 5)[0][:7].tolist() == [46, 47, 48, 49, 50, 46, 47]


def test_ridge_learns_a_periodic_series() -> None:
    """On a noiseless week pattern ridge forecasts all leads almost exactly."""
    value = _week_pattern(12).value
    at = np.array([len(value) - H - 1])
    error = fit_ridge(value)(value, at)[0] - value[-H:]
    assert np.abs(error).max() < 0.01 * np.std(value)


def test_filled_leaves_no_gap() -> None:
    """Missing values are those of a week before, else after, else the mean."""
    value = _week_pattern(3).value
    holed = value.copy()
    holed[[5, 200]] = np.nan
    assert np.allclose(filled(holed)[[5, 200]], value[[5, 200]])


def test_compare_scores_all_forecasters_on_the_same_pairs() -> None:
    """A perfect served path has error 0 and full coverage; rivals are scored on its origins; no path, no comparison."""
    truth = _week_pattern(8)
    start_ns, end_ns = 5 * 168 * HOUR_NS, 7 * 168 * HOUR_NS
    forecasts = {
        int(t): _exact(truth, int(t))
        for t in truth.time_ns[(truth.time_ns >= start_ns) & (truth.time_ns < end_ns)]
    }
    compared = compare(truth, truth.between(0, start_ns), forecasts, start_ns, end_ns)
    assert compared is not None
    assert compared.served.mae_1_to_24 == pytest.approx(0, abs=1e-9)
    assert compared.coverage_1_to_24 == 1.0
    assert compared.origins == 2 * 168 - H
    errors = {row.name: row.mae_1_to_24 for row in compared.rows}
    assert errors["weekly naive"] < 1e-6 < errors["daily naive"] < errors["persistence"]
    assert compare(truth, truth.between(0, start_ns), {}, start_ns, end_ns) is None


def _exact(truth: Recording, time_ns: int) -> Forecast:
    at = time_ns // HOUR_NS
    values = truth.value[at + 1 : at + 1 + H].tolist()
    lower, upper = ([v + d for v in values] for d in (-1, 1))
    path = Path([3600.0 * h for h in range(1, len(values) + 1)], lower, values, upper)
    return Forecast("s", dt.datetime.fromtimestamp(time_ns / 1e9, dt.UTC), path=path)


def test_to_ns_is_exact() -> None:
    """Times become nanoseconds without rounding through float."""
    assert to_ns(dt.datetime(2022, 4, 11, 0, 0, 0, 123456, tzinfo=dt.UTC)) == 1_649_635_200_123_456_000
