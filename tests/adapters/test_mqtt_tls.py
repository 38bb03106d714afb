"""The link over TLS: who is trusted, and that records are no packets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgeseq.adapters.mqtt import Subscribed, Unreachable
from edgeseq.core.types import Outgoing
from tests.support.broker import running_broker, wait_until
from tests.support.certificates import make_certificates
from tests.support.rig import Rig
from tests.support.scripted import Connection, ScriptedBroker

Rigs = Callable[..., Rig]

# Paho drops the socket of a failed handshake without closing it; reference counting does.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

Files = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Give the files of an authority, a certificate for localhost and its key."""
    return make_certificates(tmp_path_factory.mktemp("tls") / "right")


def test_link_tls_checks_the_broker(rigs: Rigs, tmp_path: Path, files: Files) -> None:
    """With TLS messages go through where the authority is the broker's; a stranger's is refused, clearly, and so is a
    certificate that was made for another host name.
    """
    ca, cert, key = files
    stranger, _, _ = make_certificates(tmp_path / "wrong")
    with running_broker(tmp_path / "b", f"cafile {ca}", f"certfile {cert}", f"keyfile {key}") as broker:
        rig = rigs(broker.port, host="localhost", is_tls=True, ca_file=str(ca))
        rig.wait_for(Subscribed)
        rig.link.publish([Outgoing("in/own", b"x" * 20_000)])
        assert len(rig.messages(1)[0].payload) == 20_000
        rig.link.close()
        lost = rigs(broker.port, host="localhost", is_tls=True, ca_file=str(stranger))
        assert "certificate verify failed" in lost.wait_for(Unreachable)[0].reason
        other = rigs(broker.port, host="127.0.0.1", is_tls=True, ca_file=str(ca))
        assert "IP address mismatch" in other.wait_for(Unreachable)[0].reason


def test_link_tls_shows_its_own_certificate(rigs: Rigs, tmp_path: Path, files: Files) -> None:
    """A broker that wants a certificate of its clients takes the configured one, and nobody without."""
    ca, cert, key = files
    lines = (f"cafile {ca}", f"certfile {cert}", f"keyfile {key}", "require_certificate true")
    with running_broker(tmp_path / "b", *lines) as broker:
        tls = {"host": "localhost", "is_tls": True, "ca_file": str(ca)}
        rig = rigs(broker.port, **tls, cert_file=str(cert), key_file=str(key))
        rig.wait_for(Subscribed)
        rig.link.close()
        bare = rigs(broker.port, **tls)
        bare.wait_for(Unreachable)
        assert bare.of(Subscribed) == []


@contextmanager
def tls_line(rigs: Rigs, files: Files) -> Iterator[tuple[Rig, Connection]]:
    """Give a link and, over TLS, the scripted broker that has accepted it."""
    ca, cert, key = files
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with ScriptedBroker(context) as broker:
        rig = rigs(broker.port, host="localhost", is_tls=True, ca_file=str(ca))
        with broker.connection(rig) as found:
            found.accept()
            rig.wait_for(Subscribed)
            yield rig, found


@pytest.fixture
def line(rigs: Rigs, files: Files) -> Iterator[tuple[Rig, Connection]]:
    """Give a link and, over TLS, the scripted broker that has accepted it."""
    with tls_line(rigs, files) as found:
        yield found


def test_tls_many_packets_in_one_record(line: tuple[Rig, Connection]) -> None:
    """All packets of a record are read at once, though a selector sees nothing of those behind the first."""
    rig, broker = line
    broker.send(b"".join(broker.publish("in/x", b"%d" % n) for n in range(300)))
    assert [int(m.payload) for m in rig.messages(300)] == list(range(300))


def test_tls_records_that_are_there_are_one_batch(batch_rigs: Rigs, files: Files) -> None:
    """The fast transport reads all records that have arrived, though TLS gives them one by one."""
    with tls_line(batch_rigs, files) as (rig, broker):
        for record in range(10):
            assert broker.raw.send(b"".join(broker.publish("in/x", b"%d" % n) for n in range(100))), record
        rig.link.wait(1.0)
        assert len(rig.inbox) == 1000


def test_tls_packets_across_records(line: tuple[Rig, Connection]) -> None:
    """A packet may span records, and each of its bytes may come in one of its own."""
    rig, broker = line
    payload = bytes(range(256)) * 400
    broker.send(broker.publish("in/long", payload))
    for byte in broker.publish("in/short", b"in single bytes"):
        broker.send(bytes((byte,)))
    assert [m.payload for m in rig.messages(2)] == [payload, b"in single bytes"]


def test_tls_full_inbox_pauses_and_goes_on(
    line: tuple[Rig, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What TLS has decrypted while the inbox was full is taken when there is room, without anything new arriving."""
    monkeypatch.setattr("edgeseq.adapters.inbox.CAPACITY", 10)
    rig, broker = line
    broker.send(b"".join(broker.publish("in/x", b"%d" % n) for n in range(200)))

    def is_full() -> bool:
        rig.link.wait(0.02)
        return len(rig.inbox) == 10

    wait_until(is_full, "full")
    rig.link.wait(0.0)
    assert len(rig.inbox) == 10
    assert [int(m.payload) for m in rig.messages(200)] == list(range(200))


def test_tls_slow_peer_gets_everything_in_order(line: tuple[Rig, Connection]) -> None:
    """Where the peer takes little at a time, what TLS could not write goes later, whole and in order."""
    rig, broker = line
    rig.raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    payloads = [b"%d" % n * 10_000 for n in range(40)]
    rig.link.publish([Outgoing(f"out/{n}", payload) for n, payload in enumerate(payloads)])
    assert rig.link._transport.wants_write
    broker.packets.clear()
    found = broker.read(lambda packets: len(packets) >= 40)
    assert [body[-len(payload) :] for (_, body), payload in zip(found, payloads, strict=True)] == payloads
    rig.until(lambda: rig.link.waiting == 0, "all sent")
