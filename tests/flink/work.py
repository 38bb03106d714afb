"""Readings of many streams with silences and limits broken, and a core whose process is killed once."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgeseq_flink.bucket import Bucket
from edgeseq_flink.function import Core

STATES = "states"
"""Last level of the topic under which the end's states are told."""
CONFIG = """
[node]
name = "plant"

[mqtt]
host = "127.0.0.1"

[[streams]]
topic = "plant/+/flow"
every = "10m"
horizon = "2h"
silent_after = "45m"
limits = { max = 60.0 }
"""
STEP_S = 600
BEGIN_NS = 1_767_225_600 * 10**9


def readings(streams: int, steps: int) -> Iterator[bytes]:
    """Give lines: random walks; every seventh stream pauses for 12 steps, every eleventh leaves its limits."""
    rng = np.random.default_rng(0)
    value = 20 + 0.2 * rng.normal(size=(steps, streams)).cumsum(axis=0)
    for t in range(steps):
        for s in range(streams):
            if s % 7 == 0 and steps // 2 <= t < steps // 2 + 12:
                continue
            shown = 75.0 if s % 11 == 0 and t % 17 == 9 else round(float(value[t, s]), 3)
            received = BEGIN_NS + (t * STEP_S) * 10**9 + s * 10**6
            yield b'{"topic":"plant/%d/flow","payload":%s,"received":%d}\n' % (
                s,
                str(shown).encode(),
                received,
            )


def digests(bucket: Bucket) -> dict[str, str]:
    """Digest the whole state of each stream."""
    found = {}
    for stream, columns in bucket.rows():
        digest = hashlib.sha256()
        for name in sorted(columns):
            digest.update(name.encode() + columns[name].tobytes())
        found[stream] = digest.hexdigest()
    return found


class KilledOnce(Core):
    """A core that tells its states at the end, and whose process dies once, after a checkpoint has been made."""

    def __init__(self, config: str, after: int, checkpoints: str, notes: str) -> None:
        super().__init__(config, ("forecast", "alert", "status"), is_live=False)
        self._after, self._checkpoints, self._notes = after, checkpoints, notes
        self._seen = 0
        self._before: set[Path] = set()

    def process_element(self, value: tuple[int, bytes], ctx: Any) -> Iterator[str]:
        """Count, and from some number on go slowly until it is time to die."""
        self._seen += 1
        if self._seen == self._after:
            self._before = self._made()
        if self._seen >= self._after and not (Path(self._notes) / "killed").exists():
            time.sleep(0.002)
            self._die()
        yield from super().process_element(value, ctx)

    def restored(self, bucket: Bucket, records: int) -> None:
        """Note what was found in Flink's state."""
        streams = len(bucket.node.state.registry)
        if streams or records:
            self._note("restored", {"streams": streams, "journal": records, "pid": os.getpid()})

    def at_end(self, bucket: Bucket) -> Iterator[str]:
        """Tell the states."""
        yield json.dumps({"topic": STATES, "payload": digests(bucket)})

    def _made(self) -> set[Path]:
        """Find the checkpoints that are whole."""
        return set(Path(self._checkpoints).glob("*/chk-*/_metadata"))

    def _die(self) -> None:
        if not self._made() - self._before:
            return  # a checkpoint must hold some of what was taken
        try:
            (Path(self._notes) / "killed").touch(exist_ok=False)  # of two that get here together, one dies
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def _note(self, name: str, told: dict[str, int]) -> None:
        with (Path(self._notes) / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")
