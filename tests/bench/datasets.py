"""The bench's data sets: which files, which columns are forecast, which stand beside them, and where parts end.

A family is a folder of the layout that its source has; every file in it is taken, seen before or not. What a rule of
a family does not fix comes from the data: the period is the median spacing of readings, the season is the day.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from edgeseq.core.align import to_grid
from edgeseq.core.types import F64

DAY_S = 86_400
HOUR_S = 3600
MISSING = ["NA", ""]
WALK_STEPS = 6000


@dataclass(frozen=True, slots=True)
class DataSet:
    """One recording on its grid."""

    name: str
    targets: F64
    """(T, C), NaN where missing."""
    target_names: tuple[str, ...]
    covariates: F64
    """(T, V)"""
    covariate_names: tuple[str, ...]
    period_s: int
    start_ns: int
    """Time of the first step, as the clock of the place showed it."""
    train: int
    validation: int
    test: int
    """Where the parts end: rows [0, train), [train, validation), [validation, test)."""
    counts: bool
    """Whether it counts in the headline figures."""

    @property
    def covariates_pay(self) -> bool:
        """Whether covariates lowered the error on the validation part of the family's known member."""
        return self.name.startswith("beijing_pm25/")

    @property
    def season(self) -> int:
        """Steps of a day."""
        return DAY_S // self.period_s


Reader = Callable[[Path], tuple[pl.DataFrame, list[str], list[str]]]
"""File → table with a column `time`, the columns to forecast, those beside them."""


def find(folder: Path) -> Iterator[tuple[str, Callable[[], DataSet]]]:
    """Name all data sets in a folder, each with what reads it."""
    for pattern, reader, counts in FAMILIES:
        for path in sorted(folder.glob(pattern)):
            name = f"{path.relative_to(folder).parts[0]}/{path.stem}"
            yield name, partial(load, name, path, reader, counts=counts)
    if (folder / "occupancy").is_dir():
        yield "occupancy", partial(load, "occupancy", folder / "occupancy", _occupancy, counts=True)
    yield "random walk", random_walk


def rows_of(folder: Path, name: str) -> tuple[pl.DataFrame, list[str]]:
    """Read the rows of a data set as its file has them, with a column `time`; and name what is to be forecast."""
    if name == "occupancy":
        return _occupancy(folder / name)[:2]
    reader, path = next(
        (reader, path)
        for pattern, reader, _ in FAMILIES
        for path in folder.glob(pattern)
        if f"{path.relative_to(folder).parts[0]}/{path.stem}" == name
    )
    return reader(path)[:2]


def load(name: str, path: Path, reader: Reader, *, counts: bool) -> DataSet:
    """Read one and put it on the grid of its median spacing."""
    table, targets, beside = reader(path)
    table = table.sort("time", maintain_order=True)
    spacing = table["time"].diff().dt.total_seconds()
    period_s = int(spacing.filter(spacing > 0).median())  # type: ignore[arg-type]
    readings = table.select(pl.col(c).cast(pl.Float64) for c in (*targets, *beside)).to_numpy()
    time_ns = table["time"].dt.epoch("ns").to_numpy()
    values = to_grid(time_ns, readings, period_s * 10**9, "last")
    sizes = _ett_split(period_s) if reader is _ett else None
    train, validation, test = sizes or (round(len(values) * share) for share in (0.6, 0.8, 1.0))
    k = len(targets)
    return DataSet(
        name,
        values[:test, :k],
        tuple(targets),
        values[:test, k:],
        tuple(beside),
        period_s,
        int(time_ns[0]),
        train,
        validation,
        test,
        counts,
    )


def cut(d: DataSet, end: int) -> DataSet:
    """Leave out the rows from `end` on."""
    return dataclasses.replace(d, targets=d.targets[:end], covariates=d.covariates[:end], test=end)


def _ett_split(period_s: int) -> tuple[int, int, int]:
    """12, 4 and 4 months of 30 days, as in the published tables."""
    month = 30 * DAY_S // period_s
    return 12 * month, 16 * month, 20 * month


def random_walk(steps: int = WALK_STEPS, seed: int = 7) -> DataSet:
    """Sum white noise, hourly: nothing beats persistence on it."""
    values = np.cumsum(np.random.default_rng(seed).standard_normal((steps, 1)), axis=0)
    train, validation = round(0.6 * steps), round(0.8 * steps)
    return DataSet(
        "random walk",
        values,
        ("value",),
        values[:, 1:],
        (),
        HOUR_S,
        0,
        train,
        validation,
        steps,
        counts=False,
    )


def _ett(path: Path) -> tuple[pl.DataFrame, list[str], list[str]]:
    table = _read(path).with_columns(time=pl.col("date").str.to_datetime("%Y-%m-%d %H:%M:%S"))
    return table, [c for c in table.columns if c not in ("date", "time")], []


def _tetouan(path: Path) -> tuple[pl.DataFrame, list[str], list[str]]:
    table = _read(path).with_columns(time=pl.col("Date").str.to_datetime("%m/%d/%y %H:%M"))
    zones = [c for c in table.columns if c.startswith("Zone")]
    return table, zones, [c for c in table.columns if c not in ("Date", "time", *zones)]


def _beijing(path: Path) -> tuple[pl.DataFrame, list[str], list[str]]:
    table = _read(path).with_columns(time=pl.datetime("year", "month", "day", "hour"))
    return table, ["pm2.5"], ["DEWP", "TEMP", "PRES", "Iws", "Is", "Ir"]


def _nab(path: Path) -> tuple[pl.DataFrame, list[str], list[str]]:
    return (
        _read(path).with_columns(time=pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S")),
        ["value"],
        [],
    )


OCCUPANCY = ("row", "date", "Temperature", "Humidity", "Light", "CO2", "HumidityRatio", "Occupancy")


def _occupancy(folder: Path) -> tuple[pl.DataFrame, list[str], list[str]]:
    """Join the files in the order of time; the header lacks a name for the first column."""
    parts = [
        pl.read_csv(p, has_header=False, skip_rows=1, new_columns=OCCUPANCY)
        for p in sorted(folder.glob("*.csv"))
    ]
    table = (
        pl.concat(parts).with_columns(time=pl.col("date").str.to_datetime("%Y-%m-%d %H:%M:%S")).sort("time")
    )
    return table, list(OCCUPANCY[2:7]), []


def _read(path: Path) -> pl.DataFrame:
    return pl.read_csv(path, null_values=MISSING, infer_schema_length=None)


FAMILIES: tuple[tuple[str, Reader, bool], ...] = (
    ("ett/*.csv", _ett, True),
    ("tetouan/*.csv", _tetouan, True),
    ("beijing_pm25/*.csv", _beijing, True),
    ("nab/**/machine_temperature*.csv", _nab, True),
    ("nab/realTraffic/*.csv", _nab, False),
)
"""Pattern, reader, and whether its files count in the headline figures."""
