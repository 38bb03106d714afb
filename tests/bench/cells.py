"""From forecasts to rows, cells (one data set at one horizon) and headline figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from edgeseq.core.types import F32
from edgeseq_train import scores
from edgeseq_train.peers import Panel

HORIZONS = (1, 24, 96)
MODEL = "edgeseq"
EXACT = "edgeseq float32"
ALONE = "edgeseq, model alone"
"""What the model says before the device blends it with its baseline."""
LSTM = "tutorial LSTM"
BEYOND = ("DLinear, absolute error",)
"""Shown, judged and counted in figures named any_peer, but not among the peers that the headline was defined by."""
COSTLY = ("SegRNN", LSTM)
"""What costs more per reading than the model: where both are equally good, the model is the simpler one."""
LONG_ROLLOUT = 10_000
"""Steps after which int8 weights must still agree."""
KNOWN = {
    "seasonal naive": ({1: 0.938, 24: 0.937, 96: 1.050}, 0.01),
    "ridge 96": ({1: 0.491, 24: 0.842, 96: 0.948}, 0.01),
    "ridge 336": ({1: 0.487, 24: 0.869, 96: 0.948}, 0.01),
    "DLinear": ({24: 0.901, 96: 0.969}, 0.03),
}
"""MASE on ETTh1's test part as measured elsewhere under the same protocol, and how far a valid run may be off."""
VALIDITY_DATA = "ett/ETTh1"
WALK = "random walk"

Row = dict[str, Any]


def row(
    data: str, forecaster: str, seed: int | None, forecast: F32, y: F32, panel: Panel, cost: Mapping[str, Any]
) -> Row:
    """Score one forecaster at all horizons."""
    by_horizon = {h: scores.point(forecast, y, panel.season_error, h) for h in HORIZONS}
    measures = {
        measure: {str(h): round(getattr(score, measure), 5) for h, score in by_horizon.items()}
        for measure in scores.PointScore._fields
    }
    return {"data": data, "forecaster": forecaster, "seed": seed, **measures, **cost}


def cells(
    data: str, peers: Mapping[str, F32], models: Sequence[F32], y: F32, panel: Panel, *, counts: bool
) -> list[Row]:
    """Compare the seeds' mean error with each peer's at each horizon."""
    return [_cell(h, peers, models, y, panel) | {"data": data, "counts": counts} for h in HORIZONS if models]


def _cell(h: int, peers: Mapping[str, F32], models: Sequence[F32], y: F32, panel: Panel) -> Row:
    error = {name: scores.point(f, y, panel.season_error, h).mase for name, f in peers.items()}
    seeds = [scores.point(f, y, panel.season_error, h).mase for f in models]
    ours = float(np.mean(seeds))
    any_peer = min(error, key=lambda name: error[name])
    best = min((name for name in error if name not in BEYOND), key=lambda name: error[name])
    loss = {name: scores.by_origin(f, y, panel.season_error, h) for name, f in peers.items()}
    loss[MODEL] = np.mean([scores.by_origin(f, y, panel.season_error, h) for f in models], axis=0)
    block = scores.block_steps(len(loss[MODEL]), panel.season, h)
    low, high = scores.ratio_interval(loss[MODEL], loss[best], block)
    simplest_first = sorted(loss, key=lambda name: (name in COSTLY, name == MODEL))
    verdict = scores.judge({name: loss[name] for name in simplest_first}, block)
    return {
        "h": h, "best_peer": best, "ratio": ours / error[best], "low": low, "high": high, "block_steps": block,
        "ratio_seeds": [s / error[best] for s in seeds], "any_peer": any_peer, "any_peer_ratio": ours / error[any_peer],
        "lstm_ratio": ours / error[LSTM] if LSTM in error else None, "winner": verdict.winner, "lowest": verdict.lowest,
    }  # fmt: skip


def quantization(data: str, rows: Sequence[Row], steps: int) -> Row:
    """Say what int8 weights cost on a data set: mean over seeds, per cent of MASE."""
    loss = {}
    for h in map(str, HORIZONS):
        mean = {f: np.mean([r["mase"][h] for r in rows if r["forecaster"] == f]) for f in (MODEL, EXACT)}
        loss[h] = round(100 * float(mean[MODEL] / mean[EXACT] - 1), 3)
    return {"data": data, "int8_weights_mase_loss_percent": loss, "steps": steps}


def figures(rows: Sequence[Row], made: Sequence[Row], quantized: Sequence[Row]) -> dict[str, Any]:
    """Flatten what the run says into named numbers."""
    counting = [c for c in made if c["counts"]]
    result: dict[str, Any] = {"valid": is_valid(rows)}
    if counting:
        ratios = [c["ratio"] for c in counting]
        by_seed = np.array([c["ratio_seeds"] for c in counting])
        result |= {
            "geomean_ratio_best_peer": _geomean(ratios),
            "geomean_ratio_best_seed": min(map(_geomean, by_seed.T)),
            "geomean_ratio_worst_seed": max(map(_geomean, by_seed.T)),
            "worst_cell_ratio": max(ratios),
            "worst_cell_ratio_any_seed": float(by_seed.max()),
            "geomean_ratio_any_peer": _geomean([c["any_peer_ratio"] for c in counting]),
            "worst_cell_ratio_any_peer": max(c["any_peer_ratio"] for c in counting),
        }
        lstm = [c["lstm_ratio"] for c in counting if c["lstm_ratio"]]
        if lstm:
            result["tutorial_lstm_ratio"] = _geomean(lstm)
    walk = [c["winner"] for c in made if c["data"] == WALK]
    if walk:
        result["persistence_wins_random_walk"] = float(set(walk) == {"persistence"})
    for c in made:
        result[f"ratio_{c['data']}_{c['h']}"] = c["ratio"]
    for measure in ("mse", "mae"):
        values = [r[measure]["96"] for r in rows if r["data"] == VALIDITY_DATA and r["forecaster"] == MODEL]
        if values:
            result[f"etth1_96_{measure}"] = float(np.mean(values))
            result[f"etth1_96_{measure}_spread"] = float(np.ptp(values))
    for h in map(str, HORIZONS):
        losses = {q["data"]: q["int8_weights_mase_loss_percent"][h] for q in quantized}
        long = [losses[q["data"]] for q in quantized if q["steps"] >= LONG_ROLLOUT]
        if long:
            result[f"int8_weights_mase_loss_percent_{h}"] = max(long)
        result |= {f"int8_weights_mase_loss_percent_{h}_{data}": loss for data, loss in losses.items()}
    return result


def is_valid(rows: Sequence[Row]) -> float | None:
    """Tell whether the peers on ETTh1 stand where they are known to: 1 or 0; None where they did not all run."""
    errors = {r["forecaster"]: r["mase"] for r in rows if r["data"] == VALIDITY_DATA and "mase" in r}
    if not KNOWN.keys() <= errors.keys():
        return None
    return float(
        all(
            abs(errors[name][str(h)] / mase - 1) <= tolerance
            for name, (known, tolerance) in KNOWN.items()
            for h, mase in known.items()
        )
    )


def _geomean(values: Any) -> float:
    return float(np.exp(np.mean(np.log(values))))


def table(data: str, rows: Sequence[Row], made: Sequence[Row]) -> Table:
    """Lay out one data set: forecasters, then the ratio to the best peer."""
    t = Table(title=data, title_justify="left")
    t.add_column("forecaster", no_wrap=True)
    for name in (*(f"MASE\n1-{h}" if h > 1 else "MASE\n1" for h in HORIZONS), "MSE\n1-96", "MAE\n1-96"):
        t.add_column(name, justify="right")
    for name in ("parameters", "state\nbytes", "µs per\nreading", "training\nCPU s"):
        t.add_column(name, justify="right")
    for r in rows:
        label = r["forecaster"] + (f", seed {r['seed']}" if r["seed"] is not None else "")
        if "unfit" in r:
            t.add_row(label, r["unfit"])
            continue
        errors = [f"{r['mase'][str(h)]:.4f}" for h in HORIZONS] + [
            f"{r[m]['96']:.4f}" for m in ("mse", "mae")
        ]
        t.add_row(
            label,
            *errors,
            *(str(r.get(k, "")) for k in ("parameters", "state_bytes", "us_per_reading", "train_cpu_s")),
        )
    if not made:
        return t
    t.add_section()
    t.add_row("ratio to the best peer", *(f"{c['ratio']:.3f}" for c in made))
    t.add_row("  95 % interval", *(f"{c['low']:.3f}-{c['high']:.3f}" for c in made))
    t.add_row("  best peer", *(c["best_peer"] for c in made))
    if any(c["any_peer"] != c["best_peer"] for c in made):
        t.add_row("ratio to any peer", *(f"{c['any_peer_ratio']:.3f}" for c in made))
    t.add_row("wins here", *(c["winner"] for c in made))
    return t
