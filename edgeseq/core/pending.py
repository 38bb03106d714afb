"""Forecasts that wait for their outcomes, in a packed ring.

Lead l needs those of the l closed steps and of the open one, slot (step mod l + 1). What the model said waits in its
own float32 and scale, and the blend as its share of it, so that nothing of them is lost. Beside it waits what the
interval of the forecaster that served was widened by.

Axes: F forecasters, C channels, K calibrated leads, n rows of a batch.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from edgeseq.core.table import Column, Table
from edgeseq.core.types import CALIBRATED_LEADS, F32, F64, I64, Index

FORECASTERS = ("baseline", "blend", "model")
"""The blend is what serves where there is a model: for each lead a mean of the two, weighted by their late errors."""
BASELINE, BLEND, MODEL = 0, 1, 2
CALIBRATED = 2
"""How many of them, the first ones, are calibrated."""
LOWER, VALUE, UPPER = 0, 1, 2


def leads_up_to(horizon: int) -> tuple[int, ...]:
    """Give the calibrated leads within a horizon.

    >>> leads_up_to(24)
    (1, 2, 4, 8, 16, 24)
    """
    return tuple(lead for lead in CALIBRATED_LEADS if lead <= horizon)


def columns(
    channels: int, horizon: int, season_steps: int, *, has_model: bool = True
) -> dict[str, Column]:  # fmt: skip
    """Declare the rings; axes S slots, C channels.

    Without a season the baseline says the same of all leads, which waits once for each of its origins.
    """
    leads = leads_up_to(horizon)
    slots = sum(lead + 1 for lead in leads)
    model = {"pending_model": Column((slots, channels, 4), "float32", np.nan)} if has_model else {}
    return {
        "pending": Column((slots if season_steps else leads[-1] + 1, channels), init=np.nan, apart=True),
        **model,
        "pending_offset": Column((slots, channels), "float32", np.nan),
        "serving": Column((), "int64", BASELINE),
    }


class Waiting(NamedTuple):
    """Forecasts of K leads for n rows, in sensor units; NaN where there is none."""

    value: F64
    """(3, C, K, n) of FORECASTERS."""
    lower: F64
    """(C, K, n) of the blend; the baseline has no width of its own."""
    upper: F64
    offset: F64
    """(C, K, n) what the published interval was widened by; NaN where none was."""


@functools.cache
def _ring(leads: tuple[int, ...]) -> tuple[Index, Index]:
    """Give the first slot of each lead, and its number of slots (K,) each."""
    lengths = np.array(leads) + 1
    return np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths


def _slots(table: Table, leads: tuple[int, ...], rows: Index, step: I64) -> Index:
    """Place each lead's forecast for origin `step` (n,) among the slots of all rows → (n, K)."""
    starts, lengths = _ring(leads)
    at: Index = (step[:, None] % lengths).astype(np.intp, copy=False)
    at += starts
    at += (rows * _slots_of(table, "pending_offset"))[:, None]
    return at


def _slots_of(table: Table, name: str) -> int:
    return table.columns[name].shape[0]


def _says_one_value(table: Table) -> bool:
    """Tell whether the baseline says the same of all leads."""
    return _slots_of(table, "pending") != _slots_of(table, "pending_offset")


@functools.cache
def _back(leads: tuple[int, ...]) -> I64:
    return np.array(leads)


def push(
    table: Table, leads: tuple[int, ...], rows: Index, step: I64, baseline: F64, model: F32 | None, share: F32 | None,
    offset: F64 | None = None,
) -> None:  # fmt: skip
    """Keep forecasts made at `step` until their outcomes come; again for the same step replaces them.

    Args:
        table: whose rings they are put into.
        leads: K.
        rows: (n,) all different.
        step: (n,) origins.
        baseline: (n, C, K) values in sensor units.
        model: (n, C, K, 3) lower, value, upper in the model's scale, NaN where it says nothing; None: no model.
        share: (n, C, K) of the model in the blend.
        offset: (C, K, n) what the interval is widened by; None: nothing is published.
    """
    at = _slots(table, leads, rows, step)
    n, K = at.shape
    C = table.columns["pending"].shape[1]
    if _says_one_value(table):
        table["pending"][rows, step % _slots_of(table, "pending")] = baseline[..., 0]
    else:
        table["pending"].reshape(-1, C)[at] = baseline.swapaxes(1, 2)
    table["pending_offset"].reshape(-1, C)[at] = np.nan if offset is None else offset.transpose(2, 1, 0)
    if model is None or share is None:
        return
    said = np.empty((n, K, C, 4), np.float32)
    said[..., :3] = model.swapaxes(1, 2)
    said[..., 3] = share.swapaxes(1, 2)
    table["pending_model"].reshape(-1, C * 4)[at] = said.reshape(n, K, C * 4)


def due(
    table: Table, leads: tuple[int, ...], rows: Index, step: I64, anchor: F64, unit: F64
) -> Waiting:  # fmt: skip
    """Give the forecasts whose target is `step` (n,); anchor and unit (C, n) are the model's scale.

    What was forecast l steps before stands in the slot after that of `step` itself.
    """
    origins = step[:, None] - _back(leads)
    return _made(table, rows, origins, _slots(table, leads, rows, step + 1), anchor, unit)


def ahead(
    table: Table, leads: tuple[int, ...], rows: Index, step: I64, anchor: F64, unit: F64
) -> Waiting:  # fmt: skip
    """Give the forecasts made at `step` (n,), the newest pushed: their targets lie `leads` ahead. Else as `due`."""
    origins = np.broadcast_to(step[:, None], (len(step), len(leads)))
    return _made(table, rows, origins, _slots(table, leads, rows, step), anchor, unit)


def _made(table: Table, rows: Index, origins: I64, at: Index, anchor: F64, unit: F64) -> Waiting:
    """Give the forecasts made at `origins` (n, K), which wait in the slots `at` (n, K)."""
    n, K = at.shape
    C = table.columns["pending"].shape[1]
    value = np.empty((len(FORECASTERS), C, K, n))
    value[BASELINE] = _baseline_made(table, rows, origins, at)
    offset = table["pending_offset"].reshape(-1, C).take(at, axis=0).transpose(2, 1, 0).astype(np.float64)
    if "pending_model" not in table.columns:
        value[BLEND:] = np.nan
        return Waiting(value, value[BLEND], value[BLEND], offset)
    said = table["pending_model"].reshape(-1, C * 4).take(at, axis=0)
    said = said.reshape(n, K, C, 4).transpose(3, 2, 1, 0)
    model: F64 = np.empty((3, C, K, n))
    model[...] = said[:3]
    model *= unit[:, None]
    model += anchor[:, None]
    value[MODEL] = model[VALUE]
    mixed = blend(value[BASELINE], model, said[3].astype(np.float64))
    value[BLEND] = mixed[VALUE]
    return Waiting(value, mixed[LOWER], mixed[UPPER], offset)


def _baseline_made(table: Table, rows: Index, origins: I64, at: Index) -> F64:
    """Give what the baseline said at `origins` (n, K) → (C, K, n); `at` are the slots of each lead (n, K)."""
    said = table["pending"].reshape(-1, table.columns["pending"].shape[1])
    if _says_one_value(table):
        slots = _slots_of(table, "pending")
        at = (origins % slots).astype(np.intp, copy=False) + (rows * slots)[:, None]
    made: F64 = said.take(at, axis=0).transpose(2, 1, 0)
    return made


def blend(baseline: F64, model: F64, share: F64) -> F64:
    """Mix the baseline's values (...) with the model's lower, value, upper (3, ...) by its share (...) → (3, ...).

    The mixture is as wide as the model's interval.
    """
    mixed: F64 = model + (1 - share) * (baseline - model[VALUE])
    return mixed
