"""Laws of the demo's report: it is one file, shows every plot and table, and needs nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from edgeseq.demo import plot as p
from edgeseq.demo import scenario
from edgeseq.demo.accuracy import Accuracy, Comparison
from edgeseq.demo.checks import run_checks
from edgeseq.demo.evidence import Alert, Evidence
from edgeseq.demo.recordings import HOUR_NS
from edgeseq.demo.report import Results, TrainingTable, page

PLAN = scenario.make()
VOID = {"meta", "br", "img", "path", "rect"}


class _Outline(HTMLParser):
    """Collect tags, check nesting, note everything that would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [
            f"{tag} {name}" for name, _ in attrs if name in {"src", "href", "srcset", "data", "action"}
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag


def _results(evidence: Evidence, comparison: Comparison | None) -> Results:
    training = TrainingTable(("1 h ahead",), (("ridge", (150.0,), ""), ("model <int8>", (None,), "serves")))
    checks = run_checks(PLAN, evidence, comparison)
    return Results(
        PLAN, evidence, comparison, checks, training, {"training": 60.0}, "traffic@3f9a51c2", "0.1.0"
    )


COMPARISON = Comparison(
    (Accuracy("served", 145, 270, 260), Accuracy("daily naive", 521, 487, 503), Accuracy("weekly naive", 301, 298, 9)),
    515, 0.9, 0.88,
)  # fmt: skip


@pytest.mark.parametrize("comparison", [COMPARISON, None])
def test_report_is_whole_and_needs_nothing_else(comparison: Comparison | None) -> None:
    """The page is well nested, fetches nothing, names no other place and has every figure and table."""
    html = page(_results(Evidence(), comparison))
    outline = _Outline()
    outline.feed(html)
    assert outline.open == []
    assert outline.fetched == []
    assert not re.search(r"https?://|url\(|@import|<script|<link|<iframe", html)
    assert outline.tags.count("figure") == outline.tags.count("svg") >= 7
    titles = [
        "Five test weeks",
        "Injected spike",
        "Injected stuck value",
        "Injected silence",
        "The whole recording",
        "The outage of 27-28 April",
        "Gaps in May",
        "Accuracy on the traffic" if comparison else "Accuracy",
        "The model",
        "Checks",
    ]
    for title in titles:
        assert title in html


def test_report_escapes_what_came_over_the_wire() -> None:
    """Alert texts cannot bring markup into the page."""
    evidence = Evidence()
    message = '<img src="x">"\'<script>'
    evidence.alerts["a"] = Alert(
        scenario.TRAFFIC, "spi<b>ke", scenario.SPIKE_AT_NS, message, scenario.SPIKE_AT_NS
    )
    html = page(_results(evidence, COMPARISON))
    outline = _Outline()
    outline.feed(html)
    assert outline.fetched == []
    assert "<img" not in html
    assert "spi<b>ke" not in html


def test_report_tells_failure() -> None:
    """A failed check is counted at the top and marked in its row."""
    html = page(_results(Evidence(), COMPARISON))
    assert "checks failed" in html
    assert "✗ failed" in html


def _plot(values: list[float], **more: object) -> p.Plot:
    times = np.arange(len(values)) * HOUR_NS
    return p.Plot("t", 0, int(times[-1]), "u", p.Curve(times, np.array(values)), **more)  # type: ignore[arg-type]


def test_plot_breaks_the_line_at_gaps() -> None:
    """A missing reading interrupts the curve: it is never drawn over."""
    html = p.figure(_plot([1.0, 2.0, float("nan"), 3.0, 4.0]))
    assert html.count('<path class="reading"') == 2
    assert "nan" not in html


def test_plot_marks_alerts_and_spans_inside_only() -> None:
    """Alerts outside the plot's time are left out; those inside carry name and detail."""
    marks = [p.Mark(HOUR_NS, 2.0, "spike", "at one"), p.Mark(99 * HOUR_NS, 2.0, "late")]
    html = p.figure(_plot([1.0, 2.0, 3.0], marks=marks, spans=[p.Span(0, HOUR_NS, "fault")]))
    assert html.count('class="mark') == 1
    assert "spike" in html
    assert 'title="at one"' in html
    assert 'class="span"' in html


@pytest.mark.parametrize("values", [[5.0, 5.0, 5.0], [1e9, 1e9 + 1], [0.0, 1e-9]])
def test_plot_draws_any_range(values: list[float]) -> None:
    """Constant, tiny and offset ranges are drawn within the figure."""
    html = p.figure(_plot(values))
    heights = [float(y) for y in re.findall(r"[ML]-?[\d.]+ (-?[\d.]+)", html)]
    assert all(-1 <= y <= p.HEIGHT + 1 for y in heights)
