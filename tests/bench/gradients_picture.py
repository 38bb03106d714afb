"""The picture of `make bench-gradients`: gradient norm by lag, what training reached, clipping, segments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Row = dict[str, Any]

LOOKS = {
    "RNN, radius 0.8": ("tab:red", ":"),
    "RNN, radius 1": ("tab:red", "-"),
    "RNN, radius 1.5": ("tab:red", "--"),
    "GRU": ("tab:blue", ":"),
    "GRU, update bias 1": ("tab:blue", "-"),
    "GRU, biases for 100": ("tab:blue", "--"),
    "LSTM": ("tab:green", ":"),
    "LSTM, forget bias 1": ("tab:green", "-"),
    "LSTM, biases for 100": ("tab:green", "--"),
    "descent, any norm": ("tab:red", "-"),
    "descent, norm ≤ 1": ("tab:blue", "-"),
    "Adam, any norm": ("tab:red", ":"),
    "Adam, norm ≤ 1": ("tab:blue", ":"),
    "16 steps": ("tab:red", "-"),
    "32 steps": ("tab:orange", "--"),
    "64 steps": ("tab:blue", "-"),
    "all steps": ("tab:green", "-"),
}
SMALLEST = 1e-12
"""Norms below are drawn there."""


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the four parts into one PNG of 1200 × 1000 pixels."""
    with mpl.rc_context({"font.size": 9, "axes.grid": True, "grid.alpha": 0.3, "axes.axisbelow": True}):
        figure = Figure(figsize=(12, 10), dpi=100, layout="constrained")
        (start, trained), (clipping, segments) = figure.subplots(2, 2)
        _lags(start, [r for r in rows if r["part"] == "start"], "untrained: how far a gradient reaches back")
        _lags(trained, [r for r in rows if r["part"] == "trained"], "trained on the adding problem, T = 50")
        picked = [r for r in rows if r["part"] == "clipping"]
        _curves(clipping, picked, "clipping: vanilla RNN, radius 1.5, adding, T = 20", 0.1, 30)
        picked = [r for r in rows if r["part"] == "segments"]
        _curves(segments, picked, "truncation: GRU, recall over 40 steps, state carried", 1e-3, 3)
        figure.savefig(path)


def _lags(axes: Axes, rows: Sequence[Row], title: str) -> None:
    for label in dict.fromkeys(r["label"] for r in rows):
        same = [r for r in rows if r["label"] == label]
        norms = np.array([r["norm_by_lag"] for r in same if "norm_by_lag" in r])
        if not len(norms):
            continue
        relative = np.maximum(norms / norms[:, :1], SMALLEST)
        reached = [r["loss_share"] for r in same if r.get("loss_share") is not None]
        _band(
            axes,
            np.arange(relative.shape[1]),
            relative,
            label,
            f"loss {np.mean(reached):.3f}" if reached else "",
        )
    axes.set(yscale="log", xlabel="lag in steps", ylabel="|∂L/∂s at this lag| ÷ that at lag 0", title=title)
    axes.set_ylim(SMALLEST, 1e4)
    axes.legend(loc="lower left", fontsize=8)


def _curves(axes: Axes, rows: Sequence[Row], title: str, low: float, high: float) -> None:
    for label in dict.fromkeys(r["label"] for r in rows):
        same = [r for r in rows if r["label"] == label]
        lost = [r for r in same if r["diverged_at"] is not None]
        kept = [_smooth(r["curve"]) for r in same if r["diverged_at"] is None]
        if kept:
            _band(axes, np.arange(len(kept[0])), np.array(kept), label, "")
        for k, r in enumerate(lost):
            colour, style = LOOKS[label]
            note = None if k else f"{label}: {len(lost)} of {len(same)} diverged, to ✕"
            axes.plot(r["curve"], color=colour, linestyle=style, linewidth=1, label=note)
            axes.plot(len(r["curve"]), high * 0.8, "x", color=colour, markersize=9)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(yscale="log", xlabel="batches", ylabel="loss ÷ that of a constant answer", title=title)
    axes.set_ylim(low, high)
    axes.legend(loc="lower left", fontsize=8)


def _smooth(curve: Sequence[float], width: int = 25) -> np.ndarray:
    return np.convolve(np.pad(curve, (width - 1, 0), mode="edge"), np.full(width, 1 / width), mode="valid")


def _band(axes: Axes, x: np.ndarray, y: np.ndarray, label: str, note: str) -> None:
    """Draw the geometric mean of the seeds (n, ·) with the span between them."""
    colour, style = LOOKS[label]
    named = f"{label}: {note}" if note else label
    axes.plot(x, np.exp(np.log(y).mean(axis=0)), color=colour, linestyle=style, label=named)
    axes.fill_between(x, y.min(axis=0), y.max(axis=0), color=colour, alpha=0.12, linewidth=0)
