"""What `edgeseq train` does with --per-series, --cluster or --jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from edgeseq.bundle import Manifest, TrustedKeys, check_writable, parse_bundle, write_bundle
from edgeseq.bundle.keys import SigningKey
from edgeseq.errors import InputError
from edgeseq_train.fleet.folder import INDEX
from edgeseq_train.fleet.options import check_recipe, executor, is_asked
from edgeseq_train.fleet.progress import Counted
from edgeseq_train.fleet.run import Outcome, train_each
from edgeseq_train.fleet.series import Series, part
from edgeseq_train.fleet.task import Fault, Setting, train
from edgeseq_train.parts import Recording
from edgeseq_train.recipe import Recipe
from edgeseq_train.report import comparison

SHOWN = 5
"""Faults that are told in full."""


def is_wanted(options: dict[str, Any]) -> bool:
    """Tell whether a training goes this way."""
    return bool(options["per_series"] or is_asked(options))


def check(recipe: Recipe, options: dict[str, Any], *, report: Path | None, resume: bool) -> None:
    """Refuse what excludes each other.

    Raises:
        UsageError: a page, or a checkpoint to resume from; workers at one model.
        ConfigError: a recipe that workers cannot train by.
    """
    context = click.get_current_context()
    for name in [name for name, given in (("--report", report), ("--resume", resume)) if given]:
        raise click.UsageError(f"{name} is of one training on this machine, without --cluster", context)
    if options["jobs"] and not options["per_series"]:
        raise click.UsageError("--jobs is of many models: give --per-series, too", context)
    check_recipe(recipe)


def train_all(
    taken: Recording, horizon: int, recipe: Recipe, folder: Path, signer: SigningKey | None, options: dict[str, Any],
    console: Console,
) -> Outcome:  # fmt: skip
    """Train a model for each series into a folder.

    Raises:
        InputError: series that cannot be trained; all others are.
    """
    with executor(options) as execute, Counted("series trained") as progress:
        found = train_each(list(part(taken)), Setting(recipe, horizon), execute, folder, signer, progress)
    kept = f", {found.kept} of them before" if found.kept else ""
    console.print(
        f"wrote {len(found.entries)} bundles{kept}, and {folder / INDEX}", highlight=False, soft_wrap=True
    )
    if found.faults:
        raise _untrained(found.faults)
    return found


def train_one(
    series: Series, horizon: int, recipe: Recipe, path: Path, signer: SigningKey | None, options: dict[str, Any],
    console: Console,
) -> Manifest:  # fmt: skip
    """Train one model of all series, on the cluster.

    Raises:
        InputError: it cannot be trained.
    """
    check_writable(path)
    with executor(options, is_one=True) as execute, Counted("trained") as progress:
        progress(0, 1)
        ((_, result),) = execute(train, Setting(recipe, horizon, is_per_series=False), [series])
        progress(1, 1)
    if isinstance(result, Fault):
        raise InputError(result.text)
    given = parse_bundle(result, path, TrustedKeys(), allow_unsigned=True)
    write_bundle(path, given.manifest, given.files, signer)
    console.print(comparison(given.manifest.training["table"], "Test part, in the device's runtime"))
    return given.manifest


def _untrained(faults: dict[str, str]) -> InputError:
    told: Sequence[str] = [f"{name}: {text.splitlines()[0]}" for name, text in faults.items()]
    more = f"; and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return InputError(
        f"{len(told)} series cannot be trained", found="; ".join(told[:SHOWN]) + more,
        wanted="series that are long enough and have values in each part", do="leave them out with --without",
    )  # fmt: skip
