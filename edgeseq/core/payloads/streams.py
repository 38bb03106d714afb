"""What is told of a stream: its forecasts, status and estimates."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from edgeseq.core.payloads.shared import Payload, Seconds, Time
from edgeseq.core.types import DataStatus, Phase, Quality, Source


class Path(msgspec.Struct, frozen=True):
    """The forecast of all leads, in columns."""

    lead_s: list[Seconds]
    """Time from origin to the forecast value (s)."""
    lower: list[float | None]
    """Lower ends of the prediction intervals."""
    value: list[float | None]
    """Forecasts (medians)."""
    upper: list[float | None]
    """Upper ends of the prediction intervals."""


class _Scalars(Payload, frozen=True, kw_only=True):
    """A forecast without its path."""

    id: str
    """Stream, grid step and bundle; the same step forecast again has the same id, and the latest wins."""
    stream: str
    """Id of the stream: the level of its topics."""
    channel: str | UnsetType = UNSET
    """Only where the stream has several."""
    origin: Time
    """Time of the grid step of the reading, up to half a period away from it; `value` is for one period later."""
    period_s: Seconds
    """Length of a step (s)."""
    unit: str | None
    """Unit of the numbers, as configured, else as in the bundle; null where neither says one."""
    observed: float | None
    """The reading of that step; null where it is missing."""
    value: float | None
    """Forecast of the next step (median)."""
    lower: float | None
    """Lower end of its prediction interval."""
    upper: float | None
    """Upper end of its prediction interval."""
    coverage: float
    """Share of readings that the interval is made to hold."""
    score: float | None
    """How unexpected the reading was: 0 as forecast, 1 at the edge of the 99.9 % band."""
    quality: Literal["ok", "missing"]
    """Whether there was a reading at the origin."""
    source: Source
    """What made the forecast: the bundle's model where it has been better than the baseline, also while `learning`."""
    skill: float | None
    """1 - error of what serves / error of the baseline; null while unknown."""
    bundle: str | None
    """The model's name and digest; null for the baseline."""
    leads_filled: int | UnsetType = UNSET
    """So many leads had a known covariate that no message has given for their time. Stood in has the value of the same
    time of day on the nearest of the 7 days before, else the last one, else the mean of training, so these leads are
    less certain than their intervals say. Absent where all are given."""


class ForecastPayload(_Scalars, frozen=True, kw_only=True):
    """<stream>/forecast: after every step. The next step's numbers on top, all leads in `path`."""

    path: Path | UnsetType = UNSET
    """Absent where the configuration switches it off."""


class LatestPayload(_Scalars, frozen=True, kw_only=True):
    """<stream>/latest, retained: the newest forecast for those who just subscribed, and the stream's status."""

    phase: Phase
    """As in `status`."""
    data: DataStatus
    """As in `status`."""
    alert: Literal["none", "watch", "alert"]
    """As in `status`."""


class StatusPayload(Payload, frozen=True, kw_only=True):
    """<stream>/status, retained: when it changes."""

    phase: Phase
    """Whether the stream's own calibration holds yet. `learning` until each channel has had 336 outcomes and a season:
    no spike or stuck alerts before. Of intervals and alerts only: a model may serve from the beginning (`source`)."""
    data: DataStatus
    """How its data arrives. `silent`: no reading for much longer than its rhythm. `stuck`: one value for longer than it
    ever had. `mismatch`: readings do not come as `every` says: on average more than two periods apart, or more than
    four in a period of which only the last counts; not told where gaps are held. `off`: the machine is off
    (`active_when`), so nothing is expected."""
    alert: Literal["none", "watch", "alert"]
    """Whether an alert is open. `watch`: something is unusual, but has not lasted, or not gone far enough."""


class EstimatePayload(Payload, frozen=True, kw_only=True):
    """<stream>/estimate: what an estimator makes of the stream, after every step: a number, or classes."""

    id: str
    """Stream, grid step and bundle; the same step estimated again has the same id, and the latest wins."""
    stream: str
    """Id of the stream: the level of its topics."""
    target: str
    """Name of what is estimated, as in training."""
    time: Time
    """Time of the grid step that is estimated."""
    quality: Quality
    """degraded: some inputs had no reading; missing: none had, so the numbers are null."""
    unit: str | UnsetType | None = UNSET
    """Of a number: its unit in training."""
    value: float | UnsetType | None = UNSET
    """Of a number: the estimate (median)."""
    lower: float | UnsetType | None = UNSET
    """Of a number: lower end of its prediction interval."""
    upper: float | UnsetType | None = UNSET
    """Of a number: upper end of its prediction interval."""
    coverage: float | UnsetType = UNSET
    """Of a number: share of true values that the interval was made to hold in training; no device can check it."""
    state: str | UnsetType | None = UNSET
    """Of classes: the most probable one."""
    probability: float | UnsetType | None = UNSET
    """Of classes: its probability."""
    probabilities: dict[str, float | None] | UnsetType = UNSET
    """Of classes: the probability of each."""
    bundle: str
    """The estimator's name and digest."""


class ClassPayload(Payload, frozen=True, kw_only=True):
    """<stream>/state, retained: the class that an estimator sees the stream in; when it changes."""

    state: str
    """Name of the class."""
    target: str
    """Name of what is estimated, as in training."""
    since: Time
    """Time of the first step in this class."""
    bundle: str
    """The estimator's name and digest."""
