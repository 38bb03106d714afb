"""One step of a group: commit what was open, step the forecasters, judge the readings, tell the forecasts."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core import calibrate, detect, estimate
from edgeseq.core.align import Resets, Samples, align, origin_ns
from edgeseq.core.calibrate import BASELINE, BLEND, MODEL, VALUE
from edgeseq.core.estimate import Estimator
from edgeseq.core.features import WARM_READINGS, denormalise, normalise, settle
from edgeseq.core.forecast import Stepper, initial_state
from edgeseq.core.group import (
    NONE_YET,
    Group,
    read_state,
    recent_history,
    reset_rows,
    write_state,
)
from edgeseq.core.known import look
from edgeseq.core.types import (
    COVERAGE,
    F32,
    F64,
    I64,
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
)

RETRY_STEPS = 8
"""Steps until a stream that never moved is looked at again."""

SERVE_AFTER = 24
"""Outcomes that model and baseline are compared on before the model may serve."""

SERVE_BELOW, DROP_ABOVE = 1.0, 1.1
"""The model serves once its error is below the baseline's, until it is 10 % above: hysteresis against flapping."""

PHASES, DATA, ALERTS = tuple(Phase), tuple(DataStatus), ("none", "watch", "alert")


def apply(group: Group, rows: I64, readings: Readings, order: I64, late: Bool) -> list[Event]:
    """Let readings (n,) of different rows move their streams, as the grid takes them; `late` (n,) is written."""
    events: list[Event] = []
    for item in align(group.table, group.rule, group.ring, rows, readings, order, late):
        events += reset(group, item) if isinstance(item, Resets) else take(group, item)
    return events


def take(group: Group, samples: Samples) -> list[Event]:
    """Step the samples' rows; their earlier open step is committed first."""
    moved = group.table["next_step"][samples.rows] != samples.step
    if moved.any():
        _commit(group, samples.rows[moved])
    raw = _step(group, samples)
    estimates = _estimate(group, group.estimator, samples) if group.estimator else []
    if not samples.publish:
        return []
    return [*_tell(group, samples, raw), *estimates]


def reset(group: Group, resets: Resets) -> list[Event]:
    """Start rows anew after a gap longer than the ring."""
    reset_rows(group, resets.rows)
    streams = group.table["stream"][resets.rows]
    told = zip(resets.order.tolist(), streams.tolist(), resets.gap_steps.tolist(), strict=True)
    return [StreamReset(order, stream, gap) for order, stream, gap in told]


# --- commit ---------------------------------------------------------------------------------------------------


def _commit(group: Group, rows: I64) -> None:
    """Make the open step final: score the forecasts made for it, learn, keep its value, promote the states."""
    table = group.table
    rows = rows[table["next_step"][rows] != NONE_YET]
    if len(rows) == 0:
        return
    step, value = table["next_step"][rows], table["next_value"][rows]
    forecasts = calibrate.due(table, group.leads, rows, step)
    calibrate.learn(table, group.leads, rows, value, forecasts)
    detect.commit(table, rows)
    table["history"][rows, :, step % group.ring] = value
    table["first_step"][rows] = np.where(
        table["first_step"][rows] == NONE_YET, step, table["first_step"][rows]
    )
    calibrate.push(table, group.leads, rows, step, table["next_raw"][rows])
    _promote(group, BASELINE, rows)
    if group.estimator:
        estimate.commit(table, group.estimator, rows)
    if len(group.steppers) > MODEL:
        warm = table["model_warm"][rows]
        _promote(group, MODEL, rows[warm])
        for row in rows[~warm & (step >= table["warm_step"][rows])].tolist():
            _warm(group, row)
        _choose(group, rows[table["model_warm"][rows]])


def _promote(group: Group, forecaster: int, rows: I64) -> None:
    write_state(group, forecaster, "committed", rows, read_state(group, forecaster, "next", rows))


def _warm(group: Group, row: int) -> None:
    """Let the model join a row by replaying its history, or say when to try again."""
    table, model = group.table, group.steppers[MODEL]
    step = int(table["next_step"][row])
    history = recent_history(group, row, step)
    lacking = WARM_READINGS - int(np.isfinite(history).sum(axis=0).min())
    if lacking > 0:
        table["warm_step"][row] = step + lacking
        return
    if np.isnan(table["unit"][row]).any():
        table["anchor"][row], table["unit"][row] = (found[0] for found in settle(history[None]))
    if np.isnan(table["unit"][row]).any():
        # It never moved so far; looking again at once would cost much for little.
        table["warm_step"][row] = step + RETRY_STEPS
        return
    x = normalise(history, table["anchor"][row], table["unit"][row])
    first, width = np.array([step - len(x) + 1]), len(x) + group.horizon
    known, _ = _look_ahead(group, np.array([row]), first, width)
    quantiles, state = model.replay(x[None], initial_state(model.state_spec, 1), known)
    write_state(group, MODEL, "committed", np.array([row]), state)
    table["model_warm"][row] = True
    _drop_broken(group, np.array([row]), quantiles)


def _drop_broken(group: Group, rows: I64, quantiles: NDArray[Any]) -> Bool:
    """Let the baseline serve rows whose model gave no finite forecast, until all that broke it is history.

    Returns:
        (n,) True where the model is sound.
    """
    sound: Bool = np.isfinite(quantiles).all(axis=(1, 2, 3))
    broken = rows[~sound]
    group.table["model_warm"][broken] = False
    group.table["serving"][broken] = BASELINE
    group.table["warm_step"][broken] = group.table["next_step"][broken] + group.ring
    return sound


def _choose(group: Group, rows: I64) -> None:
    """Let the blend with the model serve rows whose model is warm, where it beats the baseline, with hysteresis."""
    if len(rows) == 0:
        return
    table = group.table
    ratio = _mean_ratio(group, rows)
    enough = table["paired"][rows].max(axis=(1, 2)) >= SERVE_AFTER
    serves = table["serving"][rows] == BLEND
    with np.errstate(invalid="ignore"):
        better = np.where(serves, ratio <= DROP_ABOVE, ratio < SERVE_BELOW)
    table["serving"][rows] = np.where(enough & better, BLEND, BASELINE)


def _mean_ratio(group: Group, rows: I64) -> F64:
    """Error of the blend over that of the baseline, geometric mean over the forecast channels (n,)."""
    ratio = calibrate.error_ratio(group.table, rows)[:, : group.targets]
    known = np.isfinite(ratio) & (ratio > 0)
    logs = np.log(np.where(known, ratio, 1.0)).sum(axis=1)
    return np.where(known.any(axis=1), np.exp(logs / np.maximum(known.sum(axis=1), 1)), np.nan)


# --- step -----------------------------------------------------------------------------------------------------


def _step(group: Group, samples: Samples) -> F64:
    """Step every forecaster from the committed state → raw forecasts (n, F, C, 3, H)."""
    table, rows = group.table, samples.rows
    table["next_step"][rows] = samples.step
    table["next_value"][rows] = samples.values
    channels = samples.values.shape[1]
    raw = np.full((len(rows), len(calibrate.FORECASTERS), channels, 3, group.horizon), np.nan)
    raw[:, BASELINE] = _bounds(group.steppers[BASELINE], _run(group, BASELINE, rows, samples.values))
    warm = np.flatnonzero(table["model_warm"][rows])
    if len(warm):
        w = rows[warm]
        anchor, unit = table["anchor"][w], table["unit"][w]
        known, leads_filled = _look_ahead(group, w, samples.step[warm], 1 + group.horizon)
        table["leads_filled"][w] = leads_filled
        quantiles = _run(group, MODEL, w, normalise(samples.values[warm], anchor, unit), known)
        absolute = denormalise(quantiles, anchor, unit)
        sound = _drop_broken(group, w, absolute)
        raw[warm[sound], MODEL] = _bounds(group.steppers[MODEL], absolute[sound])
        share = calibrate.model_share(table, group.leads, w[sound], group.horizon)
        raw[warm[sound], BLEND] = calibrate.blend(raw[warm[sound]], share)
    table["next_raw"][rows] = raw[..., np.array(group.leads) - 1]
    return raw


def _look_ahead(group: Group, rows: I64, first: I64, width: int) -> tuple[F32 | None, I64]:
    """Give what is known of `width` steps from `first` on (n, W, K), and how many of the last H were filled (n,)."""
    if group.known is None:
        return None, np.zeros(len(rows), dtype=np.int64)
    named_ns = origin_ns(group.table, group.rule, rows, first)
    known, filled = look(group.known, group.table["phase_ns"][rows], first, width, named_ns)
    return known, filled[:, -group.horizon :].sum(axis=1)


def _run(group: Group, forecaster: int, rows: I64, x: NDArray[Any], known: F32 | None = None) -> NDArray[Any]:
    """Step one forecaster from the committed states; keep the result as the next states."""
    committed = read_state(group, forecaster, "committed", rows)
    quantiles, state = group.steppers[forecaster].step(x, committed, known)
    write_state(group, forecaster, "next", rows, state)
    return quantiles


def _bounds(stepper: Stepper, quantiles: NDArray[Any]) -> NDArray[Any]:
    """Pick lower, value, upper of the published coverage: (B, C, H, Q) → (B, C, 3, H)."""
    return quantiles[..., _picked(tuple(stepper.levels))].swapaxes(2, 3)


@functools.cache
def _picked(levels: tuple[float, ...]) -> list[int]:
    wanted = ((1 - COVERAGE) / 2, 0.5, (1 + COVERAGE) / 2)
    return [int(np.abs(np.array(levels) - level).argmin()) for level in wanted]


def _estimate(group: Group, estimator: Estimator, samples: Samples) -> list[Event]:
    """Step the estimator and tell what it says; rows that it joins at work are warmed by their history."""
    table, rows = group.table, samples.rows
    cold = ~table["estimate.warm"][rows] & (table["first_step"][rows] != NONE_YET)
    for i in np.flatnonzero(cold).tolist():
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


def _tell(group: Group, samples: Samples, raw: F64) -> list[Event]:
    """Judge the readings against the forecast made one step earlier, and tell the new forecasts."""
    table, rows = group.table, samples.rows
    band = _band(group, rows)
    judged = samples.observed & (np.arange(samples.values.shape[1]) < group.targets)
    alerts = detect.observe(
        table,
        rows,
        samples.order,
        samples.step,
        samples.time_ns,
        samples.values,
        judged,
        band,
        group.limits,
        group.learning_steps,
    )
    scores = detect.score(samples.values, band.expected, band.lower, band.upper)
    scores = np.where(samples.observed, scores, np.nan)
    forecasts = _forecasts(group, samples, raw, scores)
    return [*forecasts, *alerts, *_fillings(group, samples)]


def _fillings(group: Group, samples: Samples) -> list[Event]:
    """Tell where leads begin or cease to be filled."""
    if group.known is None:
        return []
    table, rows = group.table, samples.rows
    leads = table["leads_filled"][rows]
    changed = (leads > 0) != (table["leads_told"][rows] > 0)
    table["leads_told"][rows] = leads
    return [
        InputsFilled(int(samples.order[i]), int(table["stream"][rows[i]]), int(leads[i]))
        for i in np.flatnonzero(changed)
    ]


def _band(group: Group, rows: I64) -> detect.Band:
    """Give the 99.9 % band of the open step: of the serving forecaster, or of the baseline while that one learns."""
    table = group.table
    here = np.arange(len(rows))
    # Lead 1 is the first slot of the packed ring whatever the step.
    learned = table["scored"][..., 0][rows] >= group.learning_steps
    serving = table["serving"][rows]
    waiting = table["pending"][..., 0][rows]
    # A model that has joined just now made no forecast of this step yet.
    usable = (learned & np.isfinite(waiting[..., VALUE]))[here, serving, : group.targets].all(axis=1)
    source = np.where(usable, serving, BASELINE)
    live, forecasts = learned[here, source], waiting[here, source]
    offset, width = table["offset"][..., 0][rows, source], table["alert_width"][rows, source]
    lower, upper = calibrate.alert_band(offset, width, table["stride"][rows, source], forecasts)
    return detect.Band(forecasts[..., VALUE], lower, upper, live=live, source=_names(source))


def _forecasts(group: Group, samples: Samples, raw: F64, scores: F64) -> list[Event]:
    """Make the Forecast events of the serving forecaster; their columns are of the forecast channels."""
    table, rows, n = group.table, samples.rows, group.targets
    here = np.arange(len(rows))
    source = table["serving"][rows]
    lower, value, upper = calibrate.interval(table, group.leads, rows, source, raw[here, source])
    skill = np.zeros(samples.values.shape)
    modelled = source == BLEND
    if modelled.any():
        skill[modelled] = 1 - calibrate.error_ratio(table, rows[modelled])
    observed = np.where(samples.observed, samples.values, np.nan)
    columns = ForecastColumns(*(column[:, :n] for column in (observed, lower, value, upper, scores, skill)))
    filled = np.where(modelled, table["leads_filled"][rows], 0)
    return list(
        map(
            Forecast,
            samples.order.tolist(),
            table["stream"][rows].tolist(),
            samples.step.tolist(),
            origin_ns(table, group.rule, rows, samples.step).tolist(),
            _names(source),
            filled.tolist(),
            range(len(rows)),
            itertools.repeat(columns),
        )
    )


def _names(source: I64) -> list[Source]:
    return ["model" if s == BLEND else "baseline" for s in source.tolist()]


# --- status ---------------------------------------------------------------------------------------------------


def statuses(group: Group, rows: I64, order: I64, *, changed_only: bool = True) -> list[Event]:
    """Tell the status of rows whose status changed."""
    table = group.table
    scored = table["scored"][..., 0][rows][:, :, : group.targets]
    learned = np.all((scored >= group.learning_steps).any(axis=1), axis=1)
    alerts = table["alert_open"][rows]
    ratio = table["mean_gap_ns"][rows] / group.rule.period_ns
    # A device that reports only changes has no cadence to compare; a few arrivals say nothing yet.
    judged = (group.rule.on_gap == "missing") & (table["arrivals"][rows] > 20)
    # Many readings a step are what the other aggregates are for.
    too_fast = (ratio < 0.25) & (group.rule.aggregate == "last")
    mismatch = judged & (too_fast | (ratio > 2.0))
    data = np.where(mismatch, DATA.index(DataStatus.MISMATCH), DATA.index(DataStatus.OK))
    data = np.where(alerts[..., detect.STUCK].any(axis=1), DATA.index(DataStatus.STUCK), data)
    data = np.where(alerts[..., detect.SILENT].any(axis=1), DATA.index(DataStatus.SILENT), data)
    phase = np.where(learned, PHASES.index(Phase.LIVE), PHASES.index(Phase.LEARNING))
    raised = group.rule.alerts & alerts.any(axis=(1, 2))
    alert = np.where(raised, ALERTS.index("alert"), ALERTS.index("none"))
    status = np.stack([phase, data, alert], axis=1)
    told = (status != table["status"][rows]).any(axis=1) | (not changed_only)
    table["status"][rows] = status
    return [
        StreamStatus(
            order=int(order[i]),
            stream=int(table["stream"][rows[i]]),
            phase=PHASES[phase[i]],
            data=DATA[data[i]],
            alert=ALERTS[alert[i]],  # type: ignore[arg-type]  # an index of the tuple above
        )
        for i in np.flatnonzero(told)
    ]
