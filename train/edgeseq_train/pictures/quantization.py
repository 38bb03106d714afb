"""What each way of storing the weights costs in accuracy, beside its size."""

from __future__ import annotations

from collections.abc import Sequence

from edgeseq_train.pictures.canvas import MODEL, NAIVE, Picture, sheet


def quantization(
    names: Sequence[str], lost_percent: Sequence[float], kb: Sequence[int], shipped: str, caption: str
) -> Picture:
    """Draw per variant the change of the loss in per cent; the shipped one stands out."""
    figure, (axes,) = sheet("Loss by quantization")
    rows = range(len(names))
    bars = axes.barh(rows, lost_percent, height=0.55, color=[MODEL if n == shipped else NAIVE for n in names])
    texts = [f"{lost:+z.2f} %, {size} kB" for lost, size in zip(lost_percent, kb, strict=True)]
    axes.bar_label(bars, texts, padding=4, fontsize=9.5)
    axes.axvline(0, color=NAIVE, lw=0.8)
    axes.set_yticks(rows, [n.replace("_", " ") for n in names])
    axes.invert_yaxis()
    low, high = min(0.0, *lost_percent), max(0.0, *lost_percent)
    room = max(high - low, 0.05)
    # The texts stand outside their bars, on either side.
    axes.set_xlim(low - (0.75 * room if low < 0 else 0.02 * room), high + 0.75 * room)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("change of the loss against float32, %")
    return Picture("quantization", "Loss by quantization", caption, figure)
