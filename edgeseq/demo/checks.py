"""What must hold for the demo to pass: each check says what was wanted and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeseq.demo.accuracy import Comparison
from edgeseq.demo.evidence import Alert, Evidence
from edgeseq.demo.recordings import clock
from edgeseq.demo.scenario import Reading, Scenario, Window

MAX_OTHERS = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold."""

    name: str
    wanted: str
    found: str
    passed: bool


def run_checks(
    scenario: Scenario, evidence: Evidence, comparison: Comparison | None, *, check_accuracy: bool = True
) -> list[Check]:
    """Check everything that was received against everything that was played."""
    windows = (*scenario.faults, *scenario.real)
    return [
        *forecasts_arrived(scenario.live, evidence),
        *(named(window, evidence) for window in windows),
        no_others(windows, evidence),
        *(beats_naives(comparison) if check_accuracy else ()),
    ]


def forecasts_arrived(live: Sequence[Reading], evidence: Evidence) -> list[Check]:
    """Check that each reading, one to a step, was answered by a forecast of its time that shows its value."""
    return [_answered(stream, live, evidence) for stream in dict.fromkeys(reading.stream for reading in live)]


def _answered(stream: str, live: Sequence[Reading], evidence: Evidence) -> Check:
    forecasts = evidence.of(stream)
    sent = [reading for reading in live if reading.stream == stream]
    lost = [r for r in sent if not _shows(forecasts.get(r.time_ns), r.value)]
    found = f"{len(sent) - len(lost):,}" + (f"; the first lost is {clock(lost[0].time_ns)}" if lost else "")
    return Check(f"{stream}: a forecast for every reading", f"{len(sent):,}", found, not lost)


def _shows(forecast: object, value: float) -> bool:
    """Tell whether the forecast was made from this reading; payloads carry 5 significant digits."""
    observed = getattr(forecast, "observed", None)
    return observed is not None and abs(observed - value) <= 1e-4 * abs(value)


def named(window: Window, evidence: Evidence) -> Check:
    """Check that an event was alerted by its name, in time, and cleared."""
    hits = [alert for alert in evidence.alerts.values() if belongs(alert, window)]
    right = [alert for alert in hits if alert.kind in window.kinds]
    names = " or ".join(kind.value for kind in window.kinds)
    wanted = f"{names} alert from {clock(window.start_ns)}" + (", cleared" if window.must_clear else "")
    if not right:
        found = "no alert" if not hits else "only " + ", ".join(sorted({alert.kind for alert in hits}))
        return Check(_title(window), wanted, found, passed=False)
    first = min(right, key=lambda alert: alert.opened_ns)
    open_ones = [alert for alert in hits if alert.cleared_ns is None]
    found = f"{first.kind} opened {clock(first.opened_ns)}" + (", still open" if open_ones else ", cleared")
    return Check(_title(window), wanted, found, not (open_ones and window.must_clear))


def _title(window: Window) -> str:
    return f"{window.stream}: {window.name}"


def belongs(alert: Alert, window: Window) -> bool:
    """Tell whether an alert opened in an event's span."""
    return alert.stream == window.stream and window.start_ns <= alert.opened_ns <= window.last_ns


def others(windows: Sequence[Window], evidence: Evidence) -> list[Alert]:
    """List the alerts that belong to no expected event."""
    return [a for a in evidence.alerts.values() if not any(belongs(a, window) for window in windows)]


def no_others(windows: Sequence[Window], evidence: Evidence) -> Check:
    """Check that hardly anything else was alerted."""
    rest = sorted(others(windows, evidence), key=lambda alert: alert.opened_ns)
    texts = [f"{alert.stream} {alert.kind} {clock(alert.opened_ns)}" for alert in rest]
    found = f"{len(rest)}" + (f": {'; '.join(texts)}" if texts else "")
    return Check("other alerts", f"at most {MAX_OTHERS}", found, len(rest) <= MAX_OTHERS)


def beats_naives(comparison: Comparison | None) -> list[Check]:
    """Check that the served forecast is more accurate than each naive one at lead 1, at lead 24 and over 1 to 24."""
    if comparison is None:
        return [Check("accuracy", "served forecasts in the clean test weeks", "none", passed=False)]
    naives = [row for row in comparison.rows[1:] if not row.name.startswith("ridge")]
    leads = {"1 h ahead": "mae_1", "24 h ahead": "mae_24", "over 1 to 24 h": "mae_1_to_24"}
    return [
        _beats(title, getattr(comparison.served, name), {row.name: getattr(row, name) for row in naives})
        for title, name in leads.items()
    ]


def _beats(title: str, served: float, naives: dict[str, float]) -> Check:
    best = min(naives, key=lambda name: naives[name])
    wanted = f"error below {best}'s {naives[best]:.0f}"
    return Check(f"accuracy {title}", wanted, f"{served:.0f}", served < naives[best])
