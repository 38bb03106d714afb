"""Messages as Zigbee2MQTT sends them, through a real broker, seen by mosquitto_sub."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgeseq.core.instants import format_instant
from edgeseq.core.topics import slug
from tests.support.broker import Broker, Peer, running_broker, wait_until
from tests.support.node import node_in
from tests.support.validate import validate

pytestmark = pytest.mark.system

T0_S = 1_760_000_000
STEPS = 30

HOUSE = """
[[streams]]
topic = "zigbee2mqtt/+"
exclude = ["zigbee2mqtt/bridge/#"]
fields = ["temperature", "humidity"]
time = "last_seen"
every = "10m"
"""

CLIMATE = ("Living room sensor", "Büro", "0x00158d0001a2b3c4")
"""Devices that report temperature and humidity: names with spaces and umlauts, and one without a name."""
MOTION = "Hall motion"
"""Reports its temperature, never a humidity."""
PLUG = "Kitchen plug"
"""Reports neither."""


def at(step: int) -> str:
    """Give a time as Zigbee2MQTT writes last_seen."""
    return format_instant((T0_S + 600 * step) * 10**9)


def climate(step: int, offset: float) -> dict[str, object]:
    """Make the state of a climate sensor, as its converter publishes it."""
    return {
        "battery": 97,
        "humidity": round(45 + offset + step % 3, 2),
        "linkquality": 112 + step % 5,
        "power_outage_count": 12,
        "temperature": round(21.5 + offset + 0.1 * (step % 7), 2),
        "update": {"installed_version": 16777241, "latest_version": 16777241, "state": "idle"},
        "voltage": 3005,
        "last_seen": at(step),
    }


def publish_surroundings(sensor: Peer) -> None:
    """Publish what Zigbee2MQTT retains about itself and its devices, and the retained state of an earlier day."""
    devices = [
        {
            "friendly_name": name,
            "ieee_address": f"0x{n:016x}",
            "type": "EndDevice",
            "definition": {"exposes": []},
        }
        for n, name in enumerate((*CLIMATE, MOTION, PLUG))
    ]
    sensor.publish("zigbee2mqtt/bridge/state", '{"state":"online"}', retain=True)
    sensor.publish("zigbee2mqtt/bridge/devices", json.dumps(devices), retain=True)
    sensor.publish(
        "zigbee2mqtt/bridge/info", json.dumps({"version": "1.40.1", "temperature": 1}), retain=True
    )
    for name in (*CLIMATE, MOTION, PLUG):
        sensor.publish(f"zigbee2mqtt/{name}/availability", '{"state":"online"}', retain=True)
    sensor.publish(f"zigbee2mqtt/{CLIMATE[0]}", json.dumps(climate(-50, 60.0)), retain=True)
    sensor.flush()


def publish_capture(sensor: Peer) -> None:
    """Publish what a house says in five hours."""
    for step in range(STEPS):
        for offset, name in enumerate(CLIMATE):
            sensor.publish(f"zigbee2mqtt/{name}", json.dumps(climate(step, offset)))
        motion = {"occupancy": step % 2 == 0, "temperature": 19.5, "battery": 80, "last_seen": at(step)}
        sensor.publish(f"zigbee2mqtt/{MOTION}", json.dumps(motion))
        plug = {"state": "ON", "power": 12.5 + step, "energy": 1.25, "last_seen": at(step)}
        sensor.publish(f"zigbee2mqtt/{PLUG}", json.dumps(plug))
        log = {"level": "info", "message": f"MQTT publish: topic 'zigbee2mqtt/{PLUG}'", "temperature": 3}
        sensor.publish("zigbee2mqtt/bridge/logging", json.dumps(log))
        sensor.publish(f"zigbee2mqtt/{PLUG}/set", '{"state":"OFF"}')
        sensor.publish(f"zigbee2mqtt/{CLIMATE[1]}/availability", '{"state":"offline"}')


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Give a fresh broker."""
    with running_broker(tmp_path / "broker") as found:
        yield found


class Subscriber:
    """mosquitto_sub, as an operator would type it."""

    def __init__(self, port: int, path: Path) -> None:
        self._path = path
        self._out = path.open("wb")
        command = ["mosquitto_sub", "-p", str(port), "-q", "1", "-t", "edgeseq/#", "-F", "%t\t%p"]
        self.process = subprocess.Popen(command, stdout=self._out)

    def messages(self) -> list[tuple[str, str]]:
        """List topic and payload of what it has printed."""
        lines = self._path.read_text(encoding="utf-8").split("\n")[:-1]
        return [(line.partition("\t")[0], line.partition("\t")[2]) for line in lines]

    def streams(self, name: str) -> set[str]:
        """Name the streams that have published a kind of message."""
        return {topic.split("/")[2] for topic, _ in self.messages() if topic.endswith(f"/{name}")}

    def last(self, topic: str) -> str:
        """Give the last payload of a topic; empty if there was none."""
        return next((p for t, p in reversed(self.messages()) if t == f"edgeseq/n/{topic}"), "")

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self._out.close()


@contextmanager
def subscriber(port: int, path: Path) -> Iterator[Subscriber]:
    """Run mosquitto_sub for a while."""
    found = Subscriber(port, path)
    try:
        yield found
    finally:
        found.close()


def test_house_right_streams_forecast_and_none_else(tmp_path: Path, broker: Broker) -> None:
    """mosquitto_sub sees forecasts and status of every temperature and humidity, and of nothing else in the house."""
    expected = {
        slug(f"zigbee2mqtt/{name}", field) for name in CLIMATE for field in ("temperature", "humidity")
    }
    expected.add(slug(f"zigbee2mqtt/{MOTION}", "temperature"))
    with (
        node_in(tmp_path / "node", broker.port, HOUSE, node='clock = "readings"') as node,
        subscriber(broker.port, tmp_path / "seen") as seen,
    ):
        sensor = Peer(broker.port)
        publish_surroundings(sensor)
        node.start()
        wait_until(lambda: seen.last("bridge/state"), "online")
        wait_until(lambda: node.events("reading.rejected"), "the retained state is told")
        publish_capture(sensor)
        sensor.flush()
        last = slug(f"zigbee2mqtt/{MOTION}", "temperature")
        wait_until(lambda: at(STEPS - 1) in seen.last(f"{last}/forecast"), "the last forecast")
        assert node.stop() == 0, node.text()
        wait_until(lambda: "stopped" in seen.last("bridge/state"), "goodbye")
        sensor.close()
    assert seen.streams("forecast") == expected
    assert seen.streams("status") == expected
    assert seen.streams("latest") == expected
    for topic, payload in seen.messages():
        validate(topic, payload.encode())
    room = slug(f"zigbee2mqtt/{CLIMATE[0]}", "temperature")
    observed = [json.loads(p)["observed"] for t, p in seen.messages() if t == f"edgeseq/n/{room}/forecast"]
    assert observed == [round(21.5 + 0.1 * (step % 7), 2) for step in range(STEPS)], (
        "the retained 81.5 is none"
    )
    reasons = {line["reason"] for line in node.events("reading.rejected")}
    assert "retained" in reasons


FORTY = """
[[streams]]
topic = "plant/+"
field = "value"
time = "time"
every = "1s"
"""


def test_forty_sensors_the_silenced_one_is_named(tmp_path: Path, broker: Broker) -> None:
    """Of forty sensors without a bundle, one falls silent: it is named, by status and alert, and no other one is."""
    with node_in(tmp_path / "node", broker.port, FORTY, node='clock = "readings"') as node:
        watcher, sensor = Peer(broker.port, "edgeseq/#"), Peer(broker.port)
        node.start()
        wait_until(lambda: watcher.texts("edgeseq/n/bridge/state"), "online")
        for step in range(120):
            for n in range(40):
                if n == 17 and step >= 60:
                    continue
                sensor.publish(f"plant/s{n}", json.dumps({"value": n + step % 5, "time": T0_S + step}))
        silenced = slug("plant/s17", "value")
        last = slug("plant/s39", "value")
        end = format_instant((T0_S + 119) * 10**9)
        wait_until(lambda: end in watcher.last().get(f"edgeseq/n/{last}/forecast", ""), "the last forecast")
        wait_until(lambda: watcher.texts(f"edgeseq/n/{silenced}/alert"), "the silence")
        wait_until(lambda: watcher.last()[f"edgeseq/n/{silenced}/availability"] == "offline", "offline")
        assert node.stop() == 0, node.text()
        alerts = [(m.topic, json.loads(m.payload)) for m in watcher.received if m.topic.endswith("/alert")]
        silences = [(topic.split("/")[2], a["event_type"]) for topic, a in alerts if a["kind"] == "silent"]
        assert silences == [(silenced, "opened")]
        assert "s17" in alerts[0][1]["message"]
        status = {t.split("/")[2]: json.loads(p) for t, p in watcher.last().items() if t.endswith("/status")}
        assert len(status) == 40
        assert [s for s, payload in status.items() if payload["data"] == "silent"] == [silenced]
        for topic, payload in watcher.last().items():
            validate(topic, payload.encode())
        watcher.close()
        sensor.close()


LIVE = """
[[streams]]
topic = "plant/+"
every = "1s"
silent_after = "2s"
"""


def test_silence_on_the_wall_clock_named_and_cleared(tmp_path: Path, broker: Broker) -> None:
    """Without any further message the silence of a sensor is noticed, by the ticks; its next reading clears it."""
    with node_in(tmp_path / "node", broker.port, LIVE) as node:
        watcher, sensor = Peer(broker.port, "edgeseq/#"), Peer(broker.port)
        node.start()
        wait_until(lambda: watcher.texts("edgeseq/n/bridge/state"), "online")
        stream = slug("plant/pump")
        for value in ("1.5", "1.6", "1.7"):  # fewer say nothing about its rhythm
            sensor.publish("plant/pump", value)
        wait_until(lambda: watcher.texts(f"edgeseq/n/{stream}/alert"), "the silence")
        opened = json.loads(watcher.texts(f"edgeseq/n/{stream}/alert")[0])
        assert (opened["kind"], opened["event_type"]) == ("silent", "opened")

        def is_cleared() -> bool:
            sensor.publish("plant/pump", "1.5")
            sensor.flush()
            events = [json.loads(p) for p in watcher.texts(f"edgeseq/n/{stream}/alert")]
            return any(a["event_type"] == "cleared" and a["id"] == opened["id"] for a in events)

        wait_until(is_cleared, "cleared")
        node.kill()
        node.start()
        assert node.events("state.restored")[-1]["streams"] == 1
        assert node.stop() == 0, node.text()
        watcher.close()
        sensor.close()
