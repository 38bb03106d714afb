"""A time series plot as inline SVG that stretches to any width: lines and areas are SVG, every text is HTML.

The drawing is scaled freely (preserveAspectRatio="none") while strokes and texts keep their size, so that one plot
serves a phone and a desk.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

import numpy as np

from edgeseq.core.types import F64, I64
from edgeseq.demo.recordings import HOUR_NS

DAY_NS = 24 * HOUR_NS
WIDTH, HEIGHT = 1000.0, 100.0
"""The drawing's own units."""
NAME_WIDTH = 0.15
"""Room of an alert's name, in parts of the width."""
FLIP = 0.8
"""Names of alerts further right stand on the left."""
HEADROOM = 0.08
"""Free space above and below the values, in parts of their range."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Values over time; where neighbours are further apart than 1.5 h the line breaks."""

    time_ns: I64
    value: F64


@dataclass(frozen=True, slots=True)
class Band:
    """An area between two curves over time."""

    time_ns: I64
    lower: F64
    upper: F64


@dataclass(frozen=True, slots=True)
class Span:
    """A shaded time with a name."""

    start_ns: int
    end_ns: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """An alert: a point with a name."""

    time_ns: int
    value: float | None
    """None marks the time alone, at the upper edge."""
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything to be drawn in one figure."""

    title: str
    start_ns: int
    end_ns: int
    unit: str
    readings: Curve
    band: Band | None = None
    forecast: Curve | None = None
    spans: Sequence[Span] = ()
    marks: Sequence[Mark] = ()
    note: str = ""
    tall: bool = False
    labels: bool = True
    """Whether marks show their names (else only on hovering)."""
    keys: Sequence[str] = field(default=("readings", "90 % band", "alert"))


@dataclass(frozen=True, slots=True)
class _Axes:
    start_ns: int
    end_ns: int
    low: float
    high: float

    def x(self, time_ns: float) -> float:
        """Place a time, in parts of the width."""
        return (time_ns - self.start_ns) / (self.end_ns - self.start_ns)

    def y(self, value: float) -> float:
        """Place a value, in parts of the height from above."""
        return (self.high - value) / (self.high - self.low)


def figure(plot: Plot) -> str:
    """Draw a plot as an HTML figure."""
    axes = _axes(plot)
    legend = "".join(f'<span class="key k{i}">{escape(key)}</span>' for i, key in enumerate(plot.keys) if key)
    canvas = f'<div class="canvas{" tall" if plot.tall else ""}">{_svg(plot, axes)}{_texts(plot, axes)}</div>'
    note = f"<p>{escape(plot.note)}</p>" if plot.note else ""
    title = f"<span><b>{escape(plot.title)}</b> {escape(plot.unit)}</span>"
    caption = f"<figcaption>{title}<span class=legend>{legend}</span></figcaption>"
    return f"<figure>{caption}{canvas}{note}</figure>"


def _axes(plot: Plot) -> _Axes:
    """Span the readings and the alerts fully, the band only to twice their range: one wild band hides no reading."""
    inside = _inside(plot, plot.readings.time_ns)
    values = plot.readings.value[inside]
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    reach = (high - low) or 1.0
    if plot.band is not None:
        inside = _inside(plot, plot.band.time_ns)
        lower, upper = plot.band.lower[inside], plot.band.upper[inside]
        low = max(min(low, np.nanmin(lower, initial=low)), low - reach / 2)
        high = min(max(high, np.nanmax(upper, initial=high)), high + reach / 2)
    room = HEADROOM * (high - low or 1.0)
    return _Axes(plot.start_ns, plot.end_ns, low - room, high + room)


def _inside(plot: Plot, time_ns: I64) -> np.ndarray:
    return (time_ns >= plot.start_ns) & (time_ns <= plot.end_ns)


def _svg(plot: Plot, axes: _Axes) -> str:
    parts = [
        f'<rect class="span" x="{axes.x(max(s.start_ns, axes.start_ns)) * WIDTH:.1f}" y="0" height="{HEIGHT:.0f}" '
        f'width="{(axes.x(min(s.end_ns, axes.end_ns)) - axes.x(max(s.start_ns, axes.start_ns))) * WIDTH:.1f}"/>'
        for s in plot.spans
    ]
    parts += [_line("grid", [(0, axes.y(v)), (1, axes.y(v))]) for v in ticks(axes.low, axes.high)]
    parts += [_line("grid", [(axes.x(t), 0), (axes.x(t), 1)]) for t, _ in _time_ticks(axes)]
    if plot.band is not None:
        parts += [_area(piece, axes) for piece in _band_pieces(plot, plot.band)]
    if plot.forecast is not None:
        parts += _curve("forecast", plot, plot.forecast, axes)
    parts += _curve("reading", plot, plot.readings, axes)
    box = f"0 0 {WIDTH:.0f} {HEIGHT:.0f}"
    return (
        f'<svg viewBox="{box}" preserveAspectRatio="none" role="img" aria-label="{escape(plot.title)}">'
        f"{''.join(parts)}</svg>"
    )


def _curve(name: str, plot: Plot, curve: Curve, axes: _Axes) -> list[str]:
    keep = _inside(plot, curve.time_ns) & np.isfinite(curve.value)
    times, values = curve.time_ns[keep], curve.value[keep]
    lines = []
    for rows in pieces(times):
        points = [
            (axes.x(t), axes.y(v)) for t, v in zip(times[rows].tolist(), values[rows].tolist(), strict=True)
        ]
        # A lone reading between two gaps would be a line of no length: draw it as a dot (round caps).
        lines.append(_line(name, points if len(points) > 1 else points * 2))
    return lines


def pieces(time_ns: I64) -> list[slice]:
    """Cut times where neighbours are more than 1.5 h apart.

    >>> pieces(np.array([0, 1, 2, 9, 10]) * HOUR_NS)
    [slice(0, 3, None), slice(3, 5, None)]
    """
    if not len(time_ns):
        return []
    cuts = [0, *(np.flatnonzero(np.diff(time_ns) > 1.5 * HOUR_NS) + 1).tolist(), len(time_ns)]
    return [slice(a, b) for a, b in pairwise(cuts)]


def _band_pieces(plot: Plot, band: Band) -> list[Band]:
    keep = _inside(plot, band.time_ns) & np.isfinite(band.lower) & np.isfinite(band.upper)
    times, lower, upper = band.time_ns[keep], band.lower[keep], band.upper[keep]
    return [Band(times[rows], lower[rows], upper[rows]) for rows in pieces(times)]


def _area(band: Band, axes: _Axes) -> str:
    times = band.time_ns.tolist()
    there = [(axes.x(t), axes.y(v)) for t, v in zip(times, band.upper.tolist(), strict=True)]
    back = [(axes.x(t), axes.y(v)) for t, v in zip(times, band.lower.tolist(), strict=True)]
    return f'<path class="band" d="{_path([*there, *reversed(back)])}Z"/>'


def _line(name: str, points: Sequence[tuple[float, float]]) -> str:
    return f'<path class="{name}" d="{_path(points)}"/>'


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x * WIDTH:.1f} {min(max(y, -0.5), 1.5) * HEIGHT:.2f}" for x, y in points)


# --- texts ------------------------------------------------------------------------------------------------------


def _texts(plot: Plot, axes: _Axes) -> str:
    values, times = ticks(axes.low, axes.high), _time_ticks(axes)
    parts = [f'<span class="y" style="top:{_percent(axes.y(v))}">{_number(v)}</span>' for v in values]
    parts += [f'<span class="x" style="left:{_percent(axes.x(t))}">{text}</span>' for t, text in times]
    parts += [
        f'<span class="name" style="left:{_percent(axes.x(max(s.start_ns, axes.start_ns)))}">{escape(s.name)}</span>'
        for s in plot.spans
        if s.name
    ]
    return "".join([*parts, *_marks(plot, axes)])


def _marks(plot: Plot, axes: _Axes) -> list[str]:
    """Draw the alerts; a name is left out where it would lie on a neighbour."""
    marks = sorted((m for m in plot.marks if 0 <= axes.x(m.time_ns) <= 1), key=lambda mark: mark.time_ns)
    places = [axes.x(mark.time_ns) for mark in marks]
    drawn = []
    for i, mark in enumerate(marks):
        taken = [x for x in places if x != places[i]] if places[i] <= FLIP else places[:i]
        reach = (
            (places[i], places[i] + NAME_WIDTH) if places[i] <= FLIP else (places[i] - NAME_WIDTH, places[i])
        )
        free = not any(reach[0] <= x <= reach[1] for x in taken)
        drawn.append(_mark(mark, axes, named=plot.labels and free))
    return drawn


def _mark(mark: Mark, axes: _Axes, *, named: bool) -> str:
    x = axes.x(mark.time_ns)
    y = (
        0.06
        if mark.value is None or not math.isfinite(mark.value)
        else min(max(axes.y(mark.value), 0.02), 0.98)
    )
    side = " left" if x > FLIP else ""
    label = f"<b>{escape(mark.name)}</b>" if named else ""
    return (
        f'<i class="mark{side}" style="left:{_percent(x)};top:{_percent(y)}" '
        f'title="{escape(mark.detail or mark.name)}">{label}</i>'
    )


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Choose round values between two bounds.

    >>> ticks(0, 7280)
    [0, 2000, 4000, 6000]
    """
    raw = (high - low) / wanted
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * m for m in (1, 2, 5, 10) if size * m >= raw)
    first = math.ceil(low / step)
    return [i * step for i in range(first, math.floor(high / step) + 1)]


STEPS_H = (6, 12, 24, 48, 168, 336)
MAX_TIME_TICKS = 6


def _time_ticks(axes: _Axes) -> list[tuple[int, str]]:
    """Choose full hours or midnights, at most seven of them, with their texts; weeks begin on Monday."""
    span_h = (axes.end_ns - axes.start_ns) / HOUR_NS
    step = next((s for s in STEPS_H if span_h / s <= MAX_TIME_TICKS), STEPS_H[-1]) * HOUR_NS
    monday = 4 * DAY_NS  # 5 January 1970
    first = monday + -((monday - axes.start_ns) // step) * step
    times = range(first, axes.end_ns + 1, step)
    return [(t, _time_text(t, hours=step < DAY_NS)) for t in times if 0.02 <= axes.x(t) <= 0.97]


def _time_text(time_ns: int, *, hours: bool) -> str:
    time = dt.datetime.fromtimestamp(time_ns / 1e9, dt.UTC)
    return f"{time:%H:%M}" if hours and time.hour else f"{time:%a} {time.day} {time:%b}"


def _percent(part: float) -> str:
    return f"{part * 100:.2f}%"


def _number(value: float) -> str:
    return f"{value:,.6g}"
