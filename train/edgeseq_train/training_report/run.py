"""All that a training run leaves for its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeseq.bundle import Manifest
from edgeseq.core import features
from edgeseq.core.types import F32
from edgeseq_train import serving
from edgeseq_train.fit import Fitted
from edgeseq_train.parts import Recording, Split, split_rows
from edgeseq_train.pictures.times import Clock
from edgeseq_train.produce import Forecasts
from edgeseq_train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Run:
    """What was trained, on what, and what came of it."""

    recording: Recording
    fitted: Fitted
    recipe: Recipe
    manifest: Manifest
    forecasts: Forecasts

    @property
    def split(self) -> Split:
        """Give the parts of the recording."""
        return split_rows(len(self.recording.values), self.recipe.split)

    @property
    def clock(self) -> Clock:
        """Give what turns steps into times."""
        return Clock(self.recording.period_ns, self.recording.start_ns)

    @property
    def inputs(self) -> F32:
        """Give what the network was fed with up to the end of the test part (T, S, C), covariates among it."""
        values = self.recording.values[: self.split.test]
        return features.normalise(values, self.fitted.anchor, self.fitted.unit)

    @property
    def season(self) -> int:
        """Give the shortest season in steps; 1 where there is none."""
        return self.fitted.spec.seasons[0] if self.fitted.spec.seasons else 1

    @property
    def error_unit(self) -> str:
        """Name what errors are counted in: see `fit.naive_error`."""
        return "seasonal-naive error" if self.fitted.spec.seasons else "mean change of a step"

    @property
    def variants(self) -> dict[str, dict[str, Any]]:
        """Give the table's rows of the model's variants by name; the first is float32."""
        rows = self.manifest.training["table"]
        return {row["forecaster"].removeprefix("model "): row for row in rows if "loss" in row}

    def served(self) -> F32:
        """Give the points (N, S, C, H) that a device would publish: the model's medians blended with its baseline's."""
        f, spec = self.forecasts, self.fitted.spec
        medians = f.quantiles[..., len(spec.levels) // 2]
        if f.before is not None:
            medians = np.concatenate([f.before, medians])
        rolled = slice(f.origins.stop - len(medians), f.origins.stop)
        return serving.blended(medians, f.x, rolled, f.origins, spec.seasons[0] if spec.seasons else 0)

    def lost_percent(self, variant: str) -> float:
        """Say how much the loss rises by storing the weights so."""
        return float(100 * (self.variants[variant]["loss"] / self.variants["float32"]["loss"] - 1))

    def column(self, stream: int, channel: int) -> tuple[str, str]:
        """Name a column, and label an axis with it and its unit."""
        index = stream * self.recording.values.shape[2] + channel
        name = self.recording.names[index]
        unit = self.recording.units[index] if self.recording.units else None
        return name, f"{name}, {unit}" if unit else name
