"""The status of streams: learning or live, what their data looks like, whether alerts are open."""

from __future__ import annotations

import numpy as np

from edgeseq.core import detect
from edgeseq.core.group import Group
from edgeseq.core.pending import BASELINE, BLEND
from edgeseq.core.types import I64, DataStatus, Event, Phase, StreamStatus

PHASES, DATA, ALERTS = tuple(Phase), tuple(DataStatus), ("none", "watch", "alert")

_USUAL = (PHASES.index(Phase.LIVE), DATA.index(DataStatus.OK), ALERTS.index("none"))


def statuses(group: Group, rows: I64, order: I64, *, changed_only: bool = True) -> list[Event]:
    """Tell the status of rows whose status changed."""
    table, rule = group.table, group.rule
    scored = table["scored"][rows, :, : group.targets, 0]
    learning = np.maximum(scored[:, BASELINE], scored[:, BLEND]) < group.learning_steps
    status = np.empty((len(rows), 3), np.int64)
    status[:] = _USUAL
    if np.count_nonzero(learning):
        status[learning.any(axis=1), 0] = PHASES.index(Phase.LEARNING)
    # A device that reports only changes has no cadence to compare; a few arrivals say nothing yet.
    if rule.on_gap == "missing":
        ratio = table["mean_gap_ns"][rows] / rule.period_ns
        mismatch = ratio > 2.0
        if rule.aggregate == "last":  # many readings a step are what the other aggregates are for
            mismatch |= ratio < 0.25
        if np.count_nonzero(mismatch):
            mismatch &= table["arrivals"][rows] > 20
            status[mismatch, 1] = DATA.index(DataStatus.MISMATCH)
    if table.notes:
        _tell_of_alerts(group, rows, status)
    if group.activity and not group.activity.is_on:
        status[:, 1] = DATA.index(DataStatus.OFF)
    differs = status != table["status"][rows]
    is_same = not np.count_nonzero(differs)
    if is_same and changed_only:
        return []
    told = differs.any(axis=1)
    if not is_same:
        table["status"][rows] = status
    return [
        StreamStatus(
            order=int(order[i]),
            stream=int(table["stream"][rows[i]]),
            phase=PHASES[status[i, 0]],
            data=DATA[status[i, 1]],
            alert=ALERTS[status[i, 2]],  # type: ignore[arg-type]  # an index of the tuple above
        )
        for i in (told.nonzero()[0].tolist() if changed_only else range(len(rows)))
    ]


def _tell_of_alerts(group: Group, rows: I64, status: I64) -> None:
    """Put into the statuses (n, 3) of rows what is watched or open."""
    level = group.table["alert_level"][rows]
    is_open = level == detect.OPEN
    status[is_open[..., detect.STUCK].any(axis=1), 1] = DATA.index(DataStatus.STUCK)
    status[is_open[..., detect.SILENT].any(axis=1), 1] = DATA.index(DataStatus.SILENT)
    if not group.rule.alerts:
        return
    if (enabled := group.settings.enabled) is not None:
        level = np.where(enabled, level, 0)
    status[(level == detect.WATCH).any(axis=(1, 2)), 2] = ALERTS.index("watch")
    status[(level == detect.OPEN).any(axis=(1, 2)), 2] = ALERTS.index("alert")
