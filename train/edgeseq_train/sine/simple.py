"""What stands beside the networks: persistence, seasonal naive, ridge on two seasons, and the noise itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeseq.core.types import F64
from edgeseq_train import ridge
from edgeseq_train.sine.outcome import Layer, Outcome
from edgeseq_train.sine.series import Sine


def persistence(sine: Sine) -> Outcome:
    """Say that the last value stays."""
    said = np.repeat(sine.values[list(sine.free_origins), None], sine.season, axis=1)
    return Outcome("persistence", sine.values[list(sine.origins)], said, said)


def seasonal_naive(sine: Sine) -> Outcome:
    """Say that the last season comes again."""
    one = np.array([sine.values[t + 1 - sine.season] for t in sine.origins])
    said = np.stack([sine.values[t + 1 - sine.season : t + 1] for t in sine.free_origins])
    return Outcome(f"seasonal naive {sine.season}", one, said, said)


def noise_itself(sine: Sine) -> Outcome:
    """Say the sine without its noise: nobody can know more."""
    said = np.stack([sine.clean[t + 1 : t + 1 + sine.season] for t in sine.free_origins])
    return Outcome("the noise itself", sine.clean[sine.split.validation : sine.split.test], said, said)


def two_seasons_of_ridge(sine: Sine) -> Outcome:
    """Fit a linear regression on the last two seasons, in closed form; its penalty is chosen on the validation part."""
    lags = np.arange(2 * sine.season)[::-1]
    seen = sine.values[: sine.split.validation]
    part = ridge.Part(seen, seen, 1.0, sine.split.train)
    moments = ridge.moments([part], lags, sine.season)
    weights = ridge.solve(moments, [part], lags, sine.season, (sine.season,)).weights

    def leads(history: F64) -> F64:
        recent = history[-len(lags) :]
        return np.asarray(recent[-1] + (recent - recent[-1]) @ weights)

    one = np.array([leads(sine.values[: t + 1])[0] for t in sine.origins])
    free = np.stack([_feed(leads, sine.values[: t + 1], sine.season) for t in sine.free_origins])
    direct = np.stack([leads(sine.values[: t + 1]) for t in sine.free_origins])
    layers = (
        Layer(f"linear map, {len(lags)} readings to {sine.season} leads", f"({sine.season},)", weights.size),
    )
    return Outcome(f"ridge on {len(lags)}", one, free, direct, layers)


def _feed(leads: Callable[[F64], F64], history: F64, steps: int) -> F64:
    """Run freely: what is said of the next reading is taken for it."""
    known = history
    for _ in range(steps):
        known = np.append(known, leads(known)[0])
    return known[-steps:]
