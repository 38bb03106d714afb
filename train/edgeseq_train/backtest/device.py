"""What a device would have published: the core fed with history, one reading at a time, from the first one on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from edgeseq.bundle import Manifest
from edgeseq.core import pipeline
from edgeseq.core.forecast import Stepper
from edgeseq.core.registry import HIDDEN
from edgeseq.core.types import (
    F64,
    ChannelSource,
    Forecast,
    KnownSource,
    Options,
    Readings,
    StreamInfo,
    StreamRule,
)
from edgeseq_train.fit import Recording

KEY = "backtest"
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
    state = _new_state(manifest, stepper, values.shape[1], season)
    future = _future(manifest, recording)
    shape = (origins.stop - origins.start, values.shape[1], recording.target_channels, manifest.horizon)
    value, lower, upper = (np.full(shape, np.nan) for _ in range(3))
    count = modelled = 0
    start_ns, period_ns, S = recording.start_ns or 0, recording.period_ns, values.shape[1]
    for t, row in enumerate(values):
        time_ns = start_ns + t * period_ns
        foretold = np.arange(0 if t == 0 else t + manifest.horizon, t + manifest.horizon + 1)
        for j, given in enumerate(future.T):
            pipeline.advance(
                state, _foretold(S + j, given[foretold], start_ns + foretold * period_ns, time_ns)
            )
        for event in pipeline.advance(state, _readings(row, time_ns)):
            # A stream of several channels may be stepped again while they come in: its last forecast stands.
            if t < origins.start or not isinstance(event, Forecast):
                continue
            place = (t - origins.start, event.stream)
            value[place], lower[place], upper[place] = event.value, event.lower, event.upper
            count, modelled = count + 1, modelled + (event.source == "model")
        progress((t + 1) / len(values))
    return Served(value, lower, upper, modelled / max(count, 1))


def _new_state(manifest: Manifest, stepper: Stepper, streams: int, season: int) -> pipeline.State:
    channels = {c.name: ChannelSource(f"backtest/{c.name}") for c in manifest.channels}
    names = [c.name for c in manifest.inputs.covariates]
    rule = StreamRule(
        key=KEY, period_ns=manifest.period_ns, topics=("backtest/+",), season_steps=season, alerts=False, bundle=KEY,
        covariates=manifest.covariates, channels=channels if len(channels) > 1 else {},
        known={name: KnownSource(f"backtest/{name}") for name in names},
    )  # fmt: skip
    options = Options(max_streams=streams + len(names), clock="readings")
    state = pipeline.new_state([rule], {KEY: stepper}, options, inputs={KEY: manifest.inputs})
    for s in range(streams):
        state.registry.register(StreamInfo(f"stream-{s}", KEY, f"backtest/{s}", None, 0))
    for name in names:
        state.registry.register(StreamInfo(f"{HIDDEN}{KEY}/{name}", KEY, f"backtest/{name}", name, 0))
    pipeline.add_rows(state)
    return state


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


def _readings(row: F64, time_ns: int) -> Readings:
    """Make the readings of one step (S, C)."""
    S, C = row.shape
    streams, channels = np.repeat(np.arange(S), C), np.tile(np.arange(C), S)
    return _columns(streams, channels, np.full(S * C, time_ns), time_ns, row.reshape(-1))


def _foretold(stream: int, values: F64, times_ns: np.ndarray, now_ns: int) -> Readings:
    """Make the readings of a hidden stream: one message."""
    n = len(values)
    return _columns(np.full(n, stream), np.zeros(n), times_ns, now_ns, values)


def _columns(
    stream: np.ndarray, channel: np.ndarray, time_ns: np.ndarray, now_ns: int, values: F64
) -> Readings:
    n = len(values)
    return Readings(
        message_index=np.zeros(n, np.int32),
        stream_index=stream.astype(np.int32),
        channel=channel.astype(np.int16),
        time_ns=time_ns.astype(np.int64),
        received_ns=np.full(n, now_ns, np.int64),
        value=values,
        id_hash=np.zeros(n, np.uint64),
        comparable=np.zeros(n, np.bool_),
    )
