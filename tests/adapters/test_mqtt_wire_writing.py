"""The transports of the link on a pair of sockets, the way out: answers, alerts, pings, and the check at start.

Run with every version of paho that is allowed, as test_mqtt_wire.
"""

from __future__ import annotations

from typing import Any

import pytest

from edgeseq.adapters.mqtt import find_fault
from edgeseq.adapters.mqtt import packets as p
from edgeseq.adapters.mqtt.hooks import LAST_MID_OF_PAHO, HookedClient
from edgeseq.core.types import Outgoing
from tests.support.wire import BOTH, PINGREQ, SETTINGS, VERSIONS, Wire, lost, packet, split

# --- writing --------------------------------------------------------------------------------------------------


@VERSIONS
def test_batch_of_answers_is_one_write(wires: Any, version_5: bool) -> None:
    """Acknowledgements and messages go out together, in the order in which they were given, by the next write."""
    wire = wires(is_version_5=version_5)
    wire.transport.acknowledge([3, 1, 65_535])
    for n in range(5):
        assert wire.transport.send_states([Outgoing(f"out/{n}", b"x" * 50 * n, retain=n == 4)]) == 1
    mid = wire.transport.send_alert(Outgoing("out/alert", b"!", 1, alert_id="a"), 0)
    assert wire.broker_has_nothing()
    wire.transport.write()
    sent = split(wire.broker.recv(2**16))
    assert sent[:3] == [(p.PUBACK, b"\0\x03"), (p.PUBACK, b"\0\x01"), (p.PUBACK, b"\xff\xff")]
    assert [first for first, _ in sent[3:]] == [0x30, 0x30, 0x30, 0x30, 0x31, 0x32]
    assert sent[5][1] == p.topic_bytes("out/2") + wire.more + b"x" * 100
    assert sent[8][1] == p.topic_bytes("out/alert") + mid.to_bytes(2, "big") + wire.more + b"!"


@BOTH
def test_slow_peer_gets_all_bytes_in_order(kind: Any) -> None:
    """Where the socket takes a few bytes at a time, every packet arrives whole and in order, acknowledgements too."""
    wire = Wire(kind, buffer_bytes=2048)
    wire.accept()
    for n in range(100):
        wire.transport.acknowledge([n + 1])
        assert wire.transport.send_states([Outgoing("out/a", str(n).encode() * 300)]) == 1
    assert wire.transport.wants_write
    data = b""
    for _ in range(10_000):
        wire.transport.write()
        try:
            data += wire.broker.recv(700)
        except BlockingIOError:
            break
    sent = split(data)
    assert [int.from_bytes(body, "big") for first, body in sent if first == p.PUBACK] == list(range(1, 101))
    bodies = [body for first, body in sent if first == p.PUBLISH]
    assert bodies == [p.topic_bytes("out/a") + b"\0" + str(n).encode() * 300 for n in range(100)]
    assert (wire.transport.unsent, wire.transport.wants_write) == (0, False)
    wire.close()


def test_stuck_peer_states_refused_then_reading_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a peer that takes nothing is bounded: states are refused first, then no more is asked for."""
    monkeypatch.setattr("edgeseq.adapters.mqtt.batch.MAX_UNSENT_BYTES", 10_000)
    wire = Wire(buffer_bytes=2048)
    wire.accept()
    taken = sum(wire.transport.send_states([Outgoing("out/a", bytes(1000))]) for _ in range(100))
    assert 10 <= taken < 100
    assert wire.transport.unsent < 10_000 + 1100
    assert wire.transport.send_alert(Outgoing("out/alert", b"!", 1, alert_id="a"), 0) == 0
    wants_read = [wire.transport.wants_read]
    wire.transport.acknowledge(list(range(1, 4000)))
    wants_read.append(wire.transport.wants_read)
    assert len(split(wire.received())) == taken + 3999
    assert [*wants_read, wire.transport.wants_read] == [True, False, True]
    wire.close()


@VERSIONS
def test_alert_sent_again_marked_under_its_id(wires: Any, version_5: bool) -> None:
    """The second time an alert goes under the same packet id, with DUP; the first time without."""
    wire = wires(is_version_5=version_5)
    alert = Outgoing("out/alert", b"!", 1, retain=True, alert_id="a")
    mid = wire.transport.send_alert(alert, 0)
    assert wire.transport.send_alert(alert, mid) == mid
    (first, body), (again, same) = split(wire.received())
    assert (first, again, body) == (0x33, 0x3B, same)


@pytest.mark.parametrize(("code", "refusal"), [(0x00, None), (0x10, None), (0x87, "Not authorized")])
def test_puback_of_version_5_says_whether_it_was_taken(wires: Any, code: int, refusal: str | None) -> None:
    """From 0x80 on the code of a PUBACK is a refusal, with its words."""
    wire = wires()
    mid = wire.transport.send_alert(Outgoing("out/alert", b"!", 1, alert_id="a"), 0)
    wire.send(packet(p.PUBACK, mid.to_bytes(2, "big") + bytes((code, 0))))
    wire.send(packet(p.PUBACK, b"\xff\xfe" + b"\xfd"))
    assert wire.told.events == [("settled", mid, refusal), ("settled", 0xFFFE, "code 253")]


def test_packet_ids_never_collide(wires: Any) -> None:
    """Ids of our messages and those of paho's subscriptions come from different ranges, however often they go round;
    an id that is in flight is passed over.
    """
    wire = wires()
    transport: Any = wire.transport
    alert = Outgoing("out/alert", b"", 1, alert_id="a")
    wire.told.in_flight = {LAST_MID_OF_PAHO + 5}
    own = {wire.transport.send_alert(alert, 0) for _ in range(66_000) if not transport.write()}
    wire.received()
    assert (min(own), max(own)) == (LAST_MID_OF_PAHO + 1, 65_535)
    assert LAST_MID_OF_PAHO + 5 not in own
    client: HookedClient = transport._hooked
    theirs = {client.subscribe("in/x", 1)[1] or 0 for _ in range(2100)}
    assert (min(theirs), max(theirs)) == (1, LAST_MID_OF_PAHO)
    assert len(theirs) == LAST_MID_OF_PAHO


@BOTH
def test_window_is_the_brokers_where_it_is_smaller(kind: Any) -> None:
    """MQTT 5: the broker's receive maximum bounds the alerts in flight."""
    for properties, window in ((b"", 20), (b"\x21\0\x07", 7), (b"\x21\x03\xe8", 20)):
        wire = Wire(kind)
        wire.send(wire.connack(properties=properties))
        assert wire.told.events == [("connected", False, window)]
        wire.close()


def test_goodbye_goes_out_behind_all_else(wires: Any) -> None:
    """Saying goodbye writes what waits, then DISCONNECT, and closes."""
    wire = wires()
    wire.transport.acknowledge([1])
    wire.transport.disconnect()
    assert split(wire.received()) == [(p.PUBACK, b"\0\x01"), (p.DISCONNECT, b"")]
    assert wire.transport.socket() is None


class Clock:
    """The time that paho keeps alive by (s)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr("paho.mqtt.client.time_func", lambda: self.now_s)

    def passes(self, wire: Wire) -> list[int]:
        """Let the time between two pings pass → kinds of the packets that come of it."""
        self.now_s += SETTINGS.keepalive_s + 1
        wire.transport.keep_alive()
        return [first for first, _ in split(wire.received())]


@VERSIONS
def test_pings_go_on_while_messages_come_and_the_answer_is_far_behind(
    wires: Any, version_5: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits at the broker stands before its answer: as long as anything comes, it is there; then no longer."""
    clock = Clock(monkeypatch)
    wire = wires(is_version_5=version_5)
    for _ in range(5):
        assert clock.passes(wire) == [PINGREQ]
        wire.send(wire.publish("in/a", b"1"))
    assert clock.passes(wire) == [PINGREQ]
    assert clock.passes(wire) == []
    assert "Keep alive timeout" in lost(wire)[0][0]


@VERSIONS
def test_pings_go_on_while_there_is_no_room_to_read(
    wires: Any, version_5: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk refuses nothing is read, the answers neither: the connection stays, and is judged afterwards."""
    clock = Clock(monkeypatch)
    wire = wires(is_version_5=version_5)
    wire.told.room = 0
    for _ in range(5):
        assert clock.passes(wire) == [PINGREQ]
    assert lost(wire) == []
    wire.told.room = 10
    wire.send(packet(p.PINGRESP, b""))
    assert clock.passes(wire) == [PINGREQ]
    assert clock.passes(wire) == []
    assert "Keep alive timeout" in lost(wire)[0][0]


# --- the check at start ---------------------------------------------------------------------------------------


@VERSIONS
@pytest.mark.parametrize("hook", ["_create_socket", "_packet_read", "_mid_generate"])
def test_check_notices_a_hook_that_paho_does_not_call(
    version_5: bool, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the installed paho the check finds nothing; where a hook is gone, it tells so and raises nothing."""
    check = find_fault.__wrapped__
    assert check(is_version_5=version_5) is None
    if hook == "_mid_generate":
        monkeypatch.setattr(HookedClient, hook, lambda self: LAST_MID_OF_PAHO + 1)
    else:
        monkeypatch.delattr(HookedClient, hook)
    assert check(is_version_5=version_5)


@pytest.mark.parametrize("part", ["_packet_handle", "_in_packet", "_last_mid", "_ping_t"])
def test_check_notices_that_paho_has_changed_inside(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each private part of paho that is relied upon is tried: without it, the check tells so and raises nothing."""

    class Changed:
        def __get__(self, *_: Any) -> Any:
            raise AttributeError(part)

        def __set__(self, *_: Any) -> None:
            raise AttributeError(part)

    monkeypatch.setattr(HookedClient, part, Changed(), raising=False)
    assert part in str(find_fault.__wrapped__(is_version_5=True))
