"""What a backtest found: scores, who wins at each horizon and how surely, in words and as a data frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from edgeseq.core.types import F64
from edgeseq_train import scores
from edgeseq_train.backtest import words
from edgeseq_train.backtest.entrant import Entrant
from edgeseq_train.backtest.plan import Plan
from edgeseq_train.backtest.words import NAME, Comparison

COSTLY = ("SegRNN", "tutorial LSTM")
"""They run a window again for each reading: of two that are equally good, the model is the simpler one."""
COSTS = ("parameters", "state_bytes", "us_per_reading", "peak_bytes", "train_cpu_s")


@dataclass(frozen=True, slots=True)
class Line:
    """One forecaster, its seeds together."""

    name: str
    seeds: tuple[Entrant, ...]

    def mean(self, h: int, measure: str) -> float:
        """Average a measure over the seeds; NaN where it was not taken."""
        return float(np.mean([e.scores[h].get(measure, np.nan) for e in self.seeds]))

    def spread(self, h: int, measure: str = "mase") -> float:
        """Tell the largest minus the smallest of the seeds."""
        return float(np.ptp([e.scores[h][measure] for e in self.seeds]))

    def loss(self, h: int) -> F64:
        """Average the loss of each origin over the seeds."""
        return np.asarray(np.mean([e.loss[h] for e in self.seeds], axis=0))

    def mae(self, h: int) -> F64:
        """Average the error of each series (C,) in sensor units over the seeds."""
        return np.asarray(np.mean([e.mae[h] for e in self.seeds], axis=0))

    def cost(self, name: str) -> Any:
        """Give a cost of the first seed; None where unknown."""
        return self.seeds[0].cost.get(name)


@dataclass(frozen=True)
class Results:
    """All of a backtest."""

    plan: Plan
    entrants: Sequence[Entrant]
    left_out: dict[str, str]
    """Peers that could not be used, and why."""

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """List the forecasters, the simplest first."""
        names = dict.fromkeys(e.name for e in self.entrants)
        in_order = sorted(names, key=lambda name: (name in COSTLY, name == NAME))
        return tuple(Line(n, tuple(e for e in self.entrants if e.name == n)) for n in in_order)

    def line(self, name: str) -> Line:
        """Find a forecaster."""
        return next(line for line in self.lines if line.name == name)

    @cached_property
    def verdicts(self) -> dict[int, scores.Verdict]:
        """Judge each horizon."""
        return {
            h: scores.judge({line.name: line.loss(h) for line in self.lines}, self.plan.block)
            for h in self.plan.marks
        }

    @cached_property
    def against(self) -> dict[int, Comparison]:
        """Compare the model with the best peer at each horizon; empty without either."""
        peers = [line for line in self.lines if line.name != NAME]
        if not peers or len(peers) == len(self.lines):
            return {}
        best = {h: min(peers, key=lambda line: line.loss(h).sum()) for h in self.plan.marks}
        return {h: self.compare(line, h) for h, line in best.items()}

    def compare(self, peer: Line, h: int) -> Comparison:
        """Compare the model with a peer."""
        ours, theirs = self.line(NAME).loss(h), peer.loss(h)
        interval = scores.ratio_interval(ours, theirs, self.plan.block)
        return Comparison(peer.name, float(ours.sum() / theirs.sum()), *interval)

    @cached_property
    def cautions(self) -> list[str]:
        """List why figures may not be honest."""
        return list(dict.fromkeys(e.caution for e in self.entrants if e.caution))

    @cached_property
    def growths(self) -> list[str]:
        """Say for each model whether what quantizing costs grows along the roll-out."""
        return [e.growth.said for e in self.entrants if e.growth]

    def said(self) -> list[str]:
        """Say who wins at each horizon."""
        ratio = {
            h: _total_ratio(self.line(v.lowest), self.line(v.winner), h) for h, v in self.verdicts.items()
        }
        return [words.who_wins(h, v, ratio[h], self.against.get(h)) for h, v in self.verdicts.items()]

    def frame(self) -> pl.DataFrame:
        """Give a row for each forecaster and horizon: errors, intervals, costs, and whether it wins."""
        rows = []
        measures = dict.fromkeys(m for e in self.entrants for s in e.scores.values() for m in s)
        for line in self.lines:
            for h in self.plan.marks:
                row = {"forecaster": line.name, "h": h, **{m: line.mean(h, m) for m in measures}}
                row |= {"mase_spread": line.spread(h), "seeds": len(line.seeds)}
                row |= {"wins": words.sure_winner(self.verdicts[h]) == line.name}
                rows.append(row | {c: line.cost(c) for c in COSTS})
        return pl.DataFrame(rows, infer_schema_length=None)

    def document(self) -> dict[str, Any]:
        """Give everything as values for JSON."""
        plan = self.plan
        return {
            "series": list(plan.names), "period_ns": plan.recording.period_ns, "horizon": plan.horizon,
            "season": plan.panel.season, "levels": list(plan.levels), "origins": len(plan.y), "block_steps": plan.block,
            "split": {"train": plan.split.train, "validation": plan.split.validation, "test": plan.split.test},
            "horizons": [
                {"h": h, **v._asdict(), "said": said, "against": a._asdict() if (a := self.against.get(h)) else None}
                for (h, v), said in zip(self.verdicts.items(), self.said(), strict=True)
            ],
            "forecasters": [_document(line, plan) for line in self.lines],
            "left_out": self.left_out, "cautions": self.cautions,
        }  # fmt: skip


def _document(line: Line, plan: Plan) -> dict[str, Any]:
    return {
        "name": line.name,
        "seeds": [e.seed for e in line.seeds if e.seed is not None],
        "scores": [
            {
                str(h): dict(zip(e.scores[h], _known(np.array([*e.scores[h].values()])), strict=True))
                for h in plan.marks
            }
            for e in line.seeds
        ],
        "mase_by_lead": _known(np.mean([e.mase_by_lead for e in line.seeds], axis=0)),
        "coverage_90_by_lead": _known(np.mean([e.coverage_by_lead for e in line.seeds], axis=0)),
        "mae": {str(h): dict(zip(plan.names, _known(line.mae(h)), strict=True)) for h in plan.marks},
        "cost": line.seeds[0].cost,
        "growth": [e.growth.document() if e.growth else None for e in line.seeds],
    }


def _known(values: F64) -> list[float | None]:
    """Write numbers for JSON, which has no NaN."""
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in values]


def _total_ratio(a: Line, b: Line, h: int) -> float:
    return float(a.loss(h).sum() / b.loss(h).sum())
