"""Metrics of a real daemon: they agree with bridge/health, and cost nothing where nobody asked for them."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgeseq.measures import CATALOGUE
from tests.support.broker import free_port, peer, running_broker, wait_until
from tests.support.exposition import Samples, parse
from tests.support.node import node_in

STREAMS = '[[streams]]\ntopic = "t/+"\nfield = "v"\nevery = "1m"\ntime = "time"\n'
ALWAYS = {"edgeseq_alerts_per_week", "edgeseq_alert_budget_per_week", "edgeseq_open_alerts"}
"""Those that come only where there is something to tell …"""


def scrape(port: int, accept: str = "") -> Samples:
    """Ask a node."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    client.request("GET", "/metrics", headers={"Accept": accept})
    text = client.getresponse().read().decode()
    return parse(text, is_openmetrics=bool(accept))


def test_metrics_of_a_node_are_what_health_says(tmp_path: Path) -> None:
    """Each metric of the catalogue is told, over HTTP and in the file, and agrees with bridge/health."""
    port = free_port()
    rest = f'[metrics]\nlisten = "127.0.0.1:{port}"\ntextfile = "edgeseq.prom"\n'
    with running_broker(tmp_path / "broker") as broker:
        with (
            node_in(tmp_path / "node", broker.port, STREAMS, node="requests = true\n", rest=rest) as node,
            peer(broker.port, "edgeseq/#") as listener,
        ):
            node.start()
            wait_until(lambda: listener.texts("edgeseq/n/bridge/state"), "the node listens")
            for i in range(200):
                listener.publish("t/a", json.dumps({"time": 1_790_000_000 + 60 * i, "v": 20 + i % 7}))
            listener.publish("t/a", json.dumps({"time": 1_790_000_000, "v": 1}))
            listener.publish("t/b", "no JSON")
            wait_until(lambda: scrape(port)["edgeseq_readings_received_total", ()] == 202, "all was taken")
            told = scrape(port)
            again = scrape(port, "application/openmetrics-text")
            assert node.stop() == 0
        health = json.loads(listener.last()["edgeseq/n/bridge/health"])
    table = 'table="t/+"'
    assert told["edgeseq_readings_applied_total", ()] == health["applied"] == 200
    assert told["edgeseq_readings_late_total", ()] + told["edgeseq_readings_duplicate_total", ()] == 1
    assert told["edgeseq_readings_rejected_total", ('reason="malformed_json"',)] == 1
    assert told["edgeseq_streams", (table, 'phase="learning"')] == 1
    assert told["edgeseq_connected", ()] == 1
    assert told["edgeseq_batch_seconds_count", ()] > 0
    assert told["edgeseq_batch_messages_total", ()] == 202
    (kept,) = health["intervals"]
    assert told["edgeseq_interval_coverage_ratio", (table,)] == kept["coverage"]
    assert told["edgeseq_interval_outcomes_total", (table,)] == kept["outcomes"] > 150
    assert 0.7 < kept["coverage"] <= 1
    names = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name, _ in told}
    assert CATALOGUE.keys() - names <= ALWAYS
    assert {name for name, _ in again} == {name for name, _ in told}
    written = parse((tmp_path / "node" / "edgeseq.prom").read_text())
    assert written["edgeseq_readings_received_total", ()] == 202


def test_node_without_metrics_imports_no_server() -> None:
    """Where no metrics are asked for, neither the server nor the writer of the file is imported."""
    code = (
        "import sys, edgeseq.daemon; "
        "print({*sys.modules} & {'http.server', 'edgeseq.adapters.scrape', 'edgeseq.measures'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_reload_that_is_rejected_leaves_metrics_where_they_were(tmp_path: Path) -> None:
    """An address that is taken rejects the new configuration; one that is free is changed to, and the old one left."""
    first, second = free_port(), free_port()
    with running_broker(tmp_path / "broker") as broker:
        rest = f'[metrics]\nlisten = "127.0.0.1:{first}"\n'
        with node_in(tmp_path / "node", broker.port, STREAMS, rest=rest) as node:
            node.start()
            node.write(STREAMS, rest=rest.replace(str(first), str(broker.port)))
            node.process.send_signal(signal.SIGHUP)
            (rejected,) = node.wait_for_event("config.rejected")
            assert "metrics cannot be told there" in rejected["error"]
            assert scrape(first)["edgeseq_uptime_seconds", ()] >= 0
            node.write(STREAMS, rest=rest.replace(str(first), str(second)))
            node.process.send_signal(signal.SIGHUP)
            node.wait_for_event("config.reloaded")
            assert scrape(second)["edgeseq_uptime_seconds", ()] >= 0
            with pytest.raises(ConnectionRefusedError):
                scrape(first)
