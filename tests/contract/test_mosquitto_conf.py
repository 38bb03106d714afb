"""The shipped broker configuration, in a real mosquitto."""

from __future__ import annotations

import contextlib
import getpass
import queue
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

CONF = Path(__file__).parents[2] / "deploy" / "mosquitto.conf"
QUEUED = 1500
"""More than mosquitto queues by default (1000), and than may be in flight."""


def free_port() -> int:
    """Ask the system for a port nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_listening(broker: subprocess.Popen[bytes], port: int) -> None:
    """Return once the broker accepts connections; fail if it ends instead."""
    while broker.poll() is None:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
    pytest.fail(f"mosquitto ended with status {broker.returncode}")


class Broker:
    """A mosquitto that can be stopped and started again on the same port and database."""

    def __init__(self, conf: Path, port: int) -> None:
        self.conf = conf
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it listens."""
        self.process = subprocess.Popen(["mosquitto", "-c", str(self.conf)])
        wait_until_listening(self.process, self.port)

    def stop(self) -> None:
        """Stop as systemd does, and wait for its end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Start mosquitto with the shipped file; only port, folder and user differ."""
    port = free_port()
    text = CONF.read_text(encoding="utf-8")
    assert "listener 1883 127.0.0.1" in text
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(
        # As root mosquitto would change to a user that cannot write here.
        f"user {getpass.getuser()}\npersistence_location {tmp_path}/\n"
        + text.replace("listener 1883 127.0.0.1", f"listener {port} 127.0.0.1"),
        encoding="utf-8",
    )
    running = Broker(conf, port)
    running.start()
    yield running
    running.stop()


def connect(port: int, client_id: str) -> tuple[mqtt.Client, mqtt.ConnectFlags, queue.Queue[bytes]]:
    """Connect with a session that outlives the connection; messages arrive in the queue."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5)
    connected: queue.Queue[mqtt.ConnectFlags] = queue.Queue()
    arrived: queue.Queue[bytes] = queue.Queue()
    client.on_connect = lambda _c, _u, flags, _r, _p: connected.put(flags)
    client.on_message = lambda _c, _u, message: arrived.put(bytes(message.payload))
    lasting = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's own gap
    lasting.SessionExpiryInterval = 3600
    client.connect("127.0.0.1", port, clean_start=False, properties=lasting)
    client.loop_start()
    return client, connected.get(timeout=30), arrived


def leave(client: mqtt.Client) -> None:
    """Disconnect and end the network thread."""
    client.disconnect()
    client.loop_stop()


def test_queue_for_absent_client_survives_broker_restart(broker: Broker) -> None:
    """Messages for a client that is away outlive a restart of the broker, more of them than its default keeps."""
    client, flags, _ = connect(broker.port, "edgeseq-test")
    assert not flags.session_present
    subscribed: queue.Queue[bool] = queue.Queue()
    client.on_subscribe = lambda *_: subscribed.put(True)
    client.subscribe("plant/#", qos=1)
    subscribed.get(timeout=30)
    leave(client)

    publisher, _, _ = connect(broker.port, "sensor")
    sent = [publisher.publish("plant/flow", str(i), qos=1) for i in range(QUEUED)]
    for message in sent:
        message.wait_for_publish(timeout=60)
    leave(publisher)

    broker.stop()
    broker.start()

    client, flags, arrived = connect(broker.port, "edgeseq-test")
    assert flags.session_present
    assert [arrived.get(timeout=30) for _ in range(QUEUED)] == [str(i).encode() for i in range(QUEUED)]
    leave(client)
