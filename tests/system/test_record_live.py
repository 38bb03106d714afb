"""`edgeseq record` on a real broker: what it writes is what came, and a node gives what it remembers, page by page."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from edgeseq.capture import read_capture
from edgeseq_train import recording
from tests.support.broker import Peer, running_broker, wait_until
from tests.support.listening import listening
from tests.support.node import node_in

pytestmark = pytest.mark.system

S = 10**9
COUNT = 40
STREAMS = '[[streams]]\ntopic = "t/+"\nfields = ["a"]\ntime = "at"\nunit = "W"\nevery = "10s"\n'


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "edgeseq", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_recording_is_what_came_and_a_node_gives_what_it_remembers(tmp_path: Path) -> None:
    """Messages are replayed, readings trained on; a node's past is fetched, and once more only what is new."""
    begun_ns = time.time_ns() // (10 * S) * 10 * S - 3 * COUNT * 10 * S
    sent = [
        (f"t/{name}", f'{{"a":{k % 9}.5,"at":{(begun_ns + k * 10 * S) // 10**6}}}')
        for k in range(COUNT)
        for name in ("x", "y")
    ]
    with (
        running_broker(tmp_path / "broker") as broker,
        node_in(tmp_path / "n", broker.port, STREAMS, node="requests = true\n") as node,
        closing(Peer(broker.port, "edgeseq/n/#")) as devices,
    ):
        node.start()
        wait_until(lambda: '{"state":"online"}' in devices.texts("edgeseq/n/bridge/state"), "online")
        record = ("record", "-o", str(tmp_path / "m.jsonl.gz"), "--topic", "t/+")
        with listening(tmp_path, broker.port, *record) as recorder:
            for topic, payload in sent:
                devices.publish(topic, payload)
            recorder.wait_for(len(sent))
            recorder.interrupt()
            assert f"{len(sent)} " in recorder.told.rpartition("what was recorded is kept")[2]
        kept = [(m.topic, m.payload.decode()) for m in read_capture(tmp_path / "m.jsonl.gz", ())]
        assert kept == sent
        replayed = run(
            "replay", "--config", node.config, "--input", tmp_path / "m.jsonl.gz", "--topics", "none"
        )
        assert f"{len(sent)} readings applied" in replayed.stderr

        reading = ["record", "--host", "127.0.0.1", "--port", broker.port, "--node", "n"]
        table = tmp_path / "past.csv.gz"
        fetched = run(*reading, "-o", table)
        assert fetched.returncode == 0, fetched.stderr
        past = recording.read(table, 10 * S)
        assert (sorted(past.names), set(past.units)) == (["t-x-a", "t-y-a"], {"W"})
        held = past.values[:, past.names.index("t-x-a"), 0].tolist()
        told = [float(k % 9) + 0.5 for k in range(COUNT)]
        assert held == told[len(told) - 1 - len(held) : -1]  # the newest step is open until the next reading
        assert len(held) >= COUNT - 2

        devices.publish("t/x", f'{{"a":77,"at":{(begun_ns + COUNT * 10 * S) // 10**6}}}')
        devices.flush()
        again = run(*reading, "-o", table, "--append")
        assert again.returncode == 0, again.stderr
        both = recording.read(table, 10 * S)
        assert len(both.values) == len(past.values) + 1
