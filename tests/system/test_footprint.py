"""What the daemon costs: memory with one bundle and 100 streams, time from start to READY."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeseq.bundle import Bundle
from edgeseq.bundle.keys import load_signing_key, write_public_key
from edgeseq.core.durations import format_duration
from edgeseq.core.instants import format_instant
from tests.support.broker import Peer, running_broker, wait_until
from tests.support.node import Node, node_in
from tests.support.tiny_bundle import read_tiny_bundle

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
STREAMS = 100
STEPS = 60
MAX_RESIDENT_BYTES = 80 * 10**6
T0_S = 1_760_000_000


AS_ON_A_DEVICE = """
import sys
for name in ("rich", "pygments", "tensorflow", "polars", "edgeseq_train"):
    sys.modules[name] = None  # importing it raises ImportError
from edgeseq.cli import main
main()
"""
"""structlog would import rich if it were there, 8 MB that no device has."""

BUILD = """
import sys
from pathlib import Path
import msgspec
from edgeseq.bundle.keys import load_signing_key
from edgeseq.core.layers import LayerSpec
from tests.support.tiny_model import SPEC, build_tiny_bundle
layers = (LayerSpec("gru", 32),) * 2
spec = msgspec.structs.replace(SPEC, layers=layers, channels=1, ring=336, seasons=(24, 168), horizon=24)
build_tiny_bundle(Path(sys.argv[1]), load_signing_key(Path(sys.argv[2])), spec)
"""
"""An untrained model of the size that a week of hourly readings asks for, made where TensorFlow may be imported."""


def build_bundle(folder: Path) -> Path:
    """Make the bundle and its signing key."""
    path, key = folder / "plant.edgeseq", folder / "signing.key"
    command = [sys.executable, "-c", BUILD, str(path), str(key)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Node, Bundle]]:
    """Give a node that serves the bundle."""
    path = build_bundle(tmp_path)
    bundle = read_tiny_bundle(path)
    folder = tmp_path / "node"
    (folder / "trusted_keys").mkdir(parents=True)
    key = load_signing_key(path.parent / "signing.key", create=False)
    write_public_key(key.public_key(), folder / "trusted_keys")
    every = format_duration(bundle.manifest.period_ns)
    rules = f"""
[[streams]]
topic = "plant/+"
field = "value"
time = "time"
every = "{every}"
bundle = "{path}"
"""
    with (
        running_broker(tmp_path / "broker") as broker,
        node_in(folder, broker.port, rules, node='clock = "readings"') as node,
    ):
        yield node, bundle


def memory_bytes(node: Node, key: str) -> int:
    """Read VmRSS or VmHWM of the daemon."""
    status = Path(f"/proc/{node.process.pid}/status").read_text(encoding="ascii")
    line = next(text for text in status.splitlines() if text.startswith(key))
    return int(line.split()[1]) * 1024


def seconds_to_ready(node: Node) -> float:
    """Start the node and measure until READY=1."""
    begin_s = time.monotonic()
    node.start()
    return time.monotonic() - begin_s


def wait_for_step(origin: str, node: Node, watcher: Peer) -> None:
    """Wait until the newest forecast of all streams is of this origin."""

    def is_done() -> bool:
        newest = [payload for topic, payload in watcher.last().items() if topic.endswith("/forecast")]
        return node.require_alive() and sum(origin in payload for payload in newest) == STREAMS

    wait_until(is_done, f"all forecasts of {origin}")


def test_footprint_one_bundle_hundred_streams_within_80_mb(
    served: tuple[Node, Bundle], capsys: pytest.CaptureFixture[str]
) -> None:
    """With one bundle stepping 100 streams, resident memory stays within 80 MB; times are printed."""
    node, bundle = served
    node.interpreter = ["-c", AS_ON_A_DEVICE]
    first_s = seconds_to_ready(node)
    watcher, sensor = Peer(node.port, "edgeseq/#"), Peer(node.port)
    wait_until(lambda: watcher.texts("edgeseq/n/bridge/state"), "online")
    period_s = bundle.manifest.period_ns // 10**9
    for step in range(STEPS):
        for stream in range(STREAMS):
            payload = {"value": 20 + (step * 7 + stream) % 11, "time": T0_S + period_s * step}
            sensor.publish(f"plant/s{stream}", json.dumps(payload))
        wait_for_step(format_instant((T0_S + period_s * step) * 10**9), node, watcher)
    resident, peak = memory_bytes(node, "VmRSS"), memory_bytes(node, "VmHWM")
    assert node.events("bundle.opened")[0]["bundle"] == bundle.manifest.label
    assert node.stop() == 0, node.text()
    again_s = seconds_to_ready(node)
    assert node.stop() == 0, node.text()
    watcher.close()
    sensor.close()
    figures = {
        "resident_mb": round(resident / 1e6, 1),
        "peak_mb": round(peak / 1e6, 1),
        "first_start_to_ready_s": round(first_s, 2),
        "restart_to_ready_s": round(again_s, 2),
        "runtime": node.events("bundle.opened")[0]["runtime"],
    }
    with capsys.disabled():
        print(f"\nfootprint, {STREAMS} streams, one bundle: {json.dumps(figures)}")
    assert resident <= MAX_RESIDENT_BYTES, figures
