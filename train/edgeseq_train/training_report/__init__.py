"""The report of a training run: one page for whoever sits at the workstation, and its pictures as PNG files."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from edgeseq_train import trend
from edgeseq_train.fit import Fitted
from edgeseq_train.parts import Recording
from edgeseq_train.pictures import page as p
from edgeseq_train.pictures.canvas import Picture, style, write_pngs
from edgeseq_train.produce import Produced
from edgeseq_train.recipe import Recipe
from edgeseq_train.training_report import drawn, findings, tables, verdict
from edgeseq_train.training_report.findings import MODEL, Errors
from edgeseq_train.training_report.run import Run


@dataclass(frozen=True, slots=True)
class Report:
    """What is written."""

    verdict: verdict.Verdict
    pictures: list[Picture]
    html: str


def make(recording: Recording, fitted: Fitted, recipe: Recipe, produced: Produced) -> Report:
    """Look at a training run and write its report; of the test part only what was forecast there is looked at."""
    run = Run(recording, fitted, recipe, produced.manifest, produced.forecasts)
    errors = findings.measure(run.forecasts, run.served())
    outcome = look(run, errors)
    words = verdict.judge(outcome)
    with style():
        pictures = drawn.draw(run, errors)
        return Report(words, pictures, _page(run, errors, outcome, words, pictures))


def write(report: Report, path: Path) -> Path:
    """Write the page to `path` and its pictures into a folder beside it, which is given: x.report.html → x.report."""
    folder = path.with_suffix("")
    path.write_text(report.html, encoding="utf-8")
    write_pngs(report.pictures, folder)
    return folder


def look(run: Run, errors: Errors) -> verdict.Outcome:
    """Collect what the verdict is made of."""
    spec, f = run.fitted.spec, run.forecasts
    block, ours = max(run.season, spec.horizon), errors.by_origin[MODEL]
    first, last = findings.inside(f, 1), findings.inside(f, spec.horizon)
    promised = [spec.levels[-1 - k] - spec.levels[k] for k in range(len(first))]
    notes = run.fitted.notes[1:]
    return verdict.Outcome(
        errors=errors,
        chance={n: findings.chance(ours, e, block) for n, e in errors.by_origin.items() if n != MODEL},
        recurrent=bool(run.fitted.summary["recurrent"]),
        bands={f"{100 * s:.0f} %": (s, a, b) for s, a, b in zip(promised, first, last, strict=True)},
        shipped=run.manifest.default_variant,
        lost_percent=run.lost_percent(run.manifest.default_variant),
        training=trend.read([n.loss for n in notes], [n.validation_loss for n in notes]),
        has_inputs=bool(
            run.recording.target_channels < run.recording.values.shape[2] or run.recording.known_names
        ),
    )


def _page(
    run: Run, errors: Errors, outcome: verdict.Outcome, words: verdict.Verdict, pictures: list[Picture]
) -> str:
    """Lay out the page: the verdict, then what it rests on."""

    def show(*names: str) -> str:
        return p.gallery([picture for picture in pictures if picture.name.startswith(names)])

    inside = show("gates", "state")
    parts = [
        f"<h1>{escape(run.manifest.name)}: what training made</h1>",
        p.paragraph(tables.summary(run)),
        said_of(words),
        p.heading("How far ahead it sees", tables.explain_errors(run)),
        p.beside(
            show("by_lead"), tables.errors_table(errors), p.paragraph(tables.EXPLAIN_GAINS),
            tables.gains_table(errors, outcome),
        ),
        p.heading("Forecasts beside what came", tables.examples_note(run)),
        show("fan"),
        p.heading("Whether the bands hold", tables.EXPLAIN_BANDS),
        p.beside(show("coverage"), tables.bands_table(run, outcome)),
        p.heading("How training went", tables.EXPLAIN_TRAINING),
        show("loss", "gradient"), p.facts(tables.training_facts(run)),
        p.heading("What storing it in fewer bits costs", tables.EXPLAIN_QUANTIZATION),
        p.beside(show("quantization"), tables.quantization_table(run)),
        p.heading("Inside the recurrent part", tables.EXPLAIN_INSIDE) + inside if inside else "",
        p.heading("The data"),
        p.beside(show("series"), p.facts(tables.data_facts(run))),
        p.heading("Words"), p.glossary(tables.words(run)),
        f"<footer>{escape(tables.footer(run))}</footer>",
    ]  # fmt: skip
    return p.page(f"{run.manifest.name}: training report", parts)


def said_of(words: verdict.Verdict) -> str:
    """Lay out a verdict."""
    return (
        f'<div class="verdict">{p.paragraph(words.headline)}{p.bullets(words.said)}'
        f"<h3>What to try</h3>{p.bullets(words.advice)}</div>"
    )
