"""Forecasters to be measured against, each in a few lines and as strong as a statistician would make it.

All get the same panel of z-scores, are fitted on its training part, choose what there is to choose on its validation
part, and forecast every lead of every origin. None sees a value after its origin: a test says so for each.
"""

from __future__ import annotations

from edgeseq_train.peers.linear import DENSE_LIMIT, ridge_peer, two_seasons
from edgeseq_train.peers.naive import persistence_peer, seasonal_naive_peer
from edgeseq_train.peers.panel import Panel, Peer, Trained, Unfit, make_panel

PEERS: tuple[Peer, ...] = (
    persistence_peer(),
    seasonal_naive_peer(),
    ridge_peer("ridge 96", 96),
    ridge_peer("ridge 336", 336),
    ridge_peer("ridge two seasons", None),
)
"""In the order of the tables."""

__all__ = ["DENSE_LIMIT", "PEERS", "Panel", "Peer", "Trained", "Unfit", "make_panel", "two_seasons"]
