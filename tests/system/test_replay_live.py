"""Replay against the real daemon on a real broker: the same readings, the same bytes."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edgeseq import replay as r
from edgeseq.bundle.keys import load_signing_key, write_public_key
from edgeseq.core.instants import format_instant
from edgeseq.core.types import Message
from tests.support.broker import Peer, running_broker, wait_until
from tests.support.node import Node, node_in
from tests.support.tiny_bundle import tiny_bundle_path
from tests.test_replay import HOUR_NS, START_NS, STREAMS, messages

pytestmark = pytest.mark.system

PRESS = """
[[streams]]
name = "press"
every = "10m"
time = "at"
channels = { c0 = "press#c0", c1 = "press#c1" }
bundle = "tiny.edgeseq"
"""
"""A stream with a model; its readings leave up to eleven steps empty."""


def press(hours: int) -> list[Message]:
    """Make the readings of the stream that has a model."""
    made = []
    for hour in range(hours):
        for minute in (0, 10, 50) if hour % 3 else (20,):
            time_ns = START_NS + hour * HOUR_NS + minute * 60 * 10**9
            body = {"at": format_instant(time_ns), "c0": 100 + (hour * 7 + minute) % 13, "c1": 1e5 + hour % 5}
            made.append(Message("press", json.dumps(body).encode(), time_ns))
    return made


def played() -> list[Message]:
    """Put all sensors' messages in the order of their times."""
    return sorted([*messages(), *press(60)], key=lambda message: message.received_ns)


@pytest.fixture
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Node, Peer, Peer]]:
    """Run mosquitto; make a node with a bundle, a sensor and a subscriber."""
    bundle = tiny_bundle_path(request.config)
    with (
        running_broker(tmp_path / "broker") as broker,
        node_in(tmp_path / "node", broker.port, STREAMS + PRESS, node='clock = "readings"') as node,
        closing(Peer(broker.port)) as sensor,
        closing(Peer(broker.port, "edgeseq/n/#")) as subscriber,
    ):
        shutil.copy(bundle, node.folder / "tiny.edgeseq")
        key = load_signing_key(bundle.parent / "signing.key", create=False)
        write_public_key(key.public_key(), node.folder / "trusted_keys")
        yield node, sensor, subscriber


def _by_topic(messages: Iterable[tuple[str, bytes]]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = defaultdict(list)
    for topic, payload in messages:
        if r.kind_of(topic) in ("forecast", "alert"):
            found[topic].append(payload)
    return found


def _count(found: dict[str, list[bytes]]) -> int:
    return sum(len(payloads) for payloads in found.values())


def test_replay_publishes_the_daemons_bytes(rig: tuple[Node, Peer, Peer]) -> None:
    """Every forecast and every alert of the running daemon is, byte by byte, the one that replay writes."""
    node, sensor, subscriber = rig
    replayed = r.open_for_replay(node.config, None, save_state=False)
    wanted = _by_topic((out.topic, out.payload) for out in r.replay(replayed, played(), r.Tally()))
    kinds = {
        json.loads(p)["kind"] for topic, found in wanted.items() if topic.endswith("/alert") for p in found
    }
    assert kinds >= {"spike", "stuck", "silent"}
    assert {json.loads(p)["source"] for p in wanted["edgeseq/n/press/c0/forecast"]} >= {"baseline"}

    assert _serve(node, sensor, subscriber, played(), _count(wanted)) == wanted


def test_daemon_goes_on_from_a_replayed_history(rig: tuple[Node, Peer, Peer]) -> None:
    """A daemon started on a state that replay saved publishes what an uninterrupted run would have."""
    node, sensor, subscriber = rig
    sent = played()
    cut = len(sent) * 9 // 10
    whole = r.open_for_replay(node.config, None, save_state=False)
    list(r.replay(whole, sent[:cut], r.Tally()))
    wanted = _by_topic((out.topic, out.payload) for out in r.replay(whole, sent[cut:], r.Tally()))

    history = r.open_for_replay(node.config, None, save_state=True)
    list(r.replay(history, sent[:cut], r.Tally()))
    r.save(history)
    r.close(history)

    assert _serve(node, sensor, subscriber, sent[cut:], _count(wanted)) == wanted


def _serve(
    node: Node, sensor: Peer, subscriber: Peer, sent: Iterable[Message], count: int
) -> dict[str, list[bytes]]:
    """Run the daemon until it has published so many forecasts and alerts; stop it in order."""

    def received() -> dict[str, list[bytes]]:
        return _by_topic((message.topic, bytes(message.payload)) for message in list(subscriber.received))

    def is_done() -> bool:
        node.require_alive()
        return _count(received()) >= count

    node.start()
    # Online is said after subscribing.
    wait_until(
        lambda: '{"state":"online"}' in subscriber.texts("edgeseq/n/bridge/state"), "the daemon is online"
    )
    for message in sent:
        sensor.publish(message.topic, message.payload)
    wait_until(is_done, f"{count} forecasts and alerts", patience_s=120)
    assert node.stop() == 0
    return received()


def test_first_connection_after_a_replay_misses_no_session(
    rig: tuple[Node, Peer, Peer],
) -> None:
    """The state of a replay never had a session: the first connection loses none, a later one may."""
    node, _, _ = rig
    recorded = r.open_for_replay(node.config, None, save_state=True)
    list(r.replay(recorded, played(), r.Tally()))
    r.save(recorded)
    r.close(recorded)
    node.start()
    (first,) = node.wait_for_event("broker.connected")
    assert not first["is_session_present"]
    assert node.stop() == 0, node.text()
    assert node.events("session.lost") == []
    # To the broker another client id is a client without a session.
    node.write(STREAMS + PRESS, node='clock = "readings"', mqtt='client_id = "other"')
    node.start()
    assert node.wait_for_event("session.lost")[0]["client_id"] == "other"
    assert node.stop() == 0, node.text()
