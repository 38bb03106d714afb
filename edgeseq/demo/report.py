"""The demo's report: one HTML file that needs nothing else, readable on a phone and in the dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources

import numpy as np

from edgeseq.demo import plot as p
from edgeseq.demo.accuracy import Comparison
from edgeseq.demo.checks import MAX_OTHERS, Check, named, others
from edgeseq.demo.evidence import Evidence, Forecast
from edgeseq.demo.recordings import HOUR_NS
from edgeseq.demo.scenario import (
    PIPELINE,
    PIPELINE_UNIT,
    TEST_FROM_NS,
    TRAFFIC,
    TRAFFIC_UNIT,
    Reading,
    Scenario,
    Window,
)

UNITS = {TRAFFIC: TRAFFIC_UNIT, PIPELINE: PIPELINE_UNIT}
FAN_HOUR = 6
"""The look 24 hours ahead is shown from this hour of a clean weekday."""


@dataclass(frozen=True, slots=True)
class TrainingTable:
    """What training measured: a row per forecaster, mean absolute errors in the sensor's unit."""

    leads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...], str], ...]
    """Name, one figure per lead, remark."""


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that the report tells."""

    scenario: Scenario
    evidence: Evidence
    comparison: Comparison | None
    checks: Sequence[Check]
    training: TrainingTable
    seconds: dict[str, float]
    """Part of the demo → how long it took."""
    bundle: str
    version: str

    @property
    def passed(self) -> bool:
        """Tell whether every check holds."""
        return all(check.passed for check in self.checks)


def page(results: Results) -> str:
    """Write the whole report as HTML."""
    body = [
        _header(results),
        _cards(results),
        _traffic(results),
        _pipeline(results),
        _accuracy(results),
        _training(results),
        _checks(results),
        _footer(results),
    ]
    content = "\n".join(body)
    css = resources.files("edgeseq.demo").joinpath("page.css").read_text()
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>edgeseq demo</title><style>{css}</style></head>\n<body>{content}</body></html>\n"
    )


# --- top --------------------------------------------------------------------------------------------------------


def _header(results: Results) -> str:
    failed = sum(not check.passed for check in results.checks)
    verdict = f"{failed} of {len(results.checks)} checks failed" if failed else "all checks passed"
    first, last = results.scenario.live[0], results.scenario.live[-1]
    return (
        f'<header><h1>edgeseq demo</h1><span class="verdict {"bad" if failed else "good"}">{verdict}</span></header>'
        f"<p>Two recorded sensors played through an MQTT broker into the daemon, from {_day(first.time_ns)} to "
        f"{_day(last.time_ns)}: a motorway's traffic, served by a model trained just before, and a pipeline's flow, "
        "which has no model and is served by the baseline. All that follows was received by a subscriber.</p>"
    )


def _cards(results: Results) -> str:
    windows = (*results.scenario.faults, *results.scenario.real)
    sent, got = len(results.scenario.live), sum(len(f) for f in results.evidence.forecasts.values())
    found = sum(named(window, results.evidence).passed for window in windows)
    extra = len(others(windows, results.evidence))
    cards = [
        (f"{got:,}", f"of {sent:,} readings answered by a forecast"),
        (f"{found}", f"of {len(windows)} faults, outages and gaps named by an alert"),
        (f"{extra}", f"other alerts in 8 weeks of two sensors (at most {MAX_OTHERS} allowed)"),
    ]
    if results.comparison is not None:
        cards = [*_accuracy_cards(results.comparison), *cards]
    drawn = (f'<div class="card"><b>{figure}</b><span>{text}</span></div>' for figure, text in cards)
    return f'<div class="cards">{"".join(drawn)}</div>'


def _accuracy_cards(comparison: Comparison) -> list[tuple[str, str]]:
    served = comparison.served
    weekly = next(row for row in comparison.rows if row.name == "weekly naive")
    return [
        (
            f"{_percent(1 - served.mae_1 / weekly.mae_1)}",
            "smaller error than the same hour last week, 1 h ahead",
        ),
        (
            f"{_percent(1 - served.mae_1_to_24 / weekly.mae_1_to_24)}",
            "smaller error, mean over 1 to 24 h ahead",
        ),
        (_percent(comparison.coverage_1_to_24), "of readings inside the 90 % band, 1 to 24 h ahead"),
    ]


# --- plots ------------------------------------------------------------------------------------------------------


def _traffic(results: Results) -> str:
    end_ns = int(results.scenario.truth.time_ns[-1])
    weeks = _plot(
        results, TRAFFIC, "Five test weeks", TEST_FROM_NS, end_ns, tall=True, labels=False,
        note="Shaded: the injected faults. The band was made one hour before each reading.",
    )  # fmt: skip
    zooms = [
        _plot(results, TRAFFIC, w.name.capitalize(), w.start_ns - 30 * HOUR_NS, w.end_ns + 18 * HOUR_NS)
        for w in results.scenario.faults
    ]
    fan = _fan(results)
    pairs = "".join(p.figure(plot) for plot in (*zooms, *([fan] if fan else [])))
    return (
        "<h2>Motorway traffic</h2><p>Vehicles per hour, forecast one to 24 hours ahead by "
        f"{escape(results.bundle)}. A spike, a stuck value and a silence were injected into the last two weeks.</p>"
        f'{p.figure(weeks)}<div class="pair">{pairs}</div>'
    )


def _pipeline(results: Results) -> str:
    readings = [r for r in results.scenario.live if r.stream == PIPELINE]
    whole = _plot(
        results, PIPELINE, "The whole recording", readings[0].time_ns, readings[-1].time_ns, tall=True, labels=False,
        note="Shaded: the outage of 27-28 April and the gaps of 7 h and more, all in the recording itself.",
    )  # fmt: skip
    zooms = [
        _plot(results, PIPELINE, title, start, end)
        for title, start, end in _pipeline_zooms(results.scenario.real)
    ]
    return (
        "<h2>Pipeline flow</h2><p>Litres per second. This stream was never trained on and nobody labelled it: it is "
        "forecast by the baseline and calibrated by its own readings as they come.</p>"
        f'{p.figure(whole)}<div class="pair">{"".join(p.figure(zoom) for zoom in zooms)}</div>'
    )


def _pipeline_zooms(real: Sequence[Window]) -> list[tuple[str, int, int]]:
    outage = next(w for w in real if w.name.startswith("outage"))
    gaps = [w for w in real if w.name.startswith("gap") and w.start_ns > outage.end_ns]
    day = 24 * HOUR_NS
    return [
        ("The outage of 27-28 April", outage.start_ns - day, outage.end_ns + day),
        ("Gaps in May", gaps[0].start_ns - day, gaps[-1].end_ns + day),
    ]


def _plot(
    results: Results,
    stream: str,
    title: str,
    start_ns: int,
    end_ns: int,
    *,
    tall: bool = False,
    labels: bool = True,
    note: str = "",
) -> p.Plot:
    """Plot a stream's readings, one-step bands and alerts over a span."""
    windows = [w for w in (*results.scenario.faults, *results.scenario.real) if w.stream == stream]
    return p.Plot(
        title,
        start_ns,
        end_ns,
        UNITS[stream],
        _sent(results.scenario.live, stream),
        band=one_step_band(results.evidence.of(stream)),
        spans=[p.Span(w.start_ns, w.end_ns) for w in windows if w.end_ns > start_ns and w.start_ns < end_ns],
        marks=_marks(results, stream),
        note=note,
        tall=tall,
        labels=labels,
    )


def _sent(live: Iterable[Reading], stream: str) -> p.Curve:
    rows = [(r.time_ns, r.value) for r in live if r.stream == stream]
    return p.Curve(np.array([t for t, _ in rows], np.int64), np.array([v for _, v in rows]))


def one_step_band(forecasts: dict[int, Forecast]) -> p.Band:
    """Take the next step's interval of each forecast, at the time it was made for."""
    origins = sorted(forecasts)
    bounds = [(_or_nan(forecasts[ns].lower), _or_nan(forecasts[ns].upper)) for ns in origins]
    times = np.array(origins, np.int64) + HOUR_NS
    return p.Band(times, np.array([a for a, _ in bounds]), np.array([b for _, b in bounds]))


def _marks(results: Results, stream: str) -> list[p.Mark]:
    values = {r.time_ns: r.value for r in results.scenario.live if r.stream == stream}
    return [
        p.Mark(a.opened_ns, values.get(a.opened_ns), a.kind.replace("_", " "), a.message)
        for a in sorted(results.evidence.alerts.values(), key=lambda alert: alert.opened_ns)
        if a.stream == stream
    ]


def _fan(results: Results) -> p.Plot | None:
    """Look 24 hours ahead from one morning before the faults, beside what came."""
    forecasts = results.evidence.of(TRAFFIC)
    origins = [
        ns for ns in forecasts if ns < results.scenario.clean_until_ns - 36 * HOUR_NS and _is_morning(ns)
    ]
    if not origins:
        return None
    origin = max(origins)
    path = forecasts[origin].path
    if path is None:
        return None
    times = origin + (np.array(path.lead_s) * 1e9).astype(np.int64)
    columns = {
        name: np.array([_or_nan(v) for v in getattr(path, name)]) for name in ("lower", "value", "upper")
    }
    return p.Plot(
        f"24 hours ahead, from {_day(origin)} {FAN_HOUR}:00",
        origin - 24 * HOUR_NS,
        origin + 26 * HOUR_NS,
        TRAFFIC_UNIT,
        _sent(results.scenario.live, TRAFFIC),
        band=p.Band(times, columns["lower"], columns["upper"]),
        forecast=p.Curve(times, columns["value"]),
        keys=("readings", "90 % band", "", "forecast"),
    )


def _is_morning(time_ns: int) -> bool:
    hours = time_ns // HOUR_NS
    return hours % 24 == FAN_HOUR and (hours // 24 + 3) % 7 < 5  # 1 January 1970 was a Thursday


# --- tables -----------------------------------------------------------------------------------------------------


def _accuracy(results: Results) -> str:
    if results.comparison is None:
        return "<h2>Accuracy</h2><p>No forecasts were received for the clean test weeks.</p>"
    worst = max(row.mae_1_to_24 for row in results.comparison.rows if row.name != "persistence")
    rows = [
        f"<tr{' class=ours' if i == 0 else ''}><th>{escape(row.name)}</th><td class=n>{row.mae_1:.0f}</td>"
        f"<td class=n>{row.mae_24:.0f}</td><td class=n>{row.mae_1_to_24:.0f}</td>"
        f'<td class=bar><i style="width:{min(row.mae_1_to_24 / worst, 1):.0%}"></i></td></tr>'
        for i, row in enumerate(results.comparison.rows)
    ]
    note = (
        f"Mean absolute error in vehicles per hour over {results.comparison.origins} origins from {_day(TEST_FROM_NS)} "
        "until the first fault, all unseen in training; each row forecasts the same hours. Ridge is fitted in closed "
        "form on all traffic before. Labour Day, and its echo a week later, are in these weeks."
    )
    coverage = (
        f"The 90 % band held {_percent(results.comparison.coverage_1)} of the readings one hour ahead and "
        f"{_percent(results.comparison.coverage_1_to_24)} over all leads."
    )
    head = ("forecast", "1 h ahead", "24 h ahead", "mean of 1 to 24 h", "")
    return f"<h2>Accuracy on the traffic</h2><p>{note} {coverage}</p>{_table(head, rows, numbers=(1, 2, 3))}"


def _training(results: Results) -> str:
    rows = [
        f"<tr><th>{escape(name)}</th>"
        + "".join(f"<td class=n>{'–' if v is None else f'{v:.0f}'}</td>" for v in figures)
        + f"<td>{escape(remark)}</td></tr>"
        for name, figures, remark in results.training.rows
    ]
    leads = results.training.leads
    note = (
        f"{_trained(results.seconds)} Mean absolute errors, in vehicles "
        "per hour, on training's own test split, each quantization rolled out in the device's runtime."
    )
    head = ("forecaster", *leads, "")
    return f"<h2>The model</h2><p>{note}</p>{_table(head, rows, numbers=range(1, len(leads) + 1))}"


def _trained(seconds: dict[str, float]) -> str:
    return f"Trained in {seconds['training']:.0f} s on this machine." if "training" in seconds else ""


def _checks(results: Results) -> str:
    rows = [
        f'<tr><td class="tick {"good" if c.passed else "bad"}">{"✓" if c.passed else "✗ failed"}</td>'
        f"<th>{escape(c.name)}</th><td>{escape(c.wanted)}</td><td>{escape(c.found)}</td></tr>"
        for c in results.checks
    ]
    return f"<h2>Checks</h2><p>The demo exits 0 only if all hold.</p>{_table(('', 'what', 'wanted', 'found'), rows)}"


def _table(head: Sequence[str], rows: Sequence[str], numbers: Iterable[int] = ()) -> str:
    right = set(numbers)
    cells = "".join(
        f"<th{' class=n' if i in right else ''}>{escape(text)}</th>" for i, text in enumerate(head)
    )
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _footer(results: Results) -> str:
    times = ", ".join(f"{part} {seconds:.0f} s" for part, seconds in results.seconds.items())
    return (
        f"<footer><p>edgeseq {escape(results.version)} · {escape(results.bundle)} · {escape(times)}.</p>"
        "<p>Traffic: Minnesota Department of Transportation, westbound I-94, by John Hogue, UCI Machine Learning "
        "Repository (CC BY 4.0), through AutoTS (MIT); its time stamps are moved by 189 weeks so that both sensors run "
        "side by side. Pipeline: Tecnojest s.r.l., through river (BSD-3-Clause).</p></footer>"
    )


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _percent(part: float) -> str:
    return f"{part * 100:.0f} %"


def _day(time_ns: int) -> str:
    """Write a day without leading zero: 11 April 2022.

    >>> _day(0)
    '1 January 1970'
    """
    day = np.datetime64(time_ns, "ns").astype("datetime64[s]").item()
    return f"{day.day} {day:%B %Y}"
