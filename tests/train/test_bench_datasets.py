"""The bench's data sets: files of each family are found, read and cut as their sources say, on tiny made-up ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.bench import datasets

START = datetime(2016, 7, 1)  # noqa: DTZ001 - files carry naive local times


def write(path: Path, head: str, rows: int, minutes: int, line: Callable[[datetime, int], str]) -> None:
    """Write a file of so many rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [line(START + timedelta(minutes=minutes * k), k) for k in range(rows)]
    path.write_text("\n".join([head, *lines]) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a small file of each family, and one that belongs to none."""
    write(
        tmp_path / "ett/ETTm9.csv",
        "date,HUFL,OT",
        40,
        60 * 24,
        lambda t, k: f"{t:%Y-%m-%d %H:%M:%S},{k},{-k}",
    )
    write(
        tmp_path / "tetouan/city.csv", "Date,Temperature,Zone 1,Zone 2", 50, 10,
        lambda t, k: f"{t:%m/%d/%y %H:%M},{k / 2},{k},{2 * k}",
    )  # fmt: skip
    write(
        tmp_path / "beijing_pm25/one.csv", "No,year,month,day,hour,pm2.5,DEWP,TEMP,PRES,cbwd,Iws,Is,Ir", 60, 60,
        lambda t, k: f"{k},{t.year},{t.month},{t.day},{t.hour},{'NA' if k == 5 else k},1,2,3,NW,4,5,6",
    )  # fmt: skip
    for name in ("nab/realKnownCause/machine_temperature_x.csv", "nab/realTraffic/speed.csv"):
        write(tmp_path / name, "timestamp,value", 30, 5, lambda t, k: f"{t:%Y-%m-%d %H:%M:%S},{k}")
    write(
        tmp_path / "nab/realTweets/a.csv", "timestamp,value", 30, 5, lambda t, k: f"{t:%Y-%m-%d %H:%M:%S},{k}"
    )
    return tmp_path


def test_each_family_is_found_by_its_folder(folder: Path) -> None:
    """Every file of a family, by folder and stem, and always the random walk; others are left alone."""
    assert [name for name, _ in datasets.find(folder)] == [
        "ett/ETTm9", "tetouan/city", "beijing_pm25/one", "nab/machine_temperature_x", "nab/speed", "random walk",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "targets", "beside", "period_s", "counts"),
    [
        ("tetouan/city", ("Zone 1", "Zone 2"), ("Temperature",), 600, True),
        ("beijing_pm25/one", ("pm2.5",), ("DEWP", "TEMP", "PRES", "Iws", "Is", "Ir"), 3600, True),
        ("nab/machine_temperature_x", ("value",), (), 300, True),
        ("nab/speed", ("value",), (), 300, False),
    ],
)
def test_columns_period_and_parts(
    folder: Path, name: str, targets: tuple[str, ...], beside: tuple[str, ...], period_s: int, counts: bool
) -> None:  # fmt: skip
    """Targets and what stands beside them; the median spacing is the period; 60, 20 and 20 per cent by time."""
    d = dict(datasets.find(folder))[name]()
    assert (d.target_names, d.covariate_names, d.period_s, d.counts) == (targets, beside, period_s, counts)
    rows = len(d.targets)
    assert (d.train, d.validation, d.test) == (round(0.6 * rows), round(0.8 * rows), rows)
    assert d.covariates.shape == (rows, len(beside))
    assert d.season * d.period_s == 86_400
    assert d.start_ns == int(np.datetime64("2016-07-01", "ns").astype(np.int64))
    np.testing.assert_array_equal(d.targets[:4, 0], [0, 1, 2, 3])


def test_missing_value_is_missing(folder: Path) -> None:
    """NA of a file is NaN on the grid, nowhere else."""
    d = dict(datasets.find(folder))["beijing_pm25/one"]()
    assert np.flatnonzero(np.isnan(d.targets[:, 0])).tolist() == [5]
    assert d.covariates_pay
    assert not dict(datasets.find(folder))["tetouan/city"]().covariates_pay


def test_rows_are_laid_by_time(tmp_path: Path) -> None:
    """Out of order, with rows lost and one off the grid: sorted, holes where nothing came, the last of a step kept."""
    minutes = [0, 10, 30, 5, 15, 32]
    rows = "\n".join(f"{START + timedelta(minutes=m):%Y-%m-%d %H:%M:%S},{m}" for m in minutes)
    (tmp_path / "nab/realTraffic").mkdir(parents=True)
    (tmp_path / "nab/realTraffic/holes.csv").write_text(f"timestamp,value\n{rows}\n")
    d = dict(datasets.find(tmp_path))["nab/holes"]()
    assert d.period_s == 300
    np.testing.assert_array_equal(d.targets[:, 0], [0, 5, 10, 15, np.nan, np.nan, 32])


def test_transformers_are_cut_by_months(folder: Path) -> None:
    """Twelve, four and four months of thirty days; rows beyond them are left out."""
    write(folder / "ett/ETTd1.csv", "date,OT", 700, 60 * 24, lambda t, k: f"{t:%Y-%m-%d %H:%M:%S},{k}")
    d = dict(datasets.find(folder))["ett/ETTd1"]()
    assert (d.train, d.validation, d.test) == (360, 480, 600)
    assert len(d.targets) == 600


def test_rooms_files_are_joined_by_time(tmp_path: Path) -> None:
    """Several files without a name for the first column, in any order; the label is not forecast."""
    head = '"date","Temperature","Humidity","Light","CO2","HumidityRatio","Occupancy"'

    def line(t: datetime, k: int) -> str:
        return f'"{k}","{t:%Y-%m-%d %H:%M:%S}",{k},2,3,4,5,1'

    write(tmp_path / "occupancy/b.csv", head, 30, 1, line)
    later = (tmp_path / "occupancy/b.csv").read_text().splitlines()
    (tmp_path / "occupancy/a.csv").write_text("\n".join([head, *later[16:]]))
    (tmp_path / "occupancy/b.csv").write_text("\n".join(later[:16]))
    d = dict(datasets.find(tmp_path))["occupancy"]()
    assert d.target_names == ("Temperature", "Humidity", "Light", "CO2", "HumidityRatio")
    np.testing.assert_array_equal(d.targets[:, 0], np.arange(30))


def test_cut_leaves_nothing_behind_the_end(folder: Path) -> None:
    """What is cut off can be seen by nobody."""
    d = datasets.cut(dict(datasets.find(folder))["tetouan/city"](), 40)
    assert (len(d.targets), len(d.covariates), d.test, d.train) == (40, 40, 40, 30)


def test_random_walk_is_the_same_each_time_and_has_no_memory() -> None:
    """Steps are white noise of unit spread; the same seed draws the same walk."""
    d = datasets.random_walk(4000)
    steps = np.diff(d.targets[:, 0])
    assert steps.std() == pytest.approx(1.0, abs=0.05)
    assert abs(np.corrcoef(steps[:-1], steps[1:])[0, 1]) < 0.05
    np.testing.assert_array_equal(d.targets, datasets.random_walk(4000).targets)
    assert (d.counts, d.train, d.validation, d.test) == (False, 2400, 3200, 4000)
