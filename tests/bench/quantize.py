"""What each quantization costs, in the real runtimes and in closed loop, with level shifts and spikes.

    make bench-quantize [DATA=folder] [SEEDS=3]     # build/bench/quantize.json; DATA: it holds ett/ETTh1.csv

Whole networks of the default recipe with GRU (all seeds), LSTM and vanilla RNN (one seed): float32, float16, int8
weights, dynamic. Their bare cells besides in full int8 and int16x8, between a float front and head. ai-edge-litert, and
tflite-runtime 2.14 in its own environment. Each stream runs twice, as it is and with events put in, at least 10,000
steps from the first reading on, every state fed back; MASE is that of the undisturbed streams over the test part.
Differences are to float32 on the same runtime: of states in their own unit, of quantiles in running scales, and the
largest over units (leads, levels). Times are the thread's own,
medians of interleaved rounds on one stream.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from edgeseq.adapters.interpreter import runtime_fault
from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq.bundle.archive import dump_arrays
from edgeseq.core import features
from edgeseq_train import bare_cell, produce, quantization, recording
from edgeseq_train.fit import fit
from edgeseq_train.parts import Recording, naive_error, split_rows
from edgeseq_train.recipe import CellRecipe, FrontRecipe, Recipe, SplitRecipe
from tests.bench import quantize_series
from tests.bench.quantize_roll import Job

ROOT = Path(__file__).parents[2]
PYTHONS = {"litert": Path(sys.executable), "tflite": ROOT / ".venv-tflite/bin/python"}
HOUR_NS = 3600 * 10**9
H = 96
DRAWN_STEPS, DRAWN_STREAMS = 12_000, 4
SAMPLES = 500
"""Moments that the full integer modes are calibrated on, of the training part."""
Row = dict[str, Any]


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="Folder with ett/ETTh1.csv.")
@click.option("--seeds", default=3)
@click.option("-o", "--output", default=Path("build/bench/quantize.json"), type=click.Path(path_type=Path))
def bench(data: Path | None, seeds: int, output: Path) -> None:
    """Train, convert, roll, time and print."""
    begun = time.monotonic()
    console = Console(width=170)
    taken, split = series(data)
    rows: list[Row] = []
    for kind, seed in [*(("gru", seed) for seed in range(seeds)), ("lstm", 0), ("rnn", 0)]:
        with tempfile.TemporaryDirectory(prefix="edgeseq-") as name, console.status(f"{kind}, seed {seed}"):
            prepare(taken, split, kind, seed, Path(name))
            rows += [{"model": kind, "seed": seed, **row} for row in rolled(Path(name))]
        console.print(f"{kind}, seed {seed}: {time.monotonic() - begun:.0f} s")
    found = figures(rows) | {"wall_s": round(time.monotonic() - begun, 1)}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"rows": rows, "figures": found}, indent=1, allow_nan=False))
    for part in ("whole", "bare"):
        console.print(table(part, [r for r in rows if r["part"] == part]))
    console.print(f"{output}, {found['wall_s']:.0f} s")


def series(data: Path | None) -> tuple[Recording, SplitRecipe]:
    """Read ETTh1, or draw a series; with its split."""
    if data is None:
        names = tuple(f"drawn{k}" for k in range(DRAWN_STREAMS))
        values = quantize_series.drawn(DRAWN_STEPS, DRAWN_STREAMS)[:, :, None]
        return Recording(values, names, HOUR_NS), SplitRecipe()
    return recording.read(data / "ett" / "ETTh1.csv", HOUR_NS, "last"), SplitRecipe(8640, 2880, 2880)


def prepare(taken: Recording, wanted: SplitRecipe, kind: Any, seed: int, folder: Path) -> None:
    """Train a model and write all that a runtime's environment needs to roll its quantizations out."""
    recipe = Recipe(every="1h", horizon=f"{H}h", seed=seed, split=wanted, front=FrontRecipe(seasons=(24,)),
                    cell=CellRecipe(kind=kind))  # fmt: skip
    fitted = fit(taken, H, recipe, lambda *_: None, lambda _: None)
    split = split_rows(len(taken.values), wanted)
    x = features.normalise(taken.values[: split.test], fitted.anchor, fitted.unit)
    changed, events = quantize_series.disturb(x)
    samples = bare_cell.representative(
        fitted.spec, fitted.weights, x[: split.train], SAMPLES, np.random.default_rng(seed)
    )
    with hushed(lambda _: True):
        runtime_fault("litert")
        manifest, files, _ = produce.produce(taken, fitted, recipe, kind, lambda _: None)
        bare = quantization.bare_variants(fitted.spec, fitted.weights, samples)
    _write(folder / "whole", {v.name: files[v.file] for v in manifest.variants})
    _write(folder / "bare", bare)
    signatures = {name: quantization.bare_signature(model, fitted.spec) for name, model in bare.items()}
    job = Job(manifest, signatures, (split.validation, split.test), x.shape[1], events)
    (folder / "job.json").write_bytes(msgspec.json.encode(job))
    naive = naive_error(x[: split.train], 24)
    arrays = {**fitted.weights, "x": np.concatenate([x, changed], axis=1), "naive": naive}
    (folder / "arrays.npz").write_bytes(dump_arrays(arrays))


def _write(folder: Path, models: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, model in models.items():
        (folder / f"{name}.tflite").write_bytes(model)


def rolled(folder: Path) -> list[Row]:
    """Roll in both environments at once, time in one after the other."""
    for child in [_start(folder, runtime) for runtime in PYTHONS]:
        _finish(child)
    rows: list[Row] = []
    for runtime in PYTHONS:
        _finish(_start(folder, runtime, "time"))
        times = json.loads((folder / f"{runtime}_time.json").read_text())
        for row in json.loads((folder / f"{runtime}.json").read_text()):
            us, share = times[row["part"]].get(row["variant"], (None, None))
            rows.append(row | {"us_per_step": us, "time_ratio": share})
    return rows


def _start(folder: Path, runtime: str, *more: str) -> subprocess.Popen[str]:
    command = [str(PYTHONS[runtime]), "-m", "tests.bench.quantize_roll", str(folder), runtime, *more]
    return subprocess.Popen(command, cwd=ROOT, text=True, stderr=subprocess.PIPE)


def _finish(child: subprocess.Popen[str]) -> None:
    _, said = child.communicate()
    if child.returncode:
        sys.exit(said[-4000:])


def figures(rows: Sequence[Row]) -> dict[str, float]:
    """Name the figures: of whole networks by variant, of bare cells by variant and kind; tflite-runtime's end so."""
    found: dict[str, float] = {}
    for r in rows:
        end = "" if r["runtime"] == "litert" else "_tflite"
        name = r["variant"] if r["part"] == "whole" else f"bare_{r['variant']}"
        if "refused" in r:
            found[f"{name}_{r['model']}_refused{end}"] = 1.0
            continue
        made = {
            f"{name}_{r['model']}_bytes{end}": r["bytes"],
            f"{name}_{r['model']}_time_ratio{end}": r["time_ratio"],
        }
        made |= {f"{name}_{r['model']}_max_output_difference{end}": r["output"]["max"]}
        made |= {f"{name}_{r['model']}_p999_output_difference{end}": r["output"]["p999"]}
        made |= {f"{name}_{r['model']}_growth{end}": growth(r)}
        made |= {f"{name}_{r['model']}_max_state_difference{end}": max(s["max"] for s in r["state"].values())}
        made |= {
            f"{name}_{r['model']}_mase_loss_percent_{h}{end}": v for h, v in r["mase_loss_percent"].items()
        }
        # The worst seed stands for all.
        found |= {k: max(v, found.get(k, v)) for k, v in made.items()}
    for h in ("1", "24", "96"):
        lost = [r["mase_loss_percent"][h] for r in rows if (r["part"], r["variant"], r["model"], r["runtime"])
                == ("whole", "int8_weights", "gru", "litert")]  # fmt: skip
        found |= {f"int8_weights_mase_loss_percent_{h}": float(np.mean(lost)),
                  f"int8_weights_mase_loss_percent_{h}_worst": max(lost)}  # fmt: skip
    return found


def growth(row: Row) -> float:
    """Median difference of the last thousand steps to that of the first: above 1 it grows."""
    return float(row["output"]["last_median"] / max(row["output"]["first_median"], 1e-9))


def table(part: str, rows: Sequence[Row]) -> Table:
    """Lay out a part; differences as largest / 99.9 %."""
    shown = Table(title=f"{part}: differences to float32 (max / p99.9), MASE loss in %", title_justify="left")
    for column in ("model", "runtime", "variant", "kB", "state", "output", "first 1,000", "last 1,000", "growth",
                   "shift, after", "spike, after", "loss 1", "24", "96", "µs", "× f32"):  # fmt: skip
        shown.add_column(column, justify="left" if column in {"model", "runtime", "variant"} else "right")
    for r in rows:
        head = (f"{r['model']} {r['seed']}", r["runtime"], r["variant"], f"{r['bytes'] / 1000:.0f}")
        if "refused" in r:
            shown.add_row(*head, "refused: " + r["refused"])
            continue
        out, state, events = r["output"], next(iter(r["state"].values())), r["events"]
        lost = (f"{r['mase_loss_percent'][h]:+.3f}" for h in ("1", "24", "96"))
        shown.add_row(
            *head, _pair(state, "max", "p999"), _pair(out, "max", "p999"), _pair(out, "first_max", "first_p999"),
            _pair(out, "last_max", "last_p999"), f"{growth(r):.2f}", _pair(events["shift"], "around", "after"),
            _pair(events["spike"], "around", "after"), *lost,
            f"{r['us_per_step']:.1f}", f"{r['time_ratio']:.2f}",
        )  # fmt: skip
    return shown


def _pair(values: dict[str, float], a: str, b: str) -> str:
    return f"{values[a]:.2g} / {values[b]:.2g}"


if __name__ == "__main__":
    bench()
