"""Windows of the past and what came after them, cut when they are asked for: what window networks are fed."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgeseq.core.types import F32, I64
from edgeseq_train.peers.panel import Panel


class OneChannel:
    """Windows of one channel: number t · C + c is channel c at origin t."""

    def __init__(self, panel: Panel, window: int, horizon: int) -> None:
        self.per_origin = panel.z.shape[1]
        self._past = sliding_window_view(panel.filled.astype(np.float32), window, axis=0)
        self._future = _futures(panel, horizon)
        self._window = window

    def inputs(self, numbers: I64) -> F32:
        """Cut (B, L)."""
        t, c = np.divmod(numbers, self.per_origin)
        return np.asarray(self._past[t - self._window + 1, c])

    def targets(self, numbers: I64) -> F32:
        """Cut (B, H), NaN where missing or beyond the end."""
        t, c = np.divmod(numbers, self.per_origin)
        return np.asarray(self._future[t + 1, c])


class AllChannels:
    """Windows of all channels and covariates; their number is the origin."""

    per_origin = 1

    def __init__(self, panel: Panel, window: int, horizon: int) -> None:
        values = np.concatenate([panel.filled, panel.covariates], axis=1).astype(np.float32)
        self._past = sliding_window_view(values, window, axis=0)
        self._future = _futures(panel, horizon)
        self._window = window

    def inputs(self, numbers: I64) -> F32:
        """Cut (B, L, C + V)."""
        return np.moveaxis(self._past[numbers - self._window + 1], 1, 2)

    def targets(self, numbers: I64) -> F32:
        """Cut (B, C, H), NaN where missing or beyond the end."""
        return np.asarray(self._future[numbers + 1])


Windows = OneChannel | AllChannels


def _futures(panel: Panel, horizon: int) -> NDArray[np.float32]:
    padded = np.pad(panel.z.astype(np.float32), ((0, horizon), (0, 0)), constant_values=np.nan)
    return sliding_window_view(padded, horizon, axis=0)
