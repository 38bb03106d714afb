"""Forecasts and outcomes as a report is made of."""

from __future__ import annotations

import re

import numpy as np

from edgeseq_train.evaluate import Truth
from edgeseq_train.pictures.times import Clock
from edgeseq_train.produce import Forecasts
from edgeseq_train.training_report import findings
from edgeseq_train.training_report.findings import MODEL
from edgeseq_train.training_report.verdict import Outcome
from tests.train.conftest import HOUR_NS

CLOCK = Clock(HOUR_NS)
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def cells(html: str) -> set[str]:
    """Collect the figures that the tables and lists of facts of a page show, without signs."""
    found = re.findall(r"<(?:td|dd)[^>]*>(.*?)</(?:td|dd)>", html)
    return {figure for cell in found for figure in NUMBER.findall(cell)}


def made_forecasts(
    errors: dict[str, float], steps: int = 600, horizon: int = 6, seed: int = 0, noise: float = 0.5
) -> Forecasts:
    """Make forecasts whose errors grow with lead and are that much of the model's; one stream, readings of noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((steps + horizon, 1, 1)).astype(np.float32)
    y = np.lib.stride_tricks.sliding_window_view(x, horizon, axis=0)[1 : steps + 1]
    miss = rng.laplace(size=(len(y), 1, 1, horizon)) * np.sqrt(np.arange(1, horizon + 1)) * noise
    peers = {name: (y + share * miss).astype(np.float32) for name, share in errors.items()}
    spread = np.array([-2.3, -1.6, -0.7, 0.0, 0.7, 1.6, 2.3]) * noise
    quantiles = (y + miss)[..., None] + np.sqrt(np.arange(1, horizon + 1))[:, None] * spread
    truth = Truth(y, np.ones((1, 1)), np.ones((1, 1)))
    return Forecasts(x, slice(0, len(y)), truth, peers, quantiles.astype(np.float32))


def outcome(peers: dict[str, float], *, recurrent: bool = True, horizon: int = 6) -> Outcome:
    """Make an outcome in which each peer errs so many times as much as the model."""
    f = made_forecasts(peers, horizon=horizon)
    errors = findings.measure(f)
    chance = {
        n: findings.chance(errors.by_origin[MODEL], e, horizon)
        for n, e in errors.by_origin.items()
        if n != MODEL
    }
    bands = {"90 %": (0.9, findings.inside(f, 1)[0], findings.inside(f, horizon)[0])}
    return Outcome(errors, chance, recurrent, bands, "int8_weights", 0.02, ("seen", "do"))
