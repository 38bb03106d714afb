"""One recording for each series of a recording."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from edgeseq_train.parts import Recording
from edgeseq_train.recipe import Recipe


class Series(NamedTuple):
    """What one model is trained on."""

    name: str
    recording: Recording


def part(taken: Recording) -> Iterator[Series]:
    """Part a recording (T, S, C) into its S series (T', 1, C), each from its first value to its last."""
    channels = taken.values.shape[2]
    for s in range(taken.values.shape[1]):
        own = slice(s * channels, (s + 1) * channels)
        values = taken.values[:, s : s + 1]
        told = np.flatnonzero(np.isfinite(values[:, 0, : taken.target_channels]).any(axis=1))
        start, stop = (int(told[0]), int(told[-1]) + 1) if len(told) else (0, 0)
        recording = dataclasses.replace(
            taken,
            values=values[start:stop],
            names=taken.names[own],
            units=taken.units[own],
            start_ns=None if taken.start_ns is None else taken.start_ns + start * taken.period_ns,
            known=None if taken.known is None else taken.known[start:stop],
        )
        yield Series(taken.names[s * channels], recording)


def recipe_for(series: Series, recipe: Recipe) -> Recipe:
    """Give the recipe that trains this series alone: by it `edgeseq train DATA RECIPE` repeats the training."""
    columns = series.recording.names[: series.recording.target_channels]
    own = msgspec.structs.replace(recipe.recording, columns=columns)
    return msgspec.structs.replace(recipe, name=series.name, recording=own)
