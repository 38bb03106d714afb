"""SIGKILL, hundreds of times, between any two durable steps and at any time, while a thousand readings come a second.

make bench-durability ONLY=kills [KILLS=500]
"""

from __future__ import annotations

import math
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeseq import failpoint
from tests.bench.bench_bundle import bench_bundle
from tests.bench.durability_rig import Rig, running_rig

AT_SNAPSHOT = ("journal.begun", "snapshot.written", "snapshot.renamed", "generations.removed")
"""Passed when a snapshot is taken: on SIGHUP and SIGTERM."""

AT_RANDOM = "a random time"
MOST_BEHIND = 20_000
"""Readings published since the daemon had last caught up; then it may, and is killed afterwards."""
PER_BATCH = frozenset({"messages.accepted", "state.advanced", "events.published"})
MOST_PASSAGES, MOST_COMMITS = 20, 3
"""Killed at one of the first passages: batches are many, commits one a second, or one for 500 messages."""

MOST_S = 1.0
PATIENCE_S = 5.0
"""A failpoint not reached after so long is told; the daemon is killed nevertheless."""

BUNDLE_SHARE = 10
"""One kill in so many hits a daemon whose streams a bundle serves: it starts more slowly."""

COUNTS = ("readings", "readings_lost", "applied_twice", "alerts", "alerts_lost", "alerts_not_of_the_journal")


def run() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Kill a daemon without a bundle and one with; give rows and figures."""
    kills = int(os.environ.get("KILLS", "500"))
    minutes = float(os.environ.get("MINUTES", "inf"))
    served = kills // BUNDLE_SHARE
    rows = []
    for name, bundle, count in (("baseline", None, kills - served), ("bundle", bench_bundle(), served)):
        with tempfile.TemporaryDirectory(prefix="edgeseq-") as folder:
            limit_s = 60 * minutes * count / kills
            row = campaign(Path(folder), count, seed=count, bundle=bundle, limit_s=limit_s)
            rows.append({"streams_of": name} | row)
    return rows, figures(rows)


def figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up the rows."""
    at: Counter[str] = Counter()
    for row in rows:
        at.update(row["killed_at"])
    return {
        "kills": sum(row["kills"] for row in rows),
        **{name: sum(row[name] for row in rows) for name in COUNTS},
        "readings_per_s": min(row["readings_per_s"] for row in rows),
        "state_bit_equal": min(row["state_bit_equal"] for row in rows),
        "kills_at": dict(at),
    }


def campaign(
    folder: Path, kills: int, *, seed: int, bundle: Path | None = None, limit_s: float = math.inf
) -> dict[str, Any]:
    """Kill so many times, let all come to rest, and look at the books."""
    with running_rig(folder, seed=seed, bundle=bundle) as rig:
        killed_at: Counter[str] = Counter()
        rig.node.kill()
        killed_at[AT_RANDOM] += 1
        for name in places(rig):
            if killed_at.total() >= kills or time.monotonic() - rig.begun_s > limit_s:
                break
            killed_at[name if live(rig, name) else f"{AT_RANDOM}, {name} not reached"] += 1
            if rig.most_behind > MOST_BEHIND:
                assert rig.start(), rig.node.text()[-4000:]
                rig.work_off()
                rig.node.kill()
                killed_at[AT_RANDOM] += 1
        done = {"kills": killed_at.total(), "seconds": round(time.monotonic() - rig.begun_s)}
        return done | rig.finish() | {"killed_at": dict(killed_at.most_common())}


def places(rig: Rig) -> Iterator[str]:
    """Draw where to kill: every failpoint equally often, and as often as three of them at a random time."""
    while True:
        drawn = [*failpoint.NAMES, *[AT_RANDOM] * 3]
        rig.rng.shuffle(drawn)
        yield from drawn


def live(rig: Rig, name: str) -> bool:
    """Start the daemon and kill it → whether it died where it was to."""
    if name == AT_RANDOM:
        assert rig.start(), rig.node.text()[-4000:]
        time.sleep(rig.rng.uniform(0.0, MOST_S))
        rig.node.kill()
        return True
    most = 1 if name in AT_SNAPSHOT else MOST_PASSAGES if name in PER_BATCH else MOST_COMMITS
    passage = rig.rng.randint(1, most)
    is_alive = rig.start(**{failpoint.ENVIRONMENT: f"{name}:{passage}"})
    if is_alive and name in AT_SNAPSHOT:
        time.sleep(rig.rng.uniform(0.0, MOST_S / 2))
        rig.node.process.send_signal(rig.rng.choice((signal.SIGHUP, signal.SIGTERM)))
    deadline_s = time.monotonic() + PATIENCE_S
    while rig.node.process.poll() is None and time.monotonic() < deadline_s:
        time.sleep(0.005)
    code = rig.node.process.poll()
    if code is None:
        rig.node.kill()
    assert code in (None, -signal.SIGKILL), f"ended by itself with {code}: {rig.node.text()[-4000:]}"
    return code is not None
