"""A backtest on many workers: each forecaster is an item of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from edgeseq_train.backtest import models, run_peer
from edgeseq_train.backtest.asked import makers
from edgeseq_train.backtest.entrant import Entrant
from edgeseq_train.backtest.plan import Plan
from edgeseq_train.backtest.results import Results
from edgeseq_train.fleet.executor import Executor
from edgeseq_train.peers import PEERS, Peer, Unfit
from edgeseq_train.recipe import Recipe


class Shared(NamedTuple):
    """What all forecasters of a backtest share."""

    plan: Plan
    recipe: Recipe


class Item(NamedTuple):
    """A peer by its name, or a model by the place of its seed."""

    peer: str | None
    seed: int = 0


def enter(shared: Shared, item: Item) -> Entrant | Unfit:
    """Fit, forecast and score one of them."""
    if item.peer is not None:
        return run_peer(next(peer for peer in PEERS if peer.name == item.peer), shared.plan)
    make = makers(shared.plan, shared.recipe, item.seed + 1)[item.seed]
    return models.run(make(_quiet), shared.plan, _quiet)


def backtest(
    shared: Shared, seeds: int, peers: Sequence[Peer], execute: Executor, progress: Callable[[int, int], None]
) -> Results:
    """Do what `backtest.backtest` does for a recipe, with each forecaster where there is room."""
    # The models first: they take longest.
    items = [*(Item(None, k) for k in range(seeds)), *(Item(peer.name) for peer in peers)]
    found: dict[int, Entrant | Unfit] = {}
    progress(0, len(items))
    for place, result in execute(enter, shared, items):
        found[place] = result
        progress(len(found), len(items))
    in_order = [*range(seeds, len(items)), *range(seeds)]
    entrants = [one for k in in_order if isinstance(one := found[k], Entrant)]
    left_out = {str(items[k].peer): one.reason for k in in_order if isinstance(one := found[k], Unfit)}
    return Results(shared.plan, entrants, left_out)


def _quiet(*_: object) -> None:
    """Tell nobody how one of many goes."""
