"""The pictures of a backtest: error by lead, how sure the comparison is, and whether intervals hold."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter, StrMethodFormatter

from edgeseq.core.types import F64
from edgeseq_train.backtest.results import Line, Results
from edgeseq_train.backtest.words import NAME, span
from edgeseq_train.pictures.by_lead import TICKS
from edgeseq_train.pictures.canvas import (
    ALERT,
    INK,
    MODEL,
    MUTED,
    NAIVE,
    RIDGE,
    SEASONAL,
    VIOLET,
    Picture,
    legend,
    sheet,
)

GROUPS = {
    NAME: MODEL, "persistence": NAIVE, "seasonal naive": SEASONAL, "ridge": RIDGE, "DLinear": VIOLET, "SegRNN": ALERT,
    "Holt-Winters": INK,
}  # fmt: skip
"""Beginnings of names → colour; of several peers of a group the best is drawn, others not at all."""


def draw(results: Results) -> list[Picture]:
    """Draw all pictures."""
    drawn = [_by_lead(results), _coverage(results)]
    if results.against:
        drawn.insert(1, _ratios(results))
    return drawn


def _shown(results: Results) -> dict[str, tuple[Line, str]]:
    """Choose the lines to draw, one a group."""
    shown = {}
    for group, colour in GROUPS.items():
        own = [line for line in results.lines if line.name.startswith(group)]
        if own:
            best = min(own, key=lambda line: line.loss(results.plan.horizon).sum())
            shown[best.name] = (best, colour)
    return shown


def _mean(line: Line, name: str) -> F64:
    return np.asarray(np.mean([getattr(e, name) for e in line.seeds], axis=0))


def _by_lead(results: Results) -> Picture:
    title = "Error by lead"
    figure, (axes,) = sheet(title, height=300)
    for name, (line, colour) in _shown(results).items():
        values = _mean(line, "mase_by_lead")
        width, dashes = (2.4, "-") if name == NAME else (1.3, "--" if colour in (NAIVE, SEASONAL) else "-")
        dot = "." if len(values) == 1 else ""
        axes.plot(_leads(values), values, dashes, color=colour, lw=width, marker=dot, label=name)
    _log_leads(axes, results.plan.horizon)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("error ÷ seasonal-naive error")
    legend(axes)
    caption = (
        "Mean error against how many steps ahead the forecast looks; lower is better. Of the ridge and DLinear "
        "variants the best over all leads is drawn."
    )
    return Picture("by_lead", title, caption, figure)


def _ratios(results: Results) -> Picture:
    """Draw the model's error ÷ each peer's with its interval, at the nearest and the farthest horizon."""
    title = f"{NAME}'s error ÷ each peer's"
    marks = dict.fromkeys((results.plan.marks[0], results.plan.marks[-1]))
    peers = [line for line in results.lines if line.name != NAME]
    figure, (axes,) = sheet(title, height=90 + 26 * len(peers))
    for k, (h, colour) in enumerate(zip(marks, (SEASONAL, MODEL), strict=False)):
        places = np.arange(len(peers)) + 0.28 * (k - (len(marks) - 1) / 2)
        found = [results.compare(line, h) for line in peers]
        low, middle, high = (np.array([getattr(c, name) for c in found]) for name in ("low", "ratio", "high"))
        axes.errorbar(
            middle,
            places,
            xerr=(middle - low, high - middle),
            fmt="o",
            ms=4,
            lw=1.4,
            color=colour,
            label=span(h),
        )
    axes.axvline(1, color=MUTED, lw=1)
    axes.set_yticks(range(len(peers)), [line.name for line in peers], color=INK)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(
        FixedLocator([0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.5, 2, 3])
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_xlabel("ratio of mean errors (log scale)")
    legend(axes)
    caption = (
        f"Left of 1 {NAME} errs less than the peer. Bars are 95 % intervals of a paired bootstrap over blocks of "
        f"{results.plan.block} steps: a bar that crosses 1 may be chance."
    )
    return Picture("ratios", title, caption, figure)


def _coverage(results: Results) -> Picture:
    title = "Readings within the 90 % interval, by lead"
    figure, (axes,) = sheet(title)
    axes.axhline(90, color=NAIVE, ls="--", lw=1.2, label="as promised")
    for name, (line, colour) in _shown(results).items():
        if name == NAME or name.startswith("ridge"):
            values = 100 * _mean(line, "coverage_by_lead")
            dot = "." if len(values) == 1 else ""
            axes.plot(_leads(values), values, color=colour, marker=dot, label=name)
    _log_leads(axes, results.plan.horizon)
    low, _ = axes.get_ylim()
    axes.set_ylim(min(low, 75), 100)
    axes.set_ylabel("readings inside, %")
    legend(axes)
    caption = (
        f"{NAME}'s interval is the one that a device publishes: it is calibrated with each reading as it goes. "
        "A peer's is its forecast and its errors on the validation part."
    )
    return Picture("coverage", title, caption, figure)


def _leads(values: F64) -> F64:
    return np.arange(1.0, len(values) + 1)


def _log_leads(axes: Axes, horizon: int) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([t for t in TICKS if t <= horizon]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("lead: steps ahead (log scale)")
    axes.margins(x=0.02)
