"""Estimate missing values of a whole recording: windows with overlap, through whatever runs the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from edgeseq.core.types import F64, I64, Bool
from edgeseq_train.impute import baselines
from edgeseq_train.impute.network import ImputerSpec, Passes, impute
from edgeseq_train.impute.sight import look
from edgeseq_train.impute.windows import Plan, Windows, cut, whole

NETWORK = "network"
BATCH_STEPS = 120_000
"""Steps of all windows that run together."""
REACH = 8
"""Known steps that a window shows beside the longest gap."""


class Frame(msgspec.Struct, frozen=True):
    """All that does not depend on learned weights."""

    spec: ImputerSpec
    near: Plan
    anchor: tuple[float, ...]
    """(S,)"""
    unit: tuple[float, ...]
    """(S,)"""
    longest: int
    """Steps of the longest gap that is filled."""

    @property
    def margin(self) -> int:
        """Count the steps a window shows before and after those it estimates."""
        return self.longest + REACH

    @property
    def methods(self) -> tuple[str, ...]:
        """Name what may fill a gap."""
        return (*baselines.names(seasonal=bool(self.near.seasons)), NETWORK)


class Estimates(NamedTuple):
    """What each method says of some missing values, n in all."""

    step: I64
    """(n,)"""
    channel: I64
    """(n,)"""
    gap: I64
    """(n,) steps of the gap it lies in, as far as the window shows."""
    values: dict[str, F64]
    """(n,) by method."""
    lower: F64
    """(n,) edge of the network's band, 5 % …"""
    upper: F64
    """… and 95 %."""


def normalise(frame: Frame, values: F64) -> F64:
    """Make x (T, S) of sensor values."""
    x: F64 = (values - np.array(frame.anchor)) / np.array(frame.unit)
    return x


def fill_estimates(
    frame: Frame,
    passes: Passes,
    values: F64,
    wanted: Bool,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Estimates:
    """Estimate missing values by every method.

    Args:
        frame: of the network.
        passes: the network.
        values: (T, S) in sensor units, NaN where missing or hidden.
        wanted: (T, S) the missing values to estimate.
        progress: is told (windows done, windows).
    """
    core = max(frame.margin, 24)
    step, channel = np.nonzero(wanted)
    pairs = np.unique(np.stack([step // core, channel], axis=1), axis=0)
    windows = whole(pairs[:, 1], pairs[:, 0] * core - frame.margin, len(values))
    length = core + 2 * frame.margin

    def chosen(part: Windows) -> Bool:
        at = np.arange(length)
        steps = part.start[:, None] + at
        in_core = (at >= frame.margin) & (at < frame.margin + core) & (steps < len(values))
        flags: Bool = in_core & wanted[np.clip(steps, 0, len(values) - 1), part.channel[:, None]]
        return flags

    return run_windows(frame, passes, values, windows, length, chosen, progress)


def run_windows(
    frame: Frame, passes: Passes, values: F64, windows: Windows, length: int, chosen: Callable[[Windows], Bool],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Estimates:  # fmt: skip
    """Run windows and keep the steps that `chosen` (B, W) names, in sensor units."""
    x = normalise(frame, values)
    anchor, unit = np.array(frame.anchor), np.array(frame.unit)
    batch = max(1, BATCH_STEPS // length)
    parts: list[Estimates] = []
    for begin in range(0, len(windows.start), batch):
        part = Windows(*(a[begin : begin + batch] for a in windows))
        taken, near, identity = cut(x, frame.near, part, length)
        s = look(taken, near, identity)
        q = s.line[..., None] + s.bridge[..., None] * impute(passes, s.features, s.moves)
        found = {**baselines.estimates(taken, near, seasonal=bool(frame.near.seasons)), NETWORK: q[..., 1]}
        rows, columns = np.nonzero(chosen(part))
        channel = part.channel[rows]
        scaled = [
            a[rows, columns] * unit[channel] + anchor[channel]
            for a in (*found.values(), q[..., 0], q[..., 2])
        ]
        named = dict(zip(found, scaled, strict=False))
        parts.append(
            Estimates(
                part.start[rows] + columns, channel, s.gap[rows, columns], named, scaled[-2], scaled[-1]
            )
        )
        progress(min(begin + batch, len(windows.start)), len(windows.start))
    return join(parts, frame.methods)


def join(parts: Sequence[Estimates], methods: tuple[str, ...]) -> Estimates:
    """Put estimates behind one another."""
    if not parts:
        none, nothing = np.zeros(0, np.int64), np.zeros(0)
        return Estimates(none, none, none, dict.fromkeys(methods, nothing), nothing, nothing)
    columns = [np.concatenate([p[k] for p in parts]) for k in (0, 1, 2, 4, 5)]
    values = {name: np.concatenate([p.values[name] for p in parts]) for name in methods}
    return Estimates(columns[0], columns[1], columns[2], values, columns[3], columns[4])
