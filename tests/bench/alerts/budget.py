"""The alert budget: tuned on the train part of a recording, how many alerts a week does the rest raise?

`edgeseq tune alerts` takes the train part; then the whole recording is run once with the sensitivity found, and the
alerts of the rest are counted, those that open together once, as in bridge/health. The factor is achieved to asked or
asked to achieved, whichever is larger. Counts scatter: of n alerts by 1/sqrt(n). So the budget asked is 2 a week, or
more where the rest is so short that it would raise fewer than 40; what is asked is in the rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgeseq.compose import Node
from edgeseq.core.budget import WEEK_NS
from edgeseq.core.durations import format_duration
from edgeseq.core.types import Message
from edgeseq.replay import close, open_for_replay
from edgeseq.tuning import Recording, measure, read, tune
from tests.bench import datasets
from tests.bench.alerts.parts import Album, Found, Row
from tests.bench.datasets import DataSet

MOST_STEPS = 20_000
"""Of a recording: each is run some five times, at a millisecond a step."""

ASKED_PER_WEEK = 2.0
LEAST_COUNT = 40

BASE_NS = 1_600_000_000 * 10**9
"""Recordings begin then, moved by whole weeks."""


def run(data: Path, album: Album, bundle: Path | None = None) -> Found:
    """Tune each data set on its train part and count the alerts of the rest."""
    rows = [
        _row(datasets.cut(found, min(found.test, MOST_STEPS)))
        for _, load in datasets.find(data)
        if (found := load()).counts
    ]
    factors = [row["factor"] for row in rows]
    if not factors:
        return Found([{"part": "budget", "not_available": f"no recording in {data}"}], {})
    return Found(rows, {"budget_worst_factor": max(factors), "budget_sets": len(factors)})


def factor(alerts: float, asked: float) -> float:
    """Compare counts: 1 where they are equal; no alert at all counts as half of one.

    >>> factor(3.0, 2.0), factor(1.0, 2.0), factor(0.0, 40.0)
    (1.5, 2.0, 80.0)
    """
    return max(alerts / asked, asked / max(alerts, 0.5))


def _row(found: DataSet) -> Row:
    """Tune one data set and look at the rest of it."""
    steps = len(found.targets)
    train = min(found.train, round(0.6 * steps))
    rest_weeks = (steps - train) * found.period_s * 10**9 / WEEK_NS
    asked = max(ASKED_PER_WEEK, LEAST_COUNT / rest_weeks)
    with tempfile.TemporaryDirectory(prefix="edgeseq-bench-") as folder:
        config = Path(folder) / "edgeseq.toml"
        config.write_text(_config(found), encoding="utf-8")
        node = open_for_replay(config, None, save_state=False)
        (table,) = tune(node, _read(node, found, train), {"set": asked})
        close(node)
        node = open_for_replay(config, None, save_state=False)
        whole = _read(node, found, steps)
        rest_ns = whole.first_ns + train * found.period_s * 10**9
        achieved = measure(node, whole, {"set": table.chosen}, rest_ns)["set"]
        close(node)
    on_train = table.trials[table.chosen].per_week if table.trials else None
    return {
        "part": "budget",
        "recording": found.name,
        "streams": found.targets.shape[1],
        "steps": steps,
        "asked_per_week": round(asked, 3),
        "sensitivity": table.chosen,
        "trials": len(table.trials),
        "train_per_week": on_train,
        "rest_per_week": achieved,
        "rest_weeks": round(rest_weeks, 2),
        "rest_alerts": round(achieved * rest_weeks),
        "factor": round(factor(achieved * rest_weeks, asked * rest_weeks), 3),
    }


def _config(found: DataSet) -> str:
    every = format_duration(found.period_s * 10**9)
    return f'[node]\nclock = "readings"\n[[streams]]\nname = "set"\ntopic = "set/+"\nevery = "{every}"\n'


def _read(node: Node, found: DataSet, steps: int) -> Recording:
    """Read the first steps of a data set, each channel as a stream."""
    return read(node, _messages(found, steps))


def _messages(found: DataSet, steps: int) -> Iterator[Message]:
    """Give the readings; the middle of a period is its time, so that the grid is the recording's."""
    start_ns = BASE_NS + found.start_ns % WEEK_NS
    for step in range(steps):
        time_ns = start_ns + step * found.period_s * 10**9
        for channel, value in enumerate(found.targets[step].tolist()):
            if np.isfinite(value):
                yield Message(f"set/{channel}", repr(value).encode(), time_ns)
