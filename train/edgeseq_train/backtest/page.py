"""A backtest as one page: who wins, by how much, how surely, at what cost."""

from __future__ import annotations

from html import escape

from edgeseq.core.durations import format_duration
from edgeseq_train.backtest import drawn, table
from edgeseq_train.backtest.results import Results
from edgeseq_train.backtest.words import NAME, PERSISTENCE, marked, span, standing
from edgeseq_train.pictures import page as p
from edgeseq_train.pictures.canvas import style

MOST_SERIES = 30
WORDS = (
    ("seasonal-naive error", "how far repeating the last season errs on the training part, on average"),
    ("MASE", "error ÷ seasonal-naive error: below 1 is better, and sensors of any unit compare"),
    ("MAE (z), MSE (z)", "mean absolute and squared error of z-scores by the training part's mean and deviation"),
    ("pinball", "loss of all quantiles together, in seasonal-naive errors: small where bands are narrow and hold"),
    ("Winkler", "width of an interval, and a penalty for what lies outside it, in seasonal-naive errors"),
    ("within 90 %", "share of the readings that lay in the 90 % interval of the last lead of the span"),
    ("wins", "errs least, and nothing simpler comes as near as chance; or is persistence, and none surely beats it"),
    ("*", "the simplest forecaster that none beats by more than chance, where another errs less"),
    ("persistence", "the forecast that the last value stays"),
    ("seasonal naive", "the forecast that the value of the last season comes again"),
    ("Holt-Winters", "level, trend and season, each smoothed exponentially"),
    ("ridge", "linear regression on the last values, in closed form; two seasons: on the last two days"),
    ("DLinear", "a linear map of the last 336 values and one of their moving average, trained as a network"),
    ("SegRNN", "a recurrent network over segments of the last 336 values, run anew at each reading"),
    ("tutorial LSTM", "a window of the last 96 values through one LSTM layer, as tutorials build it"),
)  # fmt: skip

EXPLAIN_COST = (
    "State is what a device keeps per stream between readings, of window networks the window. Peak MB is the memory "
    "of a process that has nothing but the device's own code and this bundle and serves these streams; peers have "
    "none, as no device serves them."
)


def make(results: Results, name: str) -> str:
    """Write the page of a backtest of the recording `name`."""
    with style():
        pictures = {picture.name: picture for picture in drawn.draw(results)}

    def show(*names: str) -> str:
        return p.gallery([pictures[n] for n in names if n in pictures])

    parts = [
        f"<h1>{escape(name)}: who forecasts best</h1>",
        p.paragraph(_summary(results)),
        f'<div class="verdict">{"".join(map(p.paragraph, results.cautions))}{p.bullets(results.said())}</div>',
        p.heading("Error", "On the test part, which nobody was fitted on; smaller is better, the least is bold."),
        show("by_lead", "ratios"),
        *(p.heading(f"{span(h)}: {standing(results.verdicts[h])}") + _errors(results, h) for h in results.plan.marks),
        p.heading("Intervals, and errors by series"),
        p.beside(show("coverage"), _by_series(results)),
        p.heading("Cost", EXPLAIN_COST),
        p.table(["forecaster", "parameters", "bytes of state", "µs per reading", "peak MB", "training, CPU s"],
                [[line.name, *table.costs(line)] for line in results.lines]),
        p.bullets([*results.growths, *(f"{peer} was left out: {why}" for peer, why in results.left_out.items())]),
        p.heading("Words"),
        p.glossary(WORDS),
    ]  # fmt: skip
    return p.page(f"{name}: backtest", parts)


def _summary(results: Results) -> str:
    plan = results.plan
    period = plan.recording.period_ns
    steps, columns = len(plan.y), plan.y.shape[1]
    season = f"season {plan.panel.season} steps" if plan.panel.season > 1 else "no season"
    return (
        f"{columns} series every {format_duration(period)}, forecast {plan.horizon} steps "
        f"({format_duration(plan.horizon * period)}) ahead at each of {steps:,} steps of the test part; {season}. "
        f"Fitted on {plan.split.train:,} steps, settings chosen on the next "
        f"{plan.split.validation - plan.split.train:,}. "
        f"{NAME} is what the core of a device publishes, one reading at a time, from the first reading on."
    )


def _errors(results: Results, h: int) -> str:
    v = results.verdicts[h]
    head = ["forecaster", *(name.replace("\n", " ") for name in table.MEASURES.values())]
    rows = [
        [marked(line.name, v), *(table.cell(line, h, m) for m in table.MEASURES)] for line in results.lines
    ]
    return p.table(head, rows, [k for k, line in enumerate(results.lines) if line.name == v.lowest])


def _by_series(results: Results) -> str:
    """Lay out errors in sensor units of the model and the best peer at the farthest horizon."""
    h, names = results.plan.horizon, results.plan.names
    v = results.verdicts[h]
    shown = [line for line in results.lines if line.name in (NAME, v.winner, v.lowest, PERSISTENCE)]
    rows = [
        [name, *(f"{line.mae(h)[k]:.4g}" for line in shown)] for k, name in enumerate(names[:MOST_SERIES])
    ]
    note = f"Mean absolute error {span(h)}, in the sensor's own unit."
    more = f" The first {MOST_SERIES} of {len(names)}." if len(names) > MOST_SERIES else ""
    return p.paragraph(note + more) + p.table(["series", *(line.name for line in shown)], rows)
