"""The run as one HTML file that needs nothing else: figures, tables, and every alert seen on its series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from edgeseq import __version__
from tests.bench.alerts.parts import Picture
from tests.bench.alerts.pictures import draw

INTRODUCTION = (
    "Recordings played through the daemon's core with the thresholds as shipped. Every line across a series is a "
    "message that a subscriber would have got: green where it was right, red where nothing was, amber where its name "
    "was wrong, dashed where nobody counts. What was missed is shaded red. Recordings are moved by whole weeks, to run "
    "side by side: dates in sentences are not theirs, weekdays and times of day are."
)
TITLES = {
    "nab": "Numenta Anomaly Benchmark",
    "nab_bundle": "NAB with bundles trained on other data",
    "skab": "SKAB: a water circulation testbed",
    "injected": "Injected faults",
    "first_week": "The first week of new streams",
    "limit_ahead": "Limits ahead",
    "coverage": "Intervals",
    "switch": "The live switch between model and baseline",
    "budget": "Alert budgets",
}
NOTES = {
    "nab": "An alarm is the opening of any alert. Shaded: the labelled windows.",
    "skab": "A row is alarmed while an alert of its stream is open. Shaded: the labelled anomalies.",
    "injected": "Shaded: from the onset to the end of the fault's window. A clean stream has none.",
    "first_week": "Nothing is known of these streams, and no bundle serves them: whatever is told here is listed.",
}
VERDICTS = {
    "missed": "Missed",
    "false": "With false alarms",
    "misnamed": "Found, under another name",
    "found": "Found, or quiet where nothing was",
}
CARDS = (
    ("nab_shipped_standard", "NAB, thresholds as shipped"),
    ("nab_loco_standard", "NAB, one category left out"),
    ("bursts_per_series_day", "false-alarm bursts per series and day on NAB"),
    ("skab_f1", "SKAB, F1 of rows"),
    ("skab_far", "SKAB, false-alarm rate"),
    ("injected_recall", "of injected faults found"),
    ("injected_name_right", "of those called by their name"),
    ("injected_false_alarms_per_stream_week", "alarms per stream and week without a fault"),
    ("first_week_alerts", "alerts in first weeks of new streams"),
    ("limit_ahead_recall", "of limits crossed were told ahead"),
)


def page(rows: Sequence[Mapping[str, Any]], figures: Mapping[str, Any], pictures: Sequence[Picture]) -> str:
    """Write the page."""
    css = resources.files("edgeseq.demo").joinpath("page.css").read_text()
    own = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    told = {r["part"]: None for r in rows}
    parts = [*(p for p in TITLES if p in told), *(p for p in told if p not in TITLES)]
    body = [
        "<header><h1>edgeseq alerts</h1></header>",
        f"<p>{INTRODUCTION}</p>",
        _cards(figures),
        *(_part(p, rows, [x for x in pictures if x.part == p]) for p in parts),
        f"<h2>All figures</h2>{_figures(figures)}<footer><p>edgeseq {escape(__version__)}</p></footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>edgeseq alerts</title><style>{css}{own}</style></head>\n<body>{''.join(body)}</body></html>\n"
    )


def _cards(figures: Mapping[str, Any]) -> str:
    shown = [(figures[key], text) for key, text in CARDS if figures.get(key) is not None]
    drawn = (f'<div class="card"><b>{_text(figure)}</b><span>{text}</span></div>' for figure, text in shown)
    return f'<div class="cards">{"".join(drawn)}</div>'


def _part(part: str, rows: Sequence[Mapping[str, Any]], pictures: Sequence[Picture]) -> str:
    """Write a part: its tables, then its pictures, the worst ones first."""
    mine = [{k: v for k, v in r.items() if k != "part"} for r in rows if r["part"] == part]
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in mine:
        groups.setdefault(tuple(row), []).append(row)
    tables = "".join(_table(columns, told) for columns, told in groups.items())
    albums = "".join(_album(verdict, pictures) for verdict in VERDICTS)
    return f"<h2>{TITLES.get(part, part)}</h2><p>{NOTES.get(part, '')}</p>{tables}{albums}"


FEW_ROWS = 14


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Write a table; a long one is folded."""
    numbers = {c for c in columns if all(isinstance(r[c], int | float | None) for r in rows)}
    head = "".join(
        f"<th{' class=n' if c in numbers else ''}>{escape(c.replace('_', ' '))}</th>" for c in columns
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=n' if c in numbers else ''}>{_text(r[c])}</td>" for c in columns)
        + "</tr>"
        for r in rows
    )
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    if len(rows) <= FEW_ROWS:
        return table
    told = escape(", ".join(columns).replace("_", " "))
    return f"<details><summary>{len(rows)} rows: {told}</summary>{table}</details>"


def _album(verdict: str, pictures: Sequence[Picture]) -> str:
    """Write the pictures of one verdict, group by group."""
    mine = [p for p in pictures if p.verdict == verdict]
    if not mine:
        return ""
    groups = list(dict.fromkeys(p.group for p in mine))
    inner = "".join(
        f"<h3>{escape(g.replace('_', ' '))}</h3><div class=pair>{''.join(draw(p) for p in mine if p.group == g)}</div>"
        for g in groups
    )
    return f"<details class={verdict}><summary>{VERDICTS[verdict]}: {len(mine)}</summary>{inner}</details>"


def _figures(figures: Mapping[str, Any]) -> str:
    rows = [{"figure": key, "value": value} for key, value in figures.items()]
    return _table(("figure", "value"), rows) if rows else ""


def _text(value: Any) -> str:
    """Write a cell.

    >>> _text(None), _text(0.25), _text(3.0), _text("a<b")
    ('–', '0.25', '3', 'a&lt;b')
    """
    if value is None:
        return "–"
    return f"{value:g}" if isinstance(value, float) else escape(str(value))
