"""River's HalfSpaceTrees over series of a file, in the peers' environment: `python peers_river.py given.npz made.npz`.

Readings are scaled to 0..1 by the range seen so far, as its documentation advises; the rest is as shipped.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

WINDOW = 250
"""As shipped."""


def score(values: Any) -> Any:
    """Score readings (n, C), each before it is learned (n,)."""
    from river import anomaly, compose, preprocessing  # type: ignore[import-not-found] # of its own environment

    model = compose.Pipeline(preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(seed=1, window_size=WINDOW))
    scores = np.zeros(len(values))
    for i, row in enumerate(values.tolist()):
        reading = {c: value for c, value in enumerate(row) if value == value}  # noqa: PLR0124 - NaN is no reading
        if len(reading) == len(row):
            scores[i] = model.score_one(reading)
            model.learn_one(reading)
    return scores


def main(given: str, made: str) -> None:
    """Score all series of a file; print their names in order."""
    with np.load(given) as series:
        scores = {name: score(series[name]) for name in series.files}
    np.savez(made, **scores)
    print(json.dumps(list(scores)))


if __name__ == "__main__":
    main(*sys.argv[1:3])
