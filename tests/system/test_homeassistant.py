"""A small Home Assistant finds a real node over a real broker, follows it, and presses its buttons."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edgeseq.config import HomeAssistantConfig, parse_config
from tests.support.broker import PATIENCE_S, Broker, Peer, peer, running_broker, wait_until
from tests.support.homeassistant import STATUS, Home, home
from tests.support.node import Node, node_in

pytestmark = pytest.mark.system

STREAMS = """
[[streams]]
topic = "house/+"
field = "temperature"
every = "10s"
unit = "°C"
time = "time"
silent_after = "5m"
limits = { max = 30 }
"""
PUMP = """
[[streams]]
name = "pump"
every = "10s"
channels = { flow = "plc#flow", current = "plc#current" }
unit = { flow = "L/min", current = "A" }
time = "time"
"""
ON = "[homeassistant]\ndiscovery = true\n"
SETTINGS = 'requests = true\nclock = "readings"'
CELLAR = "edgeseq-n_house-cellar-temperature"
PAGE = Path(__file__).parents[2] / "docs" / "home-assistant.md"
T0_S = 1_760_000_000

OF_STREAM = {
    "acknowledge": "button", "alert": "event", "anomaly": "binary_sensor", "data": "sensor", "false_alarm": "button",
    "phase": "sensor", "real": "button",
}  # fmt: skip
OF_CHANNEL = dict.fromkeys(("forecast", "lower", "skill", "upper"), "sensor")
OF_SEVERAL = OF_CHANNEL | {"alert": "event", "anomaly": "binary_sensor"}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Give a broker."""
    with running_broker(tmp_path / "broker") as found:
        yield found


@pytest.fixture
def node(tmp_path: Path, broker: Broker) -> Iterator[Node]:
    """Give a node that is announced; it is not started."""
    with node_in(tmp_path / "node", broker.port, STREAMS + PUMP, node=SETTINGS, rest=ON) as made:
        yield made


def read(sensors: Peer, step: int, value: float, room: str = "cellar") -> None:
    """Publish a reading of a room."""
    payload = json.dumps({"temperature": value, "time": T0_S + 10 * step})
    sensors.publish(f"house/{room}", payload)
    sensors.flush()


def expected() -> dict[str, str]:
    """List the entities of a room, the pump and the node: id → platform."""
    rooms = {f"{CELLAR}_{name}": kind for name, kind in {**OF_STREAM, **OF_CHANNEL}.items()}
    pump = {f"edgeseq-n_pump_{name}": kind for name, kind in OF_STREAM.items()}
    channels = {
        f"edgeseq-n_pump_{c}_{n}": kind for c in ("flow", "current") for n, kind in OF_SEVERAL.items()
    }
    node = {f"edgeseq-n_bridge_{name}": "sensor" for name in ("alerts", "streams", "memory")}
    return {**rooms, **pump, **channels, **node}


def test_home_assistant_finds_follows_and_loses_a_node(tmp_path: Path, broker: Broker, node: Node) -> None:
    """Entities as listed, with states; births, buttons, availability and removal have their effect."""
    node.start()
    node.wait_for_event("broker.connected")
    with peer(broker.port, "edgeseq/#") as sensors, home(broker.port) as house:
        read(sensors, 0, 20.0)
        sensors.publish("plc", json.dumps({"flow": 3, "current": 1, "time": T0_S}))
        wait_until(lambda: len(house.entities) == len(expected()) + 2, "all entities")
        found = {name: str(one["platform"]) for name, one in house.entities.items()}
        coverage = {name for name in found if "_bridge_coverage_" in name}
        assert len(coverage) == 2, "one a table"
        assert {name: kind for name, kind in found.items() if name not in coverage} == expected()
        assert house.entities[f"{CELLAR}_forecast"]["name"] == "cellar temperature forecast"
        assert house.entities["edgeseq-n_pump_flow_forecast"]["device"]["name"] == "edgeseq n pump"
        (tmp_path / "entities.txt").write_text("\n".join(sorted(found)), encoding="utf-8")
        check_states(sensors, house)
        check_buttons(sensors, house)
        check_birth(house)
        check_availability(sensors, house, node)
        check_removal(house, broker, node)
        assert house.faults == []


def check_states(sensors: Peer, house: Home) -> None:
    """A forecast comes with its band and path."""
    wait_until(house.hears_all, "it hears all")
    for step in range(1, 40):
        read(sensors, step, 20.0 + step % 2)
    topic = "edgeseq/n/house-cellar-temperature/forecast"
    wait_until(lambda: len(house.messages.get(topic, [])) >= 39, "a forecast for each reading")
    wait_until(lambda: house.state(f"{CELLAR}_forecast") == "21.0", "the forecast")
    lower, upper = (float(str(house.state(f"{CELLAR}_{name}"))) for name in ("lower", "upper"))
    assert lower <= 21.0 <= upper
    path = house.attributes(f"{CELLAR}_forecast")
    assert len(path["lead_s"]) == len(path["value"]) == 24
    wait_until(lambda: house.state("edgeseq-n_bridge_streams") is not None, "health")
    wanted = ["OFF", "learning", "ok"]
    names = [f"{CELLAR}_{name}" for name in ("anomaly", "phase", "data")]
    wait_until(lambda: [house.state(name) for name in names] == wanted, "its status")
    wait_until(lambda: house.state("edgeseq-n_bridge_alerts") == "0", "the list of alerts")


def check_buttons(sensors: Peer, house: Home) -> None:
    """An alert is an event; acknowledged by the button it is one more, and the label is kept."""
    read(sensors, 40, 50.0)
    wait_until(lambda: house.state(f"{CELLAR}_alert") == "opened", "the alert")
    wait_until(lambda: house.state(f"{CELLAR}_anomaly") == "ON", "the problem")
    house.press(f"{CELLAR}_acknowledge")
    wait_until(lambda: house.state(f"{CELLAR}_alert") == "acknowledged", "the acknowledgement")
    by = '"acknowledged_by":"Home Assistant"'
    wait_until(lambda: by in sensors.last()["edgeseq/n/bridge/alerts"], "the mark in the list")
    house.press(f"{CELLAR}_real")
    wait_until(lambda: "edgeseq/n/bridge/response/label" in sensors.last(), "the label's response")
    assert "error" not in json.loads(sensors.last()["edgeseq/n/bridge/response/label"])


def check_birth(house: Home) -> None:
    """A Home Assistant that has just started is told all again."""
    before = {message.topic: bytes(message.payload) for message in house.announcements}
    count = len(house.announcements)
    house.publish(STATUS, "online", qos=1)
    wait_until(lambda: len(house.announcements) >= count + len(before), "announced again")
    assert {message.topic: bytes(message.payload) for message in house.announcements[count:]} == before


def check_availability(sensors: Peer, house: Home, node: Node) -> None:
    """A silent sensor's forecasts are not available, its alerts are; of a node that is gone nothing is."""
    names = [f"{CELLAR}_forecast", f"{CELLAR}_anomaly", f"{CELLAR}_acknowledge"]
    assert [house.is_available(name) for name in names] == [True, True, True]
    read(sensors, 1000, 20.0, "attic")
    wait_until(lambda: not house.is_available(names[0]), "silence")
    assert [house.is_available(name) for name in names] == [False, True, True]
    wait_until(lambda: house.state(f"{CELLAR}_data") == "silent", "its status")
    read(sensors, 1001, 20.0)
    wait_until(lambda: house.is_available(names[0]), "it is back")
    assert node.stop() == 0, node.text()
    wait_until(lambda: not any(house.is_available(name) for name in names), "stopped")


def check_removal(house: Home, broker: Broker, node: Node) -> None:
    """A table that goes takes its device with it; discovery that goes takes all, and leaves nothing at the broker."""
    node.write(STREAMS, node=SETTINGS, rest=ON)
    node.start()
    wait_until(lambda: not [name for name in house.entities if "_pump_" in name], "no pump")
    assert f"{CELLAR}_forecast" in house.entities
    assert "edgeseq-n_house-attic-temperature_forecast" in house.entities
    assert node.stop() == 0, node.text()
    check_commands_of_the_page(house, broker)
    node.start()
    wait_until(lambda: house.entities, "announced again")
    assert node.stop() == 0, node.text()
    node.write(STREAMS, node=SETTINGS)
    node.start()
    wait_until(lambda: not house.entities, "no entities")
    with peer(broker.port, "homeassistant/#", "edgeseq/n/bridge/state") as late:
        wait_until(lambda: "edgeseq/n/bridge/state" in late.last(), "what is retained")
        time.sleep(0.1)
        assert [topic for topic in late.last() if topic.startswith("homeassistant/")] == []
    assert node.stop() == 0, node.text()


def check_commands_of_the_page(house: Home, broker: Broker) -> None:
    """What the page says about a node that is never started again takes its announcements away."""
    text = PAGE.read_text(encoding="utf-8")
    (command,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    command = command.replace("-h localhost", f"-h 127.0.0.1 -p {broker.port}").replace(
        "edgeseq-attic", "edgeseq-n"
    )
    subprocess.run(["sh", "-c", command], check=True, timeout=PATIENCE_S)
    wait_until(lambda: not house.entities, "nothing is left")


def test_page_shows_what_can_be_configured() -> None:
    """The page's configuration works, and its defaults are the defaults."""
    text = PAGE.read_text(encoding="utf-8")
    (shown,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert parse_config(shown).homeassistant.discovery
    for field in msgspec.structs.fields(HomeAssistantConfig):
        assert f"`{field.name}`" in text
        assert field.name == "discovery" or f"({field.default})" in text or f"(`{field.default}`)" in text
