"""How soon a killed daemon forecasts again: a thousand streams, and 300,000 readings in the journal.

A process of its own takes readings as the daemon does, a commit for each second, and is killed by SIGKILL with 300,000
of them behind its last snapshot; the same readings go on uninterrupted in another. While nobody listens each stream
reports once more to the broker, which keeps that for the session. Then the daemon is started, and timed from its exec
to the first forecast of a new reading, and to the last. Every one of them must be that of the uninterrupted run.

    make bench-durability ONLY=restart [STARTS=5]
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edgeseq.adapters.journal import record_of
from edgeseq.compose import Node as Core
from edgeseq.compose import open_node
from edgeseq.core.instants import format_instant
from edgeseq.core.pipeline import accept, advance
from edgeseq.core.types import Message, Outgoing
from edgeseq.daemon import read_config
from tests.bench.bench_bundle import TRUSTED_KEYS, bench_bundle
from tests.bench.durability_rig import ROOT
from tests.support.broker import Peer, running_broker, wait_until
from tests.support.node import Node, node_in

STREAMS = 1000
BEFORE, JOURNALED = 100, 300
"""Readings of each stream in the snapshot, and in the journal behind it."""
T0_S = 1_760_000_000
NEW = format_instant((T0_S + BEFORE + JOURNALED) * 10**9)
"""Origin of what comes last."""
PATIENCE_S = 120.0
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

Found = tuple[list[dict[str, Any]], dict[str, float]]


def run() -> Found:
    """Measure; gives rows and figures."""
    starts = int(os.environ.get("STARTS", "5"))
    bundle = bench_bundle()
    rules = f'[[streams]]\ntopic = "s/+"\nfield = "v"\ntime = "t"\nevery = "1s"\nbundle = "{bundle}"\n'
    keys = f'[bundles]\ntrusted_keys = "{bundle.parent / TRUSTED_KEYS}"\n'
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(running_broker(place / "broker"))
        node = stack.enter_context(node_in(place / "node", broker.port, rules, rest=keys))
        # It subscribes once, so that the broker keeps what comes later.
        node.start(**ENVIRONMENT)
        node.wait_for_event("broker.connected")
        assert node.stop() == 0, node.text()
        shutil.rmtree(node.state_dir)
        wanted = _build(node)
        kept = node.folder / "kept"
        shutil.copytree(node.state_dir, kept)
        taken = [_restart(node, broker.port, kept, wanted) for _ in range(starts)]
    rows = [dict(zip(("ready_s", "first_s", "last_s", "cpu_s", "equal"), one, strict=True)) for one in taken]
    figures = {
        "restart_first_forecast_s": statistics.median(row["first_s"] for row in rows),
        "restart_cpu_s": statistics.median(row["cpu_s"] for row in rows),
        "restart_forecasts_equal": int(all(row["equal"] == STREAMS for row in rows)),
    }
    return [{"what": "start", **row} for row in rows], figures


def _build(node: Node) -> dict[str, bytes]:
    """Make the state folder of a killed daemon → the uninterrupted run's forecasts of the reading after it."""
    command = [sys.executable, "-m", "tests.bench.durability_restart", str(node.config)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.PIPE, check=False
    )
    assert done.returncode == -signal.SIGKILL
    lines = done.stdout.decode().splitlines()
    return {topic: payload.encode() for topic, payload in map(json.loads, lines)}


def _restart(
    node: Node, port: int, kept: Path, wanted: dict[str, bytes]
) -> tuple[float, float, float, float, int]:
    """Start once → seconds until ready, to the first and last forecast of a new reading, of the CPU; equal ones."""
    shutil.rmtree(node.state_dir)
    shutil.copytree(kept, node.state_dir)
    sensor = Peer(port)
    for message in _messages(BEFORE + JOURNALED):
        sensor.publish(message.topic, message.payload.decode())
    watcher = Peer(port, "edgeseq/n/+/forecast")
    ready = node.listen().count("READY=1")
    begun_s = time.monotonic()
    node.launch(**ENVIRONMENT)
    wait_until(lambda: node.is_ready(ready), "ready", PATIENCE_S)
    ready_s = time.monotonic() - begun_s
    new: dict[str, bytes] = {}
    first_s = 0.0
    seen = 0
    while len(new) < STREAMS:
        assert time.monotonic() < begun_s + PATIENCE_S, f"{len(new)} forecasts"
        arrived = watcher.received[seen:]
        seen += len(arrived)
        new |= {m.topic: bytes(m.payload) for m in arrived if _is_new(m.payload)}
        first_s = first_s or (time.monotonic() - begun_s if new else 0.0)
        time.sleep(0.001)
    last_s = time.monotonic() - begun_s
    cpu_s = _cpu_s(node.process.pid)
    node.kill()
    for peer in (sensor, watcher):
        peer.close()
    equal = sum(new[topic] == payload for topic, payload in wanted.items())
    return round(ready_s, 2), round(first_s, 2), round(last_s, 2), round(cpu_s, 2), equal


def _cpu_s(pid: int) -> float:
    """Tell how long a process and its ended children were on a processor: beside others that takes longer."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _is_new(payload: bytes | bytearray) -> bool:
    """Tell a forecast of the reading that came last from those that are told anew."""
    return bool(json.loads(payload)["origin"] == NEW)


def _messages(step: int) -> list[Message]:
    """Make a reading of each stream: a season of 24 steps, which the bundle foresees, and a bit of noise."""
    made = []
    for stream in range(STREAMS):
        value = (
            20 + 5 * math.sin(2 * math.pi * (step + stream) / 24) + 0.3 * math.sin(7.7 * step * (stream + 1))
        )
        payload = json.dumps({"v": round(value, 3), "t": T0_S + step}).encode()
        # As if each had come by itself.
        received_ns = (T0_S + step) * 10**9 + stream * 1_000_003
        made.append(Message(f"s/{stream}", payload, received_ns, mid=stream + 1))
    return made


def _take(node: Core, step: int, *, is_journaled: bool) -> list[Outgoing]:
    """Do with a second of readings what the daemon does."""
    batch = accept(node.state, _messages(step))
    if is_journaled and node.store:
        node.store.commit([record_of(batch.created, batch.readings)])
    return node.render(advance(node.state, batch.readings))


def _live(config: Path) -> None:
    """Be the daemon that is killed, then tell what it would have forecast next."""
    resolved = read_config(config)
    node = open_node(resolved, state_dir=resolved.state_dir, log=lambda *_, **__: None)
    node.had_session = True
    for step in range(BEFORE):
        _take(node, step, is_journaled=True)
    node.keep([])
    for step in range(BEFORE, BEFORE + JOURNALED):
        _take(node, step, is_journaled=True)
    for out in _take(node, BEFORE + JOURNALED, is_journaled=False):
        if out.topic.endswith("/forecast"):
            print(json.dumps([out.topic, out.payload.decode()]))
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _live(Path(sys.argv[1]))
