"""A class model on the real daemon and a real broker: readings in, the room's state with its probability out."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from edgeseq.bundle.keys import load_signing_key, write_public_key
from tests.support.broker import Peer, running_broker, wait_until
from tests.support.node import STRICT, node_in
from tests.support.tiny_estimator import tiny_estimator_path
from tests.support.validate import validate

pytestmark = pytest.mark.system

ROOM = """
[[streams]]
name = "room"
every = "1m"
time = "at"
channels = { co2 = "room#co2", light = "room#light" }
estimate = "room.edgeseq"
"""
START_S = 1_772_359_200
TOPIC = "edgeseq/n/room/{}"


def payload(step: int, light: float | None) -> bytes:
    """Make the readings of a minute, all in one message."""
    return json.dumps({"at": START_S + 60 * step, "co2": 600 + step % 5, "light": light}).encode()


def _states(subscriber: Peer) -> list[str]:
    return [json.loads(text)["state"] for text in subscriber.texts(TOPIC.format("state"))]


def test_readings_become_the_state_of_a_room_and_survive_a_kill(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each step is told with its probabilities, the class is retained when it changes, also over a crash."""
    bundle = tiny_estimator_path(request.config)
    with (
        running_broker(tmp_path / "broker") as broker,
        node_in(tmp_path / "node", broker.port, ROOM, node='clock = "readings"', rest=STRICT) as node,
        closing(Peer(broker.port)) as sensor,
        closing(Peer(broker.port, "edgeseq/n/#")) as subscriber,
    ):
        shutil.copy(bundle, node.folder / "room.edgeseq")
        key = load_signing_key(bundle.parent / "signing.key", create=False)
        write_public_key(key.public_key(), node.folder / "trusted_keys")
        node.start()
        wait_until(lambda: '{"state":"online"}' in subscriber.texts("edgeseq/n/bridge/state"), "online")
        for step, light in enumerate([0.0] * 5 + [450.0] * 4):
            sensor.publish("room", payload(step, light))
        wait_until(lambda: len(subscriber.texts(TOPIC.format("estimate"))) >= 9, "9 estimates")
        told = [json.loads(text) for text in subscriber.texts(TOPIC.format("estimate"))]
        assert [e["state"] for e in told] == ["empty"] * 5 + ["occupied"] * 4
        assert all(e["probability"] == max(e["probabilities"].values()) > 0.5 for e in told)
        info = json.loads(subscriber.last()["edgeseq/n/bridge/info"])
        assert told[-1]["bundle"] == info["rules"][0]["estimate"]

        node.kill()
        node.start()
        sensor.publish("room", payload(9, None))
        sensor.publish("room", payload(10, 0.0))
        wait_until(lambda: len(subscriber.texts(TOPIC.format("estimate"))) >= 11, "the node goes on")
        told = [json.loads(text) for text in subscriber.texts(TOPIC.format("estimate"))]
        assert {e["quality"] for e in told} == {"ok", "degraded"}
        wait_until(lambda: _states(subscriber)[-1] == "empty", "the room is told to be empty again")
        assert list(dict.fromkeys(_states(subscriber))) == ["empty", "occupied"]
        assert node.stop() == 0, node.text()
        with closing(Peer(broker.port, TOPIC.format("state"))) as newcomer:
            wait_until(lambda: newcomer.texts(TOPIC.format("state")), "the retained class")
            (last,) = newcomer.texts(TOPIC.format("state"))
        assert json.loads(last)["since"] == "2026-03-01T10:10:00Z"
        for message in subscriber.received:
            validate(message.topic, bytes(message.payload))
