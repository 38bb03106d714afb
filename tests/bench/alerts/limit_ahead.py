"""limit_ahead on ramps with noise, and on real series whose limits are high and low quantiles of their past.

    python -m tests.bench.alerts.limit_ahead DATA

Ramps: streams without a bundle stand still under noise for as long as they learn, and then rise to their limit,
straight; a ramp is found where the alert comes with half of the true lead time left, which is that of the ramp. False
alarms are counted on streams that only stand still, and on slow wanders that end below the limit. A reading is an hour.

Real series: a crossing is a reading beyond the limit after a day within; it is found where an alert was open for it at
any time in the horizon before, or had just been cleared by it. An alert is false where no reading beyond the limit
comes within the horizon of it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.forecast import Stepper
from edgeseq.core.types import F64, AlertEvent, AlertKind, Event, Limits, StreamRule
from tests.bench.alerts import bundles, roll
from tests.bench.datasets import HOUR_S, DataSet

Row = dict[str, Any]

SEED = 20
LEARNING = 340
"""Readings until a stream without a season is live, and a few."""
HORIZON = 96
LENGTHS = (12, 24, 48, 96)
"""Readings from the start of a ramp to its limit."""
RISES = (10.0, 30.0)
"""How far below its limit a ramp starts, in deviations of the noise."""
COPIES = 20
"""Ramps of each length and rise."""
QUIET_STEPS = 2000
WEEK_STEPS = 168
QUANTILES = (0.98, 0.995)
"""Of the training part: limits of real series."""


class Span(NamedTuple):
    """An alert while it was open."""

    stream: int
    opened: int
    """Step at which it was told."""
    cleared: int
    crossing: float
    """Step at which the limit is crossed, as said when it opened; NaN unknown."""
    earliest: float
    latest: float


def run(data: Path) -> tuple[list[Row], dict[str, float]]:
    """Measure ramps, quiet streams, and all data sets that are there."""
    rows = [ramps(), quiet()]
    for name, d in bundles.find(data).items():
        bundle = roll.stepper_of(bundles.trained(data, name, d))
        rows += [real(name, d, stepper, q) for stepper in (bundle, None) for q in QUANTILES]
    return rows, figures(rows)


def ramps() -> Row:
    """Let streams rise to their limit."""
    rng = np.random.default_rng(SEED)
    plans = [(length, rise) for length in LENGTHS for rise in RISES for _ in range(COPIES)]
    steps = np.arange(LEARNING + max(LENGTHS) + 24)
    level = np.stack(
        [np.clip((steps - LEARNING) / length, 0, 1.2) * rise - rise for length, rise in plans], axis=1
    )
    values = level + rng.standard_normal(level.shape)
    spans = alerts_of(_rule(HOUR_S, 0, Limits(max=0.0)), None, values)
    found, covered, leads = [], [], []
    for s, (length, _) in enumerate(plans):
        truth = LEARNING + length
        first = next((span for span in spans if span.stream == s and span.opened >= LEARNING), None)
        left = -1.0 if first is None else float(truth - first.opened)
        found.append(left >= min(length, HORIZON) / 2)
        leads.append(max(left, 0.0) / length)
        if first is not None:
            late = np.inf if np.isnan(first.latest) else first.latest
            covered.append(first.earliest - 1 <= truth <= late + 1)
    by_plan = {
        f"{length} readings, {rise:g} deviations": float(
            np.mean([f for f, plan in zip(found, plans, strict=True) if plan == (length, rise)])
        )
        for length, rise in dict.fromkeys(plans)
    }
    return {
        "what": "ramps", "streams": len(plans),
        "recall_half_lead": float(np.mean(found)), "recall_by_plan": by_plan,
        "median_share_of_lead_left": float(np.median(leads)), "crossing_in_its_interval": float(np.mean(covered)),
    }  # fmt: skip


def quiet() -> Row:
    """Let streams stand still, or wander, below their limit."""
    rng = np.random.default_rng(SEED + 1)
    noise = rng.standard_normal((LEARNING + QUIET_STEPS, 100)) - np.repeat(RISES, 50)
    kernel = np.ones(200) / np.sqrt(200)
    wander = np.stack(
        [np.convolve(row, kernel, "same") for row in rng.standard_normal((50, len(noise)))], axis=1
    )
    wander = wander - wander.max(axis=0) - 3.0
    values = np.concatenate([noise, wander], axis=1)
    spans = alerts_of(_rule(HOUR_S, 0, Limits(max=0.0)), None, values)
    weeks = QUIET_STEPS / WEEK_STEPS
    return {
        "what": "quiet", "streams": values.shape[1],
        "false_per_week": len(spans) / weeks / values.shape[1],
        "false_per_week_of_noise": sum(s.stream < 100 for s in spans) / weeks / 100,
        "false_per_week_of_wanders": sum(s.stream >= 100 for s in spans) / weeks / 50,
    }  # fmt: skip


def real(name: str, d: DataSet, stepper: Stepper | None, quantile: float) -> Row:
    """Forecast the crossings of a recording's test part."""
    start = min(roll.HISTORY, d.validation - d.train)
    values = d.targets[d.validation - start : d.test]
    crossings = found = false = alerts = 0
    leads: list[float] = []
    weeks = d.targets.shape[1] * (len(values) - start) * d.period_s / (WEEK_STEPS * HOUR_S)
    scaled, limit = _to_one_limit(values, d.targets[: d.train], quantile)
    spans = alerts_of(
        _rule(d.period_s, d.season, Limits(max=limit), bundle=stepper is not None), stepper, scaled
    )
    for s in range(values.shape[1]):
        beyond = np.nan_to_num(scaled[:, s], nan=-np.inf) > limit
        own = [span for span in spans if span.stream == s and span.opened >= start]
        at = _crossings(beyond, start, d.season)
        crossings += len(at)
        for time in at:
            before = [x for x in own if time - HORIZON <= x.opened < time <= x.cleared + 6]
            found += bool(before)
            leads += [time - before[0].opened] if before else []
        alerts += len(own)
        false += sum(not beyond[x.opened : x.opened + HORIZON + 1].any() for x in own)
    return {
        "what": name, "serves": "baseline" if stepper is None else "bundle",
        "quantile": quantile, "crossings": crossings,
        "recall": found / crossings if crossings else None, "alerts": alerts, "false_per_week": false / weeks,
        "median_lead_steps": float(np.median(leads)) if leads else None,
    }  # fmt: skip


def _to_one_limit(values: F64, past: F64, quantile: float) -> tuple[F64, float]:
    """Shift and scale channels so that the same limit is the quantile of each one's past."""
    high, deviation = np.nanquantile(past, quantile, axis=0), np.nanstd(past, axis=0)
    return (values - high) / deviation, 0.0


def _crossings(beyond: NDArray[np.bool_], start: int, day: int) -> list[int]:
    """List the steps beyond a limit that come after a day within."""
    steps = np.flatnonzero(beyond)
    before = np.diff(steps, prepend=-day)
    return [int(step) for step, gap in zip(steps, before, strict=True) if gap > day and step >= start]


def _rule(period_s: int, season: int, limits: Limits, *, bundle: bool = False) -> StreamRule:
    return roll.rule_of(period_s, season, HORIZON, bundle=bundle, limits={"value": limits})


def alerts_of(rule: StreamRule, stepper: Stepper | None, values: F64) -> list[Span]:
    """Play values (T, S) and give the alerts of this kind, in the order in which they opened."""
    spans: list[Span] = []
    opened: dict[int, int] = {}

    def take(t: int, events: list[Event]) -> None:
        for event in events:
            if not isinstance(event, AlertEvent) or event.kind is not AlertKind.LIMIT_AHEAD:
                continue
            if event.event_type == "opened":
                made = event.time_ns // rule.period_ns
                steps = (made + (np.nan if x is None else x) for x in event.crossing_steps or (None,) * 3)
                opened[event.stream] = len(spans)
                spans.append(Span(event.stream, t, len(values), *steps))
            elif event.event_type == "cleared":
                place = opened.pop(event.stream)
                spans[place] = spans[place]._replace(cleared=t)

    roll.play(roll.new_state(rule, stepper, values.shape[1]), rule, values, take)
    return spans


def figures(rows: list[Row]) -> dict[str, float]:
    """Sum up."""
    first, second, *others = rows
    worst = max((row["false_per_week"] for row in others), default=0.0)
    return {
        "limit_ahead_ramp_recall": first["recall_half_lead"],
        "limit_ahead_ramp_interval_holds": first["crossing_in_its_interval"],
        "limit_ahead_quiet_false_per_week": second["false_per_week"],
        "limit_ahead_real_false_per_week_worst": worst,
    }


if __name__ == "__main__":
    found_rows, found_figures = run(Path(sys.argv[1]))
    for row in found_rows:
        print(json.dumps(row))
    print(json.dumps(found_figures, indent=1))
