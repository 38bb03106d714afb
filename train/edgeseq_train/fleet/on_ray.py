"""The executor of many machines: tasks of Ray, which gives those of a dead worker to another one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edgeseq.errors import ConfigError, EnvironmentFault
from edgeseq_train.fleet.executor import DEATHS, ONE_THREAD, Function, check_versions, died, versions

HERE = "local"
"""Address of a cluster that is started on this machine and ends with the command."""
RUNNING = "auto"
"""Address of the cluster that runs on this machine, or that RAY_ADDRESS names."""
AHEAD = 2
"""Items handed over for each worker: the next one waits there while one is worked on."""


@dataclass(frozen=True, slots=True)
class OnRay:
    """A cluster that this process has joined."""

    workers: int
    cores: int = 1
    """Cores that an item takes; several only where it is the only one."""

    def __call__(self, function: Function, shared: Any, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Run all items; what all share is sent to each machine once."""
        import ray

        remote = ray.remote(num_cpus=self.cores, max_retries=DEATHS, scheduling_strategy="SPREAD")(_call)
        kept, wanted = ray.put(shared), versions()
        rest = iter(enumerate(items))
        waiting: dict[Any, int] = {}
        while True:
            while len(waiting) < AHEAD * self.workers and (following := next(rest, None)) is not None:
                place, item = following
                waiting[remote.remote(function, wanted, kept, item, is_alone=self.cores == 1)] = place
            if not waiting:
                return
            (done, *_), _ = ray.wait(list(waiting), num_returns=1)
            place = waiting.pop(done)
            yield place, _result(done, place)


def join(address: str, workers: int | None, *, is_one: bool = False) -> OnRay:
    """Join a cluster.

    Args:
        address: `local`, `auto`, or host:port of its head.
        workers: items at a time; None: one for each core. Of a local cluster its size.
        is_one: there is one item, which may have all cores of a machine.

    Raises:
        EnvironmentFault: no cluster answers there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody outside
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}
    if address == HERE:
        options["num_cpus"] = workers or os.cpu_count()
    else:
        options = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        ray.init(address=address, **options)
    except (ConnectionError, ValueError, RuntimeError) as fault:
        raise EnvironmentFault(
            "no cluster can be joined", where=f"--cluster {address}", found=str(fault).splitlines()[0][:200],
            wanted="a running Ray cluster of the same version",
            do="start one with ray start --head, or give --cluster local",
        ) from fault  # fmt: skip
    cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    if not sum(cores):
        raise ConfigError("the cluster has no core", where=f"--cluster {address}", wanted="at least one")
    return OnRay(1, max(cores)) if is_one else OnRay(min(workers or sum(cores), sum(cores)))


def leave() -> None:
    """Leave the cluster; a local one ends."""
    import ray

    ray.shutdown()


def _result(done: Any, place: int) -> Any:
    import ray
    from ray.exceptions import NodeDiedError, OutOfMemoryError, RayTaskError, WorkerCrashedError

    try:
        return ray.get(done)
    except RayTaskError as fault:
        raise fault.cause from fault
    except (NodeDiedError, OutOfMemoryError, WorkerCrashedError) as fault:
        raise died(f"item {place + 1}") from fault


def _call(function: Function, wanted: dict[str, str], shared: Any, item: Any, *, is_alone: bool) -> Any:
    """Do an item's work, on any machine; Ray has set OMP_NUM_THREADS to the cores it was given."""
    if is_alone:
        os.environ.update(ONE_THREAD)
    check_versions(wanted, f"worker on {os.uname().nodename}")
    return function(shared, item)
