"""Backtest: forecast history as a device would have, one reading at a time, beside strong peers; say who wins.

recording ─ plan ─▶ origins and truth ─▶ peers (fitted once) ─▶ entrants ─▶ findings ─▶ table, JSON, page
                                     └─▶ models (the core of a device) ─┘
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edgeseq_train import scores
from edgeseq_train.backtest import models
from edgeseq_train.backtest.bands import error_quantiles
from edgeseq_train.backtest.entrant import Entrant, Forecasts, score
from edgeseq_train.backtest.models import Model, Progress
from edgeseq_train.backtest.plan import Plan, make_plan
from edgeseq_train.backtest.results import Results
from edgeseq_train.backtest.words import NAME
from edgeseq_train.peers import PEERS, Peer, Unfit

__all__ = ["Model", "Plan", "Results", "backtest", "make_plan", "run_peer"]

PEER_SEED = 0


def backtest(
    plan: Plan, made: Sequence[Callable[[Progress], Model]], peers: Sequence[Peer] = PEERS,
    progress: Progress = lambda *_: None,
) -> Results:  # fmt: skip
    """Run peers and models; a model is made (trained or read) when its turn comes."""
    entrants: list[Entrant] = []
    left_out: dict[str, str] = {}
    for k, peer in enumerate(peers):
        progress(f"peer {k + 1} of {len(peers)}: {peer.name}", k / len(peers))
        found = run_peer(peer, plan)
        if isinstance(found, Unfit):
            left_out[peer.name] = found.reason
            continue
        entrants.append(found)
    for make in made:
        model = make(progress)
        entrants.append(
            models.run(model, plan, lambda share: progress(f"{NAME} steps through history", share))
        )
    return Results(plan, entrants, left_out)


def run_peer(peer: Peer, plan: Plan) -> Entrant | Unfit:
    """Fit a peer, let it forecast, and score it."""
    begun = time.process_time()
    trained = peer.fit(plan.panel, plan.horizon, PEER_SEED)
    if isinstance(trained, Unfit):
        return trained
    train_s = time.process_time() - begun
    value = trained.forecast(plan.panel, plan.origins)
    us = 1e6 * (time.process_time() - begun - train_s) / len(value) / value.shape[1]
    # Errors on validation: of origins whose targets lie wholly in it.
    before = slice(plan.split.train - 1, plan.split.validation - plan.horizon)
    truth = scores.targets(plan.panel.z[: plan.split.validation], before, plan.horizon)
    errors = error_quantiles(trained.forecast(plan.panel, before), truth, plan.levels)
    cost = {
        "parameters": trained.parameters, "state_bytes": 4 * trained.state_values, "us_per_reading": us,
        "train_cpu_s": train_s,
    }  # fmt: skip
    return score(peer.name, Forecasts(value, value[..., None] + errors), plan, cost)
