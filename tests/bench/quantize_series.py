"""The series that quantizations are rolled along: real or drawn, with level shifts and spikes put into a copy of it."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from edgeseq.core.types import F32, F64

SHIFTS, SHIFT_STEPS, SHIFT_SCALES = 3, 400, 4.0
"""Level shifts, how long and how high (in standard deviations of the stream)."""
SPIKES, SPIKE_SCALES = 6, 25.0
MARGIN_STEPS = 1200
"""No event before and after: the edges of the roll-out tell whether differences grow."""
AROUND_STEPS = 100


class Events(msgspec.Struct):
    """Steps at which something was put in."""

    shift: list[int]
    """Begin and end of each shift."""
    spike: list[int]

    def worst(self, kind: Literal["shift", "spike"], difference: F32) -> dict[str, float]:
        """Largest difference (T, B) within 100 steps of such events, and within the 100 steps after those."""
        at = np.array(getattr(self, kind))[:, None]
        near = at + np.arange(AROUND_STEPS)
        return {
            "around": float(difference[near].max()),
            "after": float(difference[near + AROUND_STEPS].max()),
        }


def disturb(x: F32) -> tuple[F32, Events]:
    """Put shifts and spikes into x (T, S, C), evenly spaced."""
    spots = np.linspace(MARGIN_STEPS, len(x) - MARGIN_STEPS - SHIFT_STEPS, SHIFTS + SPIKES).astype(int)
    shifts = spots[:: len(spots) // SHIFTS][:SHIFTS]
    spikes = np.setdiff1d(spots, shifts)
    deviation = np.nanstd(x, axis=0)
    changed = x.copy()
    for k, start in enumerate(shifts):
        changed[start : start + SHIFT_STEPS] += (-1) ** k * SHIFT_SCALES * deviation
    for k, at in enumerate(spikes):
        changed[at] += (-1) ** k * SPIKE_SCALES * deviation
    return changed, Events(sorted([*shifts.tolist(), *(shifts + SHIFT_STEPS).tolist()]), spikes.tolist())


def drawn(steps: int, streams: int, seed: int = 0) -> F64:
    """Draw hourly values (T, S): a day, slow weather, noise, now and then a slow change of level."""
    rng = np.random.default_rng(seed)
    t = np.arange(steps)[:, None]
    shocks = 0.25 * rng.standard_normal((steps, streams))
    weather = np.zeros((steps, streams))
    for k in range(1, steps):
        weather[k] = 0.97 * weather[k - 1] + shocks[k]
    day = np.sin(2 * np.pi * t / 24 + 0.5 * np.arange(streams)) + 0.4 * np.sin(4 * np.pi * t / 24)
    level = np.cumsum(rng.standard_normal((steps, streams)) * (rng.random((steps, streams)) < 0.002), axis=0)
    return np.asarray(20 + 3 * day + 2 * weather + level + 0.3 * rng.standard_normal((steps, streams)))
