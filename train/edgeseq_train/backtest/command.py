"""The command `edgeseq backtest`: how good forecasts would have been, and who wins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq.bundle import Bundle
from edgeseq.errors import ConfigError
from edgeseq_train import exogenous
from edgeseq_train import recording as recordings
from edgeseq_train.backtest import Plan, Results, spread, table
from edgeseq_train.backtest import backtest as run
from edgeseq_train.backtest import page as pages
from edgeseq_train.backtest.asked import chosen_peers, lay_out, makers, open_bundle, ready, recipe_of
from edgeseq_train.backtest.models import check_fits
from edgeseq_train.cli import PATH, horizon_steps, length_ns, make_console, resolve
from edgeseq_train.fleet.options import check_recipe, executor, executor_options, is_asked
from edgeseq_train.fleet.progress import Counted
from edgeseq_train.parts import Recording
from edgeseq_train.peers import Peer
from edgeseq_train.recipe import Recipe
from edgeseq_train.recipe_files import read_recipe
from edgeseq_train.recordings.progress import ReadProgress
from edgeseq_train.shared_options import layout_options


@click.command(name="backtest")
@click.argument("data", type=PATH)
@click.option("--bundle", type=PATH, help="A trained bundle to test.")
@click.option("--recipe", type=PATH, help="A recipe to train and test; default: the default recipe.")
@click.option("--every", help="Grid period, such as 10m; of a bundle its own.")
@click.option("--horizon", help="How far to forecast, such as 24h; of a bundle its own.")
@layout_options
@click.option(
    "--trusted",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of trusted *.pub files; default: the own signing key.",
)
@click.option(
    "--peers", help="Peers by the beginnings of their names, such as 'persistence,ridge'; default: all."
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 99),
    help="Train so many models by the recipe; default: 1.",
)
@click.option(
    "--quick", is_flag=True, help="Without the peers that are networks: seconds instead of minutes."
)
@executor_options
@click.option("-o", "--output", type=PATH, help="The JSON file to write; default: DATA.backtest.json.")
@click.option("--page", type=PATH, help="The HTML page to write; default: beside the JSON file.")
def backtest(data: Path, **options: Any) -> None:
    """Forecast the test part of the recording DATA as a device would, and say who wins at each horizon.

    The core of the device steps through the whole recording, one reading at a time. Beside it: persistence, seasonal
    naive, Holt-Winters, ridge regression, and networks of the literature, all fitted on the training part. Without
    --bundle a model is trained by the recipe first.
    """
    for other in ("recipe", "seeds"):
        if options["bundle"] and options[other]:
            raise click.UsageError(
                f"--bundle and --{other} exclude each other: a bundle is tested as it is, nothing is trained",
                click.get_current_context(),
            )
    if options["bundle"] and is_asked(options):
        raise click.UsageError(
            "--bundle is tested on this machine: --jobs and --cluster are of recipes",
            click.get_current_context(),
        )
    document = options["output"] or Path(f"{data.stem}.backtest.json")
    page = options["page"] or document.with_suffix(".html")
    for option, path in (("-o", document), ("--page", page)):
        _check_place(option, path)
    peers = chosen_peers(options["peers"], quick=options["quick"])
    bundle = open_bundle(options["bundle"], options["trusted"]) if options["bundle"] else None
    recipe = _recipe(bundle, data, options)
    console = make_console()
    taken = _read(data, recipe, console)
    plan, recipe = lay_out(taken, recipe, horizon_steps(recipe))
    if bundle:
        check_fits(bundle.manifest, plan)
    with hushed(lambda _: True):
        import edgeseq_train.produce  # noqa: F401 - TensorFlow chats while it is imported, and not for --help
    results = _results(plan, recipe, bundle, peers, options, console)
    tell(results, console)
    document.write_text(json.dumps(results.document(), indent=1), encoding="utf-8")
    page.write_text(pages.make(results, data.stem), encoding="utf-8")
    console.print(f"wrote {document} and {page}", highlight=False, soft_wrap=True)


def _results(
    plan: Plan, recipe: Recipe, bundle: Bundle | None, peers: Sequence[Peer], options: dict[str, Any], console: Console
) -> Results:  # fmt: skip
    """Run the backtest, here or on workers."""
    seeds = options["seeds"] or 1
    if is_asked(options):
        check_recipe(recipe)
        with executor(options) as execute, Counted("forecasters tested") as counted:
            return spread.backtest(spread.Shared(plan, recipe), seeds, peers, execute, counted)
    made = [ready(bundle)] if bundle else makers(plan, recipe, seeds)
    with ReadProgress(console) as progress:
        return run(plan, made, peers, progress)


def tell(results: Results, console: Console) -> None:
    """Print tables, and who wins."""
    for h in results.plan.marks:
        console.print(table.error_table(results, h))
    console.print(table.cost_table(results))
    for peer, why in results.left_out.items():
        console.print(f"{peer} was left out: {why}", highlight=False, soft_wrap=True)
    for sentence in (*results.growths, *results.said(), *results.cautions):
        console.print(sentence, highlight=False, soft_wrap=True)


def _recipe(bundle: Bundle | None, data: Path, options: dict[str, Any]) -> Recipe:
    given = recipe_of(bundle.manifest) if bundle else read_recipe(options["recipe"])
    recipe = resolve(given, data, {**options, "name": None, "seed": None})
    for option, example in {"every": "10m", "horizon": "24h"}.items():
        if getattr(recipe, option) is None:
            raise click.UsageError(
                f"option missing: --{option}, such as --{option} {example} (or --bundle, or {option} in the recipe)",
                click.get_current_context(),
            )
    return recipe


def _read(data: Path, recipe: Recipe, console: Console) -> Recording:
    with ReadProgress(console) as progress:
        asked = exogenous.reading(
            recipe, progress=progress,
            say=lambda text: console.print(f"{data.name}: {text}", highlight=False, soft_wrap=True, markup=False),
        )  # fmt: skip
        return recordings.read(data, length_ns(recipe, "every"), recipe.aggregate, **asked)


def _check_place(option: str, path: Path) -> None:
    """Find out before the work whether there is a place for what is written."""
    if path.parent.is_dir() and not path.is_dir():
        return
    raise ConfigError(
        "the result cannot be written", where=f"{option} {path}",
        found="a folder" if path.is_dir() else "no such folder", wanted="a file in a folder that exists",
    )  # fmt: skip
