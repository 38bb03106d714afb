"""The demo's page: pictures, tables and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeseq_train.pictures import page as p
from edgeseq_train.pictures.by_lead import by_lead
from edgeseq_train.pictures.canvas import ALERT, INK, MODEL, NAIVE, RIDGE, VIOLET, Picture, style
from edgeseq_train.pictures.loss import loss
from edgeseq_train.pictures.predicted import predicted
from edgeseq_train.pictures.series import series
from edgeseq_train.pictures.times import Readings
from edgeseq_train.sine import words
from edgeseq_train.sine.outcome import Curve, Outcome, free_errors, score
from edgeseq_train.sine.series import NOISE, Sine
from edgeseq_train.trend import SMALL

SHOWN = 100
"""Readings of the test part that predicted-against-actual shows."""
COLOURS = (RIDGE, VIOLET, MODEL)
GLOSSARY = (
    ("window", "the last 10 readings, run through the network again at every reading"),
    ("carried state", "the network's memory, kept from one reading to the next and never thrown away"),
    ("unit", "one number of that memory"),
    ("epoch", "one pass over all training windows"),
    ("persistence", "the forecast that the last value stays"),
    ("seasonal naive", "the forecast that the value of one season ago comes again"),
    ("ridge", "a linear regression on past readings"),
    ("free run", "no readings any more: the network is fed with its own forecasts"),
    ("TFLite", "the file format and runtime in which a device runs networks"),
)


@dataclass(frozen=True, slots=True)
class Results:
    """All that the demo shows."""

    sine: Sine
    seed: int
    window: Outcome
    carried: Sequence[Outcome]
    simple: Sequence[Outcome]
    regression: Outcome
    noise: Outcome
    seconds: float

    @property
    def table(self) -> list[Outcome]:
        """List everybody in the order of the table."""
        return [*self.simple, self.window, *self.carried, self.regression, self.noise]


def draw(r: Results) -> list[Picture]:
    """Draw all pictures."""
    with style():
        return [
            _series(r),
            *(_loss(o.short, o.curve) for o in (r.window, *r.carried) if o.curve),
            *_predicted(r),
            *_free(r),
        ]


def page(r: Results, pictures: Sequence[Picture]) -> str:
    """Lay out the page."""

    def show(*names: str) -> str:
        return p.gallery([picture for picture in pictures if picture.name.startswith(names)])

    rows = words.table_rows(r.table, r.sine)
    said = words.findings(r.window, r.carried, r.simple, r.regression, r.sine)
    head = p.paragraph(words.headline(r.window, r.carried, r.noise, r.sine))
    with style():
        parts = [
            "<h1>A noisy sine, forecast one reading at a time</h1>",
            p.paragraph(
                "The first example of every course on recurrent networks, with what the courses leave out: forecasts "
                "that need no network, the least error that is possible, and a state that is carried. All networks "
                "run as TFLite files in the device's runtime."
            ),
            f'<div class="verdict">{head}{p.bullets(said)}</div>',
            p.heading("Who errs how much", words.EXPLAIN_TABLE),
            p.table(words.TABLE_HEAD, rows, [len(r.simple) + 1 + k for k in range(len(r.carried))]),
            p.heading("The series"),
            p.beside(show("series"), p.facts(_facts(r))),
            p.heading("How training went", _EXPLAIN_LOSS),
            show("loss"),
            p.heading("Predicted and actual", _EXPLAIN_PREDICTED),
            show("predicted"),
            p.heading("One origin, one season", _EXPLAIN_FREE),
            show("free"),
            p.heading("What the networks are made of"),
            p.beside(_layers([r.window]), _layers(r.carried)),
            p.heading("Words"), p.glossary(GLOSSARY),
            f"<footer>seed {r.seed}; {r.seconds:.0f} s on this machine</footer>",
        ]  # fmt: skip
        return p.page("A noisy sine", parts)


_EXPLAIN_LOSS = (
    "The loss is what training makes small. Falling at the end: it was stopped too early. Flat: more of the same will "
    "not help. Rising on the validation part: the network learns by heart. A change below "
    f"{100 * SMALL:.0f} % over the last third counts as none."
)
_EXPLAIN_PREDICTED = (
    f"The first {SHOWN} readings of the test part, each forecast after the one before. A good forecast follows the "
    "grey line, not the dots: the noise cannot be known."
)
_EXPLAIN_FREE = (
    "From the dotted line on nothing comes any more. Each network takes its own forecast for the next reading, for "
    "one season (one-to-many). What it no longer knows of the wave shows as a wrong phase or a wave that dies out."
)


def _facts(r: Results) -> list[tuple[str, str]]:
    split = r.sine.split
    return [
        ("readings", f"{len(r.sine.values):,}"),
        ("readings per wave (season)", str(r.sine.season)),
        ("noise, standard deviation", str(NOISE)),
        ("training part", f"{split.train} readings"),
        ("validation part", f"{split.validation - split.train} readings"),
        ("test part", f"{split.test - split.validation} readings"),
        ("seed", str(r.seed)),
    ]


def _series(r: Results) -> Picture:
    split = r.sine.split
    caption = (
        "A sine of height 1 with noise, cut by time: networks learn from the first part, are watched on the second, "
        "and judged on the third, which nothing has seen."
    )
    return series(
        r.sine.values, (split.train, split.validation, split.test), Readings(), "The series", "value", caption
    )


def _loss(short: str, c: Curve) -> Picture:
    seen, do = words.read_curve(c)
    return loss(
        c.at, c.training, c.validation, f"{seen} {do}", name=f"loss_{short.lower()}", title=f"Loss of {short}",
        label=c.loss, per=c.per, level=c.level,
    )  # fmt: skip


def _predicted(r: Results) -> list[Picture]:
    begin = r.sine.split.validation
    span = slice(begin, begin + SHOWN)
    steps = np.arange(begin, begin + SHOWN, dtype=float)

    def one(name: str, title: str, shown: Sequence[Outcome], caption: str) -> Picture:
        lines = {o.short: o.one_ahead[:SHOWN] for o in shown}
        colours = dict(zip(lines, COLOURS if shown == r.carried else (ALERT,), strict=False))
        return predicted(
            steps, r.sine.values[span], r.sine.clean[span], lines, colours, caption, name=name, title=title
        )

    said = "Each point of the line was forecast from the 10 readings before it, and from nothing else."
    kept = "Each point of the line was forecast from one new reading and the memory of all before."
    return [
        one("predicted_window", "The tutorials' window", [r.window], said),
        one("predicted_carried", "Carried state", r.carried, kept),
    ]


def _free(r: Results) -> list[Picture]:
    origin = r.sine.free_origins[0]
    span = slice(origin - r.sine.season, origin + r.sine.season + 1)
    steps = np.arange(span.start, span.stop, dtype=float)
    networks = (r.window, *r.carried)
    colours = dict(zip((o.short for o in networks), (ALERT, *COLOURS), strict=False))
    colours |= {r.regression.short: INK, r.noise.short: NAIVE}
    caption = f"From reading {origin} on, the first of {len(r.sine.free_origins)} origins in the test part."
    run = predicted(
        steps, r.sine.values[span], r.sine.clean[span], {o.short: o.free[0] for o in networks}, colours, caption,
        name="free_run", title="A free run", origin=float(origin),
    )  # fmt: skip
    still, season = r.simple
    shown = {o.short: free_errors(o, r.sine) for o in (season, *networks, r.regression, r.noise)}
    mean = (
        f"Mean over all {len(r.sine.free_origins)} origins. A forecaster whose line rises lives on what it has just "
        f"read; one whose line is flat knows the wave. Persistence ({score(still, r.sine).free:.3f}) lies far above."
    )
    label = "mean absolute error"
    return [
        run,
        by_lead(shown, mean, name="free_errors", title="Free runs by lead", label=label, colours=colours),
    ]


def _layers(outcomes: Sequence[Outcome]) -> str:
    """Lay out layers that several networks share, with a column of parameters for each network."""
    rows = [
        [rows[0].name, rows[0].shape, *(f"{layer.parameters:,}" for layer in rows)]
        for rows in zip(*(o.layers for o in outcomes), strict=True)
    ]
    rows.append(["all", "", *(f"{o.parameters:,}" for o in outcomes)])
    rows.append(["file, kB", "", *(f"{o.kb:.0f}" for o in outcomes)])
    return p.table(["layer", "output", *(o.short for o in outcomes)], rows, [len(rows) - 2])
