"""What the daemon has done since it started, beside what the core counts."""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeseq.core.exposition import Histogram

BATCH_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(slots=True)
class Metrics:
    """Plain counters."""

    started_s: float = field(default_factory=time.monotonic)
    messages: int = 0
    batches: int = 0
    largest_batch: int = 0
    batches_s: float = 0.0
    """Time that they took."""
    batches_by_time: list[int] = field(default_factory=lambda: [0] * (len(BATCH_BOUNDS_S) + 1))
    connections: int = 0
    sessions_lost: int = 0
    storage_faults: int = 0
    snapshots: int = 0
    requests: int = 0
    requests_refused: int = 0

    def count_batch(self, messages: int, duration_s: float) -> None:
        """Count a batch."""
        self.batches_s += duration_s
        self.batches_by_time[bisect_left(BATCH_BOUNDS_S, duration_s)] += 1
        self.messages += messages
        self.batches += 1
        self.largest_batch = max(self.largest_batch, messages)

    def fields(self) -> dict[str, int | float]:
        """Give all of them for a log line."""
        return {
            "uptime_s": round(time.monotonic() - self.started_s, 1),
            "messages": self.messages,
            "batches": self.batches,
            "largest_batch": self.largest_batch,
            "batches_s": round(self.batches_s, 3),
            "connections": self.connections,
            "sessions_lost": self.sessions_lost,
            "storage_faults": self.storage_faults,
            "snapshots": self.snapshots,
            "requests": self.requests,
            "requests_refused": self.requests_refused,
        }

    @property
    def batch_s(self) -> Histogram:
        """Give the time of batches (s)."""
        from edgeseq.core.exposition import Histogram  # only where somebody wants them

        return Histogram(BATCH_BOUNDS_S, tuple(self.batches_by_time), self.batches_s)


def resident_bytes() -> int:
    """Tell the memory this process holds; 0 where /proc is not to be seen."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(lines.get("VmRSS", "0 kB").split()[0]) * 1024
