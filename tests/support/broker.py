"""A real mosquitto on a free loopback port, which tests may stop, kill and start again."""

from __future__ import annotations

import getpass
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.validate import fault_of

PATIENCE_S = 30.0
"""How long a test waits for what must happen; nobody asserts how long it took."""


def wait_until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds, or fail naming it."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never happened: {what}")
        time.sleep(0.005)


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A mosquitto process. `lines` are added to its configuration; persistence is on."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        default = () if any("allow_anonymous" in line for line in lines) else ("allow_anonymous true",)
        text = (
            f"listener {self.port} 127.0.0.1",
            f"user {getpass.getuser()}",  # started by root it would become a user that cannot read our files
            *default,
            "persistence true",
            f"persistence_location {folder}/",
            "max_queued_messages 100000",
            "max_inflight_messages 1000",
            "set_tcp_nodelay true",
            f"log_dest file {self._log}",  # written line by line, unlike stdout
            *lines,
        )
        self._config.write_text("\n".join(text) + "\n", encoding="utf-8")

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = ["mosquitto", "-c", str(self._config)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._is_listening, f"mosquitto listens; {self._config}")

    def stop(self) -> None:
        """Let it save and end."""
        self._end(lambda p: p.terminate())

    def kill(self) -> None:
        """End it without a chance to save."""
        self._end(lambda p: p.kill())

    def log(self) -> str:
        """Give what it said."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _is_listening(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        if self._process is None:
            return
        how(self._process)
        self._process.wait(PATIENCE_S)
        self._process = None


@contextmanager
def running_broker(folder: Path, *lines: str) -> Iterator[Broker]:
    """Run a broker for a while."""
    broker = Broker(folder, *lines)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


class Peer:
    """A simple client, as sensors and dashboards are: publishes, and keeps what it has received.

    Whatever it receives of a node is held against the schema of its message; `close` fails where one did not fit.
    """

    def __init__(self, port: int, *filters: str, client_id: str = "", version: int = 4) -> None:
        protocol = MQTTv5 if version == 5 else MQTTv311
        self.received: list[MQTTMessage] = []
        self.faults: list[str] = []
        self._newest: dict[str, bytes] = {}
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol)
        self._client.max_inflight_messages = 200
        self._client.on_message = self._take
        self._subscribed = not filters
        self._client.on_subscribe = lambda *_: setattr(self, "_subscribed", True)
        if filters:
            self._client.on_connect = lambda c, *_: c.subscribe([(f, 1) for f in filters])
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_until(lambda: self._client.is_connected() and self._subscribed, "peer connected")

    def publish(self, topic: str, payload: bytes | str, *, qos: int = 1, retain: bool = False) -> None:
        """Hand over a message."""
        self._client.publish(topic, payload, qos, retain)

    def flush(self) -> None:
        """Wait until the broker has acknowledged all."""
        wait_until(
            lambda: not self._client.want_write() and not self._client._out_messages, "peer's messages sent"
        )

    def texts(self, topic: str) -> list[str]:
        """List the payloads received on a topic."""
        return [m.payload.decode() for m in list(self.received) if m.topic == topic]

    def last(self) -> dict[str, str]:
        """Give the last payload of each topic."""
        return {topic: payload.decode() for topic, payload in list(self._newest.items())}

    def _take(self, _: Client, __: object, message: MQTTMessage) -> None:
        self.received.append(message)
        self._newest[message.topic] = bytes(message.payload)
        if len(self.faults) < 5 and (fault := fault_of(message.topic, bytes(message.payload))):
            self.faults.append(fault)

    def close(self) -> None:
        """Go."""
        self._client.disconnect()
        self._client.loop_stop()
        # Else its wake-up pipe is left to the garbage collector, which may find it before the client.
        self._client._reset_sockets()
        assert not self.faults, self.faults


@contextmanager
def peer(port: int, *filters: str, version: int = 4) -> Iterator[Peer]:
    """Connect a peer for a while."""
    found = Peer(port, *filters, version=version)
    try:
        yield found
    finally:
        found.close()
