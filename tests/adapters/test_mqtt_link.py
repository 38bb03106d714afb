"""The link against a broker that does what it should not: what is kept, sent again, given up and told."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgeseq.adapters import mqtt
from edgeseq.adapters.inbox import Inbox
from edgeseq.adapters.log import open_log
from edgeseq.adapters.mqtt import Connected, Disconnected, PublishRefused, Subscribed, TooLarge
from edgeseq.adapters.mqtt import packets as p
from edgeseq.adapters.mqtt.outbox import Outbox
from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.core.types import Outgoing
from edgeseq.linking import tell_fault
from tests.support.rig import Rig
from tests.support.scripted import Packets, ScriptedBroker
from tests.support.wire import SETTINGS, packet

Rigs = Callable[..., Rig]


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    """Give a broker that does what it is told."""
    with ScriptedBroker() as found:
        yield found


def alert(n: int) -> Outgoing:
    """Make an alert."""
    return Outgoing("out/alert", b"%d" % n, 1, alert_id=f"a{n}")


def published(found: Packets) -> list[tuple[int, int, bytes]]:
    """List the messages of QoS 1 among packets: flags, packet id and payload."""
    begin = 2 + len("out/alert")
    return [
        (first & 0x0F, int.from_bytes(body[begin : begin + 2], "big"), body[begin + 3 :])
        for first, body in found
        if first & 0xF6 == 0x32
    ]


def test_alerts_in_flight_sent_again_marked_before_newer_ones(rigs: Rigs, broker: ScriptedBroker) -> None:
    """After a loss, what was not acknowledged goes again first, with DUP and the same packet id; the rest is new."""
    rig = rigs(broker.port)
    with broker.connection(rig) as first:
        first.accept()
        rig.link.publish([alert(n) for n in range(4)])
        sent = published(first.read(lambda found: len(published(found)) == 4))
        mids = [mid for _, mid, _ in sent]
        assert sent == [(0x02, mids[n], b"%d" % n) for n in range(4)]
        first.send(packet(p.PUBACK, mids[1].to_bytes(2, "big")))
        rig.until(lambda: len(rig.link.unacknowledged()) == 3, "acknowledged")
    rig.wait_for(Disconnected)
    rig.link.publish([alert(4)])
    with broker.connection(rig) as second:
        second.accept(is_session_present=True)
        rig.link.publish([alert(5)])
        again = published(second.read(lambda found: len(published(found)) == 5))
        assert again[:3] == [(0x0A, mids[n], b"%d" % n) for n in (0, 2, 3)]
        assert [(flags, payload) for flags, _, payload in again[3:]] == [(0x02, b"4"), (0x02, b"5")]
        for _, mid, _ in again:
            second.send(packet(p.PUBACK, mid.to_bytes(2, "big")))
        rig.until(lambda: not rig.link.unacknowledged(), "all acknowledged")
    assert [c.is_session_present for c in rig.of(Connected)] == [False, True]


def test_acknowledgements_go_at_once_with_what_waits_before_them(
    batch_rigs: Rigs, broker: ScriptedBroker
) -> None:
    """Nothing need be waited for: forecasts that wait and all acknowledgements of a commit go out by one write."""
    rig = batch_rigs(broker.port)
    with broker.connection(rig) as found:
        found.accept()
        found.send(b"".join(found.publish("in/x", b"%d" % n, mid) for n, mid in enumerate((9, 0, 4, 7))))
        arrived = rig.deliveries(4)
        rig.link.publish([Outgoing("out/a", b"forecast")])
        rig.link.acknowledge(arrived[:2])
        rig.link.acknowledge(arrived[2:])
        found.receive()
    assert found.packets[-4:] == [
        (p.PUBLISH, p.topic_bytes("out/a") + b"\0forecast"),
        *((p.PUBACK, mid.to_bytes(2, "big")) for mid in (9, 4, 7)),
    ]


def test_alert_refused_told_and_given_up(rigs: Rigs, broker: ScriptedBroker) -> None:
    """A refusal by MQTT 5's reason code is told once, and the alert is not sent again."""
    rig = rigs(broker.port)
    with broker.connection(rig) as found:
        found.accept()
        rig.link.publish([alert(0)])
        ((_, mid, _),) = published(found.read(published))
        found.send(packet(p.PUBACK, mid.to_bytes(2, "big") + b"\x87"))
        assert rig.wait_for(PublishRefused) == [PublishRefused("out/alert", "Not authorized")]
        assert rig.link.unacknowledged() == []


def test_message_larger_than_the_broker_takes_is_given_up(rigs: Rigs, broker: ScriptedBroker) -> None:
    """To the byte, whether it waited for the connection or not; told once a minute, and the connection stays."""
    rig = rigs(broker.port)
    largest = b"x" * (100 - p.publish_length("out/a", b"", has_mid=False, is_version_5=True))
    rig.link.publish(
        [Outgoing("out/waiting", bytes(100)), Outgoing("out/alert", bytes(100), 1, alert_id="a")]
    )
    with broker.connection(rig) as found:
        found.accept(properties=b"\x27\x00\x00\x00\x64")
        rig.wait_for(Subscribed)
        rig.link.publish([Outgoing("out/a", largest + b"x"), Outgoing("out/a", largest)])
        rig.link.publish([alert(1), Outgoing("out/alert", bytes(100), 1, alert_id="b")])
        sent = found.read(published)
        assert [body for first, body in sent if first == p.PUBLISH] == [
            p.topic_bytes("out/a") + b"\0" + largest
        ]
        assert [payload for _, _, payload in published(sent)] == [b"1"]
    assert rig.of(TooLarge) == [TooLarge("out/waiting", 116, 100)]
    assert (rig.link.too_large, rig.link.alerts_dropped) == (4, 2)
    assert [out.payload for out in rig.link.unacknowledged()] == [b"1"]


def test_alert_in_flight_is_given_up_where_another_broker_takes_none_so_large(
    batch_rigs: Rigs, broker: ScriptedBroker
) -> None:
    """The connection that is made again is not lost for it, again and again."""
    rig = batch_rigs(broker.port)
    with broker.connection(rig) as first:
        first.accept()
        rig.link.publish([Outgoing("out/alert", bytes(100), 1, alert_id="a"), alert(1)])
        first.read(lambda found: len(published(found)) == 2)
    rig.wait_for(Disconnected)
    with broker.connection(rig) as second:
        second.accept(properties=b"\x27\x00\x00\x00\x64")
        assert [payload for _, _, payload in published(second.read(published))] == [b"1"]


def test_malformed_packet_counted_and_connected_again(rigs: Rigs, broker: ScriptedBroker) -> None:
    """A broker that sends nonsense is left, for a reason that says so, counted, and tried again."""
    rig = rigs(broker.port)
    with broker.connection(rig) as found:
        found.accept()
        rig.wait_for(Subscribed)
        found.send(b"\x90\x00")
        (lost,) = rig.wait_for(Disconnected)
    assert lost.reason
    with broker.connection(rig) as found:
        found.accept()
        rig.wait_for(Subscribed, 2)


def test_malformed_packet_reason_of_the_fast_transport(batch_rigs: Rigs, broker: ScriptedBroker) -> None:
    """The reason names what was wrong, and it is counted."""
    rig = batch_rigs(broker.port)
    with broker.connection(rig) as found:
        found.accept()
        found.send(bytes((p.PUBLISH,)) + p.length_bytes(2**21))
        (lost,) = rig.wait_for(Disconnected)
    assert lost.reason == "the broker sent what it may not: packet of 2097152 bytes, allowed 1048576"
    assert rig.link.malformed == 1


def test_stuck_broker_states_superseded_and_memory_bounded(
    batch_rigs: Rigs, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the broker takes nothing, the latest state of a topic replaces older ones; it gets the latest of each."""
    monkeypatch.setattr("edgeseq.adapters.mqtt.batch.MAX_UNSENT_BYTES", 100_000)
    rig = batch_rigs(broker.port)
    with broker.connection(rig) as found:
        found.accept()
        rig.raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        rounds = 0
        while rig.link.superseded < 50:
            rounds += 1
            rig.link.publish([Outgoing(f"out/{n}", b"%d" % rounds + bytes(50_000)) for n in range(10)])
            rig.turn()
            assert rig.link._transport.unsent < 100_000 + 51_000
            assert len(rig.link._states) <= 10
        latest: dict[bytes, int] = {}

        def has_the_latest(packets: Packets) -> bool:
            latest.update(
                (body[2:7], int(body[8:].rstrip(b"\0"))) for first, body in packets if first == p.PUBLISH
            )
            return set(latest.values()) == {rounds} and len(latest) == 10

        found.read(has_the_latest)


def test_silent_broker_given_up_by_keep_alive(rigs: Rigs, broker: ScriptedBroker) -> None:
    """A broker that does not answer a ping is gone, whatever the socket says."""
    rig = rigs(broker.port, keepalive_s=1)
    with broker.connection(rig) as found:
        found.accept()
        (lost,) = rig.wait_for(Disconnected)
    assert "Keep alive timeout" in lost.reason


def test_outbox_window_and_order_kept_over_reconnects() -> None:
    """No more than the window is in flight; what goes again counts into it; order is that of publishing."""
    outbox = Outbox()
    for n in range(4):
        outbox.add(alert(n))

    def send(window: int) -> list[tuple[bytes, int]]:
        sent = []
        while found := outbox.next(window):
            out, mid = found
            outbox.sent(out, mid or 100 + int(out.payload))
            sent.append((out.payload, mid))
        return sent

    assert send(3) == [(b"0", 0), (b"1", 0), (b"2", 0)]
    assert outbox.settle(101) == alert(1)
    assert outbox.settle(101) is None
    outbox.begin_again()
    assert send(1) == [(b"0", 100)]
    assert outbox.settle(100)
    assert send(1) == [(b"2", 102)]
    assert outbox.settle(102)
    assert send(1) == [(b"3", 0)]
    assert outbox.all() == [alert(3)]


def test_paho_of_another_make_plain_transport_told_and_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the check at start finds a fault, packets go by paho's public API, and the log says why."""
    inbox, stream = Inbox(), io.StringIO()
    fast = mqtt.open_link(SETTINGS, inbox)
    assert isinstance(fast._transport, mqtt.BatchTransport)
    assert len(inbox) == 0
    monkeypatch.setattr(mqtt, "find_fault", lambda *, is_version_5: f"no hook, {is_version_5}")
    slow = mqtt.open_link(SETTINGS, inbox, generation=4)
    assert isinstance(slow._transport, mqtt.PlainTransport)
    assert slow.generation == 4
    (told,) = inbox.take(9)
    text = '[[streams]]\ntopic = "a"\nevery = "1m"\n'
    tell_fault(open_log("info", stream), resolve(parse_config(text), Path("/etc/edgeseq")), told)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["reason"]) == ("transport.degraded", "no hook, True")
    for link in (fast, slow):
        link.close()
    inbox.close()
