"""How far gradients reach back in RNN, GRU and LSTM, and what gates, clipping and segments do to training.

    make bench-gradients        # build/bench/gradients.png and gradients.json

1. start: |∂L_T / ∂s_{T-lag}| by lag of untrained cells on the adding problem, T = 100
2. trained: the same after training on the adding problem, T = 50, with clipping, and the loss that was reached
3. clipping: a vanilla cell whose gradient grows, by plain gradient descent and by Adam, with and without clipping
4. segments: full against truncated back-propagation on a recall over 40 steps, state carried, equal rows

Losses are shares of a constant answer's: 1 remembers nothing, 0 all. Figures are means over the seeds (of norms the
geometric ones), `_worst` the worst seed; the picture shows the spread.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # children inherit them
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import click
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import track
from rich.table import Table

from edgeseq_train import long_memory
from edgeseq_train.gradient_flow import CellStart, Training, initial, norm_by_lag, score, train
from edgeseq_train.long_memory import Sequences
from tests.bench import gradients_picture

START_STEPS = 100
ADDING_STEPS = 50
CLIPPING_STEPS = 20
RECALL_STEPS, RECALL_DELAY, RECALL_PAUSE = 128, 40, 16
BATCH = 64
HELD_OUT = 512
"""Sequences that the reached loss is measured on, of a seed of their own."""

Row = dict[str, Any]
Part = Literal["start", "trained", "clipping", "segments"]


@dataclass(frozen=True)
class Job:
    """One cell, one seed, one thing to measure."""

    part: Part
    label: str
    cell: CellStart
    training: Training | None = None
    seed: int = 0


STARTS = {
    "RNN, radius 0.8": CellStart("rnn", radius=0.8),
    "RNN, radius 1": CellStart("rnn"),
    "RNN, radius 1.5": CellStart("rnn", radius=1.5),
    "GRU": CellStart("gru"),
    "GRU, update bias 1": CellStart("gru", gate_bias=1.0),
    "LSTM": CellStart("lstm"),
    "LSTM, forget bias 1": CellStart("lstm", gate_bias=1.0),
}
SPANNED = {
    "GRU, biases for 100": CellStart("gru", span=START_STEPS),
    "LSTM, biases for 100": CellStart("lstm", span=START_STEPS),
}


def jobs(seeds: int) -> list[Job]:
    """List what is run, the long ones first."""
    adam = Training(draws=700, learning_rate=5e-3, clip_norm=1.0)
    recall = Training(draws=400, learning_rate=3e-3, clip_norm=1.0)
    descent = Training(draws=1200, optimizer="sgd", learning_rate=0.1)
    smooth = replace(descent, optimizer="adam", learning_rate=3e-3)
    remembering, growing = STARTS["GRU, update bias 1"], STARTS["RNN, radius 1.5"]
    segments = [replace(recall, segment=size) for size in (16, 32, 64, 0)]
    clipping = {
        "descent, any norm": descent,
        "descent, norm ≤ 1": replace(descent, clip_norm=1.0),
        "Adam, any norm": smooth,
        "Adam, norm ≤ 1": replace(smooth, clip_norm=1.0),
    }
    listed = [
        *(Job("segments", f"{t.segment or 'all'} steps", remembering, t) for t in segments),
        *(Job("trained", label, cell, adam) for label, cell in reversed(STARTS.items())),
        *(Job("clipping", label, growing, t) for label, t in clipping.items()),
        *(Job("start", label, cell) for label, cell in (STARTS | SPANNED).items()),
    ]
    return [replace(job, seed=seed) for job in listed for seed in range(seeds)]


def run(job: Job) -> Row:
    """Do one job; what is drawn depends on its seed alone, so that alternatives see the same sequences."""
    kind, draw = job.cell.kind, _drawing(job, job.seed)
    weights = initial(job.cell, draw(1).x.shape[2], np.random.default_rng(1000 + job.seed))
    row: Row = {"part": job.part, "label": job.label, "seed": job.seed, "cell": asdict(job.cell)}
    if job.training is None:
        return row | {"norm_by_lag": norm_by_lag(kind, weights, draw(HELD_OUT)).tolist()}
    begun = time.monotonic()
    batch = BATCH // 2 if job.part == "segments" else BATCH
    found = train(kind, weights, lambda: draw(batch), job.training)
    held_out = _drawing(job, 2000 + job.seed)(HELD_OUT)
    diverged = len(found.losses) < job.training.draws
    finite = np.isfinite(found.losses) & np.isfinite(found.norms)
    row |= {
        "training": asdict(job.training),
        "diverged_at": len(found.losses) if diverged else None,
        "loss_share": None if diverged else score(kind, found.weights, held_out),
        "largest_norm": float(found.norms[finite].max()),
        "curve": (found.losses[finite] / held_out.constant_loss).tolist(),
        "seconds": round(time.monotonic() - begun, 1),
    }
    if job.part == "trained" and not diverged:
        row["norm_by_lag"] = norm_by_lag(kind, found.weights, held_out).tolist()
    return row


def _drawing(job: Job, seed: int) -> Callable[[int], Sequences]:
    """Choose the task of a job: a function of the batch size."""
    rng = np.random.default_rng(seed)
    if job.part == "segments":
        return lambda batch: long_memory.recall(rng, RECALL_STEPS, batch, RECALL_DELAY, RECALL_PAUSE)
    steps = {"start": START_STEPS, "trained": ADDING_STEPS, "clipping": CLIPPING_STEPS}[job.part]
    return lambda batch: long_memory.adding(rng, steps, batch)


def figures(rows: Sequence[Row]) -> dict[str, float]:
    """Reduce the rows to figures by name."""
    found: dict[str, float] = {}
    for part, label in dict.fromkeys((r["part"], r["label"]) for r in rows):
        same = [r for r in rows if (r["part"], r["label"]) == (part, label)]
        name = f"{part}_{_plain(label)}"
        curves = [np.array(r["norm_by_lag"]) for r in same if "norm_by_lag" in r]
        for lag in (10, 25, 49, 99):
            ratios = [c[lag] / c[0] for c in curves if lag < len(c)]
            if ratios:
                found[f"gradient_lag_{lag}_{name}"] = float(
                    np.exp(np.mean(np.log(np.maximum(ratios, 1e-30))))
                )
        if part == "start":
            continue
        reached = [r["loss_share"] for r in same if r["loss_share"] is not None]
        if reached:
            found |= {f"loss_{name}": float(np.mean(reached)), f"loss_{name}_worst": max(reached)}
        found[f"diverged_{name}"] = float(len(same) - len(reached))
        found[f"largest_norm_{name}"] = max(r["largest_norm"] for r in same)
    return found


def _plain(label: str) -> str:
    words = label.lower().replace("≤ ", "").replace(",", "").replace(".", "")
    return words.replace(" ", "_")


def table(found: dict[str, float]) -> Table:
    """Lay out the figures a reader looks for."""
    shown = Table(title="gradient by lag ÷ lag 0, and loss ÷ that of a constant answer", title_justify="left")
    for column in (
        "part",
        "lag 10",
        "lag 25",
        "lag 49",
        "lag 99",
        "loss",
        "worst",
        "diverged",
        "largest norm",
    ):
        shown.add_column(column, justify="left" if column == "part" else "right")
    names = dict.fromkeys(n.removeprefix("diverged_") for n in found if n.startswith("diverged_"))
    names = dict.fromkeys(n.split("_", 3)[3] for n in found if n.startswith("gradient_lag_10_")) | names
    for name in names:
        lags = [found.get(f"gradient_lag_{lag}_{name}") for lag in (10, 25, 49, 99)]
        cells = [*lags, *(found.get(f"{k}{name}{e}") for k, e in
                          (("loss_", ""), ("loss_", "_worst"), ("diverged_", ""), ("largest_norm_", "")))]  # fmt: skip
        shown.add_row(name.replace("_", " "), *("" if c is None else f"{c:.2g}" for c in cells))
    return shown


@click.command()
@click.option("--seeds", default=3)
@click.option("--processes", default=2, help="Each takes one core.")
@click.option("-o", "--output", default=Path("build/bench"), type=click.Path(path_type=Path))
def bench(seeds: int, processes: int, output: Path) -> None:
    """Measure, print, write the figures and draw the picture."""
    begun = time.monotonic()
    console = Console(width=150)
    listed = jobs(seeds)
    spawn = multiprocessing.get_context("spawn")  # TensorFlow's threads do not survive a fork
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_one_thread) as pool:
        rows = list(track(pool.map(run, listed), "training", total=len(listed), console=console))
    found = figures(rows) | {"wall_s": round(time.monotonic() - begun, 1)}
    output.mkdir(parents=True, exist_ok=True)
    (output / "gradients.json").write_text(
        json.dumps({"rows": rows, "figures": found}, indent=1, allow_nan=False)
    )
    gradients_picture.draw(rows, output / "gradients.png")
    console.print(table(found))
    console.print(f"{output}/gradients.png and gradients.json, {found['wall_s']:.0f} s")


def _one_thread() -> None:
    """Keep to one core: the matrices are too small to share."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


if __name__ == "__main__":
    bench()
