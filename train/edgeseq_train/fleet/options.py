"""Options of commands that run on many processes or machines, and the executor that they ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from edgeseq.errors import ConfigError
from edgeseq_train.fleet.executor import Executor
from edgeseq_train.fleet.processes import Processes
from edgeseq_train.recipe import Recipe

Command = TypeVar("Command", bound=Callable[..., Any])

RUNNING = "auto"


def executor_options(command: Command) -> Command:
    """Give a command the options of executors."""
    jobs = click.option(
        "--jobs", type=click.IntRange(1, 4096),
        help="Workers at a time: processes of this machine, or with --cluster of it all.",
    )  # fmt: skip
    cluster = click.option(
        "--cluster", metavar="[ADDRESS]", is_flag=False, flag_value=RUNNING,
        help="Run on a Ray cluster: host:port, auto for the one that runs here, local to start one.",
    )  # fmt: skip
    return cluster(jobs(command))


def is_asked(options: dict[str, Any]) -> bool:
    """Tell whether an executor is asked for."""
    return options["cluster"] is not None or options["jobs"] is not None


@contextmanager
def executor(options: dict[str, Any], *, is_one: bool = False) -> Iterator[Executor]:
    """Open the executor that is asked for, one process where none is; is_one: of one item.

    Raises:
        EnvironmentFault: no cluster can be joined.
    """
    if options["cluster"] is None:
        yield Processes(options["jobs"] or 1)
        return
    from edgeseq_train.fleet import on_ray

    try:
        yield on_ray.join(options["cluster"], options["jobs"], is_one=is_one)
    finally:
        on_ray.leave()


def check_recipe(recipe: Recipe) -> None:
    """Refuse what workers cannot do.

    Raises:
        ConfigError: layers of one's own, or an estimator.
    """
    if recipe.modules:
        raise ConfigError(
            "workers know no layers of one's own", where="recipe: modules", found=", ".join(recipe.modules),
            wanted="layers of edgeseq", do="train without --per-series, --jobs and --cluster",
        )  # fmt: skip
    if recipe.estimate or recipe.classify:
        raise ConfigError(
            "estimators are trained on this machine only", where="--per-series, --jobs or --cluster",
            found="--estimate or --classify", wanted="a forecaster", do="leave the one or the other out",
        )  # fmt: skip
