"""One step of a group: commit what was open, step the forecasters, judge the readings, tell the forecasts."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseq.core import alert_band, calibrate, detect, estimate, pending, serve
from edgeseq.core.activity import is_settled
from edgeseq.core.align import Resets, Samples, align, origin_ns
from edgeseq.core.estimate import Estimator
from edgeseq.core.features import WARM_READINGS, denormalise, normalise, settle
from edgeseq.core.forecast import Stepper, initial_state, put_rows, step_rows
from edgeseq.core.group import MODEL, NONE_YET, Group, recent_history, reset_rows, stored_states
from edgeseq.core.known import look
from edgeseq.core.pending import BASELINE, BLEND, LOWER, UPPER, VALUE, Waiting
from edgeseq.core.table import Work
from edgeseq.core.types import (
    F32,
    F64,
    I64,
    AlertEvent,
    Bool,
    DataStatus,
    Event,
    Forecast,
    ForecastColumns,
    InputsFilled,
    Phase,
    Readings,
    Source,
    StreamReset,
    StreamStatus,
    StreamSwitched,
)

RETRY_STEPS = 8
"""Steps until a stream that never moved is looked at again."""

SERVE_AFTER = 24
"""Outcomes that model and baseline are compared on before the model may serve."""

SERVE_BELOW, DROP_ABOVE = 0.99, 1.02
"""The model serves once its error is 1 % below the baseline's, until it is 2 % above: hysteresis against flapping, and
no stream is to be worse off for long."""

_LOG_SERVE, _LOG_DROP = math.log(SERVE_BELOW), math.log(DROP_ABOVE)

PHASES, DATA, ALERTS = tuple(Phase), tuple(DataStatus), ("none", "watch", "alert")


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
    forecasts = pending.due(table, group.leads, rows, step, work["anchor"], work["unit"])
    closed = _closed(group, work, order, forecasts) if group.rule.alerts else None
    calibrate.learn(work, group.leads, value, forecasts, group.rule.coverage)
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
            _warm(group, group.model, work, i)
        _choose(group, work)
    return alerts


def _closed(group: Group, work: Work, order: I64, forecasts: Waiting) -> detect.Closed:
    """Describe a step that has closed, before anything has learned from it."""
    rows, step, value = work.rows, work["next_step"].copy(), work["next_value"].copy()
    held = group.rule.on_gap == "hold"
    observed = group.table["next_observed"][rows].T if held else np.isfinite(value)
    time_ns = origin_ns(group.table, group.rule, rows, step)
    if group.activity:
        observed = observed & is_settled(group.activity, time_ns)
    return detect.Closed(
        samples=detect.Judged(order, step, time_ns, value, observed),
        band=_band(group, work, forecasts),
        forecasts=forecasts.value,
        leads=group.leads,
        settings=group.settings,
        targets=group.targets,
        period_ns=group.rule.period_ns,
    )


def _warm(group: Group, model: Stepper, work: Work, i: int) -> None:
    """Let the model join a row by replaying its history, or say when to try again."""
    row, step = int(work.rows[i]), int(work["next_step"][i])
    anchor, unit = work["anchor"], work["unit"]
    history = recent_history(group, row, step, int(work["first_step"][i]))
    lacking = WARM_READINGS - int(np.isfinite(history).sum(axis=0).min())
    if lacking > 0:
        work["warm_step"][i] = step + lacking
        return
    if np.isnan(unit[:, i]).any():
        anchor[:, i], unit[:, i] = (found[0] for found in settle(history[None]))
    if np.isnan(unit[:, i]).any():
        # It never moved so far; looking again at once would cost much for little.
        work["warm_step"][i] = step + RETRY_STEPS
        return
    x = normalise(history, anchor[:, i], unit[:, i])
    first, width = np.array([step - len(x) + 1], np.int64), len(x) + group.horizon
    known, _ = _look_ahead(group, work.rows[i : i + 1], first, width)
    quantiles, state = model.replay(x[None], initial_state(model.state_spec, 1), known)
    put_rows(stored_states(group, MODEL), 2 * work.rows[i : i + 1] + work["model.which"][i], state)
    work["model_warm"][i] = 1
    _drop_broken(group, work, np.array([i]), denormalise(quantiles, anchor[:, i].T, unit[:, i].T))


def _drop_broken(group: Group, work: Work, at: I64, forecasts: F64) -> Bool | None:
    """Let the baseline serve rows whose model gave no finite forecast, until all that broke it is history.

    Args:
        at: (m,) which of the rows the forecasts are of.
        forecasts: (m, ...)

    Returns:
        (m,) True where the model is sound; None where all are.
    """
    if _is_finite(forecasts):
        return None
    sound: Bool = np.all(np.isfinite(forecasts.reshape(len(at), -1)), axis=1)
    broken = at[~sound]
    work["model_warm"][broken] = 0
    work["serving"][broken] = BASELINE
    work["warm_step"][broken] = work["next_step"][broken] + group.ring
    return sound


def _is_finite(a: F64) -> bool:
    """Add up the squares: NaN and infinity survive it. Values beyond 1e150 look infinite: then look at each."""
    flat = a.ravel(order="K")
    return math.isfinite(np.vdot(flat, flat)) or bool(np.isfinite(flat).all())


def _choose(group: Group, work: Work) -> None:
    """Let the blend with the model serve rows whose model is warm, where it beats the baseline, with hysteresis."""
    warm = work["model_warm"] != 0
    if not np.count_nonzero(warm):
        return
    log_ratio = work["log_ratio"]
    log_ratio[...] = serve.log_error_ratio(work)
    ratio = _mean(log_ratio[: group.targets])
    enough = work["paired"].max(axis=(0, 1)) >= SERVE_AFTER
    serving = work["serving"]
    better = np.where(serving == BLEND, ratio <= _LOG_DROP, ratio < _LOG_SERVE)
    np.copyto(serving, np.where(enough & better, BLEND, BASELINE), where=warm)


def _mean(log_ratio: F64) -> F64:
    """Average over the channels that have a ratio (C, n) → (n,); NaN where none has."""
    if len(log_ratio) == 1:
        return np.where(np.isfinite(log_ratio[0]), log_ratio[0], np.nan)
    known = np.isfinite(log_ratio)
    total = np.zeros(log_ratio.shape[1])
    # One channel after the other: NumPy would add in an order that depends on the batch.
    for logs, one in zip(log_ratio, known, strict=True):
        total += np.where(one, logs, 0.0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


# --- step -----------------------------------------------------------------------------------------------------


class Said(NamedTuple):
    """What serves n rows says of the next steps, before calibration; lower, value and upper (n, C, H)."""

    lower: F64
    value: F64
    upper: F64
    widened: F64
    """(C, K, n) by how much the interval is, at the calibrated leads."""


def _step(group: Group, work: Work, samples: Samples) -> Said:
    """Step every forecaster from the committed state."""
    work["next_step"][...] = samples.step
    work["next_value"][...] = samples.values.T
    if group.rule.on_gap == "hold":
        group.table["next_observed"][work.rows] = samples.observed
    at_leads = _lead_index(group.leads)
    naive = run(group, BASELINE, work.rows, work["baseline.which"], samples.values)[..., 0]
    model, warm = group.model, work["model_warm"].nonzero()[0]
    if model is None:
        widened = serve.widening(work, serve.picking(work["serving"] == BLEND))
        pending.push(
            group.table, group.leads, work.rows, samples.step, naive[..., at_leads], None, None, widened
        )
        return Said(naive, naive, naive, widened)
    if len(warm) == len(work):
        quantiles, share, mixed = _step_model(group, model, work, samples.values, naive, None)
    elif len(warm):
        quantiles = np.full((*naive.shape, 3), np.nan, np.float32)
        share = np.zeros(naive.shape, np.float32)
        mixed = np.repeat(naive[None], 3, axis=0)
        quantiles[warm], share[warm], mixed[:, warm] = _step_model(
            group, model, work, samples.values, naive, warm
        )
    else:
        quantiles, share = np.full((*naive.shape, 3), np.nan, np.float32), np.zeros(naive.shape, np.float32)
        mixed = np.repeat(naive[None], 3, axis=0)
    widened = serve.widening(work, serve.picking(work["serving"] == BLEND))
    pending.push(
        group.table, group.leads, work.rows, samples.step,
        naive[..., at_leads], quantiles[:, :, at_leads], share[..., at_leads], widened,
    )  # fmt: skip
    return Said(mixed[LOWER], mixed[VALUE], mixed[UPPER], widened)


def _step_model(
    group: Group, model: Stepper, work: Work, values: F64, naive: F64, warm: I64 | None
) -> tuple[F32, F32, F64]:
    """Step the model of warm rows (m,), or of all.

    Returns:
        its lower, value and upper (m, C, H, 3) in its own scale, NaN where it is not sound; its share (m, C, H); and
        lower, value and upper of what serves the rows (3, m, C, H).
    """
    at = slice(None) if warm is None else warm
    rows, step, which = work.rows[at], work["next_step"][at], work["model.which"][at]
    anchor, unit = work["anchor"].T[at], work["unit"].T[at]
    values, naive, share = values[at], naive[at], serve.model_share(work, group.leads, group.horizon)[at]
    known, leads_filled = _look_ahead(group, rows, step, 1 + group.horizon)
    if known is not None:
        work["leads_filled"][at] = leads_filled
    quantiles = _bounds(
        model, group.rule.coverage, run(group, MODEL, rows, which, normalise(values, anchor, unit), known)
    )
    absolute = _in_sensor_units(quantiles, anchor, unit)
    sound = _drop_broken(group, work, np.arange(len(work))[at], absolute.swapaxes(0, 1))
    if sound is not None:
        quantiles = np.where(sound[:, None, None, None], quantiles, np.float32(np.nan))
    mixed = pending.blend(naive, absolute, share.astype(np.float64))
    blended = work["serving"][at] == BLEND  # a model that is not sound has just ceased to serve
    if np.count_nonzero(blended) < len(blended):
        mixed = np.where(blended[:, None, None], mixed, naive)
    return quantiles, share, mixed


def _in_sensor_units(quantiles: F32, anchor: F64, unit: F64) -> F64:
    """Turn quantiles (n, C, H, 3) back into sensor units, each kind together: (3, n, C, H)."""
    absolute = np.empty((3, *quantiles.shape[:-1]))
    absolute[...] = np.moveaxis(quantiles, 3, 0)
    absolute *= unit[:, :, None]
    absolute += anchor[:, :, None]
    return absolute


@functools.cache
def _lead_index(leads: tuple[int, ...]) -> I64:
    return np.array(leads) - 1


def _look_ahead(group: Group, rows: I64, first: I64, width: int) -> tuple[F32 | None, I64]:
    """Give what is known of `width` steps from `first` on (n, W, K), and how many of the last H were filled (n,)."""
    if group.known is None:
        return None, _NO_ROWS
    named_ns = origin_ns(group.table, group.rule, rows, first)
    known, filled = look(group.known, group.table["phase_ns"][rows], first, width, named_ns)
    return known, filled[:, -group.horizon :].sum(axis=1)


_NO_ROWS = np.empty(0, dtype=np.intp)


def run(
    group: Group, kind: int, rows: I64, which: I64, x: NDArray[Any], known: F32 | None = None
) -> NDArray[Any]:
    """Step a forecaster from the committed states of rows (n,) → quantiles; the result becomes their next states.

    which: (n,) which of a row's two states is the committed one.
    """
    committed = (2 * rows + which).astype(np.intp, copy=False)
    return step_rows(group.steppers[kind], x, stored_states(group, kind), committed, committed ^ 1, known)


def _bounds(stepper: Stepper, coverage: float, quantiles: NDArray[Any]) -> NDArray[Any]:
    """Pick lower, value, upper of the published coverage, or nearest to it: (B, C, H, Q) → (B, C, H, 3)."""
    return quantiles if quantiles.shape[-1] == 3 else quantiles[..., _picked(tuple(stepper.levels), coverage)]


@functools.cache
def _picked(levels: tuple[float, ...], coverage: float) -> list[int]:
    wanted = ((1 - coverage) / 2, 0.5, (1 + coverage) / 2)
    return [int(np.abs(np.array(levels) - level).argmin()) for level in wanted]


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
    band = _band(
        group, work, pending.due(group.table, group.leads[:1], work.rows, samples.step, anchor, unit)
    )
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
    changed = np.flatnonzero(serving != told)
    if len(changed) == 0:
        return []
    told[...] = serving
    group.table["pending_offset"][work.rows[changed]] = np.nan
    skill = 1 - np.exp(_mean(work["log_ratio"][: group.targets]))
    return [
        StreamSwitched(int(samples.order[i]), int(work["stream"][i]), source, float(skill[i]))
        for i, source in zip(changed.tolist(), _names(serving[changed]), strict=True)
    ]


def _band(group: Group, work: Work, waiting: Waiting) -> detect.Band:
    """Give the 99.9 % band of a step: of the serving forecaster, or of the baseline while that one learns."""
    value = waiting.value[: pending.CALIBRATED, :, 0]
    learned = work["scored"][:, :, 0] >= group.learning_steps
    # A model that has joined just now made no forecast of this step yet.
    usable = (learned[BLEND] & np.isfinite(value[BLEND]))[: group.targets].all(axis=0)
    usable &= work["serving"] == BLEND
    pick = serve.picking(usable)
    lower, upper = alert_band.served_bands(work, waiting, group.rule.coverage)
    return detect.Band(pick(value), pick(lower), pick(upper), pick(learned), usable)


def _forecasts(group: Group, work: Work, samples: Samples, said: Said, scores: F64) -> list[Event]:
    """Make the Forecast events of the serving forecaster; their columns are of the forecast channels."""
    n, source = group.targets, work["serving"]
    modelled = source == BLEND
    lower, upper = serve.interval(serve.spread(said.widened, group.leads, group.horizon), *said[:3])
    skill = np.where(modelled, 1 - np.exp(work["log_ratio"].copy()), 0.0)
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


# --- status ---------------------------------------------------------------------------------------------------


def statuses(group: Group, rows: I64, order: I64, *, changed_only: bool = True) -> list[Event]:
    """Tell the status of rows whose status changed."""
    table, rule = group.table, group.rule
    learned = np.any(table["scored"][rows, :, : group.targets, 0] >= group.learning_steps, axis=1).all(
        axis=-1
    )
    status = np.empty((len(rows), 3), np.int64)
    status[:, 0] = np.where(learned, PHASES.index(Phase.LIVE), PHASES.index(Phase.LEARNING))
    status[:, 1] = DATA.index(DataStatus.OK)
    status[:, 2] = ALERTS.index("none")
    # A device that reports only changes has no cadence to compare; a few arrivals say nothing yet.
    if rule.on_gap == "missing":
        ratio = table["mean_gap_ns"][rows] / rule.period_ns
        mismatch = ratio > 2.0
        if rule.aggregate == "last":  # many readings a step are what the other aggregates are for
            mismatch |= ratio < 0.25
        mismatch &= table["arrivals"][rows] > 20
        status[mismatch, 1] = DATA.index(DataStatus.MISMATCH)
    if table.notes:
        _tell_of_alerts(group, rows, status)
    if group.activity and not group.activity.is_on:
        status[:, 1] = DATA.index(DataStatus.OFF)
    told = (status != table["status"][rows]).any(axis=1)
    if np.count_nonzero(told):
        table["status"][rows] = status
    return [
        StreamStatus(
            order=int(order[i]),
            stream=int(table["stream"][rows[i]]),
            phase=PHASES[status[i, 0]],
            data=DATA[status[i, 1]],
            alert=ALERTS[status[i, 2]],  # type: ignore[arg-type]  # an index of the tuple above
        )
        for i in (told.nonzero()[0].tolist() if changed_only else range(len(rows)))
    ]


def _tell_of_alerts(group: Group, rows: I64, status: I64) -> None:
    """Put into the statuses (n, 3) of rows what is watched or open."""
    level = group.table["alert_level"][rows]
    is_open = level == detect.OPEN
    status[is_open[..., detect.STUCK].any(axis=1), 1] = DATA.index(DataStatus.STUCK)
    status[is_open[..., detect.SILENT].any(axis=1), 1] = DATA.index(DataStatus.SILENT)
    if not group.rule.alerts:
        return
    if (enabled := group.settings.enabled) is not None:
        level = np.where(enabled, level, 0)
    status[(level == detect.WATCH).any(axis=(1, 2)), 2] = ALERTS.index("watch")
    status[(level == detect.OPEN).any(axis=(1, 2)), 2] = ALERTS.index("alert")
