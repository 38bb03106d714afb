"""Bundles that know nothing of NAB: one for each period, trained on the train parts of the other data sets together.

A data set whose period is a whole part of the one wanted joins, every so manieth reading of it; its channels are
streams beside those of the others, moved to begin with the same midnight. They are kept until the data change.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl

from edgeseq.core.durations import format_duration
from edgeseq.core.types import F64
from tests.bench import datasets
from tests.bench.alerts.bundles import KEPT
from tests.bench.alerts.play import BASE_NS
from tests.support.tiny_bundle import ROOT

HORIZON = 24
LEAST_ROWS = 1000
"""A shorter train part says too little, …"""
SHORTEST = 4
"""… as does one of less than this part of the longest."""


def trained(data: Path, periods_ns: Iterable[int]) -> tuple[dict[int, Path], dict[int, str]]:
    """Give the bundle of each period → (those there are, and of each what it was trained on or why there is none)."""
    sets = [load() for name, load in datasets.find(data) if not name.startswith("nab/")]
    sets = [d for d in sets if d.counts]
    made: dict[int, Path] = {}
    told: dict[int, str] = {}
    for period_ns in sorted(set(periods_ns)):
        fitting = [d for d in sets if period_ns % (d.period_s * 10**9) == 0]
        table, names = together(fitting, period_ns)
        if table is None:
            told[period_ns] = "no other data set has this period or a part of it"
            continue
        told[period_ns] = ", ".join(names)
        made[period_ns] = _kept(table, period_ns)
    return made, told


def together(sets: Sequence[datasets.DataSet], period_ns: int) -> tuple[pl.DataFrame | None, list[str]]:
    """Lay train parts side by side → (a column for each channel, or None, names of those that take part).

    All have values in all parts of the training: they are cut to the shortest, and what is much shorter is left out.
    """
    parts = [(d, period_ns // (d.period_s * 10**9)) for d in sets]
    rows = {d.name: len(d.targets[: d.train : stride]) for d, stride in parts}
    least = max(LEAST_ROWS, max(rows.values(), default=0) // SHORTEST)
    parts = [(d, stride) for d, stride in parts if rows[d.name] >= least]
    if not parts:
        return None, []
    length = min(rows[d.name] for d, _ in parts)
    time_ns = BASE_NS + np.arange(length) * period_ns
    columns: dict[str, pl.Series] = {"time": pl.Series(time_ns).cast(pl.Datetime("ns"))}
    for d, stride in parts:
        # From a midnight on, so that the days of all begin together.
        midnight = -(d.start_ns // 10**9) % datasets.DAY_S // d.period_s
        values = d.targets[midnight : d.train : stride][:length]
        columns |= {f"{d.name} {c}": _column(values[:, k], length) for k, c in enumerate(d.target_names)}
    return pl.DataFrame(columns), [d.name for d, _ in parts]


def _column(x: F64, length: int) -> pl.Series:
    return pl.Series(np.append(x, np.full(length - len(x), np.nan))).fill_nan(None)


def _kept(table: pl.DataFrame, period_ns: int) -> Path:
    digest = sha256(table.write_csv().encode()).hexdigest()[:12]
    path = KEPT / f"global-{format_duration(period_ns)}-{digest}.edgeseq"
    if not path.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        given = path.with_suffix(".parquet")
        table.write_parquet(given)
        # A process of its own: TensorFlow talks much, and holds 500 MB.
        arguments = [str(given), str(period_ns), str(path)]
        command = [sys.executable, "-m", "tests.bench.alerts.global_bundles", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        given.unlink()
        if done.returncode:
            raise RuntimeError(done.stderr[-4000:])
    return path


def _train(given: Path, period_ns: int, path: Path) -> None:
    from edgeseq_train import api
    from edgeseq_train.recipe import Recipe

    every, horizon = format_duration(period_ns), format_duration(HORIZON * period_ns)
    recipe = Recipe(name="global", every=every, horizon=horizon)
    bundle = api.fit(pl.read_parquet(given), recipe)
    part = path.with_suffix(".part")
    api.save(bundle, part)
    part.rename(path)


if __name__ == "__main__":
    _train(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
