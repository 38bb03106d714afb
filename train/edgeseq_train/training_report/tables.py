"""The tables, facts and explanations of the training report."""

from __future__ import annotations

import numpy as np

from edgeseq.core.durations import format_duration
from edgeseq_train import trend
from edgeseq_train.parts import Recording
from edgeseq_train.pictures import page as p
from edgeseq_train.pictures.times import DAY_NS
from edgeseq_train.training_report import findings
from edgeseq_train.training_report.findings import MODEL, Errors, marked_leads, percent
from edgeseq_train.training_report.run import Run
from edgeseq_train.training_report.verdict import Outcome, in_order, simplest_first

MOST_NAMES = 8
SEASON_WORDS = (
    ("seasonal-naive error", "how far repeating the last season errs on the training part, on average"),
    ("error ÷ seasonal-naive error", "also called MASE: below 1 is better, and sensors of any unit compare"),
    ("seasonal naive", "the forecast that the value of one season (a day, a week) ago comes again"),
)
NO_SEASON_WORDS = (
    (
        "unit of errors",
        "how far the value of the step before errs on the training part, on average: no season was found",
    ),
    ("error", "in that unit, also called MASE: sensors of any unit compare"),
)
WORDS = (
    ("lead", "how many steps ahead a forecast looks: lead 1 is the next step"),
    ("persistence", "the forecast that the last value stays"),
    ("ridge", "a linear regression on the last values: the best a straight line can do, solved in a second"),
    (
        "served",
        "what a device publishes: the model blended with its own baseline, by what came late at each lead",
    ),
    ("recurrent part", "the neural network on top of ridge; it keeps a memory from reading to reading"),
    ("training part", "the first stretch of the recording, which is learned from"),
    ("validation part", "the next stretch, which chooses when to stop"),
    ("test part", "the last stretch, which nothing has seen before these figures"),
    ("quantile", "the 90 % quantile lies above 90 % of the readings"),
    ("band", "what lies between two quantiles: a 90 % band holds 90 % of the readings"),
    ("loss", "what training makes small: how far all quantiles miss, over all leads (pinball loss)"),
    (
        "gradient",
        "the direction in which each weight must move to lower the loss; its norm says how strongly",
    ),
    ("unit", "one number of the recurrent part's memory"),
)
EXPLAIN_TRAINING = (
    "Training shows the network stretches of the training part and moves its weights a little after each; every few "
    "steps the validation part tells whether it got better at what it has not seen."
)
EXPLAIN_ERRORS = (
    "Mean absolute error of each forecaster on the test part, in {unit}, smaller is better. Everybody forecasts the "
    "same readings, one at a time as a device gets them, and the model is the quantized one in the device's own "
    "runtime. Served is what a device publishes: it blends the model with persistence{season} at each lead, by how "
    "both erred lately."
)
EXPLAIN_GAINS = (
    "How much less error the model makes than each of the others, in per cent (negative: more). The last column says "
    "how far chance alone could have moved the figure over all leads: twice its standard error, from leaving out each "
    "stretch of the test part in turn; ? where the test part is too short to tell."
)
EXPLAIN_BANDS = (
    "Share of the test part's readings that lay within each band, as the model gives it. The device calibrates bands "
    "further with its own readings, so that small differences go away there."
)
EXPLAIN_QUANTIZATION = (
    "The same network with its weights stored in several ways, each run over the whole test part in the device's "
    "runtime: error and loss over all leads, the loss's change against float32, and the largest difference of any "
    "single forecast, in per cent of the sensor's running spread."
)
EXPLAIN_INSIDE = (
    "The recurrent part keeps a memory, one number per unit, and gates decide at each reading what of it stays. "
    "Gates that move with the day have learned something of it; flat ones have not. The shipped weights were run over "
    "the last days of the test part."
)


def words(run: Run) -> tuple[tuple[str, str], ...]:
    """Explain the words of the page."""
    return (*WORDS, *(SEASON_WORDS if run.fitted.spec.seasons else NO_SEASON_WORDS))


def explain_errors(run: Run) -> str:
    """Say what errors are counted in."""
    if run.fitted.spec.seasons:
        unit = "seasonal-naive errors: 1 is what repeating the last season errs by"
        return EXPLAIN_ERRORS.format(unit=unit, season=" or seasonal naive")
    unit = "mean changes from one step to the next: 1 is what the last value errs by one step ahead"
    return EXPLAIN_ERRORS.format(unit=unit, season="")


def summary(run: Run) -> str:
    """Say in a sentence what was trained on what."""
    spec, recording = run.fitted.spec, run.recording
    layers = " on ".join(f"{layer.kind.upper()} of {layer.units} units" for layer in spec.layers[::-1])
    ahead = format_duration(spec.horizon * recording.period_ns)
    return (
        f"{layers} on top of ridge, forecasting {spec.horizon} steps ({ahead}) ahead, trained on "
        f"{_trained_on(recording)}. Figures are of the test part, which training never saw."
    )


def _trained_on(recording: Recording) -> str:
    """Name what is forecast, and the inputs beside it."""
    C, targets = recording.values.shape[2], recording.target_channels
    names = recording.names
    told = _names(tuple(n for k, n in enumerate(names) if k % C < targets))
    inputs = tuple(dict.fromkeys(n for k, n in enumerate(names) if k % C >= targets))
    told += f" with the covariates {_names(inputs)}" if inputs else ""
    known = recording.known_names
    return told + (f"{' and' if inputs else ' with'} {_names(known)}, known in advance" if known else "")


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else f"{shown} and {len(names) - MOST_NAMES} more"


def errors_table(errors: Errors) -> str:
    """Lay out MASE by marked lead and over all."""
    leads = marked_leads(len(errors.by_lead[MODEL]))
    names = in_order(errors)
    rows = [
        [name, *(f"{errors.at(name, lead):.3f}" for lead in leads), f"{errors.at(name):.3f}"]
        for name in names
    ]
    return p.table(["error", *(f"lead {n}" for n in leads), "all leads"], rows, [names.index(MODEL)])


def gains_table(errors: Errors, outcome: Outcome) -> str:
    """Lay out by how much the model's error lies below each peer's."""
    leads = marked_leads(len(errors.by_lead[MODEL]))
    rows = []
    for peer in simplest_first(list(outcome.chance)):
        chance = outcome.chance[peer]
        gains = [f"{errors.gain(MODEL, peer, lead):+z.1f}" for lead in (*leads, None)]
        rows.append([peer, *gains, "?" if chance is None else f"± {chance:.1f}"])
    return p.table(["less error than, %", *(f"lead {n}" for n in leads), "all leads", "chance"], rows)


def examples_note(run: Run) -> str:
    """Say how the fans were chosen."""
    n, streams, channels = run.forecasts.truth.y.shape[:3]
    return (
        f"Chosen by rank, not by eye: of all {n * streams * channels:,} forecasts of the test part, sorted by their "
        "mean error over all leads, the best, the middle one (typical), the one that 90 % are better than (poor) and "
        "the worst."
    )


def bands_table(run: Run, outcome: Outcome) -> str:
    """Lay out promised and actual coverage."""
    horizon = run.fitted.spec.horizon
    overall = findings.inside(run.forecasts, None)
    rows = [
        [name, percent(first), percent(last), percent(whole)]
        for (name, (_, first, last)), whole in zip(outcome.bands.items(), overall, strict=True)
    ]
    return p.table(["promised", "held at lead 1", f"at lead {horizon}", "over all leads"], rows)


def training_facts(run: Run) -> list[tuple[str, str]]:
    """List how training went."""
    s, notes = run.fitted.summary, run.fitted.notes
    best = min(notes, key=lambda n: n.validation_loss)
    ridge, reached = notes[0].validation_loss, best.validation_loss
    change = trend.trend([n.validation_loss for n in notes[1:]]).change
    return [
        ("parameters", f"{s['parameters']:,}"),
        ("training steps", f"{notes[-1].step} of {run.recipe.training.steps}"),
        ("seconds, on this machine", str(s["seconds"])),
        ("validation loss of ridge", f"{ridge:.4f}"),
        ("best validation loss", f"{reached:.4f}"),
        ("step of the best", str(best.step)),
        ("below ridge on validation", percent(1 - reached / ridge)),
        ("change over the last third", f"{100 * change:+z.1f} %"),
        ("seed of everything random", str(run.recipe.seed)),
    ]


def quantization_table(run: Run) -> str:
    """Lay out the variants."""
    horizon = str(run.fitted.spec.horizon)
    rows = [
        [
            name, f"{row['kb']}", f"{row['mase'][horizon]:.4f}", f"{row['loss']:.4f}",
            f"{run.lost_percent(name):+z.2f}", f"{100 * row['difference']['max']:.2g}",
        ]
        for name, row in run.variants.items()
    ]  # fmt: skip
    ours = list(run.variants).index(run.manifest.default_variant)
    head = ["stored as", "kB", "error", "loss", "change, %", "difference, %"]
    return p.table(head, rows, [ours])


def data_facts(run: Run) -> list[tuple[str, str]]:
    """List what the recording is."""
    recording, spec = run.recording, run.fitted.spec
    steps, streams, channels = recording.values.shape
    period, split = recording.period_ns, run.split
    seasons = ", ".join(f"{s} steps ({format_duration(s * period)})" for s in spec.seasons)
    rows = [
        ("columns", _names(recording.names)),
        ("streams × channels", f"{streams} × {channels}"),
        ("grid", f"{steps:,} steps of {format_duration(period)}"),
        ("length", f"{steps * period / DAY_NS:.1f} days"),
        ("values known", percent(float(np.isfinite(recording.values).mean()))),
        ("seasons", seasons or "none found"),
        ("values looked back on", f"{len(spec.lags)} of the last {spec.ring}"),
    ]
    if recording.target_channels < channels:
        rows.append(
            ("channels forecast", f"{recording.target_channels} of {channels}, the others are inputs")
        )
    if recording.known_names:
        rows.append(("inputs known in advance", _names(recording.known_names)))
    if recording.start_ns is not None:
        rows += [("first step (UTC)", _instant(recording.start_ns))]
        rows += [("last step (UTC)", _instant(recording.start_ns + (steps - 1) * period))]
    ends = {"training part": split.train, "validation part": split.validation, "test part": split.test}
    sizes = np.diff([0, *ends.values()])
    rows += [(name, f"{n:,} steps ({percent(n / steps, 0)})") for name, n in zip(ends, sizes, strict=True)]
    return rows


def _instant(time_ns: int) -> str:
    return str(np.datetime64(time_ns, "ns").astype("datetime64[s]")).replace("T", " ")


def footer(run: Run) -> str:
    """Say what made this."""
    versions = ", ".join(f"{k} {v}" for k, v in run.manifest.training["versions"].items())
    return f"edgeseq {run.manifest.version} · {run.manifest.label} · {run.manifest.created} · {versions}"
