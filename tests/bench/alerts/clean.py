"""Recordings without known anomalies, into which faults are put: which files, and which rows of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from edgeseq.core.types import F64, Bool
from tests.bench import datasets

MARGIN_NS = 86_400 * 10**9
"""A day beside a labelled window is not taken for clean."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording on its grid; all its channels together are one plant."""

    name: str
    values: F64
    """(T, C), NaN where missing."""
    channels: tuple[str, ...]
    period_s: int
    start_ns: int
    """Time of the first row."""
    test: int
    """First row of the part that faults are put into."""
    labelled: Bool
    """(T,) rows within a labelled anomaly or a day of it."""

    @property
    def family(self) -> str:
        """Name the folder that it comes from."""
        return self.name.partition("/")[0]

    @property
    def season(self) -> int:
        """Steps of a day."""
        return datasets.DAY_S // self.period_s

    @property
    def period_ns(self) -> int:
        """Give the time between two rows."""
        return self.period_s * 10**9


def find(folder: Path) -> Iterator[Recording]:
    """Read all recordings of a folder that faults can be put into: five data sets, and clean ones of NAB and SKAB."""
    for name, load in datasets.find(folder):
        read = load()
        if read.counts:
            yield recording(folder, name, read)
    for pattern, reader in CLEAN:
        for path in sorted(folder.glob(pattern)):
            name = f"{path.relative_to(folder).parts[0]}/{path.stem}"
            yield recording(folder, name, datasets.load(name, path, reader, counts=False))


def recording(folder: Path, name: str, read: datasets.DataSet) -> Recording:
    """Lay a data set out; where anomalies are labelled, what follows training is searched for clean rows."""
    labelled = np.zeros(len(read.targets), dtype=np.bool_)
    test = read.validation
    if name.startswith("nab/"):
        labelled, test = _labelled(folder / "nab", name, read), read.train
    return Recording(name, read.targets, read.target_names, read.period_s, read.start_ns, test, labelled)


def _labelled(folder: Path, name: str, read: datasets.DataSet) -> Bool:
    """Mark the rows of labelled windows and of a day beside them (T,)."""
    windows = json.loads((folder / "windows.json").read_text(encoding="utf-8"))
    mine = next(spans for file, spans in windows.items() if Path(file).stem == Path(name).name)
    time_ns = read.start_ns + np.arange(len(read.targets)) * read.period_s * 10**9
    marked = np.zeros(len(time_ns), dtype=np.bool_)
    for span in mine:
        first, last = (int(np.datetime64(text, "ns").astype(np.int64)) for text in span)
        marked |= (time_ns >= first - MARGIN_NS) & (time_ns <= last + MARGIN_NS)
    return marked


def _skab(path: Path) -> tuple[pl.DataFrame, list[str], list[str]]:
    table = pl.read_csv(path, separator=";")
    names = [c for c in table.columns if c not in ("datetime", "anomaly", "changepoint")]
    return table.with_columns(time=pl.col("datetime").str.to_datetime("%Y-%m-%d %H:%M:%S")), names, []


def _nab(path: Path) -> tuple[pl.DataFrame, list[str], list[str]]:
    table = pl.read_csv(path)
    return table.with_columns(time=pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S")), ["value"], []


CLEAN = (("nab/artificialNoAnomaly/*.csv", _nab), ("skab/anomaly-free/*.csv", _skab))
