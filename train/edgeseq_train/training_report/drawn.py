"""Which pictures the training report shows, and of what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeseq.core.types import F64, I64
from edgeseq_train.pictures import (
    by_lead,
    coverage,
    fan,
    gates,
    gradient,
    loss,
    quantization,
    series,
    state_map,
)
from edgeseq_train.pictures.canvas import Picture
from edgeseq_train.pictures.times import DAY_NS
from edgeseq_train.training_report import findings, gating
from edgeseq_train.training_report.findings import Errors, Example
from edgeseq_train.training_report.run import Run
from edgeseq_train.training_report.verdict import in_order

MOST_INSIDE_STEPS = 2000
"""Steps over which gates are averaged, at most …"""
MOST_INSIDE_DAYS = 14
"""… and days."""
MOST_INSIDE_STREAMS = 8


def draw(run: Run, errors: Errors) -> list[Picture]:
    """Draw all pictures of a run."""
    return [
        _by_lead(errors, run),
        *(_fan(run, example) for example in findings.examples(run.forecasts)),
        _coverage(run),
        *_training(run),
        _quantization(run),
        *_inside(run),
        _series(run),
    ]


def _by_lead(errors: Errors, run: Run) -> Picture:
    caption = (
        "Mean error against how many steps ahead the forecast looks. Where the model's line is lowest it is worth "
        "having; where it touches ridge's the recurrent part adds nothing."
    )
    return by_lead.by_lead(
        {name: errors.by_lead[name] for name in in_order(errors)}, caption, label=f"error ÷ {run.error_unit}"
    )


def _fan(run: Run, e: Example) -> Picture:
    spec, f = run.fitted.spec, run.forecasts
    origin = f.origins.start + e.origin
    back = min(origin, max(spec.horizon, spec.seasons[0] if spec.seasons else 0, 24))
    steps = np.arange(origin - back, origin + spec.horizon + 1)
    anchor, unit = run.fitted.anchor[e.stream, e.channel], run.fitted.unit[e.stream, e.channel]
    quantiles = f.quantiles[e.origin, e.stream, e.channel].astype(np.float64) * unit + anchor
    readings = run.recording.values[steps, e.stream, e.channel]
    name, label = run.column(e.stream, e.channel)
    title = f"{'A' if e.kind in ('typical', 'poor') else 'The'} {e.kind} forecast"
    caption = (
        f"{name}: error {e.error:.2f} × the {run.error_unit} over all leads. Left of the dotted line is what the model "
        "had seen; each band is to hold the given share of readings."
    )
    return fan.fan(steps, readings, quantiles, spec.levels, run.clock, label, f"fan_{e.kind}", title, caption)


def _coverage(run: Run) -> Picture:
    f, horizon = run.forecasts, run.fitted.spec.horizon
    shares = {"lead 1": findings.below(f, 1)}
    if horizon > 1:
        shares |= {f"lead {horizon}": findings.below(f, horizon), "all leads": findings.below(f, None)}
    caption = (
        "For each quantile the share of readings that lay below it. On the dashed line it is what was promised; "
        "above 50 %, dots below the line mean bands that are too narrow."
    )
    return coverage.coverage(run.fitted.spec.levels, shares, caption)


def _training(run: Run) -> list[Picture]:
    ridge, *notes = run.fitted.notes
    if not notes:  # stopped before the first validation: ridge ships
        return []
    steps, unseen = [n.step for n in notes], [n.validation_loss for n in notes]
    said = (
        "Every point is a validation. The training loss is taken with parts of the network switched off at random "
        "(dropout), on other stretches of time, and of weights not yet averaged: it may lie above or below. What "
        "ships is the best point."
    )
    pulled = (
        "How strongly the loss pulls at the weights, as a mean since the last validation. A curve that explodes means "
        "steps that are too large, one that falls to nothing means that nothing is learned any more. Longer ones are "
        "cut to the dashed line."
    )
    clip = run.recipe.training.clip_norm
    return [
        loss.loss(steps, [n.loss for n in notes], unseen, said, level=("ridge", ridge.validation_loss)),
        gradient.gradient(steps, [n.gradient_norm for n in notes], clip, pulled),
    ]


def _quantization(run: Run) -> Picture:
    lost = [run.lost_percent(name) for name in run.variants]
    sizes = [row["kb"] for row in run.variants.values()]
    caption = (
        "How much the loss on the test part changes by storing weights in fewer bits, and the size of the file. "
        "Below 0.3 % nobody will notice. The coloured one is the default on devices."
    )
    return quantization.quantization(list(run.variants), lost, sizes, run.manifest.default_variant, caption)


def _series(run: Run) -> Picture:
    split = run.split
    ends = (split.train, split.validation, split.test)
    name, label = run.column(0, 0)
    caption = (
        f"{name} as it lies on the grid, cut by time: the network learns from the first part, training stops by the "
        "second, and all figures of this page are of the third."
    )
    values = run.recording.values[: split.test, 0, 0]
    return series.series(values, ends, run.clock, "The recording", label, caption)


# --- inside -------------------------------------------------------------------------------------------------------


def _inside(run: Run) -> list[Picture]:
    """Draw gates and state over a day, where the network has a memory and the recording a day (or another season)."""
    spec, day = run.fitted.spec, _day(run)
    if not gating.has_memory(spec) or day is None:
        return []
    stop = run.split.test
    shown = max(1, min(MOST_INSIDE_STEPS // day.steps, MOST_INSIDE_DAYS)) * day.steps
    steps = np.arange(max(0, stop - shown), stop)
    x = run.inputs[:, :MOST_INSIDE_STREAMS]
    seen = gating.look_inside(spec, run.fitted.weights, x, run.recording.known, int(steps[0]), stop)
    phase = (steps + day.first) % day.steps
    return [*_gates(run, seen, steps, phase, day), _state(run, seen, phase, day)]


@dataclass(frozen=True, slots=True)
class _Day:
    """What a day is on the grid."""

    steps: int
    first: int
    """Place of the recording's first step in it."""
    label: str
    scale: float
    """What one step is on the axis."""

    @property
    def at(self) -> F64:
        """Give the places of its steps on the axis."""
        return np.asarray(np.arange(self.steps) * self.scale, np.float64)


def _day(run: Run) -> _Day | None:
    """Choose the day, else the shortest season."""
    period, start = run.recording.period_ns, run.recording.start_ns
    if DAY_NS % period == 0 and DAY_NS // period > 1:
        steps = DAY_NS // period
        if start is None:
            return _Day(steps, 0, "hours after the time of the first reading", 24 / steps)
        return _Day(steps, start % DAY_NS // period, "hour of day (UTC)", 24 / steps)
    return _Day(run.season, 0, "step of the season", 1.0) if run.season > 1 else None


def _gates(run: Run, seen: gating.Inside, steps: I64, phase: I64, day: _Day) -> list[Picture]:
    if not seen.gates:
        return []
    name, label = run.column(0, 0)
    openings = {k: findings.by_phase(v.mean(axis=1), phase, day.steps) for k, v in seen.gates.items()}
    values = findings.by_phase(run.recording.values[steps, 0, 0], phase, day.steps)
    caption = f"{gating.MEANINGS[seen.kind]} Means over all units; below, {name} over the same days."
    return [gates.gates(day.at, openings, values, day.label, label, caption)]


def _state(run: Run, seen: gating.Inside, phase: I64, day: _Day) -> Picture:
    """Show the last whole day."""
    begins = np.flatnonzero(phase[: len(phase) - day.steps + 1] == 0)
    first = int(begins[-1]) if len(begins) else 0
    states = seen.output[first : first + day.steps, 0].astype(np.float64)
    at = day.at[phase[first : first + day.steps]]
    name, _ = run.column(0, 0)
    caption = (
        f"One day of {name} at the end of the test part: a row per unit of the recurrent part, a column per step. "
        "Rows that change carry what changes within a day; rows of one colour something slower, pale rows nothing."
    )
    return state_map.state_map(at, states, day.label, caption)
