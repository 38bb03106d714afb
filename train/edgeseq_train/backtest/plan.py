"""What a backtest is about: the recording, its parts, and which origins and leads are scored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeseq.core.types import F32, F64
from edgeseq.errors import InputError
from edgeseq_train import scores, seasons
from edgeseq_train.parts import Recording, Split
from edgeseq_train.peers import Panel, make_panel

MARKS = (1, 6, 24, 96)
"""Horizons that tables show, and the last lead."""
MOST_VALUES = 48_000_000
"""Forecast values of one forecaster: some 200 MB in float32."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One recording, cut by time; what is scored is the same for all forecasters."""

    recording: Recording
    split: Split
    horizon: int
    levels: tuple[float, ...]
    panel: Panel
    """Its C columns are all forecast channels of all streams."""
    origins: slice
    """N of them: from the last step of the validation part to the last but one of the test part."""
    y: F32
    """(N, C, H) z-scores of what came after each; NaN where unknown or beyond the test part."""

    @property
    def marks(self) -> tuple[int, ...]:
        """List the horizons that are scored."""
        return (*(h for h in MARKS if h < self.horizon), self.horizon)

    @property
    def names(self) -> tuple[str, ...]:
        """Name the C columns."""
        _, S, C = self.recording.values.shape
        return tuple(
            self.recording.names[s * C + c] for s in range(S) for c in range(self.recording.target_channels)
        )

    @property
    def block(self) -> int:
        """Steps of a block of the bootstrap."""
        return scores.block_steps(len(self.y), self.panel.season, self.horizon)

    def in_z(self, values: F64) -> F32:
        """Turn forecasts (N, S, C, H) in sensor units into z-scores (N, S·C, H)."""
        flat = values.reshape(len(values), -1, values.shape[-1])
        return ((flat - self.panel.mean[:, None]) / self.panel.deviation[:, None]).astype(np.float32)


def make_plan(recording: Recording, split: Split, horizon: int, levels: tuple[float, ...]) -> Plan:
    """Cut a recording for a backtest.

    Raises:
        InputError: a part is too short for the horizon, or a channel never changes.
    """
    _check_parts(split, horizon)
    targets = recording.target_channels
    values = recording.values[: split.test, :, :targets].reshape(split.test, -1)
    season = season_steps(recording.period_ns, split.train)
    panel = make_panel(values, _covariates(recording, split.test), split.train, split.validation, season)
    origins = slice(_first_origin(split, values.shape[1] * horizon), split.test - 1)
    return Plan(recording, split, horizon, levels, panel, origins, scores.targets(panel.z, origins, horizon))


def season_steps(period_ns: int, train: int) -> int:
    """Choose the season that naive forecasts and MASE count by: the day, else the week; 1 where three do not fit.

    >>> season_steps(3600 * 10**9, 5000), season_steps(86_400 * 10**9, 5000), season_steps(3600 * 10**9, 50)
    (24, 7, 1)
    """
    fitting = [s for s in _calendar_seasons(period_ns) if 3 * s <= train]
    return fitting[0] if fitting else 1


def _calendar_seasons(period_ns: int) -> list[int]:
    lengths = (seasons.DAY_NS, seasons.WEEK_DAYS * seasons.DAY_NS)
    return [ns // period_ns for ns in lengths if ns % period_ns == 0 and ns // period_ns >= 4]


def _first_origin(split: Split, values_per_origin: int) -> int:
    """Begin later where the forecasts of all origins would not fit into memory."""
    return max(split.validation - 1, split.test - 1 - MOST_VALUES // values_per_origin)


def _covariates(recording: Recording, stop: int) -> F64:
    """Take the channels that are not forecast, (T, V): once where all streams have the same."""
    beside = recording.values[:stop, :, recording.target_channels :]
    is_shared = all(
        np.array_equal(beside[:, 0], beside[:, s], equal_nan=True) for s in range(beside.shape[1])
    )
    return beside[:, 0] if is_shared else beside.reshape(stop, -1)


def _check_parts(split: Split, horizon: int) -> None:
    for name, steps in (
        ("validation", split.validation - split.train),
        ("test", split.test - split.validation),
    ):
        if steps < 2 * horizon:
            raise InputError(
                f"the {name} part is too short for a backtest",
                found=f"{steps} steps, and a horizon of {horizon}",
                wanted=f"at least {2 * horizon} steps",
                do="take a longer recording, a shorter --horizon, or another --split",
            )
