"""Peers' forecasts, kept under a digest of all they depend on, so that a bench run again while tuning is fast."""

from __future__ import annotations

import hashlib
import importlib
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgeseq.core.types import F32
from edgeseq_train.peers import Panel, Peer, Unfit

SEED = 0
"""Peers with random starts get one."""


class Kept(NamedTuple):
    """A peer's forecasts; None where it cannot be used, with the reason in cost."""

    forecast: F32 | None
    """z-scores (N, C, H)."""
    cost: dict[str, Any]


def forecast(peer: Peer, panel: Panel, origins: slice, horizon: int, folder: Path | None) -> Kept:
    """Fit and forecast, or read what was kept; folder None: keep nothing."""
    if folder is None:
        return _made(peer, panel, origins, horizon)
    path = folder / f"{digest(peer, panel, origins, horizon)}.npz"
    if path.exists():
        with np.load(path) as kept:
            return Kept(kept.get("forecast"), json.loads(str(kept["cost"])))
    made = _made(peer, panel, origins, horizon)
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {} if made.forecast is None else {"forecast": made.forecast}
    whole = path.with_suffix(".part.npz")
    np.savez(whole, cost=json.dumps(made.cost), **arrays)
    whole.rename(path)
    return made


def digest(peer: Peer, panel: Panel, origins: slice, horizon: int) -> str:
    """Name the forecasts of a peer: its settings and text, the data, the split, the origins."""
    h = hashlib.sha256()
    for module in ("edgeseq_train.peers.panel", *peer.modules):
        h.update(Path(str(importlib.import_module(module).__file__)).read_bytes())
    h.update(
        repr(
            (peer.name, peer.settings, origins, horizon, panel.train, panel.validation, panel.season)
        ).encode()
    )
    for array in (panel.z, panel.covariates):
        h.update(np.ascontiguousarray(array).tobytes())
    return h.hexdigest()[:24]


def _made(peer: Peer, panel: Panel, origins: slice, horizon: int) -> Kept:
    begun = time.process_time()
    trained = peer.fit(panel, horizon, SEED)
    if isinstance(trained, Unfit):
        return Kept(None, {"unfit": trained.reason})
    train_s = time.process_time() - begun
    made = trained.forecast(panel, origins)
    us = 1e6 * (time.process_time() - begun - train_s) / made.shape[0] / made.shape[1]
    cost = {
        "train_cpu_s": round(train_s, 1), "parameters": trained.parameters, "state_bytes": 4 * trained.state_values,
        "us_per_reading": round(us, 1),
    }  # fmt: skip
    return Kept(made, cost)
