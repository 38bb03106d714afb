"""Whether what is lost by storing weights in fewer bits grows along the roll-out: the served variant beside float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from edgeseq.core.forecast import Stepper
from edgeseq.core.types import F32
from edgeseq_train.closed_loop import closed_loop
from edgeseq_train.ladder import GROWTH_FLOOR, GROWTH_RATIO

REFERENCE = "float32"
PARTS = ("first", "middle", "last")


class Growth(NamedTuple):
    """Mean |served - float32| of all quantiles, in running scales, by thirds of the roll-out."""

    variant: str
    steps: int
    """Counted, after the state was warm."""
    thirds: tuple[float, float, float]

    @property
    def has_grown(self) -> bool:
        """Tell whether the last third is farther off than the first: by the rule that chooses a default variant."""
        return self.thirds[-1] > GROWTH_RATIO * self.thirds[0] + GROWTH_FLOOR

    @property
    def said(self) -> str:
        """Say it.

        >>> Growth("int8_weights", 9000, (0.0021, 0.002, 0.0022)).said
        'Stored as int8_weights, quantiles differ from those of float32 by 0.0021 running scales on average in the...
        """
        first, middle, last = (f"{value:.2g}" for value in self.thirds)
        return (
            f"Stored as {self.variant}, quantiles differ from those of {REFERENCE} by {first} running scales on "
            f"average in the first third of {self.steps:,} steps, {middle} in the middle and {last} in the last: "
            f"the difference {'grows' if self.has_grown else 'does not grow'} along the way."
        )

    def document(self) -> dict[str, Any]:
        """Give it as values for JSON."""
        thirds = dict(zip(PARTS, self.thirds, strict=True))
        return {
            "variant": self.variant,
            "steps": self.steps,
            **thirds,
            "has_grown": self.has_grown,
            "said": self.said,
        }


def along(variant: str, steppers: Mapping[str, Stepper], x: F32, known: F32 | None) -> Growth | None:
    """Step the variant and float32 through x (T, S, C), each on its own state; None where there are too few steps.

    The first steps, in which the ring fills and running scales are young, do not count.

    Args:
        variant: what is served, a key of the steppers.
        steppers: float32 first.
        x: readings; NaN is missing.
        known: (T + H, K) inputs that are known for the future too.
    """
    warm = steppers[variant].ring
    if len(x) < warm + len(PARTS):
        return None
    nothing = np.empty((0, *x.shape[1:], steppers[variant].horizon), np.float32)
    trails, _ = closed_loop(steppers, x, nothing, known=known)
    counted = trails[variant].mean[warm:]
    first, middle, last = (float(part.mean()) for part in np.array_split(counted, len(PARTS)))
    return Growth(variant, len(counted), (first, middle, last))
