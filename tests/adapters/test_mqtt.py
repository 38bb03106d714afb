"""The link on a real mosquitto, by both transports."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from edgeseq.adapters.log import open_log
from edgeseq.adapters.mqtt import (
    MAX_ALERTS_IN_FLIGHT,
    BatchTransport,
    Connected,
    Deliveries,
    Disconnected,
    Link,
    Refused,
    Subscribed,
    Unreachable,
)
from edgeseq.adapters.mqtt.connector import Connector
from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.core.types import Outgoing
from edgeseq.linking import tell_fault
from tests.support.broker import Broker, Peer, free_port, peer, running_broker, wait_until
from tests.support.rig import WILL, Rig


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Give a fresh broker."""
    with running_broker(tmp_path / "broker") as found:
        yield found


def test_link_message_arrives_with_all_it_has(
    rigs: Callable[..., Rig], broker: Broker, version_5: bool
) -> None:
    """Topic, payload, QoS 1 packet id, retained and arrival time reach the inbox; QoS 0 has no packet id."""
    with peer(broker.port) as sensor:
        sensor.publish("in/kept", b"1", retain=True)
        sensor.flush()
        rig = rigs(broker.port, is_version_5=version_5)
        (kept,) = rig.messages(1)
        sensor.publish("in/Küche/1", b"\xff\x00")
        sensor.publish("in/zero", b"", qos=0)
        _, first, zero = rig.messages(3)
    assert (kept.topic, kept.retained) == ("in/kept", True)
    assert (first.topic, first.payload, first.retained, first.dup) == (
        "in/Küche/1",
        b"\xff\x00",
        False,
        False,
    )
    assert first.mid > 0
    assert (zero.mid, zero.payload) == (0, b"")
    assert kept.received_ns < zero.received_ns


def test_link_unacknowledged_come_again_acknowledged_do_not(
    rigs: Callable[..., Rig], broker: Broker, version_5: bool
) -> None:
    """What was acknowledged never comes again; what was not comes again, marked, after the connection was lost."""
    rig = rigs(broker.port, is_version_5=version_5)
    rig.wait_for(Subscribed)
    with peer(broker.port) as sensor:
        for n in range(6):
            sensor.publish("in/x", str(n))
        seen = rig.deliveries(6)
        rig.link.acknowledge(seen[:4])
        rig.drop()
        again = rig.deliveries(8)[6:]
        sensor.publish("in/x", "new")
        last = rig.messages(9)[8:]
    assert [(d.messages[0].payload, d.messages[0].dup) for d in again] == [(b"4", True), (b"5", True)]
    assert [d.messages[0].mid for d in again] == [d.messages[0].mid for d in seen[4:]], (
        "the session's packet ids stay"
    )
    assert last[0].payload == b"new"
    assert [c.is_session_present for c in rig.of(Connected)] == [False, True]


def test_link_ack_of_older_connection_dropped(rigs: Callable[..., Rig], broker: Broker) -> None:
    """An acknowledgement for a delivery of an earlier connection is not sent: its packet id may mean another now."""
    rig = rigs(broker.port)
    rig.wait_for(Subscribed)
    with peer(broker.port) as sensor:
        sensor.publish("in/x", "1")
        old = rig.deliveries(1)
        rig.drop()
        rig.wait_for(Subscribed, 2)
        rig.deliveries(2)
        rig.link.acknowledge(old)
        rig.drop()
        again = rig.deliveries(3)
        rig.wait_for(Subscribed, 3)
        rig.link.acknowledge(again[2:])
        rig.drop()
        rig.wait_for(Subscribed, 4)
        sensor.publish("in/x", "2")
        assert [m.payload for m in rig.messages(4)] == [b"1", b"1", b"1", b"2"]


def test_link_session_outlives_process(rigs: Callable[..., Rig], broker: Broker, version_5: bool) -> None:
    """A new process with the same client id gets what was published while nobody was there."""
    rig = rigs(broker.port, is_version_5=version_5)
    rig.wait_for(Subscribed)
    rig.link.close()
    with peer(broker.port) as sensor:
        sensor.publish("in/x", "missed")
        sensor.flush()
    other = rigs(broker.port, is_version_5=version_5)
    assert other.messages(1)[0].payload == b"missed"
    assert other.of(Connected)[0].is_session_present


def test_link_broker_away_retried_until_it_comes(rigs: Callable[..., Rig], tmp_path: Path) -> None:
    """An unreachable broker is reported with the delay to the next try, and tried again until it is there."""
    broker = Broker(tmp_path / "broker")
    rig = rigs(broker.port)
    faults = rig.wait_for(Unreachable, 3)
    assert "refused" in faults[0].reason
    assert 0 < faults[0].retry_s <= 0.2
    broker.start()
    rig.wait_for(Subscribed)
    broker.stop()
    rig.wait_for(Disconnected)
    broker.start()
    assert rig.wait_for(Connected, 2)[1].is_session_present
    broker.kill()


def test_link_name_unknown_reported(rigs: Callable[..., Rig]) -> None:
    """A host name that does not resolve, or cannot be encoded, is a value, not an exception."""
    for host in ("no-such-host.invalid", "a" * 70 + ".invalid"):
        rig = rigs(1883, host=host)
        assert rig.wait_for(Unreachable)[0].reason


def test_link_silent_server_given_up(rigs: Callable[..., Rig], version_5: bool) -> None:
    """A server that accepts the connection and never answers is given up, with a hint at the protocol version."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        rig = rigs(port, is_version_5=version_5, connack_timeout_s=0.1)
        fault = rig.wait_for(Unreachable)[0]
    assert "MQTT version" in fault.reason


@pytest.mark.parametrize(
    "noise", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\xff\xff\xff\xff\xff", b"\x00" * 64]
)
def test_link_other_protocol_survived(rigs: Callable[..., Rig], noise: bytes) -> None:
    """A server that speaks something else is reported and tried again; nothing is raised."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        rig = rigs(server.getsockname()[1], connack_timeout_s=0.2)
        rig.until(lambda: rig.link._transport.socket() is not None, "connected")
        opened, _ = server.accept()
        opened.sendall(noise)
        rig.wait_for(Unreachable)
        opened.close()


def test_link_wrong_password_refused_and_retried(
    rigs: Callable[..., Rig], tmp_path: Path, version_5: bool
) -> None:
    """A refusal is told as such, with the broker's reason, and tried again."""
    lines = ["allow_anonymous false"]
    with running_broker(tmp_path / "broker", *lines) as broker:
        rig = rigs(broker.port, is_version_5=version_5, username="me", password="wrong")
        refusals = rig.wait_for(Refused, 2)
    assert "ot authorized" in refusals[0].reason
    assert rig.of(Unreachable) == []
    assert rig.of(Connected) == []


def test_link_states_while_away_latest_wins(rigs: Callable[..., Rig], tmp_path: Path) -> None:
    """Of states published while the broker is away, one per topic goes out, the latest; while it is there, all do."""
    broker = Broker(tmp_path / "broker")
    rig = rigs(broker.port)
    for n in range(5):
        rig.link.publish([Outgoing("out/a", str(n).encode())])
    rig.link.publish([Outgoing("out/b", b"kept", retain=True)])
    assert rig.link.superseded == 4
    broker.start()
    watcher = Peer(broker.port, "out/#")
    rig.until(lambda: len(watcher.received) >= 2, "states arrive")
    for n in range(5, 8):
        rig.link.publish([Outgoing("out/a", str(n).encode())])
    rig.until(lambda: len(watcher.received) >= 5, "all arrive")
    assert watcher.texts("out/a") == ["4", "5", "6", "7"]
    assert watcher.texts("out/b") == ["kept"]
    watcher.close()
    broker.kill()


def alert(n: int) -> Outgoing:
    """Make an alert."""
    return Outgoing("out/alert", f"alert {n}".encode(), qos=1, alert_id=f"a{n}")


def test_link_alerts_kept_until_acknowledged(
    rigs: Callable[..., Rig], broker: Broker, version_5: bool
) -> None:
    """Each alert arrives at least once, in order, though the connection is lost in between; then none is kept."""
    rig = rigs(broker.port, is_version_5=version_5)
    count = 3 * MAX_ALERTS_IN_FLIGHT
    for n in range(count // 2):
        rig.link.publish([alert(n)])
    assert len(rig.link.unacknowledged()) == count // 2
    with peer(broker.port, "out/alert") as watcher:
        rig.wait_for(Subscribed)
        rig.drop()
        for n in range(count // 2, count):
            rig.link.publish([alert(n)])
        rig.until(lambda: not rig.link.unacknowledged(), "all acknowledged")
        wait_until(lambda: len(set(watcher.texts("out/alert"))) == count, "all received")
        first_seen = list(dict.fromkeys(watcher.texts("out/alert")))
    assert first_seen == [f"alert {n}" for n in range(count)]


def test_link_same_alert_twice_kept_once(rigs: Callable[..., Rig], tmp_path: Path) -> None:
    """The same event derived again, with the same bytes, waits once; another event of the same alert is another."""
    rig = rigs(free_port())
    opened = alert(1)
    rig.link.publish([opened])
    rig.link.publish([opened])
    rig.link.publish([msgspec.structs.replace(opened, payload=b"cleared")])
    assert [a.payload for a in rig.link.unacknowledged()] == [b"alert 1", b"cleared"]


def test_link_outbox_full_oldest_dropped_and_counted(
    rigs: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outbox has a bound; beyond it the oldest alert is given up, and counted."""
    monkeypatch.setattr("edgeseq.adapters.mqtt.outbox.MAX_OUTBOX", 3)
    rig = rigs(free_port())
    for n in range(5):
        rig.link.publish([alert(n)])
    assert [a.payload for a in rig.link.unacknowledged()] == [b"alert 2", b"alert 3", b"alert 4"]
    assert rig.link.alerts_dropped == 2


def test_link_will_after_loss_not_after_goodbye(
    rigs: Callable[..., Rig], broker: Broker, version_5: bool
) -> None:
    """A lost connection publishes the will; a goodbye publishes what it was given instead."""
    with peer(broker.port, "out/#") as watcher:
        rig = rigs(broker.port, is_version_5=version_5)
        rig.wait_for(Subscribed)
        rig.link.close([Outgoing(WILL.topic, b"stopped", retain=True)])
        wait_until(lambda: watcher.received, "goodbye seen")
        lost = rigs(broker.port, is_version_5=version_5)
        lost.wait_for(Connected)
        lost.drop()
        wait_until(lambda: len(watcher.received) >= 2, "will seen")
    assert watcher.texts(WILL.topic) == ["stopped", "offline"]


def test_link_full_inbox_pauses_reading_and_loses_nothing(
    rigs: Callable[..., Rig], broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the inbox is full nothing more is read; afterwards everything comes, in order."""
    monkeypatch.setattr("edgeseq.adapters.inbox.CAPACITY", 50)
    rig = rigs(broker.port)
    rig.wait_for(Subscribed)
    rig.items.clear()
    with peer(broker.port) as sensor:
        for n in range(300):
            sensor.publish("in/x", str(n))
        sensor.flush()
        while len(rig.inbox) < 50:
            rig.link.wait(0.05)
        for _ in range(5):
            rig.link.wait(0.0)
        assert len(rig.inbox) == 50
        arrived = rig.messages(300)
    assert [int(m.payload) for m in arrived] == list(range(300))


def test_link_receive_maximum_bounds_what_is_under_way(rigs: Callable[..., Rig], broker: Broker) -> None:
    """MQTT 5: the broker sends no more unacknowledged messages than the configuration says."""
    rig = rigs(broker.port, inflight=7)
    rig.wait_for(Subscribed)
    with peer(broker.port) as sensor:
        for n in range(20):
            sensor.publish("in/x", str(n))
        sensor.flush()
        rig.deliveries(7)
        for _ in range(5):
            rig.turn()
        assert len(rig.of(Deliveries)) == 7
        rig.link.acknowledge(rig.of(Deliveries))
        rig.deliveries(14)


def test_link_stale_subscription_ended(rigs: Callable[..., Rig], broker: Broker, version_5: bool) -> None:
    """A subscription that an earlier configuration left in the session is ended."""
    rig = rigs(broker.port, is_version_5=version_5, filters=("in/#", "old/#"))
    rig.wait_for(Subscribed)
    rig.link.close()
    rig = rigs(broker.port, is_version_5=version_5, stale_filters=("old/#",))
    rig.wait_for(Subscribed)
    with peer(broker.port) as sensor:
        rig.turn()
        sensor.publish("in/ready", "")
        rig.deliveries(1)
        sensor.publish("old/x", "")
        sensor.publish("in/x", "")
        topics = [m.topic for m in rig.messages(2)]
    assert topics == ["in/ready", "in/x"]


def test_link_tls_file_missing_raises(rigs: Callable[..., Rig], tmp_path: Path) -> None:
    """A missing authority file is a fault of set-up: it raises before anything is connected."""
    rig = rigs(1)
    settings = msgspec.structs.replace(rig.settings, is_tls=True, ca_file=str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError):
        Link(settings, rig.inbox, BatchTransport)


def test_link_two_of_one_client_id_are_noticed(
    rigs: Callable[..., Rig], broker: Broker, version_5: bool
) -> None:
    """Two clients of one id steal each other's session: the third loss in a row is marked, not one or two by chance."""
    first, second = (rigs(broker.port, is_version_5=version_5) for _ in range(2))

    def fought() -> bool:
        second.turn()
        return len(first.of(Disconnected)) >= 3

    first.until(fought, "three losses")
    losses = first.of(Disconnected)[:3]
    assert [lost.is_repeated for lost in losses] == [False, False, True]


def test_losses_are_repeated_only_in_a_row_and_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that fails between shows a network or broker that was away; a good connection begins anew, too."""
    now_s = 1000.0
    monkeypatch.setattr("edgeseq.adapters.mqtt.connector.time.monotonic", lambda: now_s)
    found = Connector(lambda: None, lambda: None, (1.0, 30.0))

    def lose(after_s: float) -> bool:
        nonlocal now_s
        found.succeeded()
        now_s += after_s
        return found.lost()

    assert [lose(1) for _ in range(4)] == [False, False, True, True]
    found.failed()
    assert [lose(1) for _ in range(3)] == [False, False, True]
    assert not lose(100)
    assert [lose(1) for _ in range(3)] == [False, False, True]


def test_link_reason_of_the_broker_told_with_its_code(rigs: Callable[..., Rig]) -> None:
    """Where an MQTT 5 broker says why it ends a connection, its words and the code are passed on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        rig = rigs(server.getsockname()[1])
        rig.turn()
        found, _ = server.accept()
        with found:
            found.sendall(bytes.fromhex("20 03 00 00 00"))  # CONNACK: success
            rig.wait_for(Connected)
            found.sendall(bytes.fromhex("e0 01 8e"))  # DISCONNECT: session taken over
            (lost,) = rig.wait_for(Disconnected)
    assert lost.reason == "Session taken over (code 142)"


@pytest.mark.parametrize(
    ("lost", "do"),
    [
        (Disconnected("Unspecified error"), "nothing: it is tried again"),
        (
            Disconnected("Unspecified error", is_repeated=True),
            "where network and broker are well, another client uses client_id edgeseq-attic",
        ),
        (Disconnected("Session taken over (code 142)"), "another client uses client_id edgeseq-attic"),
    ],
)
def test_disconnection_log_names_the_client_id_where_it_is_shared(lost: Disconnected, do: str) -> None:
    """A loss that another client of the same id explains says which id, and to give each node a name of its own."""
    text = '[node]\nname = "attic"\n[[streams]]\ntopic = "a"\nevery = "1m"\n'
    stream = io.StringIO()
    tell_fault(open_log("info", stream), resolve(parse_config(text), Path("/etc/edgeseq")), lost)
    (line,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert line["reason"] == lost.reason
    assert do in line["do"]
    assert ("[node] name" in line["do"]) is ("another" in do)
