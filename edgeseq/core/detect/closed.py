"""What the detectors say of steps that have closed becomes the life of their alerts."""

from __future__ import annotations

import math

import numpy as np

from edgeseq.core.detect import detectors, life
from edgeseq.core.detect.kinds import KINDS, Closed, Evidence, Scores
from edgeseq.core.detect.life import Moment, Verdict
from edgeseq.core.detect.samples import CLEAR_BELOW, deviates
from edgeseq.core.table import Table, Work
from edgeseq.core.types import F64, I64, AlertEvent, Bool

WATCH_FROM = 0.9
"""Score from which a detector's kind is watched."""


def judge(table: Table, work: Work, closed: Closed) -> list[AlertEvent]:
    """Let the detectors score a closed step, and their alerts live on."""
    scores, said = detectors.scores(table, work, closed)
    samples = closed.samples
    near: Bool = scores >= WATCH_FROM / closed.settings.sensitivity
    at = life.concerned(table, work.rows, [near.reshape(-1, len(work))]).nonzero()[0]
    if len(at) == 0:
        return []

    def show(i: int, channel: int, kind: int) -> Evidence:
        score = float(scores[list(said).index(kind), channel, at[i]])
        return _evidence(closed, said[kind], score, int(at[i]), channel)

    def accept(i: int, channel: int, kind: int) -> None:
        detectors.accept(table, work, int(at[i]), channel, kind)

    events = life.turn(
        table,
        work.rows[at],
        _verdict(closed, scores, said, at),
        Moment(samples.order[at], samples.step[at], samples.time_ns[at]),
        closed.settings,
        show,
        accept,
    )
    # A closed step is final at once.
    life.commit(table, work.rows[at], samples.step[at])
    return events


def _verdict(closed: Closed, scores: F64, said: dict[int, Scores], at: I64) -> Verdict:
    """Say what is bad, unusual and good by the scores (D, C, n) of the rows at `at`."""
    shape = (len(at), len(closed.samples.value), len(KINDS))
    bad, good, judged, near = (np.zeros(shape, dtype=np.bool_) for _ in range(4))
    for score, (kind, own) in zip(scores, said.items(), strict=True):
        if not closed.settings.is_on(kind):
            continue
        observed = closed.samples.value if own.observed is None else own.observed
        expected = closed.band.expected if own.expected is None else own.expected
        counts = deviates(observed[:, at], expected[:, at], closed.settings)
        score_now = np.where(counts, 1.0, 0.0) * score[:, at] * closed.settings.sensitivity
        judged[..., kind] = np.isfinite(score_now).T
        bad[..., kind] = (score_now >= 1.0).T
        near[..., kind] = ((score_now >= WATCH_FROM) & (score_now < 1.0)).T
        good[..., kind] = (score_now <= CLEAR_BELOW).T
    return Verdict(bad, good, judged, near)


def _evidence(closed: Closed, said: Scores, score: float, i: int, channel: int) -> Evidence:
    """Show what a detector saw of row i, or the forecast said; the forecast's band is the range of no other kind."""
    band = closed.band

    def shown(own: F64 | None, usual: F64 | None = None) -> float:
        told = usual if own is None else own
        return math.nan if told is None else float(told[channel, i])

    return Evidence(
        observed=shown(said.observed, closed.samples.value),
        expected=shown(said.expected, band.expected),
        lower=shown(said.lower),
        upper=shown(said.upper),
        is_model=float(band.is_model[i]),
        score=score,
        channels=0.0 if said.channels is None else float(said.channels[channel, i]),
        **{
            name: float(steps[channel, i])
            for name in ("crossing", "earliest", "latest")
            if (steps := getattr(said, name)) is not None
        },
    )
