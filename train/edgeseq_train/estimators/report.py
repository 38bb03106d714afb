"""The report of an estimator's training: a page like a forecaster's, about a number or a class."""

from __future__ import annotations

from html import escape
from typing import Any

from edgeseq.bundle import Manifest
from edgeseq_train import trend
from edgeseq_train.estimators import drawn
from edgeseq_train.estimators.command import COLUMNS, UNTOLD
from edgeseq_train.estimators.fit import FittedEstimator
from edgeseq_train.estimators.judged import Judged, calibration
from edgeseq_train.pictures import page as p
from edgeseq_train.pictures import quantization
from edgeseq_train.pictures.canvas import Picture, style
from edgeseq_train.recipe import Recipe
from edgeseq_train.training_report import Report, said_of
from edgeseq_train.training_report.verdict import Verdict

MODEL = "model"
WORDS = (
    ("majority, mean", "always tells the shares of the classes, or the mean, of the training part"),
    ("regression", "linear or logistic, on the values as they are now, or with earlier ones beside them"),
    ("log loss", "how little probability the true class was given, as -ln p: 0 is perfect"),
    ("balanced accuracy", "share of steps told right, as a mean over the classes: rare ones count as much"),
    ("F1", "mean over the classes of the harmonic mean of precision and recall"),
    ("Brier score", "mean squared error of the probabilities, from 0 to 2"),
    ("MAE, RMSE, bias", "mean absolute error, root of the mean squared error, mean of estimate - truth"),
    ("coverage", "share of the numbers within the band that is to hold 90 % of them"),
    ("loss", "what training makes small: log loss, or how far all quantiles miss"),
)  # fmt: skip


def make(fitted: FittedEstimator, recipe: Recipe, manifest: Manifest, judged: Judged) -> Report:
    """Write the page of an estimator; of the test part only what was said there is looked at."""
    words = judge(fitted, manifest, judged)
    with style():
        pictures = [*_answers(manifest, judged), *drawn.training(fitted.notes, recipe.training.clip_norm)]
        pictures.append(_quantization(manifest))
        return Report(words, pictures, _page(manifest, words, pictures))


def judge(fitted: FittedEstimator, manifest: Manifest, judged: Judged) -> Verdict:
    """Put into words who wins, whether probabilities or bands hold, what storing costs, and how training went."""
    unbeaten = judged.unbeaten()
    notes = fitted.notes[1:]
    went, advice = trend.read([n.loss for n in notes], [n.validation_loss for n in notes])
    started = (
        "On the validation part the network beat the regression that it began with by more than chance."
        if fitted.summary["recurrent"]
        else "The network did not beat the regression it began with by more than chance: that ships."
    )
    name = manifest.default_variant
    stored = f"Stored as {name} the loss on the test part changes by {_lost_percent(manifest, name):+z.2f} %."
    said = (started, _held(manifest, judged), stored, went, UNTOLD)
    return Verdict(MODEL if unbeaten is None else unbeaten, _headline(judged, unbeaten), said, (advice,))


def _headline(judged: Judged, unbeaten: str | None) -> str:
    best = judged.best_peer()
    beside = (
        f"its {judged.measure} is {_apart(judged.gain_percent(best))} that of the best peer, {_named(best)}"
    )
    if unbeaten is None:
        return f"The estimator earns its keep: {beside}."
    if judged.loses_to(best):
        return f"The estimator loses: {beside}. That is enough here."
    return f"A draw with {_named(unbeaten)}, which the estimator does not surely beat: {beside}."


def _apart(gain_percent: float) -> str:
    """Write a difference.

    >>> _apart(6.4), _apart(-3), _apart(-28700)
    ('6.4 % below', '3.0 % above', '288 times')
    """
    if gain_percent < -100:
        return f"{1 - gain_percent / 100:.3g} times"
    return f"{abs(gain_percent):.1f} % {'below' if gain_percent >= 0 else 'above'}"


def _named(peer: str) -> str:
    """Write out a name that stands in a table below another.

    >>> _named("… and lagged values"), _named("majority")
    ('regression, present and lagged values', 'majority')
    """
    return peer.replace("…", "regression, present")


def _held(manifest: Manifest, judged: Judged) -> str:
    if judged.target.classes:
        error = 100 * calibration(judged).error
        return f"The probability of the class that is told is off by {error:.1f} points on average."
    inside = (judged.truth >= judged.said[:, 0]) & (judged.truth <= judged.said[:, -1])
    promised = 100 * (manifest.levels[-1] - manifest.levels[0])
    return f"The {promised:.0f} % band held {100 * inside.mean():.1f} % of the numbers."


def _answers(manifest: Manifest, judged: Judged) -> list[Picture]:
    target = judged.target
    if not target.classes:
        label = f"{target.name}, {target.unit}" if target.unit else target.name
        return [drawn.scatter(judged, label), drawn.quantiles(judged, manifest.levels)]
    table = [drawn.confusion(judged)] if len(target.classes) <= drawn.MOST_CLASSES else []
    return [*table, drawn.reliability(calibration(judged))]


def _variants(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Give the table's rows of the model's variants by name; the first is float32."""
    rows = manifest.training["table"]
    return {r["estimator"].removeprefix("model "): r for r in rows if r["estimator"].startswith("model ")}


def _lost_percent(manifest: Manifest, name: str) -> float:
    rows = _variants(manifest)
    return float(100 * (rows[name]["loss"] / rows["float32"]["loss"] - 1))


def _quantization(manifest: Manifest) -> Picture:
    rows = _variants(manifest)
    caption = (
        "How much the loss on the test part changes by storing weights in fewer bits, and the size of the file. The "
        "coloured one is the default on devices."
    )
    lost, sizes = [_lost_percent(manifest, name) for name in rows], [row["kb"] for row in rows.values()]
    return quantization.quantization(list(rows), lost, sizes, manifest.default_variant, caption)


def _page(manifest: Manifest, words: Verdict, pictures: list[Picture]) -> str:
    def show(*names: str) -> str:
        return p.gallery([picture for picture in pictures if picture.name in names])

    t, target = manifest.training, manifest.target
    what = target.name if target else ""
    inputs = ", ".join(channel.name for channel in manifest.channels)
    steps = t["split"]["test"] - t["split"]["validation"]
    summary = (
        f"Estimates {what} from {inputs} at each step. Figures are of the {steps:,} steps of the test part, which "
        "training never saw, one reading at a time in the device's runtime."
    )
    facts = [
        ("parameters", f"{t['parameters']:,}"), ("training steps", f"{t['steps']}"),
        ("validation loss of the regression", f"{t['regression_validation_loss']:.4f}"),
        ("validation loss of the network", f"{t['validation_loss']:.4f}"),
        ("seed of everything random", f"{t['seed']}"),
    ]  # fmt: skip
    parts = [
        f"<h1>{escape(manifest.name)}: what training made</h1>",
        p.paragraph(summary), said_of(words),
        p.heading("Beside its peers", "Nobody here was told an earlier truth, as no device is."),
        _table(manifest), p.heading("What it tells"), show("confusion", "calibration", "estimated", "coverage"),
        p.heading("How training went"), show("loss", "gradient"), p.facts(facts),
        p.heading("What storing it in fewer bits costs"), p.beside(show("quantization"), _sizes(manifest)),
        p.heading("Words"), p.glossary(WORDS),
        f"<footer>{escape(f'edgeseq {manifest.version} · {manifest.label} · {manifest.created}')}</footer>",
    ]  # fmt: skip
    return p.page(f"{manifest.name}: training report", parts)


def _sizes(manifest: Manifest) -> str:
    rows = _variants(manifest)
    cells = [
        [name, f"{row['kb']}", f"{row['loss']:.4g}", f"{_lost_percent(manifest, name):+z.2f}"]
        for name, row in rows.items()
    ]
    return p.table(
        ["stored as", "kB", "loss", "change, %"], cells, [list(rows).index(manifest.default_variant)]
    )


def _table(manifest: Manifest) -> str:
    rows = manifest.training["table"]
    measures = [name for name in (*COLUMNS, "loss") if any(name in row for row in rows)]
    head = ["estimator", *(COLUMNS.get(name, name).replace("\n", " ") for name in measures)]
    cells = [[row["estimator"], *(f"{row[m]:.4g}" if m in row else "" for m in measures)] for row in rows]
    ours = [k for k, row in enumerate(rows) if row["estimator"] == f"model {manifest.default_variant}"]
    return p.table(head, cells, ours)
