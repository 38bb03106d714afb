"""What the device would publish of a model's forecasts: blended with its baseline, lead by lead, by late errors.

The device's own functions (`edgeseq.core.serve`, `calibrate`, `baseline`) over a whole roll-out at once.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core import achieved, alert_band, calibrate, pending, serve
from edgeseq.core.baseline import BaselineStepper
from edgeseq.core.forecast import initial_state
from edgeseq.core.table import Table
from edgeseq.core.types import COVERAGE, F32, F64

WARM_STEPS = 600
"""Steps before the first origin that counts over which errors are learned: four of their shortest half-lives."""


def widened(wanted: slice) -> slice:
    """Begin a roll-out early enough for `blended`."""
    return slice(max(0, wanted.start - WARM_STEPS), wanted.stop)


def blended(medians: F32, x: F32, rolled: slice, wanted: slice, season: int) -> F32:
    """Blend medians (N, S, C, H) made at the origins `rolled` as the device does → those at the origins `wanted`.

    Args:
        medians: of the model, in the scale of x.
        x: (T, S, C) what was read, NaN where missing.
        rolled: origins of the medians; `widened(wanted)`.
        wanted: origins to give.
        season: of the baseline, in steps; 0 for none.
    """
    _, S, C, H = medians.shape
    leads, rows = pending.leads_up_to(H), np.arange(S)
    at_leads = np.array(leads) - 1
    judged = alert_band.columns(C) | achieved.columns(C)
    table = Table(pending.columns(C, H, season) | calibrate.columns(C, H) | judged)
    for _ in range(S):
        table.add_row()
    work, anchor, unit = table.gather(rows), np.zeros((C, S)), np.ones((C, S))
    baseline = BaselineStepper(C, H, season, "float64")
    state = initial_state(baseline.state_spec, S)
    for row in x[max(0, rolled.start - baseline.ring) : rolled.start]:
        _, state = baseline.step(row.astype(np.float64), state)
    served = np.empty((wanted.stop - wanted.start, S, C, H), np.float32)
    for t in range(rolled.start, rolled.stop):
        values: F64 = x[t].astype(np.float64)
        naive, state = baseline.step(values, state)
        said = np.repeat(medians[t - rolled.start][..., None], 3, axis=3)
        share = serve.model_share(work, leads, H)
        if t >= wanted.start:
            model = np.moveaxis(said, 3, 0).astype(np.float64)
            mixed = pending.blend(naive[..., 0], model, share.astype(np.float64))
            served[t - wanted.start] = mixed[pending.VALUE]
        step = np.full(S, t)
        calibrate.learn(work, leads, values.T, pending.due(table, leads, rows, step, anchor, unit), COVERAGE)
        pending.push(
            table, leads, rows, step, naive[:, :, at_leads, 0], said[:, :, at_leads], share[..., at_leads]
        )
    return served
