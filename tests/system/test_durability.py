"""Kill the daemon anywhere: the state and the forecasts are those of a run that nobody disturbed."""

from __future__ import annotations

import json
import random
import re
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseq import failpoint
from edgeseq.adapters import journal, snapshot
from edgeseq.errors import EXIT_RETRY
from tests.support.broker import Broker, Peer, running_broker, wait_until
from tests.support.node import Node, node_in
from tests.support.validate import validate

pytestmark = pytest.mark.system

STREAMS = 50
STEPS = 60
KILLS = 5
T0_S = 1_760_000_000
"""A time in the past: nothing is refused as coming from the future."""

RULES = """
[[streams]]
topic = "plant/+"
field = "value"
time = "time"
every = "10s"
limits = { max = 9 }
[journal]
commit_every = "50ms"
"""
CLOCK = 'clock = "readings"'
"""Silence measured by the readings' times, so that two runs can be compared to the last bit."""

BROKER_LINES = ("log_type all", "queue_qos0_messages false")


def value(stream: int, step: int) -> float:
    """Make a reading: a wave of its own for each stream. In every one of the first steps another one goes out of range,
    so that whatever batch is lost, an alert is lost with it; later all come back.
    """
    is_out = step < STEPS // 2 and (step * 7 + stream) % 5 == 0
    return round(float(np.sin(step / (3 + stream % 7))) * 5 + stream % 4 + (50.0 if is_out else 0.0), 3)


def publish(sensor: Peer, steps: range, streams: int = STREAMS) -> None:
    """Publish the readings of some steps, all streams in turn."""
    for step in steps:
        for stream in range(streams):
            payload = {"value": value(stream, step), "time": T0_S + 10 * step}
            sensor.publish(f"plant/sensor {stream}", json.dumps(payload))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run leaves behind."""

    header: dict[str, Any]
    arrays: dict[str, Any]
    forecasts: dict[str, str]
    """Topic → last payload."""
    by_id: dict[str, str]
    """Forecast id → payload; the same id with two payloads fails at once."""
    alerts: set[str]


def outcome(node: Node, watcher: Peer) -> Outcome:
    """Collect what a stopped node has left and what a subscriber has seen."""
    newest = max(node.state_dir.glob("snapshot-*.bin"), key=_generation)
    found = snapshot.read(newest, _generation(newest))
    assert found is not None
    header = found.content["core"]
    for info in header["streams"]:
        del info["created_ns"]  # time of arrival
    by_id: dict[str, str] = {}
    for topic, payload in watcher.last().items():
        validate(topic, payload.encode())
    for message in list(watcher.received):
        text = message.payload.decode()
        if message.topic.endswith("/forecast"):
            assert by_id.setdefault(json.loads(text)["id"], text) == text, "an id stands for one payload"
    forecasts = {t: p for t, p in watcher.last().items() if t.endswith("/forecast")}
    alerts = {m.payload.decode() for m in watcher.received if m.topic.endswith("/alert")}
    return Outcome(header, found.arrays, forecasts, by_id, alerts)


def _generation(path: Path) -> int:
    return int(path.stem.split("-")[1])


def assert_same(found: Outcome, expected: Outcome, *, streams: int = STREAMS) -> None:
    """Compare states bit for bit, last forecasts and alerts byte for byte."""
    assert len(expected.forecasts) == streams
    assert expected.alerts, "some readings are out of range"
    assert found.header == expected.header
    assert found.arrays.keys() == expected.arrays.keys()
    different = [n for n, a in expected.arrays.items() if a.tobytes() != found.arrays[n].tobytes()]
    assert different == []
    assert found.forecasts == expected.forecasts
    assert found.by_id.items() <= expected.by_id.items()
    assert found.alerts == expected.alerts


def seen_all(watcher: Peer, steps: int, streams: int) -> bool:
    """Tell whether the forecast of the last step of every stream has been seen."""
    last = [p for t, p in watcher.last().items() if t.endswith("/forecast")]
    final_ns = T0_S + 10 * (steps - 1)
    at_end = [p for p in last if _origin_s(p) == final_ns]
    return len(at_end) == streams


def _origin_s(payload: str) -> int:
    return int(np.datetime64(json.loads(payload)["origin"].rstrip("Z"), "s").astype(np.int64))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Give a broker that logs every packet."""
    with running_broker(tmp_path / "broker", *BROKER_LINES) as found:
        yield found


def undisturbed(folder: Path, steps: int, streams: int) -> Outcome:
    """Run a node from start to stop without any disturbance."""
    with (
        running_broker(folder / "broker") as broker,
        node_in(folder / "node", broker.port, RULES, node=CLOCK) as node,
    ):
        watcher, sensor = Peer(broker.port, "edgeseq/#"), Peer(broker.port)
        node.start()
        node.wait_for_event("broker.connected")
        wait_until(lambda: watcher.texts("edgeseq/n/bridge/state"), "online")
        publish(sensor, range(steps), streams)
        wait_until(lambda: seen_all(watcher, steps, streams), "all forecasts")
        assert node.stop() == 0, node.text()
        wait_until(lambda: watcher.texts("edgeseq/n/bridge/state")[-1] == '{"state":"stopped"}', "goodbye")
        found = outcome(node, watcher)
        watcher.close()
        sensor.close()
        return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Give the outcome of the long undisturbed run."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed"), STEPS, STREAMS)


def acknowledged(broker: Broker) -> int:
    """Count the acknowledgements that the broker has received from the daemon."""
    return len(re.findall(r"Received PUBACK from edgeseq-n ", broker.log()))


def wait_until_acknowledged(broker: Broker, count: int) -> None:
    """Wait until the broker has received so many acknowledgements from the daemon."""
    wait_until(lambda: acknowledged(broker) >= count, "acknowledgements")


def test_daemon_killed_five_times_same_as_undisturbed(
    tmp_path: Path, broker: Broker, expected: Outcome
) -> None:
    """Five SIGKILLs at random moments while 50 streams report: same state, same forecasts, same alerts.

    Each killed process had acknowledged messages: the test is void otherwise.
    """
    rng = random.Random(7)
    with node_in(tmp_path / "node", broker.port, RULES, node=CLOCK) as node:
        watcher, sensor = Peer(broker.port, "edgeseq/#"), Peer(broker.port)
        node.start()
        node.wait_for_event("broker.connected")
        wait_until(lambda: watcher.texts("edgeseq/n/bridge/state"), "online")
        for part in range(KILLS):
            before = acknowledged(broker)
            publish(sensor, range(STEPS * part // KILLS, STEPS * (part + 1) // KILLS))
            wait_until_acknowledged(broker, before + rng.randint(1, 400))
            node.kill()
            assert acknowledged(broker) > before
            node.start()
        wait_until_acknowledged(broker, STEPS * STREAMS)
        wait_until(lambda: seen_all(watcher, STEPS, STREAMS), "all forecasts")
        wait_until(lambda: len(alerts(watcher)) >= len(expected.alerts), "all alerts")
        assert node.stop() == 0, node.text()
        assert_same(outcome(node, watcher), expected)
        watcher.close()
        sensor.close()


def alerts(watcher: Peer) -> set[str]:
    """Give the alerts that a subscriber has seen."""
    return {m.payload.decode() for m in list(watcher.received) if m.topic.endswith("/alert")}


FEW_STREAMS, FEW_STEPS = 5, 40
AT_STOP = ("journal.begun", "snapshot.written", "snapshot.renamed", "generations.removed")
"""Passed when a snapshot is taken, so on a stop."""


@pytest.fixture(scope="module")
def expected_few(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Give the outcome of a short undisturbed run."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed"), FEW_STEPS, FEW_STREAMS)


def wait_until_done_with(count: int, broker: Broker, node: Node) -> None:
    """Wait until so many messages are acknowledged, or the daemon is dead."""
    wait_until(lambda: node.process.poll() is not None or acknowledged(broker) >= count, "a batch, or death")


@pytest.mark.parametrize("name", failpoint.NAMES)
def test_daemon_killed_at_failpoint_same_as_undisturbed(
    name: str, tmp_path: Path, broker: Broker, expected_few: Outcome
) -> None:
    """Killed between any two durable steps, by name: same state, same forecasts, same alerts."""
    with node_in(tmp_path / "node", broker.port, RULES, node=CLOCK) as node:
        watcher, sensor = Peer(broker.port, "edgeseq/#"), Peer(broker.port)
        passage = 1 if name in AT_STOP else 3
        node.start(EDGESEQ_FAILPOINT=f"{name}:{passage}")
        node.wait_for_event("broker.connected")
        wait_until(lambda: watcher.texts("edgeseq/n/bridge/state"), "online")
        half = FEW_STEPS // 2
        for step in range(half):
            publish(sensor, range(step, step + 1), FEW_STREAMS)
            wait_until_done_with((step + 1) * FEW_STREAMS, broker, node)
        if name in AT_STOP:
            node.process.terminate()
        assert node.died_of_failpoint(), node.text()
        node.start()
        publish(sensor, range(half, FEW_STEPS), FEW_STREAMS)
        wait_until_acknowledged(broker, FEW_STEPS * FEW_STREAMS)
        wait_until(lambda: seen_all(watcher, FEW_STEPS, FEW_STREAMS), "all forecasts")
        assert node.stop() == 0, node.text()
        assert_same(outcome(node, watcher), expected_few, streams=FEW_STREAMS)
        watcher.close()
        sensor.close()


QUIET = RULES + '[log]\nlevel = "warning"\n'
"""The log is a file, too: it must stay shorter than the journal."""


def fill_disk(node: Node) -> None:
    """Let the journal have no more room, by a limit on the size of files, which can be lifted from outside."""
    limit = journal.read(node.state_dir / "journal-0.bin", 0).length_bytes + 10
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def test_daemon_disk_full_nothing_acknowledged_until_it_works(
    tmp_path: Path, broker: Broker, expected_few: Outcome
) -> None:
    """While the disk refuses, nothing is acknowledged and the daemon lives on; afterwards nothing is missing."""
    half = FEW_STEPS // 2
    with node_in(tmp_path / "node", broker.port, QUIET, node=CLOCK) as node:
        watcher, sensor = Peer(broker.port, "edgeseq/#"), Peer(broker.port)
        node.start()
        wait_until(lambda: watcher.texts("edgeseq/n/bridge/state"), "online")
        publish(sensor, range(half), FEW_STREAMS)
        wait_until_acknowledged(broker, half * FEW_STREAMS)
        fill_disk(node)
        publish(sensor, range(half, FEW_STEPS), FEW_STREAMS)
        failed = node.wait_for_event("storage.failed", 2)
        assert "journal" in failed[0]["error"]
        assert acknowledged(broker) == half * FEW_STREAMS
        wait_until(lambda: node.listen().count("WATCHDOG=1") > 1, "alive")
        resource.prlimit(
            node.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )
        wait_until_acknowledged(broker, FEW_STEPS * FEW_STREAMS)
        wait_until(lambda: seen_all(watcher, FEW_STEPS, FEW_STREAMS), "all forecasts")
        assert node.stop() == 0, node.text()
        assert_same(outcome(node, watcher), expected_few, streams=FEW_STREAMS)
        watcher.close()
        sensor.close()


def test_daemon_stopped_while_disk_full_loses_nothing(
    tmp_path: Path, broker: Broker, expected_few: Outcome
) -> None:
    """Told to stop while the disk refuses, it goes with exit code 75; the next one takes all that is left."""
    half = FEW_STEPS // 2
    with node_in(tmp_path / "node", broker.port, QUIET, node=CLOCK) as node:
        watcher, sensor = Peer(broker.port, "edgeseq/#"), Peer(broker.port)
        node.start()
        wait_until(lambda: watcher.texts("edgeseq/n/bridge/state"), "online")
        publish(sensor, range(half), FEW_STREAMS)
        wait_until_acknowledged(broker, half * FEW_STREAMS)
        fill_disk(node)
        publish(sensor, range(half, FEW_STEPS), FEW_STREAMS)
        node.wait_for_event("storage.failed")
        assert node.stop() == EXIT_RETRY, node.text()
        assert acknowledged(broker) == half * FEW_STREAMS
        node.start()
        wait_until_acknowledged(broker, FEW_STEPS * FEW_STREAMS)
        wait_until(lambda: seen_all(watcher, FEW_STEPS, FEW_STREAMS), "all forecasts")
        assert node.stop() == 0, node.text()
        assert_same(outcome(node, watcher), expected_few, streams=FEW_STREAMS)
        watcher.close()
        sensor.close()


def test_daemon_broker_stopped_and_started_goes_on(
    tmp_path: Path, broker: Broker, expected_few: Outcome
) -> None:
    """While the broker is away the daemon waits; when it is back it goes on, and its session has lost nothing."""
    half = FEW_STEPS // 2
    with node_in(tmp_path / "node", broker.port, RULES, node=CLOCK) as node:
        watcher, sensor = Peer(broker.port, "edgeseq/#"), Peer(broker.port)
        node.start()
        node.wait_for_event("broker.connected")
        wait_until(lambda: watcher.texts("edgeseq/n/bridge/state"), "online")
        publish(sensor, range(half), FEW_STREAMS)
        wait_until(lambda: seen_all(watcher, half, FEW_STREAMS), "first half")
        for peer in (watcher, sensor):
            peer.close()
        broker.stop()
        node.wait_for_event("broker.missed", 1)
        broker.start()
        node.wait_for_event("broker.connected", 2)
        assert node.events("session.lost") == []
        late_watcher, late_sensor = Peer(broker.port, "edgeseq/#"), Peer(broker.port)
        publish(late_sensor, range(half, FEW_STEPS), FEW_STREAMS)
        wait_until(lambda: seen_all(late_watcher, FEW_STEPS, FEW_STREAMS), "second half")
        assert node.stop() == 0, node.text()
        found = outcome(node, late_watcher)
        assert found.header == expected_few.header
        assert found.forecasts == expected_few.forecasts
        for peer in (late_watcher, late_sensor):
            peer.close()
