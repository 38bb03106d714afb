"""The executor of one machine: processes, each made anew."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from edgeseq_train.fleet.executor import DEATHS, Function, died, one_thread_each

_shared: Any = None


@dataclass(frozen=True, slots=True)
class Processes:
    """So many workers on this machine."""

    workers: int

    def __call__(self, function: Function, shared: Any, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Run all items; when a worker dies, those that were not finished are given to new ones."""
        left = dict(enumerate(items))
        deaths = 0
        packed = pickle.dumps(shared)
        while left:
            try:
                for place, result in self._run(function, packed, left):
                    del left[place]
                    deaths = 0
                    yield place, result
            except BrokenProcessPool:
                deaths += 1
                if deaths > DEATHS:
                    raise died(f"{len(left)} of {len(items)} items are left") from None

    def _run(self, function: Function, packed: bytes, left: dict[int, Any]) -> Iterator[tuple[int, Any]]:
        context = multiprocessing.get_context("spawn")  # threads of TensorFlow do not outlive a fork
        count = min(self.workers, len(left))
        with one_thread_each():
            pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(packed,))
            try:
                waiting: dict[Future[Any], int] = {
                    pool.submit(_call, function, item): k for k, item in left.items()
                }
                for future in as_completed(waiting):
                    yield waiting[future], future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def _begin(packed: bytes) -> None:
    global _shared  # noqa: PLW0603  a process's own
    _shared = pickle.loads(packed)  # noqa: S301  our own bytes


def _call(function: Function, item: Any) -> Any:
    return function(_shared, item)
