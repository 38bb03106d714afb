"""Peers on the injected faults: each at the threshold that gives one alarm a week on the same recording's clean part.

That favours them: the threshold is chosen on what it is then judged by. They give no names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeseq.core.types import F64, Bool
from tests.bench.alerts import peers
from tests.bench.alerts.clean import Recording
from tests.bench.alerts.faults import nine
from tests.bench.alerts.nab_score import BURST_ROWS
from tests.bench.alerts.parts import Row
from tests.bench.alerts.plan import Placed
from tests.bench.alerts.play import Series

WEEK_S = 604_800
SLOW_SHARE = 8
"""The trees take long: of the faults each eighth is put to them."""


class Peers:
    """What the peers found so far."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[bool]] = {}
        """(peer, kind) → whether each headline fault was found."""
        self._without: bool = False

    def take(
        self,
        recording: Recording,
        here: Sequence[Placed],
        faulted: Sequence[Series],
        clean: Sequence[tuple[Series, int]],
    ) -> None:
        """Put a recording's headline faults to the peers. clean: stream and the first row of it that is scored."""
        chosen = [(at, s.values) for at, s in zip(here, faulted, strict=True) if at.headline]
        labelled = {id(s): recording.labelled[len(recording.labelled) - len(s.values) :] for s, _ in clean}
        for name, peer in peers.PEERS.items():
            plain = [(peers.score(peer, s.values)[since:], labelled[id(s)][since:]) for s, since in clean]
            self._note(name, recording, plain, [(at, peers.score(peer, values)) for at, values in chosen])
        few = chosen[::SLOW_SHARE]
        streams = [s.values for s, _ in clean] + [values for _, values in few]
        scores = peers.score_by_trees(streams, Path("build/bench/alerts/river"))
        if scores is None:
            self._without = True
            return
        plain = [(x[since:], labelled[id(s)][since:]) for x, (s, since) in zip(scores, clean, strict=False)]
        later = scores[len(clean) :]
        self._note(peers.TREES, recording, plain, [(at, x) for (at, _), x in zip(few, later, strict=True)])

    def _note(
        self, name: str, recording: Recording, plain: Sequence[tuple[F64, Bool]], scored: Sequence[tuple[Placed, F64]]
    ) -> None:  # fmt: skip
        threshold = once_a_week([x[~mask] for x, mask in plain], recording.period_s)
        for at, x in scored:
            begin, stop = (row - at.first for row in at.fault.window)
            self._found.setdefault((name, nine(at.fault.kind)), []).append(
                bool((x[begin:stop] > threshold).any())
            )

    def rows(self) -> list[Row]:
        """Give the recall of each peer, by kind and of all."""
        rows: list[Row] = []
        if self._without:
            rows.append({"part": "injected", "detector": peers.TREES, "not_available": f"no {peers.RIVER}"})
        for name in dict.fromkeys(peer for peer, _ in self._found):
            mine = {kind: all_found for (peer, kind), all_found in self._found.items() if peer == name}
            mine["all"] = [one for each in mine.values() for one in each]
            for kind, found in mine.items():
                rows.append({"part": "injected", "detector": name, "kind": kind, "faults": len(found),
                             "recall": round(float(np.mean(found)), 4)})  # fmt: skip
        return rows


def once_a_week(scores: Sequence[F64], period_s: int) -> float:
    """Find the least threshold that is exceeded in at most one burst a week over all streams (in all, if shorter)."""
    weeks = sum(len(x) for x in scores) * period_s / WEEK_S
    candidates = np.unique(np.concatenate(scores))
    low, high = 0, len(candidates) - 1
    while low < high:
        middle = (low + high) // 2
        if sum(_bursts(x > candidates[middle]) for x in scores) <= max(weeks, 1.0):
            high = middle
        else:
            low = middle + 1
    return float(candidates[low])


def _bursts(above: Bool) -> int:
    rows = np.flatnonzero(above)
    return int(len(rows) > 0) + int((np.diff(rows) >= BURST_ROWS).sum())
