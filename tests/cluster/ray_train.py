"""Many small trainings on a Ray cluster of two workers, of which one is killed: `make test-cluster`.

SERIES says how many (200). Figures go to build/bench/cluster.json.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseq_train.fleet import on_ray
from edgeseq_train.fleet.on_ray import OnRay
from edgeseq_train.fleet.processes import Processes
from edgeseq_train.fleet.run import Outcome, train_each
from edgeseq_train.fleet.series import Series, part
from edgeseq_train.fleet.task import Setting
from edgeseq_train.parts import Recording
from edgeseq_train.recipe import CellRecipe, FrontRecipe, QuantizationRecipe, Recipe, TrainingRecipe

SERIES = int(os.environ.get("SERIES", "200"))
WORKERS = 2
ALONE = max(2, SERIES // 10)
"""Series that one process trains, for its rate."""
BENCH = Path("build/bench/cluster.json")
HOUR_NS = 3_600 * 10**9
TINY = Setting(
    Recipe(
        every="1h", horizon="2h", front=FrontRecipe(ring=4, seasons=()), cell=CellRecipe(units=4),
        training=TrainingRecipe(steps=2, validate_every=1, lanes=2, segment=4, cold_share=0.0),
        quantization=QuantizationRecipe(variants=("float32",)),
    ),
    horizon=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def series() -> list[Series]:
    """Random walks, 15 days of hours each."""
    values = 20 + np.random.default_rng(0).normal(size=(360, SERIES, 1)).cumsum(axis=0)
    names = tuple(f"pump {k}/flow" for k in range(SERIES))
    return list(part(Recording(values, names, HOUR_NS, (None,) * SERIES, 0)))


@pytest.fixture(scope="module")
def cluster() -> Iterator[OnRay]:
    """A cluster on this machine, its workers as eager as this process (Ray's are nicer by 15)."""
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  the name that Ray reads
    yield on_ray.join(on_ray.HERE, WORKERS)
    on_ray.leave()


class Killer:
    """Kills a worker in the middle of its work, once a share of all is finished."""

    def __init__(self) -> None:
        self.killed: list[int] = []
        self.times: list[float] = []

    def __call__(self, finished: int, of: int) -> None:
        """Follow a run."""
        self.times.append(time.monotonic())
        if finished >= of // 3 and not self.killed:
            busy = busy_workers()
            if busy:
                os.kill(busy[0], signal.SIGKILL)
                self.killed.append(busy[0])


def busy_workers() -> list[int]:
    """Find the worker processes below this one that run a task now: Ray gives them its name."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            title = (process / "cmdline").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if title.startswith(b"ray::_call") and os.getpid() in ancestors(int(process.name)):
            found.append(int(process.name))
    return sorted(found)


def ancestors(pid: int) -> list[int]:
    """List the processes above one."""
    above: list[int] = []
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except OSError:
            return above
        above.append(pid)
    return above


def run(series: Sequence[Series], execute: Any, folder: Path, killer: Killer) -> tuple[Outcome, float]:
    """Train all → what came of it, and the models a minute from the first one on, when all workers are up."""
    outcome = train_each(series, TINY, execute, folder, None, killer)
    times = killer.times[1:]  # the first is told before anything is done
    return outcome, 60 * (len(times) - 1) / (times[-1] - times[0])


def minutes(killer: Killer) -> float:
    """Give how long a run took, its workers' start included."""
    return round((killer.times[-1] - killer.times[0]) / 60, 2)


class Follower(Killer):
    """Follows a run and kills nobody."""

    def __call__(self, finished: int, of: int) -> None:
        """Note when."""
        self.times.append(time.monotonic())


@pytest.mark.timeout(7200)
def test_a_worker_that_is_killed_changes_no_bundle(
    series: list[Series], cluster: OnRay, tmp_path: Path
) -> None:
    """All bundles of a cluster that lost a worker are, byte by byte, those of processes of this machine."""
    killer = Killer()
    there, rate = run(series, cluster, tmp_path / "cluster", killer)
    alone, alone_rate = run(series[:ALONE], Processes(1), tmp_path / "here", Follower())
    follower = Follower()
    here, _ = run(series, Processes(WORKERS), tmp_path / "here", follower)

    assert len(killer.killed) == 1
    assert len(there.entries) == SERIES
    assert there.entries == here.entries
    assert here.kept == len(alone.entries) == ALONE
    assert (there.kept, there.faults, here.faults) == (0, {}, {})
    same = sum(there.entries[name].sha256 == here.entries[name].sha256 for name in there.entries)
    tell(
        {
            "series": SERIES, "workers": WORKERS, "killed": len(killer.killed), "same_digests": same,
            "cluster_minutes": minutes(killer), "processes_minutes": minutes(follower),
            "processes_series": SERIES - ALONE,
            "cluster_models_a_minute": round(rate, 2), "one_process_models_a_minute": round(alone_rate, 2),
            "ratio": round(rate / alone_rate, 2),
        }
    )  # fmt: skip


def tell(told: dict[str, float]) -> None:
    """Write the figures."""
    BENCH.parent.mkdir(parents=True, exist_ok=True)
    BENCH.write_text(json.dumps(told, indent=1), encoding="utf-8")
    print(json.dumps(told))


def test_a_folder_that_is_finished_is_not_made_again(
    series: list[Series], cluster: OnRay, tmp_path: Path
) -> None:
    """A run that was broken off goes on: only what is missing, or damaged, is trained."""
    few = series[:3]
    first, _ = run(few, cluster, tmp_path, Follower())
    (tmp_path / first.entries[few[0].name].file).unlink()
    (tmp_path / first.entries[few[1].name].file).write_bytes(b"damaged")

    again, _ = run(few, cluster, tmp_path, Follower())

    assert again.kept == 1
    assert again.entries == first.entries
