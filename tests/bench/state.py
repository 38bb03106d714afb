"""What a step costs and what a stream weighs: beside the raw interpreter, over numbers of streams, in bytes.

    make bench-state        # a table, and build/bench/state.json

Steps alone: from the rows of the table to the rows of the table through the Stepper, gather, guard and scatter
included, beside the same model in a bare interpreter (set all arguments, invoke, get all results) at the same batch.
Cost over streams: `advance` of batches of 64 different streams, drawn from so many. All alternatives in turn, round by
round; medians.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table as Shown

from edgeseq.bundle import TrustedKeys, read_bundle
from edgeseq.core import forecasters, keeping
from edgeseq.core.group import MODEL
from edgeseq.core.pipeline import State, advance, new_state
from edgeseq.core.types import I64, Readings
from tests.bench.bare import Alternative, by_index
from tests.bench.bench_bundle import TRUSTED_KEYS, bench_bundle
from tests.bench.state_process import SEASON, START_S, opened, serve
from tests.support.tiny_bundle import ROOT

BATCHES = (64, 512)
SIZES = (100, 1_000, 10_000, 100_000)
FLAT_BATCH = 64
STEPS_ROUND_S = 0.003
"""Shorter than a time slice of the system, so that what else runs hits all alike."""
STREAMS_ROUND_S = 0.03
"""Long enough that few streams stay in the processor's cache, as if the other sizes were not there."""
NOT_ON_A_DEVICE = ("rich", "pygments", "tensorflow", "polars", "matplotlib")
CHILD = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({NOT_ON_A_DEVICE}))  # importing one raises ImportError: it fails rather than counts
runpy.run_module("tests.bench.state_process", run_name="__main__", alter_sys=True)
"""


@click.command()
@click.option("--rounds", default=101, help="At least 5.")
@click.option("-o", "--output", default=Path("build/bench/state.json"), type=click.Path(path_type=Path))
def bench(rounds: int, output: Path) -> None:
    """Time, weigh, print."""
    console = Console(width=110)
    bundle = bench_bundle()
    with tempfile.TemporaryDirectory() as folder, console.status("serving a thousand streams"):
        node = opened(bundle, Path(folder))
        serve(node, 1_000)
    kept = keeping.dump(node.state)
    with console.status("steps alone, beside the raw interpreter"):
        rows = steps_alone(node.state, bundle, rounds)
    with console.status("cost over numbers of streams"):
        rows += over_streams(node.state, kept, rounds)
    with console.status("bytes of a stream"):
        rows += weights(bundle)
    found = figures(rows)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"rows": rows, "figures": found}, indent=1))
    for part in ("steps", "streams", "bytes"):
        console.print(table(part, [row for row in rows if row["part"] == part]))
    console.print(found, output)


# --- steps alone ----------------------------------------------------------------------------------------------


def steps_alone(state: State, bundle: Path, rounds: int) -> list[dict[str, Any]]:
    """Time a step of so many streams in the table and in a bare interpreter → a row for each batch."""
    model = read_bundle(bundle, TrustedKeys.from_dir(bundle.parent / TRUSTED_KEYS))
    file = model.files[model.manifest.variant(model.manifest.default_variant).file]
    rows = []
    for batch in BATCHES:
        spent = timed({"raw": by_index(file, batch), "ours": our_steps(state, batch)}, rounds, STEPS_ROUND_S)
        ratio = statistics.median(a / b for a, b in zip(spent["raw"], spent["ours"], strict=True))
        costs = {f"us_{name}": 1e6 * statistics.median(s) for name, s in spent.items()}
        rows.append({"part": "steps", "batch": batch, **costs, "ratio": ratio})
    return rows


def our_steps(state: State, batch: int) -> Alternative:
    """Step other streams of the table at each call, in no order."""
    group, rng = state.groups[0], np.random.default_rng(1)
    chosen = [rng.permutation(group.table.rows)[:batch] for _ in range(32)]
    which = [group.table["model.which"][rows] for rows in chosen]
    x = rng.standard_normal((batch, 1)).astype(np.float32)
    turn = iter(range(10**9))

    def call() -> Any:
        k = next(turn) % len(chosen)
        return forecasters.run(group, MODEL, chosen[k], which[k], x)

    return call


def timed(alternatives: dict[str, Alternative], rounds: int, round_s: float) -> dict[str, list[float]]:
    """Time all in turn, round by round → seconds of a call."""
    repeats = {
        name: max(1, int(round_s / min(_once(call) for _ in range(5)))) for name, call in alternatives.items()
    }
    spent: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(rounds):
        for name, call in alternatives.items():
            begun = time.thread_time()
            for _ in range(repeats[name]):
                call()
            spent[name].append((time.thread_time() - begun) / repeats[name])
    return spent


def _once(call: Alternative) -> float:
    begun = time.thread_time()
    call()
    return max(time.thread_time() - begun, 1e-7)


# --- cost over numbers of streams -----------------------------------------------------------------------------


def over_streams(state: State, kept: tuple[dict[str, Any], Any], rounds: int) -> list[dict[str, Any]]:
    """Time `advance` of batches drawn from 100 to 100,000 streams → a row for each number, per reading."""
    spent = timed(
        {str(n): advances(multiplied(state, kept, n)) for n in SIZES}, max(5, rounds // 5), STREAMS_ROUND_S
    )
    base = spent[str(SIZES[0])]
    return [
        {
            "part": "streams",
            "streams": n,
            "us_per_reading": 1e6 * statistics.median(spent[str(n)]) / FLAT_BATCH,
            "per_100_streams": statistics.median(a / b for a, b in zip(spent[str(n)], base, strict=True)),
        }
        for n in SIZES
    ]


def multiplied(state: State, kept: tuple[dict[str, Any], Any], streams: int) -> State:
    """Bring a state back with so many streams, each like one of those that were kept."""
    header, arrays = kept
    infos = header["streams"]
    copies = np.arange(streams) % len(infos)
    more = [
        {**infos[k], "id": f"{infos[k]['id']}-{s}", "topic": f"s/{s}"} for s, k in enumerate(copies.tolist())
    ]
    wanted = {name: a if name == "recent" else a[copies] for name, a in arrays.items()}
    key = state.groups[0].rule.key
    wanted[f"{key}\nstream"] = np.arange(streams)
    model = state.groups[0].model
    assert model is not None
    rule = state.groups[0].rule
    new = new_state([rule], {str(rule.bundle): model}, state.options)
    assert keeping.load(new, {**header, "streams": more}, wanted) == []
    return new


def advances(state: State) -> Alternative:
    """Advance 64 of the streams by their next reading, others at each call."""
    table, rng = state.groups[0].table, np.random.default_rng(2)
    step = np.array(table["open_step"])
    phase = table["phase_ns"]
    received = np.full(FLAT_BATCH, state.clock_ns)
    none = np.zeros(FLAT_BATCH, np.int32)
    waiting: Iterator[I64] = iter(())

    def call() -> Any:
        nonlocal waiting
        rows = next(waiting, None)
        if rows is None:
            n = table.rows // FLAT_BATCH
            waiting = iter(rng.permutation(table.rows)[: n * FLAT_BATCH].reshape(n, FLAT_BATCH))
            rows = next(waiting)
        step[rows] += 1
        time_ns = phase[rows] + step[rows] * 10**9 + 5 * 10**8
        value = 20 + np.sin(2 * np.pi * (time_ns // 10**9 - START_S) / SEASON + rows % 1000)
        value += 0.1 * rng.standard_normal(FLAT_BATCH)
        ids, nothing = none.astype(np.uint64), none.astype(np.bool_)
        streams = rows.astype(np.int32)
        return advance(
            state, Readings(none, streams, none.astype(np.int16), time_ns, received, value, ids, nothing)
        )

    return call


# --- bytes ----------------------------------------------------------------------------------------------------


def weights(bundle: Path) -> list[dict[str, Any]]:
    """Weigh processes that serve 1,000, 1,024 and 8,192 streams; the table's arrays are full at powers of two."""
    one, few, many = (child(bundle, n) for n in (1_000, 1_024, 8_192))
    assert min(c["warm"] for c in (one, few, many)) == 1.0, "the model has not joined every stream"
    slope = (many["rss"] - few["rss"]) / (many["streams"] - few["streams"])
    rows = [{"part": "bytes", "what": what, "bytes": size} for what, size in many["parts"].items()]
    objects = slope - sum(many["parts"].values())
    rows.append({"part": "bytes", "what": "names, routes and what else Python holds", "bytes": objects})
    rows.append({"part": "bytes", "what": "a stream in total (slope of resident memory)", "bytes": slope})
    rows.append({"part": "bytes", "what": "a process of 1,000 streams", "bytes": one["rss"]})
    rows.append({"part": "bytes", "what": "its peak", "bytes": one["peak"]})
    return rows


def child(bundle: Path, streams: int) -> dict[str, Any]:
    """Serve so many streams in a process like a device's → what it says of its memory."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", CHILD, str(bundle), folder, str(streams)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


# --- told -----------------------------------------------------------------------------------------------------


def figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Name what is to be held."""
    ratios = {f"ratio_raw_interpreter_{r['batch']}": r["ratio"] for r in rows if r["part"] == "steps"}
    flat = {
        f"flat_{r['streams']}": r["per_100_streams"]
        for r in rows
        if r["part"] == "streams" and r["streams"] > 1000
    }
    size = {r["what"]: r["bytes"] for r in rows if r["part"] == "bytes"}
    return {
        **ratios,
        **flat,
        "rss_mb_1000": size["a process of 1,000 streams"] / 1e6,
        "bytes_per_stream": size["a stream in total (slope of resident memory)"],
    }


def table(part: str, rows: list[dict[str, Any]]) -> Shown:
    """Lay out the rows of one part."""
    titles = {
        "steps": "steps alone, µs a batch, beside the raw interpreter",
        "streams": f"advance, batches of {FLAT_BATCH}",
        "bytes": "bytes",
    }
    shown = Shown(title=titles[part], title_justify="left")
    names = [name for name in rows[0] if name != "part"]
    for name in names:
        shown.add_column(name.replace("_", " "), justify="left" if name == "what" else "right")
    for row in rows:
        cells = (f"{v:,.2f}" if isinstance(v, float) and v < 1e3 else f"{v:,.0f}" if name != "what" else v
                 for name, v in row.items() if name != "part")  # fmt: skip
        shown.add_row(*cells)
    return shown


if __name__ == "__main__":
    bench()
