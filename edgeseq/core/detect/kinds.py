"""The vocabulary of detection: kinds of alerts, what was expected, what is judged, where an alert is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edgeseq.core.types import COVERAGE, F64, I64, AlertKind, Bool

KINDS = (
    AlertKind.SPIKE,
    AlertKind.STUCK,
    AlertKind.OUT_OF_RANGE,
    AlertKind.SILENT,
    AlertKind.LEVEL_SHIFT,
    AlertKind.DRIFT,
    AlertKind.VARIANCE_CHANGE,
    AlertKind.BROKEN_PROFILE,
    AlertKind.BROKEN_RELATION,
    AlertKind.NOVELTY,
    AlertKind.LIMIT_AHEAD,
)
"""Axis G of the state; only ever longer: what is kept on disk knows a kind by its place."""

SPIKE, STUCK, OUT_OF_RANGE, SILENT = range(4)
LEVEL_SHIFT, DRIFT, VARIANCE_CHANGE, BROKEN_PROFILE, BROKEN_RELATION, NOVELTY, LIMIT_AHEAD = range(
    4, len(KINDS)
)

BEHAVIOUR = frozenset(
    {SPIKE, LEVEL_SHIFT, DRIFT, VARIANCE_CHANGE, BROKEN_PROFILE, BROKEN_RELATION, NOVELTY}
)  # fmt: skip
"""Kinds that say in which way a channel behaves unlike itself: at most one of them is open at a time."""

RANK = {SPIKE: 0, NOVELTY: 0, BROKEN_PROFILE: 2} | dict.fromkeys(
    BEHAVIOUR - {SPIKE, NOVELTY, BROKEN_PROFILE}, 1
)  # fmt: skip
"""How much each kind of BEHAVIOUR says: an alert takes the name of one of a higher rank that speaks for it. A spike or
a novelty is what nearly everything begins with; a day that runs backwards is elsewhere before it is known for one."""

LEARNED = BEHAVIOUR
"""What has been open for as long as a new stream learns is the new normal. Not so limits, silence, a stuck value."""

AT_ONCE = frozenset({STUCK, SILENT})
"""Kinds that have a duration of their own: `min_duration` does not delay them."""

MOST_SCORE = 100.0
"""Bound of the score: what leaves a band of no width is off by any number of widths."""


@dataclass(frozen=True, slots=True)
class Band:
    """What was expected of n rows' readings, all (C, n) in sensor units; NaN where nothing was expected."""

    expected: F64
    lower: F64
    upper: F64
    live: Bool
    """Whether the band may raise alerts."""
    is_model: Bool
    """(n,) whose it is."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The samples of n different rows, to be judged."""

    order: I64
    step: I64
    time_ns: I64
    value: F64
    """(C, n) in sensor units."""
    observed: Bool
    """(C, n); what was not observed neither opens nor clears."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says of a rule's alerts; axis G is KINDS."""

    learning_steps: int
    """Outcomes before anything that was learned may accuse a stream."""
    period_ns: int = 3_600 * 10**9
    """Time between two steps."""
    limits: F64 | None = None
    """(C, 2) lowest and highest allowed value, infinite where not configured; None where none is."""
    enabled: Bool | None = None
    """(G,) kinds that are told; None means all."""
    least: F64 | None = None
    """(C, 2) smallest deviation from what is expected: in sensor units, and as a share of what is expected; None where
    none is configured."""
    above: bool = True
    below: bool = True
    """On which sides of what is expected deviations count."""
    coverage: float = COVERAGE
    """Of the intervals."""
    crossing_probability: float = 0.5
    """Probability of crossing a limit from which an alert tells of it."""
    sensitivity: float = 1.0
    """What scores are multiplied by."""
    min_steps: tuple[int, ...] = (0,) * len(KINDS)
    """(G,) steps that a deviation must have lasted when an alert opens."""
    refractory_steps: tuple[int, ...] = (0,) * len(KINDS)
    """(G,) steps after an alert in which no other one of its kind opens."""

    def is_on(self, kind: int) -> bool:
        """Tell whether alerts of a kind are told."""
        return self.enabled is None or bool(self.enabled[kind])


@dataclass(frozen=True, slots=True)
class Closed:
    """The steps of n different rows that have just become final, for detectors; see the package's docstring."""

    samples: Judged
    """`time_ns` names the step; `value` is NaN where missing, and finite but not `observed` where held."""
    band: Band
    """Of lead 1, as it was before this outcome taught anything: the 99.9 % band of what served."""
    forecasts: F64
    """(F, C, K, n) what was forecast for this step K leads earlier: 0 the baseline, 1 the blend with the model, 2 the
    model; NaN where there was none."""
    leads: tuple[int, ...]
    """K."""
    settings: Settings
    targets: int
    """Channels that are judged, the first ones; the others are only inputs."""
    period_ns: int
    """Time between two steps."""

    @property
    def learning_steps(self) -> int:
        """Give the outcomes before anything that was learned may accuse a stream."""
        return self.settings.learning_steps


class Scores(NamedTuple):
    """What a detector says of closed steps, all (C, n); None is what the forecast and the readings say."""

    score: F64
    """1 is the threshold of an alert, 0 what is usual; NaN is not judged."""
    observed: F64 | None = None
    """What the score is of, such as a recent mean, in sensor units."""
    expected: F64 | None = None
    """What it would be usually; NaN where there is no such value (a variance, a relation): then the settings
    `min_deviation` and `direction` do not apply."""
    lower: F64 | None = None
    upper: F64 | None = None
    """The range that raises no alert; None where the detector has none in the readings' unit."""
    channels: I64 | None = None
    """Bit c is set where channel c has its part in it; None is the channel itself."""
    crossing: F64 | None = None
    """Steps until a limit is crossed, and the interval of that; NaN where it is not within the horizon. None for other
    kinds than limit_ahead."""
    earliest: F64 | None = None
    latest: F64 | None = None


class Place(NamedTuple):
    """Where an alert is kept."""

    row: int
    channel: int
    kind: int
    """Index into KINDS."""


class Evidence(NamedTuple):
    """What an alert shows, in sensor units; kept with it, so that it can be told again."""

    observed: float
    expected: float
    lower: float
    upper: float
    is_model: float
    """1 where the band was the model's, else 0."""
    score: float = float("nan")
    """1 where the kind's threshold lies; NaN where it has none."""
    channels: float = 0.0
    """Bit c is set where channel c has its part in it; 0 is the channel itself."""
    crossing: float = float("nan")
    """Steps until a limit is crossed, and the interval of that; NaN where it is not, or not within the horizon."""
    earliest: float = float("nan")
    latest: float = float("nan")


NOTHING_EXPECTED = Evidence(*(float("nan"),) * 4, is_model=0.0)


def score(value: F64, expected: F64, lower: F64, upper: F64) -> F64:
    """Measure how far a value lies from its forecast: 0 at the forecast, 1 at the edge of the alert band.

    >>> score(np.array([7.0, 100.0, np.nan]), np.array(10.0), np.array(8.0), np.array(11.0))
    array([ 1.5, 90. ,  nan])
    """
    half_width = np.where(value > expected, upper - expected, expected - lower)
    distance = np.abs(value - expected)
    outside = np.where(distance > 0, MOST_SCORE, distance)
    scores: F64 = np.divide(distance, half_width, out=outside, where=~(half_width == 0))
    return np.minimum(scores, MOST_SCORE)


def p_value(scores: float) -> float:
    """Turn a score into a tail probability, exponential through 0.001 at the edge of the 99.9 % band.

    >>> p_value(0.0), p_value(1.0)
    (1.0, 0.001)
    """
    return float(0.001**scores) if np.isfinite(scores) else 1.0
