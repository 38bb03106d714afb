"""Cut windows out of a recording: the values of one channel, and beside each step the values that speak of it.

Near values of step t, K in all: for each season S the nearest known one before (t - S, t - 2S, …) and after; the mean
of all known ones of the first season within seven either way; and the channels most related to this one at t, each as
a linear estimate of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np

from edgeseq.core.types import F32, F64, I64

SEASONS_AROUND = 3
"""So many seasons before and after are looked at for a known value of the same phase …"""
SEASONS_MEAN = 7
"""… and so many for their mean."""
COMPANIONS = 3
"""Related channels that are looked at."""
LEAST_PAIRS = 32
"""Fewer steps at which both are known relate no channels."""


class Companion(msgspec.Struct, frozen=True):
    """A related channel and the linear estimate it gives: slope · value + offset."""

    channel: int
    slope: float
    offset: float


class Plan(msgspec.Struct, frozen=True):
    """Where near values are found."""

    seasons: tuple[int, ...]
    companions: tuple[tuple[Companion, ...], ...]
    """Of each channel, the most related first; as many for each."""

    @property
    def near(self) -> int:
        """Count the near values of a step."""
        return 2 * len(self.seasons) + bool(self.seasons) + len(self.companions[0])


class Windows(NamedTuple):
    """B windows, which may begin before the recording and end after it."""

    channel: I64
    """(B,)"""
    start: I64
    """(B,) first step."""
    stop: I64
    """(B,) no reading at or after this step is looked at."""
    without: I64
    """(B,) the channel's own reading of this step is not looked at; -1: all are."""


def whole(channel: I64, start: I64, stop: int) -> Windows:
    """Make windows that see all readings before a step."""
    return Windows(channel, start, np.full(len(start), stop), np.full(len(start), -1))


def plan(x: F64, seasons: tuple[int, ...]) -> Plan:
    """Relate the channels of x (T, S), NaN where missing, of the part that is trained on; seasons in steps."""
    return Plan(seasons, tuple(_related(x, c) for c in range(x.shape[1])))


def _related(x: F64, channel: int) -> tuple[Companion, ...]:
    others = [other for other in range(x.shape[1]) if other != channel]
    fits = [(_regression(x[:, other], x[:, channel]), other) for other in others]
    fits.sort(key=lambda fit: -abs(fit[0][0]))
    return tuple(Companion(other, slope, offset) for (_, slope, offset), other in fits[:COMPANIONS])


def _regression(a: F64, b: F64) -> tuple[float, float, float]:
    """Regress b on a → correlation, slope, offset."""
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if len(a) < LEAST_PAIRS or a.std() == 0 or b.std() == 0:
        return 0.0, 0.0, 0.0
    r = float(np.corrcoef(a, b)[0, 1])
    slope = r * float(b.std() / a.std())
    return r, slope, float(b.mean() - slope * a.mean())


def cut(x: F64, how: Plan, windows: Windows, length: int) -> tuple[F64, F64, F32]:
    """Take windows out of x (T, S) → values (B, W), near values (B, W, K), 1 at the row's channel (B, S)."""
    at, channel = windows.start[:, None] + np.arange(length), windows.channel

    def own(steps: I64) -> F64:
        return np.where(
            steps != windows.without[:, None], _read(x, steps, channel[:, None], windows.stop), np.nan
        )

    parts = [
        part for k, season in enumerate(how.seasons) for part in _seasonal(own, at, season, with_mean=k == 0)
    ]
    for companions in zip(*how.companions, strict=True):
        other, slope, offset = (
            np.array([getattr(c, name) for c in companions])[channel, None] for name in _FIELDS
        )
        parts.append(_read(x, at, other, windows.stop) * slope + offset)
    near = np.stack(parts, axis=-1) if parts else np.zeros((*at.shape, 0))
    return own(at), near, np.eye(x.shape[1], dtype=np.float32)[channel]


_FIELDS = ("channel", "slope", "offset")


def _read(x: F64, steps: I64, channel: I64, stop: I64) -> F64:
    """Read x at steps (B, W) of channels (B, 1); NaN outside the recording and from `stop` (B,) on."""
    inside = (steps >= 0) & (steps < np.minimum(stop, len(x))[:, None])
    return np.where(inside, x[np.clip(steps, 0, len(x) - 1), channel], np.nan)


def _seasonal(own: Callable[[I64], F64], at: I64, season: int, *, with_mean: bool) -> list[F64]:
    """Find the nearest known values of the same phase before and after, and the mean of all around."""
    total, count, nearest = np.zeros(at.shape), np.zeros(at.shape), []
    for way in (-1, 1):
        found = np.full(at.shape, np.nan)
        for k in range(1, (SEASONS_MEAN if with_mean else SEASONS_AROUND) + 1):
            value = own(at + way * k * season)
            known = np.isfinite(value)
            total += np.where(known, value, 0.0)
            count += known
            if k <= SEASONS_AROUND:
                found = np.where(np.isfinite(found), found, value)
        nearest.append(found)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return [*nearest, mean] if with_mean else nearest
