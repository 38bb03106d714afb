"""What runs a function on many items: the one interface of all executors, and what holds for each of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Protocol

from edgeseq.errors import EnvironmentFault, OperatorError

DEATHS = 3
"""Workers that may die under one item: beyond, it is the item that kills them."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
ONE_THREAD = dict.fromkeys(_THREADS, "1")
"""A worker is one core's: further threads of its own would only get in the others' way."""

Function = Callable[[Any, Any], Any]
"""Of what all items share, and of an item; found by its module and name. Pure: it may run twice."""


class Executor(Protocol):
    """Runs function(shared, item) for all items → pairs of (place of the item, result), as they come to an end.

    A worker that dies is replaced and its item run again; what the function raises ends the run.

    Raises:
        EnvironmentFault: workers died again and again.
    """

    @property
    def workers(self) -> int:
        """Count the items that are worked on at a time."""

    def __call__(self, function: Function, shared: Any, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Run all items."""


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes that are started meanwhile compute in one thread each."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def versions() -> dict[str, str]:
    """Name what decides the bytes of a bundle, besides data and recipe."""
    return {package: version(package) for package in ("edgeseq", "numpy", _tensorflow(), "ai-edge-quantizer")}


def check_versions(wanted: dict[str, str], where: str) -> None:
    """Refuse a worker that would make other bundles.

    Raises:
        OperatorError: another version of what computes.
    """
    found = versions()
    if found == wanted:
        return
    raise OperatorError(
        "a worker has other versions installed", where=where,
        found=_listed(found, wanted), wanted=_listed(wanted, found),
        do="install there what is installed here, by the same lock file",
    )  # fmt: skip


def died(item: str) -> EnvironmentFault:
    """Say that workers keep dying."""
    return EnvironmentFault(
        "workers died again and again", where=item, found=f"{DEATHS + 1} deaths", wanted="workers that finish",
        do="look for what kills them, such as too little memory; what is finished is kept: run the command again",
    )  # fmt: skip


def _tensorflow() -> str:
    from importlib.metadata import PackageNotFoundError

    try:
        version("tensorflow-cpu")
    except PackageNotFoundError:
        return "tensorflow"
    return "tensorflow-cpu"


def _listed(these: dict[str, str], others: dict[str, str]) -> str:
    return ", ".join(f"{name} {v}" for name, v in these.items() if others.get(name) != v)
