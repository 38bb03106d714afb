"""What `edgeseq train --estimate` and `--classify` do, and how the outcome is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click
import msgspec
from rich.console import Console
from rich.table import Table

from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq.bundle import Manifest
from edgeseq.errors import ConfigError
from edgeseq_train.checkpoint import Checkpoint
from edgeseq_train.estimators import labels
from edgeseq_train.estimators.fit import FittedEstimator, fit
from edgeseq_train.estimators.judged import Judged
from edgeseq_train.estimators.labels import Labelled
from edgeseq_train.recipe import Recipe
from edgeseq_train.recordings.request import Options
from edgeseq_train.report import Watch

COLUMNS = {
    "accuracy": "accuracy", "balanced_accuracy": "balanced\naccuracy", "f1": "F1", "log_loss": "log\nloss",
    "brier": "Brier\nscore", "mae": "MAE", "rmse": "RMSE", "bias": "bias", "coverage": "coverage\n(90 %)",
    "difference": "largest\ndifference", "kb": "kB",
}  # fmt: skip
"""Measure → heading."""
UNTOLD = "No device learns the truth: nothing here was told the last known value of the target."

Command = Callable[..., Any]


def estimator_options(command: Command) -> Command:
    """Give a command the options of estimators."""
    for option in (
        click.option("--estimate", metavar="COLUMN", help="Estimate this column from the others, no forecast."),
        click.option("--classify", metavar="COLUMN", help="Tell the class in this column from the others."),
        click.option("--class-names", help="What classes are called, such as 0=empty,1=occupied."),
        click.option(
            "--class-weights", type=click.Choice(["none", "balanced"]), help="Whether rare classes count as much."
        ),
        click.option("--memoryless", is_flag=True, help="Let the estimator see present values only, as a control."),
    ):  # fmt: skip
        command = option(command)
    return command


def chosen(recipe: Recipe, options: dict[str, Any]) -> Recipe:
    """Let the options win over the recipe.

    Raises:
        ConfigError: both a number and a class are asked for.
    """
    given = {k: options[k] for k in ("estimate", "classify", "class_weights") if options[k] is not None}
    if options["class_names"]:
        given["class_names"] = tuple(part.strip() for part in options["class_names"].split(","))
    if options["memoryless"]:
        given["memory"] = False
    recipe = msgspec.structs.replace(recipe, **given)
    if recipe.estimate and recipe.classify:
        raise ConfigError(
            "one estimator has one target",
            where="--estimate and --classify, or recipe",
            found=f"{recipe.estimate} and {recipe.classify}",
            wanted="one of the two",
            do="train two bundles",
        )
    if is_wanted(recipe) and (recipe.covariates or recipe.known or recipe.calendar):
        raise ConfigError(
            "an estimator takes no covariates and no calendar",
            where="--covariates, --known, --holidays, or recipe",
            found=", ".join(
                (*recipe.covariates, *recipe.known, *(["a calendar"] if recipe.calendar else []))
            ),
            wanted="columns: all but the target are its inputs",
            do="leave them out; name inputs with --columns",
        )
    return recipe


def is_wanted(recipe: Recipe) -> bool:
    """Tell whether a recipe is of an estimator."""
    return bool(recipe.estimate or recipe.classify)


def read(data: Path, recipe: Recipe, period_ns: int, options: Options) -> Labelled:
    """Read inputs and target as a recipe says."""
    task: Literal["estimate", "classify"] = "estimate" if recipe.estimate else "classify"
    target = recipe.estimate or recipe.classify or ""
    return labels.named(
        labels.read(data, period_ns, recipe.aggregate, target, task, **options), recipe.class_names
    )


class Trained(NamedTuple):
    """What a training leaves."""

    fitted: FittedEstimator
    manifest: Manifest
    files: dict[str, bytes]
    judged: Judged


def train(
    labelled: Labelled, recipe: Recipe, name: str, console: Console, checkpoint: Checkpoint | None = None
) -> Trained:
    """Fit and produce, tell how it goes and what came out."""
    with hushed(lambda _: True):
        from edgeseq_train.estimators.produce import produce  # TensorFlow takes seconds to import

    with Watch(console) as watch:
        fitted = fit(labelled, recipe, watch, watch.say, checkpoint)
    manifest, files, judged = produce(labelled, fitted, recipe, name, watch.say)
    told = manifest.training
    steps = told["split"]["test"] - told["split"]["validation"]
    title = f"Test part: {steps} steps, one reading at a time in the device's runtime"
    console.print(comparison(told["table"], title))
    console.print(verdict(manifest), highlight=False)
    return Trained(fitted, manifest, files, judged)


def write_report(made: Trained, recipe: Recipe, page: Path, console: Console) -> None:
    """Write the page about a training and its pictures, and say so."""
    from edgeseq_train import training_report  # matplotlib takes a second to import
    from edgeseq_train.estimators import report

    found = report.make(made.fitted, recipe, made.manifest, made.judged)
    folder = training_report.write(found, page)
    console.print(found.verdict.headline, highlight=False, soft_wrap=True)
    console.print(f"report: {page}, its pictures in {folder}", highlight=False, soft_wrap=True)


def comparison(rows: Sequence[dict[str, Any]], title: str) -> Table:
    """Lay out the table of estimators."""
    measures = [name for name in COLUMNS if any(name in row for row in rows)]
    table = Table(title=title, title_justify="left")
    table.add_column("estimator", no_wrap=True)
    for name in measures:
        table.add_column(COLUMNS[name], justify="right")
    for row in rows:
        table.add_row(row["estimator"], *(f"{row[name]:.4g}" if name in row else "" for name in measures))
    return table


def verdict(manifest: Manifest) -> str:
    """Say in words what training found."""
    t = manifest.training
    if not t["recurrent"]:
        earned = "the network did not beat the regression it began with by more than chance: that ships"
    else:
        gain = 100 * (1 - t["validation_loss"] / t["regression_validation_loss"])
        earned = f"{gain:.1f} % below the regression it began with on validation"
    told = f"{t['parameters']} parameters, {t['steps']} steps in {t['seconds']} s; {earned}"
    return "\n".join((told, on_test(t["table"], manifest.default_variant), UNTOLD))


def on_test(rows: Sequence[dict[str, Any]], shipped: str) -> str:
    """Say how what ships compares with the best regression on the test part."""
    measure = "log_loss" if "log_loss" in rows[0] else "mae"
    ours = next(row[measure] for row in rows if row["estimator"] == f"model {shipped}")
    peers = {
        row["estimator"]: row[measure]
        for row in rows
        if "regression" in row["estimator"] or "…" in row["estimator"]
    }
    best = min(peers, key=peers.__getitem__)
    name, what = best.replace("…", "regression, present"), COLUMNS[measure].replace("\n", " ")
    if peers[best] < ours:
        return f"On the test part {name} is better: {what} {peers[best]:.4g}, the model's {ours:.4g}."
    return f"On the test part its {what} is {ours:.4g}, that of {name} {peers[best]:.4g}."
