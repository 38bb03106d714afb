"""The picture: what comes back, and how late, against what is offered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw results/s and p50 and p99 of the latency over the offered rate, QoS 0."""
    swept = sorted((r for r in rows if r["part"] == "latency" and r["qos"] == 0), key=lambda r: r["offered"])
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), constrained_layout=True)
    for name, color in (("edgeseq", "C0"), ("paho echo", "C1")):
        own = [r for r in swept if r["client"] == name]
        offered = [r["offered"] for r in own]
        left.plot(offered, [r["readings_per_s"] for r in own], "o-", color=color, label=name)
        for key, style in (("p50_ms", "o-"), ("p99_ms", "o:")):
            right.plot(offered, [r[key] for r in own], style, color=color, label=f"{name} {key[:3]}")
    left.plot([500, 40_000], [500, 40_000], color="0.8", zorder=0)
    left.set(xlabel="offered readings/s", ylabel="results/s", title="Throughput", xscale="log", yscale="log")
    right.set(xlabel="offered readings/s", ylabel="ms", title="Latency", xscale="log", yscale="log")
    for axes in (left, right):
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)
