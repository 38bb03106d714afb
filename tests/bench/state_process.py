"""A device's process in the small: opens the bundle, serves so many streams, and tells its memory as JSON.

Started by `tests.bench.state` without what a device does not have (TensorFlow and the like). Readings go the daemon's
whole way but for the broker and the disk: accept, advance, render.
"""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np

import edgeseq.daemon
from edgeseq.compose import Node, open_node
from edgeseq.config import load_config
from edgeseq.config.resolve import resolve
from edgeseq.core.pipeline import accept, advance
from edgeseq.core.table import Table
from edgeseq.core.types import Message

SEASON, STEPS, BATCH, START_S = 24, 60, 512, 1_800_000_000

PARTS = {
    "recurrent states, committed and next": ("baseline.states", "model.states"),
    "values to warm a model from": ("history",),
    "forecasts that wait for their outcome": ("pending", "pending_model"),
    "identities of recent readings": ("recent_ids",),
    "alerts": ("alert_open", "alert_level", "alert_seq", "good", "run_reached"),
}
"""Columns of the table by what they are for; the rest stands side by side."""

CONFIGURATION = """
[node]
name = "bench"
max_streams = 100000
state_dir = "{folder}/state"
[mqtt]
host = "localhost"
[bundles]
trusted_keys = "{keys}"
[[streams]]
topic = "s/+"
fields = ["temperature"]
every = "1s"
time = "ts"
bundle = "{bundle}"
"""


def opened(bundle: Path, folder: Path) -> Node:
    """Open a node that serves the bundle to every topic s/+."""
    path = folder / "edgeseq.toml"
    keys = bundle.parent / "trusted_keys"
    path.write_text(CONFIGURATION.format(folder=folder, keys=keys, bundle=bundle))
    return open_node(resolve(load_config(path), folder), state_dir=None, log=lambda *_, **__: None)


def messages(step: int, first: int, last: int, rng: np.random.Generator) -> list[Message]:
    """Make one reading of each stream from first to last: a season of 24 steps and noise."""
    at_s = START_S + step
    values = (
        20
        + np.sin(2 * np.pi * step / SEASON + np.arange(first, last))
        + 0.1 * rng.standard_normal(last - first)
    )
    return [
        Message(f"s/{s}", b'{"temperature":%.3f,"ts":%d,"seq":%d}' % (v, at_s, step), at_s * 10**9, mid=s % 60000 + 1)
        for s, v in zip(range(first, last), values.tolist(), strict=True)
    ]  # fmt: skip


def serve(node: Node, streams: int, steps: int = STEPS) -> None:
    """Take one reading of each stream per step, as the daemon does."""
    rng = np.random.default_rng(0)
    for step in range(steps):
        for first in range(0, streams, BATCH):
            batch = accept(node.state, messages(step, first, min(first + BATCH, streams), rng))
            node.render(advance(node.state, batch.readings))


def parts(table: Table) -> dict[str, int]:
    """Count the bytes of a row by what they are for."""
    bytes_of = {name: table[name].nbytes // table.rows for name in table.columns}
    found = dict.fromkeys((*PARTS, "calibration, detection and grid"), 0)
    for name, size in bytes_of.items():
        part = next(
            (p for p, names in PARTS.items() if name.startswith(names)), "calibration, detection and grid"
        )
        found[part] += size
    return found


def memory_bytes(field: str) -> int:
    """Read a field of /proc/self/status."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def main(bundle: Path, folder: Path, streams: int, *, trace: bool) -> dict[str, Any]:
    """Serve, then tell resident memory, its peak, and with `trace` what Python objects each stream holds."""
    assert edgeseq.daemon.__name__ in sys.modules  # its memory counts
    node = opened(bundle, folder)
    if trace:
        tracemalloc.start()
    serve(node, streams)
    gc.collect()
    table = node.state.groups[0].table
    told: dict[str, Any] = {
        "streams": streams,
        "rss": memory_bytes("VmRSS:"),
        "peak": memory_bytes("VmHWM:"),
        "parts": parts(table),
        "warm": float(np.mean(table["model_warm"])),
    }
    if trace:
        traced = tracemalloc.take_snapshot().statistics("filename")
        told["traced"] = {Path(s.traceback[0].filename).stem: s.size for s in traced if s.size > streams}
    return told


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), trace=len(sys.argv) > 4)))
