"""The series of the tutorials: a sine with noise, cut by time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeseq.core.types import F64
from edgeseq_train.parts import Split

STEPS = 1000
SEASON = 50
"""Readings per wave."""
NOISE = 0.1
"""Standard deviation; the wave's height is 1."""
SPLIT = Split(600, 800, STEPS)


@dataclass(frozen=True, slots=True)
class Sine:
    """A noisy sine and what it would be without the noise."""

    values: F64
    """(T,)"""
    clean: F64
    """(T,)"""
    season: int = SEASON
    split: Split = SPLIT

    @property
    def origins(self) -> range:
        """List the readings after which the next one lies in the test part."""
        return range(self.split.validation - 1, self.split.test - 1)

    @property
    def targets(self) -> F64:
        """Give the readings of the test part."""
        return self.values[self.split.validation : self.split.test]

    @property
    def free_origins(self) -> range:
        """List the origins of free runs of one season that end within the test part."""
        return range(self.split.validation - 1, self.split.test - self.season)


def make_sine(seed: int) -> Sine:
    """Draw the series: the same for the same seed.

    >>> sine = make_sine(0)
    >>> float(np.std(sine.values - sine.clean).round(1)), len(sine.targets)
    (0.1, 200)
    """
    clean = np.sin(2 * np.pi * np.arange(STEPS) / SEASON)
    return Sine(clean + NOISE * np.random.default_rng(seed).standard_normal(STEPS), clean)
