"""All families at once on a real broker: every number is forecast and nothing else, what is malformed is counted."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edgeseq.config.sample import toml
from edgeseq.core.decoders import sparkplug_b_pb2
from tests.support.broker import Peer, running_broker, wait_until
from tests.support.families import EVERY_NS, HOUSEHOLDS, Sample, data, sparkplug_topic
from tests.support.node import Node, node_in

pytestmark = pytest.mark.system

STREAMS = "\n".join(
    f'[[streams]]\nname = "{name}"\ntopic = {toml(list(household.topics))}\ndecoder = "{name}"\nevery = "10s"\n'
    + ("rebirth = true\n" if name == "sparkplug" else "")
    for name, household in HOUSEHOLDS.items()
)
STEPS = 3
COUNT = sum(len(household.streams) for household in HOUSEHOLDS.values())
COMMAND = "spBv1.0/plant1/NCMD/line-gateway"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[tuple[Node, Peer, Peer]]:
    """Run mosquitto; make a node that reads all families, devices and a subscriber."""
    with (
        running_broker(tmp_path / "broker") as broker,
        node_in(tmp_path / "node", broker.port, STREAMS) as node,
        closing(Peer(broker.port)) as devices,
        closing(Peer(broker.port, "edgeseq/n/#", COMMAND)) as subscriber,
    ):
        yield node, devices, subscriber


def publish(devices: Peer, samples: list[Sample]) -> None:
    """Publish messages in their order."""
    for sample in samples:
        devices.publish(sample.topic, sample.payload, retain=sample.retained)
    devices.flush()


def start(node: Node, subscriber: Peer) -> None:
    """Start the daemon and wait until it listens."""
    online = subscriber.texts("edgeseq/n/bridge/state").count('{"state":"online"}')
    node.start()
    wait_until(
        lambda: subscriber.texts("edgeseq/n/bridge/state").count('{"state":"online"}') > online, "online"
    )


def stop(node: Node, subscriber: Peer) -> dict[str, object]:
    """Stop the daemon; give the health that it told last."""
    before = len(subscriber.texts("edgeseq/n/bridge/health"))
    assert node.stop() == 0, node.text()
    wait_until(lambda: len(subscriber.texts("edgeseq/n/bridge/health")) > before, "the last health")
    health: dict[str, object] = json.loads(subscriber.texts("edgeseq/n/bridge/health")[-1])
    return health


def forecasts(subscriber: Peer) -> set[str]:
    """List the streams that were forecast."""
    topics = {message.topic for message in list(subscriber.received)}
    return {topic.split("/")[2] for topic in topics if topic.endswith("/forecast")}


def commands(subscriber: Peer) -> list[bytes]:
    """List what edge nodes were asked."""
    return [bytes(message.payload) for message in list(subscriber.received) if message.topic == COMMAND]


def test_all_families_at_once_every_number_is_forecast_and_faults_are_counted(
    rig: tuple[Node, Peer, Peer],
) -> None:
    """Aliases survive a clean stop, wait for a birth after a kill, and a birth is asked for where one is missing."""
    node, devices, subscriber = rig
    begun_ns = time.time_ns() - (STEPS + 1) * EVERY_NS
    first = [sample for household in HOUSEHOLDS.values() for sample in household.start(begun_ns)]
    publish(devices, [sample for sample in first if sample.retained])
    start(node, subscriber)
    publish(devices, [sample for sample in first if not sample.retained])
    for step in range(STEPS):
        at_ns = begun_ns + (step + 1) * EVERY_NS
        publish(devices, [s for household in HOUSEHOLDS.values() for s in household.at(step, at_ns)])
    wait_until(lambda: len(forecasts(subscriber)) == COUNT, f"{COUNT} streams are forecast")
    assert commands(subscriber) == []

    wrong = [pair for household in HOUSEHOLDS.values() for pair in household.malformed]
    publish(devices, [sample for sample, _ in wrong])
    wait_until(lambda: commands(subscriber), "a birth is asked for")
    health = stop(node, subscriber)
    expected = Counter(str(reason) for _, reason in wrong)
    rejected = health["rejected"]
    assert isinstance(rejected, dict)
    assert {reason: count for reason, count in rejected.items() if reason != "retained"} == expected
    assert health["streams"] == len(forecasts(subscriber)) == COUNT
    settled = sum(int(str(health[name])) for name in ("applied", "late", "duplicate", "shed"))
    assert health["received"] == settled + sum(rejected.values())
    assert int(str(health["ignored"])) > 0
    (request,) = commands(subscriber)
    (asked,) = sparkplug_b_pb2.Payload.FromString(request).metrics  # type: ignore[attr-defined]  # generated
    assert (asked.name, asked.boolean_value) == ("Node Control/Rebirth", True)

    start(node, subscriber)
    publish(devices, data(STEPS, time.time_ns()))
    assert stop(node, subscriber)["rejected"] == {}

    start(node, subscriber)
    node.kill()
    start(node, subscriber)
    publish(devices, data(STEPS + 1, time.time_ns()))
    assert stop(node, subscriber)["rejected"] == {"no_birth": 2}
    assert sparkplug_topic("NDATA") in node.text()
