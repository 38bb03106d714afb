"""What the daemon has done since it started, beside what the core counts."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Metrics:
    """Plain counters."""

    started_s: float = field(default_factory=time.monotonic)
    messages: int = 0
    batches: int = 0
    largest_batch: int = 0
    connections: int = 0
    sessions_lost: int = 0
    storage_faults: int = 0
    snapshots: int = 0
    requests: int = 0
    requests_refused: int = 0

    def count_batch(self, messages: int) -> None:
        """Count a batch."""
        self.messages += messages
        self.batches += 1
        self.largest_batch = max(self.largest_batch, messages)

    def fields(self) -> dict[str, int | float]:
        """Give all of them for a log line."""
        counters = asdict(self)
        started_s = counters.pop("started_s")
        return {"uptime_s": round(time.monotonic() - started_s, 1), **counters}


def resident_bytes() -> int:
    """Tell the memory this process holds; 0 where /proc is not to be seen."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(lines.get("VmRSS", "0 kB").split()[0]) * 1024
