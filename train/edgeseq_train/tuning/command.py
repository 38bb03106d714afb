"""The command `edgeseq tune model`: search a recipe's choices for those that are best on validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq.core.durations import WANTED, parse_duration
from edgeseq.errors import ConfigError
from edgeseq_train import exogenous
from edgeseq_train import recording as recordings
from edgeseq_train.cli import EXAMPLES, PATH, horizon_steps, length_ns, make_console, resolve
from edgeseq_train.estimators import command as estimators
from edgeseq_train.parts import Recording
from edgeseq_train.recipe import Recipe
from edgeseq_train.recipe_files import moved, read_recipe, write_recipe
from edgeseq_train.recordings.progress import ReadProgress
from edgeseq_train.shared_options import layout_options

MOST_PARAMETERS = 100_000


@click.group()
def tune() -> None:
    """Search for what a recording likes best."""


@tune.command(name="model")
@click.argument("data", type=PATH)
@click.argument("recipe", required=False, type=PATH)
@click.option("--every", help="Grid period, such as 10m.")
@click.option("--horizon", help="How far to forecast, such as 24h.")
@click.option("--time-budget", default="30m", show_default=True, help="Wall-clock time for the search.")
@click.option("--trials", type=click.IntRange(1), help="Stop when the study has so many finished trials.")
@click.option(
    "--max-parameters", type=click.IntRange(1), default=MOST_PARAMETERS, show_default=True,
    help="Most weights of a network.",
)  # fmt: skip
@click.option(
    "--max-us-per-reading", type=click.FloatRange(0, min_open=True),
    help="Longest step of one stream on NumPy, on this machine, in µs.",
)  # fmt: skip
@click.option(
    "--max-cost-ratio", type=click.FloatRange(0, min_open=True),
    help="Longest such step as a ratio to the recipe's, such as 1.5: that holds on a device too.",
)  # fmt: skip
@click.option(
    "--study", "kept", type=PATH, help="Keep the trials in this file; the same command goes on with it."
)
@click.option(
    "-o", "--output", type=PATH, default="best.recipe.toml", show_default=True, help="The recipe to write."
)
@layout_options
@click.option("--seed", type=int, help="Seed of everything random; default 0.")
def model(data: Path, recipe: Path | None, time_budget: str, output: Path, **options: Any) -> None:
    """Search the choices of a recipe for those whose forecaster is best on the validation part of DATA.

    RECIPE is where the search starts, and its first trial: what comes out is no worse on validation. Kind, layers and
    units of the cell, dropout, learning rate, lanes, segment, weight of the median, seasons and ring are searched; all
    else stays. The test part is not looked at.

    Ctrl-C ends the search: the best so far is written.
    """
    budget_ns = parse_duration(time_budget)
    if budget_ns is None:
        raise ConfigError(
            "the budget is no duration", where="--time-budget", found=time_budget, wanted=WANTED
        )
    start = resolve(read_recipe(recipe), data, {**options, "name": None})
    for option in ("every", "horizon"):
        if getattr(start, option) is None:
            raise click.UsageError(
                f"option missing: --{option}, such as --{option} {EXAMPLES[option]} (or {option} in the recipe)",
                click.get_current_context(),
            )
    if estimators.is_wanted(start):
        raise ConfigError(
            "only forecasters can be tuned", where="recipe: estimate, classify", found="an estimator",
            wanted="a recipe of a forecaster", do="train it with `edgeseq train`",
        )  # fmt: skip
    for option, path in {"-o": output, "--study": options["kept"]}.items():
        _check_place(path, option)
    console = make_console()
    with hushed(lambda _: True):  # TensorFlow takes seconds to import: not for --help
        from edgeseq_train.tuning.study import task_of
        from edgeseq_train.tuning.trial import Limits
    horizon = horizon_steps(start)
    limits = Limits(
        budget_ns / 1e9, options["trials"], options["max_parameters"], options["max_us_per_reading"],
        options["max_cost_ratio"],
    )  # fmt: skip
    task = task_of(_read(data, start, console), horizon, start)
    best = _search(task, limits, options["kept"], console)
    output.write_text(write_recipe(moved(best, recipe, output)))
    _say(console, f"wrote {output}")
    _say(console, f"next: edgeseq train {data} {output}")


def _search(task: Any, limits: Any, kept: Path | None, console: Console) -> Recipe:
    """Search, and show what was found."""
    from edgeseq_train.tuning import study as studies
    from edgeseq_train.tuning import tables

    with studies.opened(kept, task) as study:
        before = len(studies.finished(study))
        if before:
            _say(console, f"{kept}: going on after {before} finished trials")
        with ReadProgress(console) as bar:
            studies.search(task, study, limits, lambda text: _say(console, text), bar)
        best = studies.best_recipe(task, study)
        console.print(tables.best_trials(study))
        for text in (*tables.pruned(study), tables.gain(study)):
            _say(console, text)
    return best


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def _read(data: Path, recipe: Recipe, console: Console) -> Recording:
    with ReadProgress(console) as progress:
        asked = exogenous.reading(
            recipe, progress=progress, say=lambda text: _say(console, f"{data.name}: {text}")
        )
        taken = recordings.read(data, length_ns(recipe, "every"), recipe.aggregate, **asked)
    return exogenous.arrange(taken, recipe)


def _check_place(path: Path | None, option: str) -> None:
    """Find out before the search whether there is a place to write to."""
    if path is None or (path.parent.is_dir() and not path.is_dir()):
        return
    raise ConfigError(
        "the file cannot be written", where=f"{option} {path}", found="a folder" if path.is_dir() else "no such folder",
        wanted="a file in a folder that exists",
    )  # fmt: skip
