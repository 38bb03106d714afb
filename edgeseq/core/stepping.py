"""One step of a group: commit what was open, step the forecasters, judge the readings, tell the forecasts."""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import numpy as np

from edgeseq.core import alert_band, calibrate, detect, estimate, offsets, pending, serve
from edgeseq.core.activity import is_settled
from edgeseq.core.alert_band import Bands
from edgeseq.core.align import Resets, Samples, align, origin_ns
from edgeseq.core.estimate import Estimator
from edgeseq.core.forecasters import join, run, step_model
from edgeseq.core.group import NONE_YET, Group, recent_history, reset_rows
from edgeseq.core.pending import BASELINE, BLEND, LOWER, UPPER, VALUE, Waiting
from edgeseq.core.picking import picking
from edgeseq.core.table import Work
from edgeseq.core.types import (
    F64,
    I64,
    AlertEvent,
    Bool,
    Event,
    Forecast,
    ForecastColumns,
    InputsFilled,
    Readings,
    Source,
    StreamReset,
    StreamSwitched,
)


def apply(group: Group, rows: I64, readings: Readings, order: I64, late: Bool) -> list[Event]:
    """Let readings (n,) of different rows move their streams, as the grid takes them; `late` (n,) is written."""
    events: list[Event] = []
    for item in align(group.table, group.rule, group.ring, rows, readings, order, late):
        events += reset(group, item) if isinstance(item, Resets) else take(group, item)
    return events


def take(group: Group, samples: Samples) -> list[Event]:
    """Step the samples' rows; their earlier open step is committed first."""
    table, rows = group.table, samples.rows
    work = table.gather(rows)
    moved = (work["next_step"] != samples.step) & (work["next_step"] != NONE_YET)
    events: list[Event] = []
    if np.count_nonzero(moved) == len(rows):
        events += _commit(group, work, samples.order)
    elif np.count_nonzero(moved):
        part = table.gather(rows[moved])
        events += _commit(group, part, samples.order[moved])
        part.put()
        work = table.gather(rows)
    said = _step(group, work, samples)
    if samples.publish:
        events += _tell(group, work, samples, said)
    work.put()
    return events + _estimate(group, group.estimator, samples) if group.estimator else events


def reset(group: Group, resets: Resets) -> list[Event]:
    """Start rows anew after a gap longer than the ring."""
    reset_rows(group, resets.rows)
    streams = group.table["stream"][resets.rows]
    told = zip(resets.order.tolist(), streams.tolist(), resets.gap_steps.tolist(), strict=True)
    return [StreamReset(order, stream, gap) for order, stream, gap in told]


# --- commit ---------------------------------------------------------------------------------------------------


def _commit(group: Group, work: Work, order: I64) -> list[AlertEvent]:
    """Make the open step final: score the forecasts made for it, learn, keep its value, promote the states.

    order: (n,) of the readings that are of a later step.
    """
    table, rows = group.table, work.rows
    step, value = work["next_step"], work["next_value"]
    coverage = group.rule.coverage
    forecasts = pending.due(table, group.leads, rows, step, work["anchor"], work["unit"])
    before = calibrate.promised(work, forecasts, coverage)
    closed = _closed(group, work, order, forecasts, before.bands) if group.rule.alerts else None
    season_steps = group.rule.season_steps
    calibrate.learn(work, group.leads, value, forecasts, coverage, before, season_steps)
    alerts = detect.commit(table, work, step, closed)
    table["history"][rows, :, step % group.ring] = value.T
    np.copyto(work["first_step"], step, where=work["first_step"] == NONE_YET)
    work["baseline.which"][...] ^= 1
    if group.estimator:
        estimate.commit(table, group.estimator, rows)
    if group.model:
        warm = work["model_warm"]
        work["model.which"][...] ^= warm
        for i in ((warm == 0) & (step >= work["warm_step"])).nonzero()[0].tolist():
            join(group, group.model, work, i)
        serve.choose(work, group.targets)
    return alerts


def _closed(group: Group, work: Work, order: I64, forecasts: Waiting, bands: Bands) -> detect.Closed:
    """Describe a step that has closed, before anything has learned from it."""
    rows, step, value = work.rows, work["next_step"].copy(), work["next_value"].copy()
    held = group.rule.on_gap == "hold"
    observed = group.table["next_observed"][rows].T if held else np.isfinite(value)
    time_ns = origin_ns(group.table, group.rule, rows, step)
    if group.activity:
        observed = observed & is_settled(group.activity, time_ns)
    return detect.Closed(
        samples=detect.Judged(order, step, time_ns, value, observed),
        band=_band(group, work, forecasts, bands),
        forecasts=forecasts.value,
        leads=group.leads,
        settings=group.settings,
        targets=group.targets,
        period_ns=group.rule.period_ns,
    )


# --- step -----------------------------------------------------------------------------------------------------


class Said(NamedTuple):
    """What serves n rows says of the next steps, before calibration; lower, value and upper (n, C, H)."""

    lower: F64
    value: F64
    upper: F64
    widened: F64
    """(C, K, n) by how much the interval is, at the calibrated leads."""
    offset: F64
    """(F, C, K, n) by how much that of each forecaster would be."""


def _step(group: Group, work: Work, samples: Samples) -> Said:
    """Step every forecaster from the committed state."""
    work["next_step"][...] = samples.step
    work["next_value"][...] = samples.values.T
    if group.rule.on_gap == "hold":
        group.table["next_observed"][work.rows] = samples.observed
    at_leads = _lead_index(group.leads)
    naive = run(group, BASELINE, work.rows, work["baseline.which"], samples.values)[..., 0]
    offset = offsets.in_sensor_units(work)
    model, warm = group.model, work["model_warm"].nonzero()[0]
    if model is None:
        widened = serve.widening(offset, picking(work["serving"] == BLEND))
        pending.push(
            group.table, group.leads, work.rows, samples.step, naive[..., at_leads], None, None, widened
        )
        return Said(naive, naive, naive, widened, offset)
    if len(warm) == len(work):
        quantiles, share, mixed = step_model(group, model, work, samples.values, naive, None)
    elif len(warm):
        quantiles = np.full((*naive.shape, 3), np.nan, np.float32)
        share = np.zeros(naive.shape, np.float32)
        mixed = np.repeat(naive[None], 3, axis=0)
        quantiles[warm], share[warm], mixed[:, warm] = step_model(
            group, model, work, samples.values, naive, warm
        )
    else:
        quantiles, share = np.full((*naive.shape, 3), np.nan, np.float32), np.zeros(naive.shape, np.float32)
        mixed = np.repeat(naive[None], 3, axis=0)
    widened = serve.widening(offset, picking(work["serving"] == BLEND))
    pending.push(
        group.table, group.leads, work.rows, samples.step,
        naive.take(at_leads, axis=2), quantiles.take(at_leads, axis=2), share.take(at_leads, axis=2), widened,
    )  # fmt: skip
    return Said(mixed[LOWER], mixed[VALUE], mixed[UPPER], widened, offset)


@functools.cache
def _lead_index(leads: tuple[int, ...]) -> I64:
    return np.array(leads) - 1


def _estimate(group: Group, estimator: Estimator, samples: Samples) -> list[Event]:
    """Step the estimator and tell what it says; rows that it joins at work are warmed by their history."""
    table, rows = group.table, samples.rows
    cold = ~table["estimate.warm"][rows] & (table["first_step"][rows] != NONE_YET)
    for i in cold.nonzero()[0].tolist():
        row = int(rows[i])
        estimate.warm(table, estimator, row, recent_history(group, row, int(samples.step[i]) - 1))
    numbers = estimate.step(table, estimator, rows, samples.values)
    if not samples.publish:
        return []
    origins = origin_ns(table, group.rule, rows, samples.step)
    return estimate.tell(
        table, estimator, rows, samples.order, samples.step, origins, samples.values, numbers
    )


# --- tell -----------------------------------------------------------------------------------------------------


def _tell(group: Group, work: Work, samples: Samples, said: Said) -> list[Event]:
    """Judge the readings against the forecast made one step earlier, and tell the new forecasts."""
    values, observed = samples.values.T, samples.observed.T
    anchor, unit = work["anchor"], work["unit"]
    waiting = pending.due(group.table, group.leads[:1], work.rows, samples.step, anchor, unit)
    bands = alert_band.served_bands(work, waiting, said.offset, group.rule.coverage)
    band = _band(group, work, waiting, bands)
    judged = observed
    if group.targets < len(observed):
        judged = observed & (np.arange(len(observed)) < group.targets)[:, None]
    if group.activity:
        judged = judged & is_settled(group.activity, samples.time_ns)
    to_judge = detect.Judged(samples.order, samples.step, samples.time_ns, values, judged)
    scores = detect.score(values, band.expected, band.lower, band.upper)
    alerts = detect.observe(group.table, work, to_judge, band, scores, group.settings)
    if np.count_nonzero(observed) < observed.size:
        scores = np.where(observed, scores, np.nan)
    forecasts = _forecasts(group, work, samples, said, scores)
    return [*forecasts, *alerts, *_fillings(group, work, samples), *_switches(group, work, samples)]


def _fillings(group: Group, work: Work, samples: Samples) -> list[Event]:
    """Tell where leads begin or cease to be filled."""
    if group.known is None:
        return []
    leads, told = work["leads_filled"], work["leads_told"]
    changed = np.flatnonzero((leads > 0) != (told > 0))
    told[...] = leads
    return [InputsFilled(int(samples.order[i]), int(work["stream"][i]), int(leads[i])) for i in changed]


def _switches(group: Group, work: Work, samples: Samples) -> list[Event]:
    """Tell where another forecaster serves; the intervals of the former one that wait say nothing of this one's."""
    serving, told = work["serving"], work["serving_told"]
    changed = (serving != told).nonzero()[0]
    if len(changed) == 0:
        return []
    told[...] = serving
    group.table["pending_offset"][work.rows[changed]] = np.nan
    skill = 1 - np.exp(serve.mean_over_channels(work["log_ratio"][: group.targets]))
    return [
        StreamSwitched(int(samples.order[i]), int(work["stream"][i]), source, float(skill[i]))
        for i, source in zip(changed.tolist(), _names(serving[changed]), strict=True)
    ]


def _band(group: Group, work: Work, waiting: Waiting, bands: Bands) -> detect.Band:
    """Give the 99.9 % band of a step: of the serving forecaster, or of the baseline while that one learns."""
    value = waiting.value[: pending.CALIBRATED, :, 0]
    learned = work["scored"][:, :, 0] >= group.learning_steps
    # A model that has joined just now made no forecast of this step yet.
    usable = np.logical_and.reduce((learned[BLEND] & np.isfinite(value[BLEND]))[: group.targets])
    usable &= work["serving"] == BLEND
    pick = picking(usable)
    return detect.Band(pick(value), pick(bands.lower), pick(bands.upper), pick(learned), usable)


def _forecasts(group: Group, work: Work, samples: Samples, said: Said, scores: F64) -> list[Event]:
    """Make the Forecast events of the serving forecaster; their columns are of the forecast channels."""
    n, source = group.targets, work["serving"]
    modelled = source == BLEND
    lower, upper = serve.interval(serve.spread(said.widened, group.leads, group.horizon), *said[:3])
    skill = np.where(modelled, 1 - np.exp(work["log_ratio"]), 0.0)
    observed = (
        samples.values
        if np.count_nonzero(samples.observed) == samples.observed.size
        else np.where(samples.observed, samples.values, np.nan)
    )
    columns = ForecastColumns(
        *(column[:, :n] for column in (observed, lower, said.value, upper, scores.T, skill.T))
    )
    filled = np.where(modelled, work["leads_filled"], 0)
    return list(
        map(
            Forecast,
            samples.order.tolist(),
            work["stream"].tolist(),
            samples.step.tolist(),
            origin_ns(group.table, group.rule, work.rows, samples.step).tolist(),
            _names(source),
            filled.tolist(),
            range(len(work)),
            itertools.repeat(columns),
        )
    )


def _names(source: I64) -> list[Source]:
    return ["model" if s == BLEND else "baseline" for s in source.tolist()]
