"""The load generator: what a client loses, sends twice, mixes up or invents is counted, whatever it speaks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeseq.core.types import Outgoing
from edgeseq.replay import Tally as Replayed
from edgeseq.replay import kind_of, open_for_replay, replay
from tests.bench.stream import packets, readings
from tests.bench.stream.clients import locate_echo, locate_forecast
from tests.bench.stream.connection import FakeBroker
from tests.bench.stream.drive import HELD_BACK_S, Ends, Load, drive, stamps
from tests.bench.stream.readings import STREAMS
from tests.bench.stream.tally import SAMPLED, Tally
from tests.bench.stream.warm import messages

FIRST = 3 * STREAMS
SENT = 2 * STREAMS
Results = list[bytes]
"""Payloads, in the order of their readings."""


def connect(version: int) -> bytes:
    """Write a CONNECT and a SUBSCRIBE of QoS 1."""
    properties = b"\0" if version == 5 else b""
    head = packets.text(b"MQTT") + bytes([version, 2, 0, 60]) + properties + packets.text(b"client")
    wish = b"\0\1" + properties + packets.text(b"bench/+") + b"\1"
    return packets.packet(0x10, head) + packets.packet(0x82, wish)


def answer(port: int, version: int, change: Callable[[Results], Results]) -> None:
    """Be a client that gathers all readings, acknowledging those of QoS 1, and then publishes results."""
    got: Results = []
    with socket.create_connection(("127.0.0.1", port)) as broker:
        broker.sendall(connect(version))
        buffer = b""
        while len(got) < SENT:
            buffer += broker.recv(1 << 16)
            found, end = packets.split(buffer)
            taken = [packets.published(buffer, p, version) for p in found if p[0] >> 4 == packets.PUBLISH]
            buffer = buffer[end:]
            got += [message.payload for message in taken]
            broker.sendall(b"".join(packets.puback(message.mid) for message in taken if message.mid))
        mid = 1 if version == 5 else 0
        broker.sendall(b"".join(packets.publish(b"out", r, mid=mid, version=version) for r in change(got)))
        while broker.recv(1 << 16):
            pass


def account(change: Callable[[Results], Results], version: int = 4, qos: int = 0) -> tuple[Tally, Ends]:
    """Drive a client that changes its results."""
    broker = FakeBroker()
    client = threading.Thread(target=answer, args=(broker.port, version, change), daemon=True)
    client.start()
    connection = broker.accept()
    try:
        ends = Ends(connection, connection, locate_echo, qos, next=FIRST)
        tally, _ = drive(ends, Load(SENT, patience_s=1.5))
    finally:
        connection.close()
        broker.close()
        client.join(10)
    assert not client.is_alive()
    return tally, ends


def lose_one(results: Results) -> Results:
    """Leave the last result of a stream out."""
    return results[:-8] + results[-7:]


def lose_one_in_between(results: Results) -> Results:
    """Leave a result out before another of the same stream."""
    return results[:5] + results[6:]


def repeat_one(results: Results) -> Results:
    """Send one twice."""
    return [*results[:8], results[7], *results[8:]]


def swap_two(results: Results) -> Results:
    """Send the two results of a stream in the wrong order."""
    return [*results[1:STREAMS], results[STREAMS], results[0], *results[STREAMS + 1 :]]


def invent_one(results: Results) -> Results:
    """Add the result of a reading that was not sent."""
    return [b'{"seq": 12}', *results]


@pytest.mark.parametrize(("version", "qos"), [(4, 0), (4, 1), (5, 0), (5, 1)])
def test_a_client_that_returns_all_lacks_nothing(version: int, qos: int) -> None:
    """Every reading has its result, in both versions and QoS; those of sampled streams are kept as they came."""
    tally, ends = account(lambda results: results, version, qos)
    assert (tally.sent, tally.received, len(tally.latency_s)) == (SENT, SENT, SENT)
    assert (tally.lost, tally.duplicated, tally.reordered, tally.unasked) == (0, 0, 0, 0)
    assert min(tally.latency_s) > 0
    made = readings.payloads(FIRST, SENT)
    sampled = {divmod(FIRST + k, STREAMS): payload for k, payload in enumerate(made) if k % 100 == SAMPLED}
    assert ends.sampled == sampled
    assert ends.next == FIRST + SENT


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lose_one, (1, 0, 0, 0)),
        (lose_one_in_between, (1, 0, 0, 0)),
        (repeat_one, (0, 1, 0, 0)),
        (swap_two, (0, 0, 1, 0)),
        (invent_one, (0, 0, 0, 1)),
    ],
)
def test_what_a_client_does_wrong_is_counted(
    change: Callable[[Results], Results], counts: tuple[int, int, int, int]
) -> None:
    """One lost, repeated, reordered or invented result is one in the account, and nothing else is."""
    tally, _ = account(change)
    assert (tally.lost, tally.duplicated, tally.reordered, tally.unasked) == counts


def test_a_reading_that_the_client_held_back_counts_from_when_it_was_due() -> None:
    """At a rate, waiting for the client is part of the latency; our own delay of a moment is not."""
    load = Load(SENT, rate=10.0)
    assert stamps(load, 5.0, 0, 2, 5.1 + HELD_BACK_S / 2) == [5.0, 5.1 + HELD_BACK_S / 2]
    assert stamps(load, 5.0, 10, 2, 9.0) == [6.0, 6.1]
    assert stamps(load._replace(rate=None), 5.0, 10, 2, 9.0) == [9.0, 9.0]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1])
def test_readings_are_packets_as_any_client_writes_them(qos: int, version: int) -> None:
    """The quick writer of readings and the plain one write the same bytes."""
    first = 70_001
    expected = [
        packets.publish(
            readings.TOPICS[j % STREAMS], payload, mid=(j % readings.MIDS + 1) * qos, version=version
        )
        for j, payload in enumerate(readings.payloads(first, 1500), first)
    ]
    assert readings.blobs(first, 1500, qos=qos, version=version) == expected


def test_packets_are_found_however_the_bytes_arrive() -> None:
    """Splitting a stream at any byte gives the same packets."""
    sent = [packets.publish(b"t", b"x" * size) for size in (0, 1, 120, 121, 16_380, 16_381)]
    whole = b"".join(sent)
    for cut in (*range(300), *range(16_600, 17_100)):
        found, end = packets.split(whole[:cut])
        rest = whole[end:cut] + whole[cut:]
        assert len(found) + len(packets.split(rest)[0]) == len(sent)


def test_a_forecast_tells_its_reading_and_nothing_else_is_a_result(tmp_path: Path) -> None:
    """The id of a forecast names stream and step, as a node really writes it; other messages have no reading."""
    config = tmp_path / "edgeseq.toml"
    stream = 'topic = "bench/+"\nfields = ["temperature"]\nevery = "1s"\ntime = "ts"'
    config.write_text(f'[node]\nname = "n"\n[[streams]]\n{stream}\n', encoding="utf-8")
    node = open_for_replay(config, None, save_state=False)
    made = list(replay(node, messages(0, 3, [5, 87]), Replayed()))

    def located(out: Outgoing, version: int, mid: int) -> tuple[int, int] | None:
        packet = packets.publish(out.topic.encode(), out.payload, mid=mid, version=version)
        ((_, start, end),), _ = packets.split(packet)
        return locate_forecast(packet, start, end)

    for version, mid in ((4, 0), (5, 0), (4, 513), (5, 513)):
        found = [located(out, version, mid) for out in made if kind_of(out.topic) == "forecast"]
        assert found == [(step, stream) for step in range(3) for stream in (5, 87)]
    assert [out for out in made if kind_of(out.topic) != "forecast"]
    assert not any(located(out, 5, 0) for out in made if kind_of(out.topic) != "forecast")
