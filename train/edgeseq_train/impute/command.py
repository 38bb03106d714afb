"""The command `edgeseq impute`: fill gaps of a recording before training; re-label past readings with a fixed lag."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import numpy as np
from rich.console import Console

from edgeseq.core.durations import WANTED, parse_duration
from edgeseq.core.types import F64, Aggregate
from edgeseq.errors import ConfigError
from edgeseq_train import recording as recordings
from edgeseq_train.cli import PATH, make_console
from edgeseq_train.impute import fitting, lagging, results, tables, writing
from edgeseq_train.impute.hiding import gaps, parts
from edgeseq_train.impute.imputer import Imputer, check_fits, load, save
from edgeseq_train.impute.network import Passes
from edgeseq_train.impute.settings import TrainingPlan
from edgeseq_train.impute.trials import measure, spans
from edgeseq_train.parts import Recording
from edgeseq_train.recordings.options import options_of, reading_options
from edgeseq_train.recordings.progress import ReadProgress
from edgeseq_train.recordings.request import Options
from edgeseq_train.report import Watch

STEPS = click.IntRange(1, 5000)


@click.command(name="impute")
@click.argument("data", type=PATH)
@click.option("--every", required=True, help="Grid period, such as 1h.")
@click.option("-o", "--output", type=PATH, required=True, help="What to write: .csv or .parquet.")
@click.option(
    "--aggregate",
    type=click.Choice(get_args(Aggregate)),
    default="last",
    help="Several readings of one step.",
)
@reading_options
@click.option(
    "--longest",
    type=STEPS,
    help="Longest gap to fill, in steps; default: three days, or what fits the recording.",
)
@click.option("--lag", type=STEPS, help="Also estimate every reading, from those up to so many steps later.")
@click.option("--report", type=PATH, help="Write what was found, by channel and length of gap, as JSON.")
@click.option("--save", "kept", type=PATH, help="Keep the trained imputer in this file.")
@click.option("--model", type=PATH, help="Fill with an imputer that was kept, without training.")
@click.option("--cell", type=click.Choice(["gru", "lstm", "rnn"]), default="gru", help="Kind of the network.")
@click.option("--units", type=click.IntRange(1, 512), default=32, help="Units of the network, each way.")
@click.option("--steps", type=click.IntRange(1), default=600, help="Most steps of training.")
@click.option("--seed", type=int, default=0, help="Seed of everything random.")
def impute(data: Path, every: str, output: Path, **options: Any) -> None:
    """Fill the gaps of the recording DATA before training on it.

    A network that looks both ways, linear interpolation, the season and the last value compete on stretches that are
    hidden; the best fills, for each channel and length of gap. What was filled is marked in a column of its own.

    With --lag N every past reading is also estimated from all others up to N steps later, and those far off are marked.

    The estimates look ahead: they are for recordings, never for a forecast.
    """
    period_ns = parse_duration(every)
    if period_ns is None:
        raise ConfigError("every is no duration", where="--every", found=repr(every), wanted=WANTED)
    writing.check_output(output)
    for option, path in {"-o": output, "--report": options["report"], "--save": options["kept"]}.items():
        writing.check_folder(path, option)
    if options["model"] and (options["report"] or options["kept"]):
        raise click.UsageError("--report and --save tell of a training; with --model there is none")
    console = make_console()
    taken = _read(data, period_ns, options, console)
    writing.check_names(taken.names)
    values = taken.values.reshape(len(taken.values), -1)
    imputer, passes = _imputer(taken, values, options, console)
    with ReadProgress(console) as bar:
        again = None
        if options["lag"]:
            filled, again = results.look_again(
                imputer, passes, values, lambda k, n: bar("looking again", k / n)
            )
        else:
            filled = results.fill(imputer, passes, values, lambda k, n: bar("filling", k / n))
    writing.write(writing.frame_of(taken, filled, again), output)
    for text in tables.outcome(taken.names, filled, again, imputer.frame.longest):
        _say(console, text)
    _say(console, f"wrote {output}: {len(values)} rows")


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def _read(data: Path, period_ns: int, options: dict[str, Any], console: Console) -> Recording:
    with ReadProgress(console) as progress:
        asked: Options = {
            **options_of(options), "progress": progress, "say": lambda text: _say(console, f"{data.name}: {text}"),
        }  # fmt: skip
        return recordings.read(data, period_ns, options["aggregate"], **asked)


def _imputer(
    taken: Recording, values: F64, options: dict[str, Any], console: Console
) -> tuple[Imputer, Passes]:
    """Load an imputer, or train one and tell what it is good for."""
    if options["model"]:
        imputer = load(options["model"])
        check_fits(imputer, taken.names, taken.period_ns, options["lag"], options["model"])
        return imputer, imputer.open()
    how = TrainingPlan(
        cell=options["cell"], units=options["units"], steps=options["steps"], seed=options["seed"]
    )
    with Watch(console) as watch:
        fitted = fitting.fit(
            values, taken.names, taken.period_ns, how, longest=options["longest"], lag=options["lag"],
            say=watch.say, progress=watch,
        )  # fmt: skip
    _report(fitted, taken, values, options, console)
    if options["kept"]:
        save(fitted.imputer, options["kept"])
    return fitted.imputer, fitted.passes


def _report(
    fitted: fitting.Fitted, taken: Recording, values: F64, options: dict[str, Any], console: Console
) -> None:
    """Measure on the test part, which nothing was chosen by, and tell."""
    frame, choice = fitted.imputer.frame, fitted.imputer.choice
    allowed = parts(len(values), frame.longest)["test"]
    rng = np.random.default_rng(options["seed"] + 2)
    trials = measure(frame, fitted.passes, values, allowed, spans(choice.ends), rng)
    found = tables.rows(trials, choice, taken.names, gaps(values))
    console.print(tables.table(found, frame, taken.names))
    for sentence in tables.sentences(choice, taken.names):
        _say(console, sentence)
    again = []
    if options["lag"]:
        wanted = np.isfinite(values) & allowed[:, None]
        estimates = lagging.estimate(frame, fitted.passes, values, options["lag"], wanted)
        again = tables.lag_rows(estimates, values, taken.names)
        for sentence in tables.lag_sentences(again, options["lag"]):
            _say(console, sentence)
    if options["report"]:
        told = {**fitted.summary, "channels": list(taken.names), "rows": found, "lag_rows": again}
        options["report"].write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1))
