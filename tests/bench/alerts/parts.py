"""What the parts of the alert benches have in common: what they find, and the pictures they keep of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from edgeseq.core.types import F64

Row = dict[str, Any]
Figures = dict[str, float | int | str | None]

POINTS = 700
"""Readings of a picture: of longer series the least and greatest of equal parts are kept."""


class Found(NamedTuple):
    """What a part gives."""

    rows: list[Row]
    figures: Figures


class Span(NamedTuple):
    """What was to be found."""

    start: int
    stop: int
    name: str
    found: bool


class Mark(NamedTuple):
    """An alert."""

    row: int
    name: str
    verdict: str
    """hit, false, misnamed or unscored."""
    message: str


@dataclass(slots=True)
class Picture:
    """A series with what was to be found and what was said of it."""

    part: str
    group: str
    title: str
    verdict: str
    """The worst of it: missed, false, misnamed or found."""
    curves: list[tuple[list[int], list[float]]]
    """(rows, values) of each channel, thinned out."""
    spans: list[Span]
    marks: list[Mark]
    first: int = 0
    stop: int = 0

    @staticmethod
    def read(told: dict[str, Any]) -> Picture:
        """Read one that was written as JSON."""
        spans, marks = [Span(*s) for s in told["spans"]], [Mark(*m) for m in told["marks"]]
        return Picture(**{**told, "spans": spans, "marks": marks})


@dataclass(slots=True)
class Album:
    """The pictures of a run."""

    pictures: list[Picture] = field(default_factory=list)

    def add(
        self,
        part: str,
        group: str,
        title: str,
        values: F64,
        spans: list[Span],
        marks: list[Mark],
        rows: slice | None = None,
    ) -> None:
        """Keep a picture of a series (T, C), of some rows or of all."""
        rows = rows or slice(0, len(values))
        begin, end = max(0, rows.start), min(len(values), rows.stop)
        shown = [m for m in marks if begin <= m.row < end]
        inside = [s for s in spans if s.stop > begin and s.start < end]
        curves = [thinned(values[begin:end, c], begin) for c in range(values.shape[1])]
        verdict = _worst(inside, shown)
        self.pictures.append(Picture(part, group, title, verdict, curves, inside, shown, begin, end))


def _worst(spans: list[Span], marks: list[Mark]) -> str:
    """Sum a picture up."""
    if any(not span.found for span in spans):
        return "missed"
    verdicts = {mark.verdict for mark in marks}
    return next((v for v in ("false", "misnamed") if v in verdicts), "found")


def thinned(x: F64, first: int) -> tuple[list[int], list[float]]:
    """Keep the least and the greatest of equal parts of a series, in their order; all of a short one.

    >>> thinned(np.array([1.0, 2.0, float("nan"), 4.0]), first=10)
    ([10, 11, 13], [1.0, 2.0, 4.0])
    """
    rows = np.flatnonzero(np.isfinite(x))
    if len(rows) > POINTS:
        parts = [p for p in np.array_split(rows, POINTS // 2) if len(p)]
        rows = np.unique([row for p in parts for row in (p[x[p].argmin()], p[x[p].argmax()])])
    return (rows + first).tolist(), [float(f"{value:.4g}") for value in x[rows]]
