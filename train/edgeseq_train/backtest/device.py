"""What a device would have published: the core fed with history, one reading at a time, from the first one on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from edgeseq.bundle import Manifest
from edgeseq.core import pipeline
from edgeseq.core.forecast import Stepper
from edgeseq.core.types import F64, Forecast
from edgeseq_train import core_feed
from edgeseq_train.parts import Recording

Progress = Callable[[float], None]
"""Is told the share that is done."""


class Served(NamedTuple):
    """Published forecasts of N origins in sensor units; NaN where nothing was published."""

    value: F64
    """(N, S, C, H)"""
    lower: F64
    """Of the calibrated 90 % interval."""
    upper: F64
    model_share: float
    """Share of the forecasts that the model made; the others are the baseline's, which did better there."""


def serve(
    manifest: Manifest,
    stepper: Stepper,
    recording: Recording,
    origins: slice,
    season: int,
    progress: Progress,
) -> Served:
    """Feed values (T, S, C) up to the last origin to the core of a device; season: of its baseline, in steps.

    A missing value is handed over as a reading known to be bad: so each step has its forecast. Covariates whose future
    is known are given as far ahead as the horizon reaches, as they were measured.
    """
    values = recording.values[: origins.stop]
    state = core_feed.new_state(manifest, stepper, values.shape[1], season)
    future = _future(manifest, recording)
    shape = (origins.stop - origins.start, values.shape[1], recording.target_channels, manifest.horizon)
    value, lower, upper = (np.full(shape, np.nan) for _ in range(3))
    count = modelled = 0
    start_ns, period_ns, S = recording.start_ns or 0, recording.period_ns, values.shape[1]
    for t, row in enumerate(values):
        time_ns = start_ns + t * period_ns
        foretold = np.arange(0 if t == 0 else t + manifest.horizon, t + manifest.horizon + 1)
        for j, given in enumerate(future.T):
            times_ns = start_ns + foretold * period_ns
            pipeline.advance(state, core_feed.foretold(S + j, given[foretold], times_ns, time_ns))
        for event in pipeline.advance(state, core_feed.readings(row, time_ns)):
            # A stream of several channels may be stepped again while they come in: its last forecast stands.
            if t < origins.start or not isinstance(event, Forecast):
                continue
            place = (t - origins.start, event.stream)
            value[place], lower[place], upper[place] = event.value, event.lower, event.upper
            count, modelled = count + 1, modelled + (event.source == "model")
        progress((t + 1) / len(values))
    return Served(value, lower, upper, modelled / max(count, 1))


def _future(manifest: Manifest, recording: Recording) -> F64:
    """Give the covariates whose future is known, in sensor units, (T + H, J); NaN beyond what is known."""
    covariates = manifest.inputs.covariates
    steps = len(recording.values) + manifest.horizon
    future = np.full((steps, len(covariates)), np.nan)
    if recording.known is None or not covariates:
        return future
    encoded = recording.known[:, -len(covariates) :].astype(np.float64)
    scales, means = np.array([c.scale for c in covariates]), np.array([c.mean for c in covariates])
    future[: len(encoded)] = encoded * scales + means
    return future
