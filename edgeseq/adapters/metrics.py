"""What the daemon has done since it started: plain counters, published as bridge/health."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeseq.core.types import Counts


@dataclass(slots=True)
class Metrics:
    """Counters beside those of the core."""

    messages: int = 0
    batches: int = 0
    largest_batch: int = 0
    published: int = 0
    superseded: int = 0
    """Forecasts and states replaced by newer ones while the broker was away or slow."""
    alerts_dropped: int = 0
    connections: int = 0
    sessions_lost: int = 0
    storage_faults: int = 0
    snapshots: int = 0


def collect(metrics: Metrics, counts: Counts) -> dict[str, Any]:
    """Put all counters together. received = applied + late + duplicate + the sum of rejected, always."""
    readings = {
        "received": counts.received,
        "applied": counts.applied,
        "late": counts.late,
        "duplicate": counts.duplicate,
        "rejected": {str(reason): n for reason, n in sorted(counts.rejected.items())},
    }
    return {"readings": readings, **asdict(metrics)}


def resident_bytes() -> int:
    """Tell the memory this process holds; 0 where /proc is not to be seen."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(lines.get("VmRSS", "0 kB").split()[0]) * 1024
