"""Series, windows and profiles of a folder laid out like NAB's."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeseq.core.types import F64, I64
from edgeseq.errors import InputError
from tests.bench.alerts.nab_score import Costs, Labelled
from tests.bench.alerts.play import Series

PROFILES = {"standard": "standard", "reward_low_FP_rate": "low_fp", "reward_low_FN_rate": "low_fn"}
"""Name in profiles.json → ending of our figures."""


def read_profiles(folder: Path) -> dict[str, Costs]:
    """Read the weights of the three profiles, by the endings of our figures."""
    told = _json(folder / "profiles.json")
    costs = {ours: told[theirs]["CostMatrix"] for theirs, ours in PROFILES.items()}
    return {name: Costs(c["tpWeight"], c["fpWeight"], c["fnWeight"]) for name, c in costs.items()}


def read_series(folder: Path) -> tuple[list[Labelled], list[str]]:
    """Read all series that have windows (or none, in so many words) → (series, names of those without a file)."""
    told = _json(folder / "windows.json")
    absent = [name for name in sorted(told) if not (folder / name).is_file()]
    return [_series(folder, name, told[name]) for name in sorted(told) if name not in absent], absent


def _json(path: Path) -> Any:
    if not path.is_file():
        raise InputError("a file of the benchmark is missing", where=str(path), wanted="the layout of NAB")
    return json.loads(path.read_text(encoding="utf-8"))


def _series(folder: Path, name: str, windows: Sequence[tuple[str, str]]) -> Labelled:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    time_ns = _instants([row[0] for row in rows])
    value: F64 = np.array([float(row[1]) for row in rows])
    bounds = [_instants(window) for window in windows]
    placed = [(np.searchsorted(time_ns, a), np.searchsorted(time_ns, b, "right") - 1) for a, b in bounds]
    return Labelled(name, time_ns, value, tuple(sorted((int(a), int(b)) for a, b in placed)))


def _instants(texts: Sequence[str]) -> I64:
    return np.array(texts, dtype="datetime64[ns]").astype(np.int64)


def as_stream(series: Labelled) -> Series:
    """Make it a stream: its period is the median spacing of the rows that are not scored, as an operator would see."""
    spacing = np.diff(series.time_ns[: max(series.probation, 3)])
    period_ns = int(np.median(spacing[spacing > 0]))
    return Series(series.name, series.time_ns, series.value[:, None], period_ns)
