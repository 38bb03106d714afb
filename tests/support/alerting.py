"""Detection seen without the rest of the core: one stream, a band of 10 ± 3, and detectors that do as they are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from edgeseq.core import detect
from edgeseq.core.detect import surprise
from edgeseq.core.detect.detectors import Detector
from edgeseq.core.detect.kinds import Closed, Scores
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import AlertEvent

LEARNING = 336
SETTINGS = detect.Settings(LEARNING, limits=np.array([[0.0, 100.0]]))
STEP_NS = 10


class Bench:
    """One stream of one channel under `observe` and `commit`, with a band of 10 ± 3 and the limits 0 and 100."""

    def __init__(self, **settings: Any) -> None:
        self.settings = replace(SETTINGS, **settings)
        self.table = Table({"stream": Column((), "int64", 0)} | detect.columns(1))
        self.rows = np.array([self.table.add_row()])
        # It has not alarmed for long, and a spike begins at the band's edge: what a stream's own threshold is like, the
        # tests of detectors ask.
        self.table["spike_threshold"][:] = 1.0
        self.table["surprise_alarms"][:] = surprise.FIRST
        self.step = 0
        self.told: list[AlertEvent] = []
        self.all: list[AlertEvent] = []
        self.scores: dict[int, float] = {}
        """Kind → what its detector says of the next steps that close."""
        self.is_scripted = any(name.startswith("scripted_") for name in self.table.columns)
        self.last: tuple[detect.Judged, detect.Band] | None = None

    def see(self, value: float, *, observed: bool = True, live: bool = True) -> list[str]:
        """Observe a value in the open step → kind and type of what happened."""
        cell, at = np.ones((1, 1)), np.array([self.step])
        band = detect.Band(10 * cell, 7 * cell, 13 * cell, live=(cell == live), is_model=np.array([False]))
        samples = detect.Judged(np.array([0]), at, at * STEP_NS, value * cell, (cell == 1) & observed)
        self.last = samples, band
        work = self.table.gather(self.rows)
        scores = detect.score(samples.value, band.expected, band.lower, band.upper)
        return self._tell(work, detect.observe(self.table, work, samples, band, scores, self.settings))

    def close(self) -> list[str]:
        """Commit the open step."""
        work, closed = self.table.gather(self.rows), None
        if self.last and self.is_scripted:
            samples, band = self.last
            closed = Closed(
                samples=samples,
                band=band,
                forecasts=np.empty((2, 1, 1, 1)),
                leads=(1,),
                settings=self.settings,
                targets=1,
                period_ns=STEP_NS,
            )
            for kind, score in self.scores.items():
                self.table[f"scripted_{kind}"][:] = score
        told = self._tell(work, detect.commit(self.table, work, np.array([self.step]), closed))
        self.step += 1
        return told

    def take(self, *values: float, **how: bool) -> list[str]:
        """Observe one value in each of as many steps."""
        told = []
        for value in values:
            told += self.see(value, **how)
            told += self.close()
        return told

    def level(self, kind: int) -> int:
        """Say what is known of a kind: nothing, quiet, watched or open."""
        return int(self.table["alert_level"][0, 0, kind])

    def _tell(self, work: Work, events: list[AlertEvent]) -> list[str]:
        work.put()
        self.told = events
        self.all += events
        return [f"{e.kind.value} {e.event_type}" for e in events]


def scripted(kind: int) -> Detector:
    """Make a detector that says what a test has put into its column; what it accepts becomes the number of times."""
    score_of, accepted = f"scripted_{kind}", f"scripted_{kind}_accepted"

    def columns(channels: int) -> dict[str, Column]:
        return {
            score_of: Column((channels,), "float32", np.nan),
            accepted: Column((channels,), "int32", 0),
        }

    def score(table: Table, work: Work, closed: Closed) -> Scores:
        said = table[score_of][work.rows].T.astype(np.float64)
        return Scores(np.where(closed.samples.observed, said, np.nan), expected=np.full(said.shape, np.nan))

    def accept(table: Table, work: Work, i: int, channel: int) -> None:
        table[accepted][work.rows[i], channel] += 1
        table[score_of][work.rows[i], channel] = 0.0

    return Detector(kind, columns, score, (), accept)


def changing(n: int) -> list[float]:
    """Make values inside the band of which no two neighbours are equal."""
    return [9.0 + k % 2 for k in range(n)]
