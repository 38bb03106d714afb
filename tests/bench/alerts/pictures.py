"""A series with what was to be found and what was said of it, as SVG of its own."""

from __future__ import annotations

from html import escape

from tests.bench.alerts.parts import Mark, Picture

WIDTH, HEIGHT = 1000, 200
MOST_SENTENCES = 12


def draw(picture: Picture) -> str:
    """Draw a picture: channels one above the other in their own ranges, windows shaded, a line for each alert."""
    spans = "".join(
        f'<rect x="{_x(picture, max(s.start, picture.first))}" y="0" height="{HEIGHT}" '
        f'width="{max(2, _x(picture, min(s.stop, picture.stop)) - _x(picture, max(s.start, picture.first)))}"'
        f"{'' if s.found else ' class=lost'}><title>{escape(s.name)}{'' if s.found else ', missed'}</title></rect>"
        for s in picture.spans
    )
    curves = "".join(_curve(picture, k) for k in range(len(picture.curves)))
    marks = "".join(_mark(picture, m) for m in picture.marks)
    return (
        f'<figure class="small"><figcaption><b>{escape(picture.title)}</b><span>{_range(picture)}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img">{spans}{curves}{marks}</svg>'
        f"{_sentences(picture)}</figure>"
    )


def _x(picture: Picture, row: int) -> int:
    return round(WIDTH * (row - picture.first) / max(1, picture.stop - picture.first))


def _curve(picture: Picture, number: int) -> str:
    """Draw one channel in its lane."""
    rows, values = picture.curves[number]
    if not rows:
        return ""
    lane = HEIGHT / len(picture.curves)
    low, high = min(values), max(values)
    unit = (0.9 * lane) / ((high - low) or 1.0)
    bottom = (number + 1) * lane - 0.05 * lane
    points = (f"{_x(picture, r)},{bottom - (v - low) * unit:.0f}" for r, v in zip(rows, values, strict=True))
    return f'<path d="M{" ".join(points)}"/>'


def _mark(picture: Picture, mark: Mark) -> str:
    x = _x(picture, mark.row)
    told = escape(f"{mark.name}: {mark.message}")
    return f'<line class="{mark.verdict}" x1="{x}" x2="{x}" y1="0" y2="{HEIGHT}"><title>{told}</title></line>'


def _range(picture: Picture) -> str:
    """Say which readings are shown, and of one channel its range."""
    shown = f"readings {picture.first:,} to {picture.stop:,}"
    values = [v for _, curve in picture.curves for v in curve]
    return shown if len(picture.curves) > 1 or not values else f"{shown}, {min(values):g} to {max(values):g}"


def _sentences(picture: Picture) -> str:
    """List what was said; of very much the beginning."""
    shown = picture.marks[:MOST_SENTENCES]
    items = [
        f'<li><b class="{m.verdict}">{escape(m.name.replace("_", " "))}</b> {m.row:,}: {escape(m.message)}</li>'
        for m in shown
    ]
    if rest := len(picture.marks) - len(shown):
        items.append(f"<li>and {rest} more</li>")
    return f"<ul>{''.join(items)}</ul>" if items else ""


def _words(name: str) -> str:
    return escape(name.replace("_", " "))
