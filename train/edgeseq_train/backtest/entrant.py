"""One forecaster in a backtest: what it forecast, what it cost, how good it was."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeseq.core.types import F32, F64
from edgeseq_train import scores
from edgeseq_train.backtest.growth import Growth
from edgeseq_train.backtest.plan import Plan

COVERAGES = (0.8, 0.9)


@dataclass(frozen=True, slots=True)
class Forecasts:
    """z-scores at the origins of a plan."""

    value: F32
    """(N, C, H)"""
    quantiles: F32
    """(N, C, H, Q)"""
    interval: tuple[F32, F32] | None = None
    """Lower and upper end (N, C, H) of the 90 % interval, where it is another than the quantiles'."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """A forecaster that was scored."""

    name: str
    scores: dict[int, dict[str, float]]
    """Horizon → measure → value; pinball and Winkler in seasonal-naive errors."""
    loss: dict[int, F64]
    """Horizon → loss of each origin (N - h + 1,), for the bootstrap."""
    mase_by_lead: F64
    """(H,)"""
    coverage_by_lead: F64
    """(H,) of the 90 % interval; NaN without one."""
    mae: dict[int, F64]
    """Horizon → (C,) in sensor units."""
    cost: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    growth: Growth | None = None
    """Of the difference that quantizing makes; None for peers, and where float32 itself is served or not carried."""
    caution: str = ""
    """Why these figures may not be honest; empty where nothing speaks against them."""


def score(name: str, f: Forecasts, plan: Plan, cost: dict[str, Any], seed: int | None = None) -> Entrant:
    """Score forecasts at all horizons of a plan."""
    error, y = plan.panel.season_error, plan.y
    absolute = np.abs(f.value - y)
    bands = {coverage: _band(f, plan.levels, coverage) for coverage in COVERAGES}
    measures: dict[str, F32] = {"pinball": scores.pinball(f.quantiles, y, plan.levels)}
    within: dict[str, F32] = {}
    for coverage, band in bands.items():
        if band is None:
            continue
        measures[f"winkler_{100 * coverage:.0f}"] = scores.winkler(*band, y, coverage)
        within[f"coverage_{100 * coverage:.0f}"] = scores.inside(*band, y)
    found = {}
    for h in plan.marks:
        found[h] = scores.point(f.value, y, error, h)._asdict()
        found[h] |= {m: float(np.mean(scores.up_to(v, h) / error)) for m, v in measures.items()}
        found[h] |= {m: float(np.mean(scores.at_lead(v, h))) for m, v in within.items()}
    nominal = within.get("coverage_90")
    return Entrant(
        name=name,
        scores=found,
        loss={h: scores.by_origin(f.value, y, error, h) for h in plan.marks},
        mase_by_lead=(scores.by_lead(absolute) / error[:, None]).mean(axis=0),
        coverage_by_lead=np.full(plan.horizon, np.nan)
        if nominal is None
        else scores.by_lead(nominal).mean(axis=0),
        mae={h: scores.up_to(absolute, h) * plan.panel.deviation for h in plan.marks},
        cost=cost,
        seed=seed,
    )


def _band(f: Forecasts, levels: tuple[float, ...], coverage: float) -> tuple[F32, F32] | None:
    if f.interval is not None and coverage == COVERAGES[-1]:
        return f.interval
    at = [k for k, level in enumerate(levels) if abs(level - (1 - coverage) / 2) < 1e-9]
    return (f.quantiles[..., at[0]], f.quantiles[..., -1 - at[0]]) if at else None
