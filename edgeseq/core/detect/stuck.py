"""Stuck: equal readings in a run that the stream's own history hardly ever saw.

Runs that are so long, and those a step shorter, came at most once in four weeks; of a younger stream none came that is
shorter by as much as its record is stretched (`record`). So runs that chance, a night or a bound of the sensor make
alarm falsely about once in four weeks. A stream that has shown one value only is not stuck.
"""

from __future__ import annotations

import math

import numpy as np

from edgeseq.core.detect.record import DAY_NS, MEMORY_DAYS, stretch
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, I64, Bool

RUN_LENGTHS = np.array([3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096])
"""Lengths of equal-value runs whose frequency is learned; 3 is the shortest that can be called stuck."""

SHORTEST_RUN = int(RUN_LENGTHS[0])

LENGTH_STEP = math.sqrt(2)
"""Mean ratio of neighbouring lengths."""

MOST_REACHED = np.iinfo(np.uint16).max
"""Times that a length was reached are counted no further: that is seldom in no stream's life."""

CHANCE_RUN = 1e-4
"""Nor is a run stuck that equal values in a row explain by chance: with a share r of repeats, r^(length - 1)."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the state."""
    c = (channels,)
    return {
        "run": Column(c, "int64", 0),
        "run_now": Column(c, "int64", 0),
        "run_value": Column(c, init=np.nan),
        "run_value_now": Column(c, init=np.nan),
        "run_reached": Column((channels, len(RUN_LENGTHS)), "uint16", 0),
        "run_samples": Column(c, "int64", 0),
        "run_repeats": Column(c, "int64", 0),
    }


def begin_anew(table: Table) -> None:
    """Forget what was counted: the age of the streams, and how usual runs are."""
    table.reset(np.arange(table.rows), ("run_reached", "run_samples", "run_repeats"))


def extend(
    table: Table, work: Work, value: F64, observed: Bool, learning_steps: int, period_ns: int
) -> tuple[Bool, Bool]:
    """Extend runs of equal values → (the value repeats, the run is stuck), (C, n) each; provisional until `commit`."""
    same = observed & (value == work["run_value"])
    now = work["run_now"]
    now[...] = np.where(observed, np.where(same, work["run"] + 1, 1), work["run"])
    work["run_value_now"][...] = np.where(observed, value, work["run_value"])
    stuck = np.zeros_like(same)
    long = _rows_of(same & (now >= SHORTEST_RUN))
    if len(long):
        found = _stuck(table, work, long, same[:, long], period_ns)
        stuck[:, long] = found & same[:, long] & (work["run_samples"][:, long] >= learning_steps)
    return same, stuck


def commit(table: Table, work: Work) -> None:
    """Make the runs of the open step final."""
    run, now = work["run"], work["run_now"]
    value, value_now = work["run_value"], work["run_value_now"]
    advanced = now != run
    advanced |= (value_now != value) & np.isfinite(value_now)
    work["run_samples"][...] += advanced
    # Of each run the first repeat is counted: a sensor that is stuck for a day repeats by no chance.
    work["run_repeats"][...] += advanced & (now == 2)
    long = _rows_of(now >= SHORTEST_RUN)
    if len(long):
        reached = (now[:, long].T[..., None] == RUN_LENGTHS) & advanced[:, long].T[..., None]
        before = table["run_reached"][work.rows[long]]
        table["run_reached"][work.rows[long]] = before + (reached & (before < MOST_REACHED))
    run[...] = now
    value[...] = value_now


def _rows_of(mask: Bool) -> I64:
    """List the rows (n,) of which any channel is set in a mask (C, n); usually none."""
    return np.flatnonzero(mask.any(axis=0)) if np.count_nonzero(mask) else _NO_ROWS


_NO_ROWS = np.empty(0, dtype=np.intp)


def _stuck(table: Table, work: Work, at: I64, same: Bool, period_ns: int) -> Bool:
    """Tell which runs of the rows at `at` have just reached a length that the stream hardly ever saw (C, n)."""
    run, samples = work["run_now"][:, at, None], work["run_samples"][:, at, None]
    # What this run itself has reached so far does not speak for runs being usual.
    so_far = np.where(same, work["run"][:, at], 0)[..., None]
    others = table["run_reached"][work.rows[at]].swapaxes(0, 1).astype(np.int64) - (so_far >= RUN_LENGTHS)
    days = samples * (period_ns / DAY_NS)
    seldom = others + 1 <= np.maximum(days / MEMORY_DAYS, 1.0)
    # Longer runs are among the shorter ones: where these are seldom, so are those.
    steps = np.ceil(np.log(stretch(days)) / np.log(LENGTH_STEP) - 1e-9).astype(np.int64)
    shorter = np.maximum(np.arange(len(RUN_LENGTHS)) - steps, 0)
    rare = np.take_along_axis(seldom, shorter, axis=-1)
    # One repeat more than were seen, so that a sensor that never repeated is not certain never to.
    repeats = (work["run_repeats"][:, at, None] - (so_far >= 2) + 1) / (samples + 2)
    rare &= repeats ** (RUN_LENGTHS - 1) <= CHANCE_RUN
    # What has never changed (a setting, a day's counter at rest) is not known to move at all.
    rare &= run <= samples
    stuck: Bool = ((run == RUN_LENGTHS) & rare).any(axis=-1)
    return stuck
