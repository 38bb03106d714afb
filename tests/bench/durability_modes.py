"""What each durability mode costs: 100 readings a second, one by one, into a state folder on an ext4 of its own.

No broker and no model: only what the daemon does to commit. Waiting is measured from the reading to the commit: a
strict forecast waits for it, a batched one does not, its acknowledgement does. Needs root, for loop devices.

    make bench-durability ONLY=modes [SECONDS=20]
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from edgeseq.adapters import journal
from edgeseq.commits import GroupCommit
from edgeseq.core.pipeline import Batch
from edgeseq.core.types import Readings
from edgeseq.snapshots import EARLY_BYTES
from edgeseq.store import Store, open_store
from tests.bench.durability_flash import DAY_S, Device, loop_ext4

PER_S, STREAMS = 100, 1000
Mode = Literal["none", "batched", "strict"]

Found = tuple[list[dict[str, Any]], dict[str, float]]


def run() -> Found:
    """Measure; gives rows and figures."""
    if os.geteuid() != 0:
        return [{"what": "not measured: loop devices need root"}], {}
    duration_s = float(os.environ.get("SECONDS", "20"))
    rows = []
    for mode in get_args(Mode):
        with tempfile.TemporaryDirectory() as place, loop_ext4(Path(place) / "state") as device:
            rows.append(_measure(mode, device, duration_s))
    return rows, {f"commit_us_{row['mode']}": row["cpu_us_per_reading"] for row in rows}


def _measure(mode: Mode, device: Device, duration_s: float) -> dict[str, Any]:
    """Take readings in real time: what the file system does by itself every 5 s belongs to it."""
    folder = device.mount / "state"
    folder.mkdir(mode=0o700)
    (folder / journal.SPARE).write_bytes(os.urandom(EARLY_BYTES))
    store, _ = open_store(folder, is_journaling=mode != "none", notify=lambda *_, **__: None)
    group = GroupCommit(mode, 1.0, 1000)
    random = np.random.default_rng(1)
    before, begun_s = device.written_bytes(), time.monotonic()
    cpu_s, committing_ms, arrived = 0.0, [], 0
    waits_ms: list[float] = []
    waiting: list[float] = []
    while (now_s := time.monotonic()) < begun_s + duration_s:
        batch, start_s = _batch(random, arrived), time.process_time()
        group.take_batch(batch, [], now_s)
        waiting.append(now_s)
        if group.wait_s(time.monotonic()) in (0.0, None):
            committing_ms.append(_commit(store, group))
            waits_ms += [1e3 * (time.monotonic() - at_s) for at_s in waiting]
            waiting.clear()
        cpu_s += time.process_time() - start_s
        arrived += 1
        time.sleep(max(0.0, begun_s + arrived / PER_S - time.monotonic()))
    spent_s, written = time.monotonic() - begun_s, device.written_bytes() - before
    store.close()
    commit_ms = statistics.median(committing_ms)
    return {
        "mode": mode,
        "cpu_us_per_reading": round(1e6 * cpu_s / arrived, 1),
        "gb_per_day": round(written / spent_s * DAY_S / 1e9, 3),
        "forecast_waits_ms": round(commit_ms, 2) if mode == "strict" else 0.0,
        "acknowledgement_waits_ms": round(statistics.median(waits_ms), 2),
        "commit_ms": round(commit_ms, 2),
    }


def _commit(store: Store, group: GroupCommit) -> float:
    """Commit what waits → ms."""
    start_s = time.monotonic()
    if group.has_records:
        store.commit(group.records())
    group.committed(time.monotonic())
    return 1e3 * (time.monotonic() - start_s)


def _batch(random: np.random.Generator, number: int) -> Batch:
    """Make a batch of one reading, as it comes from a sensor."""
    now_ns = time.time_ns()
    value, identity = round(float(random.normal(20, 5)), 2), int(random.integers(1, 2**63))
    row = (0, number % STREAMS, 0, now_ns // 10**6 * 10**6, now_ns, value, identity, True)
    return Batch(Readings.from_rows([row]), [], [])
