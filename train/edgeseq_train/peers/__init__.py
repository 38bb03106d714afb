"""Forecasters to be measured against, each in a few lines and as strong as a statistician would make it.

All get the same panel of z-scores, are fitted on its training part, choose what there is to choose on its validation
part, and forecast every lead of every origin. None sees a value after its origin: a test says so for each.
"""

from __future__ import annotations

from edgeseq_train.peers import dlinear
from edgeseq_train.peers.dlinear import dlinear_peer
from edgeseq_train.peers.holt_winters import holt_winters_peer
from edgeseq_train.peers.linear import ridge_peer
from edgeseq_train.peers.naive import persistence_peer, seasonal_naive_peer
from edgeseq_train.peers.panel import Panel, Peer, Trained, Unfit, make_panel
from edgeseq_train.peers.segrnn import segrnn_peer
from edgeseq_train.peers.tutorial_lstm import tutorial_lstm_peer

PEERS: tuple[Peer, ...] = (
    persistence_peer(),
    seasonal_naive_peer(),
    holt_winters_peer(),
    ridge_peer("ridge 96", 96),
    ridge_peer("ridge 336", 336),
    ridge_peer("ridge two seasons", None),
    dlinear_peer("DLinear", dlinear.PLAN),
    dlinear_peer("DLinear, absolute error", dlinear.ABSOLUTE),
    segrnn_peer(),
    tutorial_lstm_peer(),
)
"""The simplest first: of two that are equally good, it is the one to ship."""

NETWORKS = ("DLinear", "DLinear, absolute error", "SegRNN", "tutorial LSTM")
"""Those that need TensorFlow, and most of the time."""

__all__ = ["NETWORKS", "PEERS", "Panel", "Peer", "Trained", "Unfit", "make_panel"]
