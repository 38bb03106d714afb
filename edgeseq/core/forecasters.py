"""A group's forecasters at work: the baseline and the model, step by step, and how the model joins and leaves."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core import pending, serve
from edgeseq.core.align import origin_ns
from edgeseq.core.features import WARM_READINGS, denormalise, normalise, settle
from edgeseq.core.forecast import Stepper, initial_state, put_rows, step_rows
from edgeseq.core.group import MODEL, Group, recent_history, stored_states
from edgeseq.core.known import look
from edgeseq.core.pending import BASELINE, BLEND
from edgeseq.core.table import Work
from edgeseq.core.types import F32, F64, I64, Bool

RETRY_STEPS = 8
"""Steps until a stream that never moved is looked at again."""


def join(group: Group, model: Stepper, work: Work, i: int) -> None:
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


def step_model(
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
    absolute[...] = quantiles.transpose(3, 0, 1, 2)
    absolute *= unit[:, :, None]
    absolute += anchor[:, :, None]
    return absolute


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
