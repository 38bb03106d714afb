"""Figures as text, in the two forms that scrapers read: Prometheus 0.0.4 and OpenMetrics 1.0.

They differ in three places: OpenMetrics names a counter without its `_total` where it describes it, has a type `info`,
and ends with a line that says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

Type = Literal["counter", "gauge", "histogram", "info"]

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Family(NamedTuple):
    """A figure: what it is, and in which labels it comes."""

    type: Type
    help: str
    """A sentence; on one line."""
    labels: tuple[str, ...] = ()


class Histogram(NamedTuple):
    """Counts of what was measured, by size."""

    bounds: tuple[float, ...]
    """Upper bounds, inclusive, rising; beyond the last one there is +Inf."""
    counts: tuple[int, ...]
    """Of each bound alone, and of what is larger than all: one more than `bounds`."""
    total: float
    """Sum of all that was measured."""


Value = float | Histogram
Figures = Mapping[str, Iterable[tuple[tuple[str, ...], Value]]]
"""Name of a family → values of its labels, and the value there."""


def expose(catalogue: Mapping[str, Family], figures: Figures, *, is_openmetrics: bool = False) -> str:
    """Write figures; families without any are left out.

    >>> told = {"a_total": [((), 3)], "b": [(("x",), 0.5)]}
    >>> print(expose({"a_total": Family("counter", "As."), "b": Family("gauge", "Bs.", ("of",))}, told), end="")
    # HELP a_total As.
    # TYPE a_total counter
    a_total 3
    # HELP b Bs.
    # TYPE b gauge
    b{of="x"} 0.5
    """
    lines: list[str] = []
    for name, family in catalogue.items():
        samples = [
            line for labels, value in figures.get(name, ()) for line in _samples(name, family, labels, value)
        ]
        if samples:
            lines += [*_described(name, family, is_openmetrics=is_openmetrics), *samples]
    return "\n".join([*lines, *(["# EOF"] if is_openmetrics else [])]) + "\n"


def _described(name: str, family: Family, *, is_openmetrics: bool) -> list[str]:
    shown, kind = name, family.type
    if is_openmetrics:
        shown = name.removesuffix("_total").removesuffix("_info")
    elif kind == "info":
        kind = "gauge"
    text = family.help.replace("\\", r"\\").replace("\n", r"\n")
    return [f"# HELP {shown} {text}", f"# TYPE {shown} {kind}"]


def _samples(name: str, family: Family, values: tuple[str, ...], value: Value) -> Iterator[str]:
    """Write one value; a histogram is several."""
    labels = list(zip(family.labels, values, strict=True))
    if not isinstance(value, Histogram):
        yield f"{name}{_labels(labels)} {number(value)}"
        return
    below = 0
    for bound, count in zip((*value.bounds, math.inf), value.counts, strict=True):
        below += count
        yield f"{name}_bucket{_labels([*labels, ('le', number(float(bound)))])} {below}"
    yield f"{name}_count{_labels(labels)} {below}"
    yield f"{name}_sum{_labels(labels)} {number(value.total)}"


def _labels(labels: list[tuple[str, str]]) -> str:
    inside = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels)
    return f"{{{inside}}}" if inside else ""


def number(value: float) -> str:
    """Write a number as both forms have it.

    >>> number(3), number(0.25), number(float("inf")), number(float("nan"))
    ('3', '0.25', '+Inf', 'NaN')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)
