"""The command `edgeseq train`: recordings in, a signed bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console

from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq.bundle import Manifest, check_writable, write_bundle
from edgeseq.bundle.keys import (
    SigningKey,
    announce_key,
    default_key_path,
    key_id,
    load_signing_key,
    write_public_key,
)
from edgeseq.core.durations import WANTED, parse_duration
from edgeseq.errors import ConfigError
from edgeseq_train import exogenous
from edgeseq_train import recording as recordings
from edgeseq_train.checkpoint import SUFFIX, Checkpoint
from edgeseq_train.estimators import command as estimators
from edgeseq_train.estimators import parts
from edgeseq_train.fit import Fitted, fit
from edgeseq_train.fleet import command as fleet
from edgeseq_train.fleet.options import executor_options
from edgeseq_train.fleet.series import Series
from edgeseq_train.lengths import check_measurable
from edgeseq_train.parts import Recording, split_rows
from edgeseq_train.recipe import COUNTED, CalendarRecipe, Recipe
from edgeseq_train.recipe_files import check, moved, read_recipe, write_recipe
from edgeseq_train.recordings.options import merged, tuple_of
from edgeseq_train.recordings.progress import ReadProgress
from edgeseq_train.recordings.sources import title_of
from edgeseq_train.report import Watch, comparison, fallen_behind
from edgeseq_train.shared_options import layout_options

if TYPE_CHECKING:  # TensorFlow takes seconds to import
    from edgeseq_train.produce import Produced

PATH = click.Path(path_type=Path)
WIDTH = 120
EXAMPLES = {"every": "10m", "horizon": "24h"}


@click.command(name="train")
@click.argument("data", type=PATH)
@click.argument("recipe", required=False, type=PATH)
@click.option("--recipe", "named", type=PATH, help="The same as the argument RECIPE.")
@click.option("--every", help="Grid period, such as 10m.")
@click.option("--horizon", help="How far to forecast, such as 24h.")
@click.option("-o", "--output", type=PATH, help="The bundle to write; default: NAME.edgeseq.")
@click.option("--name", help="Name of the model as subscribers see it; default: the name of DATA.")
@layout_options
@estimators.estimator_options
@executor_options
@click.option(
    "--per-series", is_flag=True, help="Train a model for each series, into a folder with an index."
)
@click.option("--seed", type=int, help="Seed of everything random; default 0.")
@click.option("--key", type=PATH, help="Signing key; default: made on first use.")
@click.option(
    "--unsigned", is_flag=True, help="Do not sign; devices refuse the bundle unless told otherwise."
)
@click.option(
    "--report",
    type=PATH,
    help="The page about the training to write; default: NAME.report.html beside the bundle.",
)
@click.option("--no-report", is_flag=True, help="Write no page and no pictures about the training.")
@click.option(
    "--resume", is_flag=True, help="Go on with a training that was stopped, by Ctrl-C or otherwise."
)
def train(
    data: Path, recipe: Path | None, named: Path | None, output: Path | None, key: Path | None, *, unsigned: bool,
    report: Path | None, no_report: bool, resume: bool, **options: Any,
) -> None:  # fmt: skip
    """Train a forecaster on the recording DATA and write it as a signed bundle, with a report of how it went.

    With --estimate or --classify train an estimator: of what the device will not see, at each step, from the others.

    DATA is CSV or Parquet, wide (a column for each sensor) or long (a row for each reading), InfluxDB line protocol,
    home-assistant_v2.db, or a folder of such files.

    RECIPE is a TOML file; without it every setting has a default. The resolved recipe is saved beside the bundle, with
    how DATA was read: given as RECIPE it repeats the training, to the same bytes.

    With --per-series each series has a model of its own; run again, the command goes on where it was. With --cluster it
    all happens on other machines, to the same bytes.

    Ctrl-C while it trains ends the training early: the best model so far is measured and written.
    """
    if recipe and named:
        raise click.UsageError("RECIPE and --recipe exclude each other", click.get_current_context())
    recipe = recipe or named
    chosen = estimators.chosen(resolve(read_recipe(recipe), data, options), options)
    for option in ("every",) if estimators.is_wanted(chosen) else ("every", "horizon"):
        if getattr(chosen, option) is None:
            raise click.UsageError(
                f"option missing: --{option}, such as --{option} {EXAMPLES[option]} (or {option} in the recipe)",
                click.get_current_context(),
            )
    if report and no_report:
        raise click.UsageError("--report and --no-report exclude each other", click.get_current_context())
    if fleet.is_wanted(options):
        fleet.check(chosen, options, report=report, resume=resume)
        _run_many(data, chosen, output, key, unsigned=unsigned, options=options)
        return
    bundle = _bundle_path(output, chosen, data)
    chosen = moved(chosen, recipe, bundle)
    page = None if no_report else report or bundle.parent / f"{bundle.stem}.report.html"
    manifest, path = run(
        data, chosen, output, key, unsigned=unsigned, report=page, resume=resume
    )  # fmt: skip
    make_console().print(
        f"wrote {path}  {manifest.label}  {path.stat().st_size / 1000:.0f} kB", highlight=False
    )


def make_console() -> Console:
    """Open the terminal; into a file or a pipe lines are as wide as the table."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def run(
    data: Path, recipe: Recipe, output: Path | None = None, key: Path | None = None, *, unsigned: bool = False,
    report: Path | None = None, resume: bool = False,
    console: Console | None = None,
) -> tuple[Manifest, Path]:  # fmt: skip
    """Do what the command does with a resolved recipe; report: where to write it, if at all."""
    console = console or make_console()
    period_ns, horizon = (
        length_ns(recipe, "every"),
        0 if estimators.is_wanted(recipe) else horizon_steps(recipe),
    )
    # An unusable key or place must not be found out after the training.
    name = recipe.name or title_of(data)
    path = _bundle_path(output, recipe, data)
    check_writable(path)
    _check_report(report)
    checkpoint = Checkpoint(path.with_suffix(SUFFIX), resume)
    checkpoint.check()
    signing_key = None if unsigned else _signing_key(key or default_key_path(), console)
    with ReadProgress(console) as progress:
        asked = exogenous.reading(
            recipe, progress=progress,
            say=lambda text: console.print(f"{data.name}: {text}", highlight=False, soft_wrap=True, markup=False),
        )  # fmt: skip
        if estimators.is_wanted(recipe):
            labelled = estimators.read(data, recipe, period_ns, asked)
            recipe = parts.parted(labelled, recipe, asked["say"])
        else:
            taken = exogenous.arrange(recordings.read(data, period_ns, recipe.aggregate, **asked), recipe)
    if estimators.is_wanted(recipe):
        estimator = estimators.train(labelled, recipe, name, console, checkpoint)
        _keep(path, estimator.manifest, estimator.files, signing_key, recipe, console, checkpoint)
        if report:
            estimators.write_report(estimator, recipe, report, console)
        return estimator.manifest, path
    fitted, produced = _forecaster(taken, horizon, recipe, name, console, checkpoint)
    _keep(path, produced.manifest, produced.files, signing_key, recipe, console, checkpoint)
    if report:
        _write_report(taken, fitted, recipe, produced, report, console)
    return produced.manifest, path


def _run_many(
    data: Path, recipe: Recipe, output: Path | None, key: Path | None, *, unsigned: bool, options: dict[str, Any]
) -> None:  # fmt: skip
    """Train many models, or one elsewhere."""
    console = make_console()
    signer = None if unsigned else _signing_key(key or default_key_path(), console)
    with ReadProgress(console) as progress:
        asked = exogenous.reading(
            recipe, progress=progress,
            say=lambda text: console.print(f"{data.name}: {text}", highlight=False, soft_wrap=True, markup=False),
        )  # fmt: skip
        taken = exogenous.arrange(
            recordings.read(data, length_ns(recipe, "every"), recipe.aggregate, **asked), recipe
        )
    if options["per_series"]:
        folder = output or Path(f"{recipe.name or title_of(data)}.bundles")
        fleet.train_all(taken, horizon_steps(recipe), recipe, folder, signer, options, console)
        return
    path = _bundle_path(output, recipe, data)
    series = Series(recipe.name or title_of(data), taken)
    manifest = fleet.train_one(series, horizon_steps(recipe), recipe, path, signer, options, console)
    path.with_suffix(".recipe.toml").write_text(write_recipe(recipe))
    console.print(f"wrote {path}  {manifest.label}", highlight=False, soft_wrap=True)


def _forecaster(
    taken: Recording, horizon: int, recipe: Recipe, name: str, console: Console, checkpoint: Checkpoint
) -> tuple[Fitted, Produced]:
    """Fit and produce, tell how it goes and what came out."""
    split = split_rows(len(taken.values), recipe.split)
    check_measurable(taken, split)
    with hushed(lambda _: True):
        # TensorFlow takes seconds to import: not for --help. matplotlib must not be found missing after the training.
        import edgeseq_train.training_report  # noqa: F401
        from edgeseq_train.produce import produce

    with Watch(console) as watch:
        fitted = fit(taken, horizon, recipe, watch, watch.say, checkpoint)
    # Without the bar, which would take what Python writes to stderr for its own and so past the hush.
    produced = produce(taken, fitted, recipe, name, watch.say)
    title = f"Test part: {split.test - split.validation} steps, one reading at a time in the device's runtime"
    console.print(comparison(produced.manifest.training["table"], title))
    console.print(_verdict(produced.manifest), highlight=False)
    return fitted, produced


def _write_report(
    taken: Recording, fitted: Fitted, recipe: Recipe, produced: Produced, page: Path, console: Console
) -> None:
    """Write the page about a training and its pictures, and say so."""
    from edgeseq_train import training_report

    made = training_report.make(taken, fitted, recipe, produced)
    folder = training_report.write(made, page)
    console.print(made.verdict.headline, highlight=False, soft_wrap=True)
    console.print(f"report: {page}, its pictures in {folder}", highlight=False, soft_wrap=True)


def _keep(
    path: Path, manifest: Manifest, files: dict[str, bytes], key: SigningKey | None, recipe: Recipe, console: Console,
    checkpoint: Checkpoint,
) -> tuple[Manifest, Path]:  # fmt: skip
    """Write the bundle, and its recipe beside it; the same recording, recipe and seed give the same bytes."""
    # How long it took is no part of the model.
    training = {name: value for name, value in manifest.training.items() if name != "seconds"}
    write_bundle(path, msgspec.structs.replace(manifest, training=training), files, key)
    path.with_suffix(".recipe.toml").write_text(write_recipe(recipe))
    checkpoint.remove_if_finished()
    if key:
        console.print(f"signed by key {key_id(key.public_key()).hex()}", highlight=False)
    return manifest, path


def _bundle_path(output: Path | None, recipe: Recipe, data: Path) -> Path:
    return output or Path(f"{recipe.name or title_of(data)}.edgeseq")


def _check_report(page: Path | None) -> None:
    """Find out before the training whether the report has a place to be written to."""
    if page is None or (page.parent.is_dir() and not page.is_dir()):
        return
    raise ConfigError(
        "the report cannot be written", where=str(page), found="a folder" if page.is_dir() else "no such folder",
        wanted="a file in a folder that exists", do="choose another --report, or --no-report",
    )  # fmt: skip


def _signing_key(path: Path, console: Console) -> SigningKey:
    """Read the key, and say where its public half lies, which devices must be given; of a new one, all about it."""
    is_new = not path.exists()
    key = load_signing_key(path)
    if is_new:
        told = announce_key(key, path, is_new=True)
    else:
        public = write_public_key(key.public_key(), path.parent)
        told = f"signed with {path}; devices load it that have {public} in their folder trusted_keys"
    console.print(told, highlight=False, soft_wrap=True)
    return key


def _verdict(manifest: Manifest) -> str:
    t = manifest.training
    if not t["recurrent"]:
        return "The recurrent part did not beat ridge on validation: ridge ships, in the same graph."
    gain = 100 * (1 - t["validation_loss"] / t["ridge_validation_loss"])
    told = (
        f"{t['parameters']} parameters, {t['steps']} steps in {t['seconds']} s; "
        f"{gain:.1f} % below ridge on validation (pinball loss)"
    )
    return "\n".join(filter(None, (told, fallen_behind(t["table"], manifest.default_variant))))


def resolve(recipe: Recipe, data: Path, options: dict[str, Any]) -> Recipe:
    """Let the command line win over the recipe.

    Raises:
        ConfigError: a wrong value.
    """
    given = {
        k: options[k] for k in ("every", "horizon", "aggregate", "name", "seed") if options[k] is not None
    }
    if options["multichannel"]:
        given["multichannel"] = True
    given |= {key: tuple_of(options[key]) for key in ("covariates", "known") if options[key]}
    given["recording"] = merged(options, recipe.recording)
    if options["kind"] == "counter" != recipe.recording.kind and recipe.aggregate == Recipe().aggregate:
        given.setdefault("aggregate", COUNTED)
    if options["holidays"]:
        given["calendar"] = _calendar(options["holidays"], given["recording"].time_zone, recipe)
    if options["split"]:
        given["split"] = _split(options["split"], recipe)
    recipe = msgspec.structs.replace(recipe, **given)
    return check(msgspec.structs.replace(recipe, name=recipe.name or title_of(data)))


def _calendar(holidays: str, time_zone: str | None, recipe: Recipe) -> CalendarRecipe:
    zone = time_zone or (recipe.calendar.time_zone if recipe.calendar else None)
    if zone is None:
        raise ConfigError(
            "a calendar needs a time zone",
            where="--holidays",
            found="no --time-zone",
            wanted="--time-zone, such as Europe/Berlin",
        )
    return CalendarRecipe(time_zone=zone, holidays=holidays)


def _split(text: str, recipe: Recipe) -> Any:
    try:
        a, b, c = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            "the split cannot be read",
            where="--split",
            found=text,
            wanted="three numbers such as 0.6,0.2,0.2",
        ) from None
    return msgspec.structs.replace(recipe.split, train=a, validation=b, test=c)


def length_ns(recipe: Recipe, name: str) -> int:
    """Read a duration of the recipe (ns)."""
    text = getattr(recipe, name)
    length = parse_duration(text) if text else None
    if length is None:
        raise ConfigError(
            f"{name} is no duration", where=f"--{name} or recipe", found=repr(text), wanted=WANTED
        )
    return length


def horizon_steps(recipe: Recipe) -> int:
    """Count the steps of the horizon."""
    steps, rest = divmod(length_ns(recipe, "horizon"), length_ns(recipe, "every"))
    if rest or not steps:
        raise ConfigError(
            "the horizon is not a multiple of the period",
            where="--horizon",
            found=recipe.horizon,
            wanted=f"n × {recipe.every}",
        )
    return steps
