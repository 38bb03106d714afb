"""Whether training learns from the very numbers that the device steps with: every data set, also with gaps and DST.

    make bench-tensors DATA=folder [ONLY=occupancy] [STEPS=6000]

Each recording is written as a CSV and read as `edgeseq train` reads it; its rows are also sent as messages through the
device's core, one after the other. What training would be fed of each stream, and what the core fed its model of it,
are compared bit for bit: the values, the missing ones, and where the stream begins. Three ways each: as it is; with
readings left out, also a long stretch of them; and in the local time of Berlin, whose clocks are set twice a year (its
messages carry UTC). Exit 1 if a bit differs.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from edgeseq.core import features, pipeline
from edgeseq.core.forecast import RecurrentState, StateSpec
from edgeseq.core.group import MODEL, read_state
from edgeseq.core.types import F32, Message, Options, StreamRule
from edgeseq_train import prepare, recording
from tests.bench import datasets

HORIZON, RING = 6, 336
ZONE = "Europe/Berlin"
MISSING_SHARE = 0.05
LONG_GAP_STEPS = 500
"""Longer than the ring: the device begins the stream anew."""
MILLISECOND_NS = 10**6


class Log:
    """A stepper whose state is the list of all it was given."""

    name = "log@00000000"
    channels, horizon, ring, known = 1, HORIZON, RING, 0
    levels: tuple[float, ...] = (0.05, 0.5, 0.95)

    def __init__(self, steps: int) -> None:
        self.state_spec: tuple[StateSpec, ...] = (StateSpec("log", (steps,)), StateSpec("count", (1,)))

    def step(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Write x (B, 1) down; forecast 0."""
        log, count = state[0].copy(), state[1]
        log[np.arange(len(x)), count[:, 0].astype(int)] = x[:, 0]
        return np.zeros((len(x), 1, HORIZON, 3), np.float32), (log, count + np.float32(1))

    def replay(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Write all of x (B, T, 1) down."""
        for t in range(x.shape[1]):
            q, state = self.step(x[:, t], state)
        return q, state


def readings(data: Path, name: str, steps: int) -> tuple[pl.DataFrame, list[str], int]:
    """Take the first rows of a data set: a column `time` of milliseconds since 1970, its targets, and the period."""
    d = dict(datasets.find(data))[name]()
    table, targets = datasets.rows_of(data, name)
    kept = table.sort("time", maintain_order=True).head(steps)
    columns = [pl.col(c).cast(pl.Float64) for c in targets]
    return kept.select(pl.col("time").dt.epoch("ms"), *columns), targets, d.period_s * 10**9


def ways(table: pl.DataFrame, seed: int = 3) -> Iterator[tuple[str, pl.DataFrame, str | None]]:
    """Give each way its name, its readings, and the zone whose local time the CSV is written in."""
    yield "as it is", table, None
    rng = np.random.default_rng(seed)
    left = rng.random(table.height) >= MISSING_SHARE
    left[table.height // 2 : table.height // 2 + LONG_GAP_STEPS] = False
    gaps = table.filter(pl.Series(left))
    holes = [
        pl.when(pl.Series(rng.random(gaps.height) >= MISSING_SHARE)).then(pl.col(c)) for c in gaps.columns[1:]
    ]
    yield "gaps", gaps.select("time", *holes), None
    yield f"local time of {ZONE}", table, ZONE


def trained(table: pl.DataFrame, period_ns: int, zone: str | None, folder: Path) -> dict[str, F32]:
    """Give what training is fed of each stream, from the device's first step on."""
    time = pl.from_epoch("time", "ms")
    if zone:
        time = time.dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.replace_time_zone(None)
    written = folder / "recording.csv"
    table.with_columns(time.dt.strftime("%Y-%m-%dT%H:%M:%S%.3f" + ("" if zone else "Z"))).write_csv(written)
    taken = recording.read(written, period_ns, "last", time_zone=zone)
    kept = prepare.kept_steps(RING, HORIZON, period_ns)
    anchor, unit = prepare.settle(taken.values, taken.names, kept)
    x = features.normalise(taken.values, anchor, unit)
    return {name: x[:, s, 0] for s, name in enumerate(taken.names)}


def stepped(table: pl.DataFrame, targets: list[str], period_ns: int) -> list[F32]:
    """Send all rows through the core; give what each stream's model was committed to, the open step left out."""
    time_ms = table["time"].to_numpy()
    steps = 2 + int(np.ptp(time_ms)) * MILLISECOND_NS // period_ns
    rule = StreamRule(
        key="r", period_ns=period_ns, topics=("house",), fields=tuple(targets), time_field="time", bundle="log",
        horizon=HORIZON, season_steps=0,
    )  # fmt: skip
    state = pipeline.new_state([rule], {"log": Log(steps)}, Options(clock="readings", synchronised=False))
    for n, row in enumerate(table.iter_rows(named=True)):
        said = {name: value for name, value in row.items() if value is not None}
        message = Message("house", json.dumps(said).encode(), received_ns=n)
        pipeline.advance(state, pipeline.accept(state, [message]).readings)
    group = state.groups[0]
    log, count = read_state(group, MODEL, "committed", np.arange(len(state.registry.infos)))
    return [values[: int(c[0])] for values, c in zip(log, count, strict=True)]


def compare(trained_x: F32, stepped_x: F32) -> dict[str, int]:
    """Lay both beside each other from their ends; the device may have begun anew after the long gap."""
    end = np.flatnonzero(np.isfinite(trained_x))[
        -1
    ]  # the step of the newest reading is still open on the device
    own = trained_x[max(0, end - len(stepped_x)) : end]
    different = int((own.view(np.int32) != stepped_x[len(stepped_x) - len(own) :].view(np.int32)).sum())
    return {"compared": len(own), "missing": int(np.isnan(own).sum()), "different": different}


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--only", default="", help="Parts of names of data sets, comma-separated.")
@click.option("--steps", default=6000, show_default=True, help="Rows taken of each, from the first on.")
@click.option("-o", "--output", default=Path("build/bench/tensors.json"), type=click.Path(path_type=Path))
def bench(data: Path, only: str, steps: int, output: Path) -> None:
    """Compare all data sets found, in all ways."""
    wanted = [part.strip().lower() for part in only.split(",") if part.strip()]
    rows: list[dict[str, Any]] = []
    shown = Table("data set", "readings", "streams", "steps compared", "of them missing", "different")
    with tempfile.TemporaryDirectory(prefix="edgeseq-") as folder:
        for name, _ in datasets.find(data):
            if name == "random walk" or (wanted and not any(w in name.lower() for w in wanted)):
                continue
            table, targets, period_ns = readings(data, name, steps)
            for way, taken, zone in ways(table):
                learned, fed = (
                    trained(taken, period_ns, zone, Path(folder)),
                    stepped(taken, targets, period_ns),
                )
                found = [compare(learned[t], x) for t, x in zip(targets, fed, strict=True)]
                total = {key: sum(f[key] for f in found) for key in found[0]}
                rows.append({"data": name, "way": way, "streams": len(targets), **total})
                shown.add_row(name, way, str(len(targets)), *(str(v) for v in total.values()))
    if not rows:
        raise click.UsageError(f"{data} holds no data set" + (f" called {only}" if only else ""))
    figures = {key: sum(r[key] for r in rows) for key in ("compared", "missing", "different")}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"rows": rows, "figures": figures}, indent=1))
    console = Console(width=120)
    console.print(shown)
    console.print(figures, highlight=False)
    sys.exit(1 if figures["different"] else 0)


if __name__ == "__main__":
    bench()
