"""Slow jobs, by APScheduler. A job only puts a value into the inbox; the daemon's one thread does the work."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from edgeseq.core.types import Tick

TICK_S = 1.0
HEALTH_S = 60.0
RELOAD_POLL_S = 15.0


class TakeSnapshot(msgspec.Struct, frozen=True):
    """A snapshot is due."""


class ReportHealth(msgspec.Struct, frozen=True):
    """Health is to be published."""


class LookForChanges(msgspec.Struct, frozen=True):
    """Bundles or the configuration may have been replaced on disk."""


Put = Callable[[object], None]


class Schedule:
    """The running jobs."""

    def __init__(self, put: Put, *, snapshot_every_s: float) -> None:
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(1)},
            # After a long stall one run makes good for all that were missed.
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        self._every(TICK_S, lambda: put(Tick(time.time_ns())))
        self._every(HEALTH_S, lambda: put(ReportHealth()))
        self._every(RELOAD_POLL_S, lambda: put(LookForChanges()))
        self._every(snapshot_every_s, lambda: put(TakeSnapshot()))

    def start(self) -> None:
        """Start the jobs."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop the jobs; none runs afterwards."""
        self._scheduler.shutdown(wait=True)

    def _every(self, period_s: float, job: Callable[[], None]) -> None:
        first = datetime.now(UTC) + timedelta(seconds=period_s)
        self._scheduler.add_job(job, "interval", seconds=period_s, next_run_time=first)
