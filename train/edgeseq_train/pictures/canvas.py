"""The sheet that every picture is drawn on: size, colours, legend, and the ways out (PNG file, inline SVG)."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from html import escape
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH, HEIGHT = 400, 250
"""In units of 1/72 inch: at this width 10 units of text are read well on a phone."""
PNG_DPI = 216
"""Three pixels a unit: 1200 pixels wide."""

INK, MUTED, RULE, PAPER = "#1c2230", "#646c7c", "#e6e7e3", "#ffffff"
MODEL, RIDGE, SEASONAL, NAIVE, ALERT, VIOLET = (
    "#2f6fed",
    "#0b7a4b",
    "#c77700",
    "#8c93a1",
    "#c9252d",
    "#7a4fd0",
)
VARIABLES = {
    INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "card",
    MODEL: "model", RIDGE: "ridge", SEASONAL: "seasonal", NAIVE: "naive", ALERT: "alert", VIOLET: "violet",
}  # fmt: skip
"""Colour → its name in page.css, which knows another value for the dark."""

STYLE = {
    "font.size": 10.0, "text.color": INK, "axes.labelcolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED,
    "axes.edgecolor": RULE, "axes.facecolor": PAPER, "figure.facecolor": PAPER, "savefig.facecolor": PAPER,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": RULE,
    "axes.axisbelow": True, "grid.linewidth": 0.8, "xtick.major.size": 0, "ytick.major.size": 0,
    "xtick.minor.size": 0, "ytick.minor.size": 0, "axes.labelsize": 10.0, "legend.fontsize": 9.5,
    "legend.frameon": False, "legend.handlelength": 1.4, "legend.columnspacing": 1.1, "legend.handletextpad": 0.5,
    "lines.linewidth": 1.5, "figure.titlesize": 11.5, "figure.titleweight": "bold",
    "svg.fonttype": "none", "svg.hashsalt": "edgeseq", "image.interpolation": "none", "axes.unicode_minus": True,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing and what a reader needs to read it."""

    name: str
    """Stem of its file and its anchor in a page."""
    title: str
    caption: str
    """What is shown, how to read it, what the words mean."""
    figure: Figure


def style() -> AbstractContextManager[None]:
    """Set the project's look for what is drawn or written inside."""
    return mpl.rc_context(STYLE)  # type: ignore[arg-type]


def sheet(title: str, height: float = HEIGHT, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Take a new sheet with a title and `rows` plots above one another that share x."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
    figure.suptitle(title, x=0.012, ha="left")
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    return figure, list(axes)


def legend(axes: Axes, columns: int = 3) -> None:
    """Name the curves between title and plot, where they hide nothing."""
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.0)


def colour(forecaster: str) -> str:
    """Give each kind of forecaster its colour everywhere.

    >>> colour("ridge 96") == RIDGE, colour("model int8_weights") == MODEL
    (True, True)
    """
    kinds = {"ridge": RIDGE, "seasonal": SEASONAL, "persistence": NAIVE, "model": MODEL}
    return next((c for kind, c in kinds.items() if forecaster.startswith(kind)), VIOLET)


def write_pngs(pictures: Sequence[Picture], folder: Path) -> list[Path]:
    """Write each picture as NAME.png, 1200 pixels wide."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{p.name}.png" for p in pictures]
    with style():
        for picture, path in zip(pictures, paths, strict=True):
            picture.figure.savefig(path, dpi=PNG_DPI)
    return paths


def inline_svg(picture: Picture) -> str:
    """Give a picture as an SVG element for a page: fluid, its text the page's, its colours the page's variables."""
    out = io.StringIO()
    with style():
        picture.figure.savefig(
            out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = out.getvalue()
    return _embedded(text[text.index("<svg") :], picture.name, picture.title)


def _embedded(svg: str, name: str, title: str) -> str:
    """Rewrite matplotlib's document as a part of a page."""
    head, body = re.fullmatch(r"<svg([^>]*)>(.*)</svg>\s*", svg, re.DOTALL).groups()  # type: ignore[union-attr]
    box = re.search(r'viewBox="[^"]*"', head)[0]  # type: ignore[index]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    # Only what stands within tags: texts are what the reader reads.
    body = re.sub(r"<[^>]+>", lambda tag: _attributes(tag[0], name), body)
    body = re.sub(r"\s*\n\s*", " ", body)
    return f'<svg role="img" aria-label="{escape(title)}" {box}>{body}</svg>'


def _attributes(tag: str, name: str) -> str:
    """Rewrite one tag: ids unique in the page, the page's fonts and colours, coordinates of two decimals."""
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = re.sub(r'xlink:href="#', f'href="#{name}-', tag).replace("url(#", f"url(#{name}-")
    tag = tag.replace("xlink:href=", "href=")
    tag = re.sub(r"font-family: [^;\"]*; ?|font-family: [^\"]*", "", tag)
    tag = re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font-size: \1px", tag)
    tag = re.sub(r"font: (\w+) ([0-9.]+)px [^;\"]*", r"font-weight: \1; font-size: \2px", tag)
    for value, variable in VARIABLES.items():
        tag = tag.replace(value, f"var(--{variable})")
    return re.sub(r"(\d\.\d\d)\d+", r"\1", tag)
