"""Covariates of the past and of the future, and the calendar, on a real broker: one small bundle takes all of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edgeseq import replay as r
from edgeseq.adapters.log import open_log
from edgeseq.bundle.keys import load_signing_key, write_public_key
from edgeseq.compose import open_node
from edgeseq.config import load_config
from edgeseq.config.resolve import resolve
from edgeseq.core import keeping
from edgeseq.core.instants import format_instant
from edgeseq.core.types import Message
from tests.support.broker import Peer, running_broker, wait_until
from tests.support.calendars import SPRING, seconds
from tests.support.node import STRICT, Node, node_in
from tests.support.tiny_bundle import known_twin, tiny_bundle_path

pytestmark = pytest.mark.system

PERIOD_NS = 600 * 10**9
START_NS = (seconds(SPRING) - 8 * 3600) * 10**9
"""Eight hours before clocks are set forward."""
STEPS = 70
CRASH_AT = 45
STREAMS = """
[[streams]]
name = "room"
every = "10m"
time = "at"
channels = { kitchen = "kitchen#v", c1 = "humidity#v" }
known = { outdoor = { topic = "weather/forecast", field = "hourly", time = "at", value = "t2m" } }
bundle = "tiny.edgeseq"
"""


def readings(first: int, stop: int) -> list[Message]:
    """Make readings of both sensors."""
    noise = np.random.default_rng(8).normal(0, 1, (STEPS + 10, 2))
    made = []
    for step in range(first, stop):
        at_ns = START_NS + step * PERIOD_NS
        for topic, value in zip(("kitchen", "humidity"), 20 + noise[step], strict=True):
            body = {"at": format_instant(at_ns), "v": round(float(value), 3)}
            made.append(Message(topic, json.dumps(body).encode(), at_ns))
    return made


def forecast(first: int, stop: int, *, retained: bool = False) -> Message:
    """Make hourly forecasts of the temperature outdoors for the steps from `first` on."""
    hourly = [
        {"at": format_instant(START_NS + step * PERIOD_NS), "t2m": 5 + step % 4}
        for step in range(first, stop, 6)
    ]
    return Message("weather/forecast", json.dumps({"hourly": hourly}).encode(), START_NS, retained=retained)


@pytest.fixture
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Node, Peer, Peer]]:
    """Run mosquitto; make a node with the bundle, a sensor and a subscriber."""
    bundle = known_twin(tiny_bundle_path(request.config))
    with (
        running_broker(tmp_path / "broker") as broker,
        node_in(tmp_path / "node", broker.port, STREAMS, node='clock = "readings"', rest=STRICT) as node,
        closing(Peer(broker.port)) as sensor,
        closing(Peer(broker.port, "edgeseq/n/#")) as subscriber,
    ):
        shutil.copy(bundle, node.folder / "tiny.edgeseq")
        key = load_signing_key(bundle.parent / "signing.key", create=False)
        write_public_key(key.public_key(), node.folder / "trusted_keys")
        yield node, sensor, subscriber


def arrays_of(config: Path, state_dir: Path | None) -> dict[str, bytes]:
    """Open a node on a state folder; give the arrays of its state."""
    node = open_node(resolve(load_config(config), config.parent), state_dir=state_dir, log=open_log("error"))
    arrays = {name: array.tobytes() for name, array in keeping.dump(node.state)[1].items()}
    r.close(node)
    return arrays


def test_covariates_and_calendar_survive_a_crash_and_give_the_state_of_a_replay(
    rig: tuple[Node, Peer, Peer],
) -> None:
    """Only the target is published; killed between, the daemon ends in the very state of a replay of its messages.

    The first forecast is retained and comes before any reading; after the crash the broker does not send it again,
    so what it said must have been journaled. Later ones end within the horizon: the daemon says that leads are filled.
    """
    node, sensor, subscriber = rig
    sent = [
        forecast(-24, 48, retained=True),
        *readings(0, CRASH_AT),
        forecast(40, 62),
        *readings(CRASH_AT, STEPS),
    ]
    before, after = sent[: 1 + 2 * CRASH_AT], sent[1 + 2 * CRASH_AT :]
    sensor.publish("weather/forecast", before[0].payload, retain=True)
    sensor.flush()
    node.start()
    # Online is said after subscribing.
    wait_until(
        lambda: '{"state":"online"}' in subscriber.texts("edgeseq/n/bridge/state"), "the daemon is online"
    )
    _send(node, sensor, subscriber, before[1:], CRASH_AT)
    node.kill()
    node.start()
    _send(node, sensor, subscriber, after, STEPS)
    assert node.stop() == 0, node.text()

    topics = {m.topic for m in subscriber.received}
    assert "edgeseq/n/room/kitchen/forecast" in topics
    assert not any("c1" in topic or "weather" in topic for topic in topics)
    assert [event["leads_filled"] for event in node.events("inputs.filled")][-1] > 0
    assert {event["streams"] for event in node.events("state.restored")} == {0, 1}

    replayed = r.open_for_replay(node.config, None, save_state=False)
    list(r.replay(replayed, sent, r.Tally()))
    wanted = {name: array.tobytes() for name, array in keeping.dump(replayed.state)[1].items()}
    assert replayed.state.groups[0].table["model_warm"].all()
    assert arrays_of(node.config, node.state_dir) == wanted


def _send(node: Node, sensor: Peer, subscriber: Peer, messages: list[Message], steps: int) -> None:
    """Publish, and wait until so many steps were forecast."""
    for message in messages:
        sensor.publish(message.topic, message.payload)
    wanted = f'"origin":"{format_instant(START_NS + (steps - 1) * PERIOD_NS)}"'

    def is_told() -> bool:
        node.require_alive()
        return any(wanted in text for text in subscriber.texts("edgeseq/n/room/kitchen/forecast"))

    wait_until(is_told, f"{steps} steps forecast", patience_s=120)
