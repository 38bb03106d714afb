"""A device's core fed from arrays: its state for a bundle, and the readings of one step.

Nothing but the device's own code is imported here: what it costs on a device is measured with it (`footprint`).
"""

from __future__ import annotations

import numpy as np

from edgeseq.bundle import Manifest
from edgeseq.core import pipeline
from edgeseq.core.forecast import Stepper
from edgeseq.core.registry import HIDDEN
from edgeseq.core.types import F64, I64, ChannelSource, KnownSource, Options, Readings, StreamInfo, StreamRule

KEY = "backtest"


def new_state(manifest: Manifest, stepper: Stepper, streams: int, season: int) -> pipeline.State:
    """Make the state of a node that serves a bundle to so many streams, with a hidden stream for each known covariate.

    Hidden streams come after the others; season: of the baseline, in steps, 0 for none.
    """
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


def readings(row: F64, time_ns: int) -> Readings:
    """Make the readings of one step (S, C)."""
    S, C = row.shape
    streams, channels = np.repeat(np.arange(S), C), np.tile(np.arange(C), S)
    return _columns(streams, channels, np.full(S * C, time_ns), time_ns, row.reshape(-1))


def foretold(stream: int, values: F64, times_ns: I64, now_ns: int) -> Readings:
    """Make the readings of a hidden stream: one message."""
    n = len(values)
    return _columns(np.full(n, stream), np.zeros(n, np.int64), times_ns, now_ns, values)


def _columns(stream: I64, channel: I64, time_ns: I64, now_ns: int, values: F64) -> Readings:
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
