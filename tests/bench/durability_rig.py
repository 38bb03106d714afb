"""A plant at work: sensors, a broker as shipped, the daemon, and a subscriber to alerts that misses nothing."""

from __future__ import annotations

import getpass
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.bench import durability_audit as audit
from tests.bench.durability_plant import SENTINEL, readings, rules, sentinel
from tests.support import hoarding
from tests.support.broker import Broker, wait_until
from tests.support.node import Node, node_in
from tests.support.proxy import Proxy, running_proxy
from tests.support.sender import Sender

ROOT = Path(__file__).parents[2]
STREAMS, PER_S = 300, 1050
"""Streams, and readings a second of all together."""
PATIENCE_S = 600.0
"""The backlog of many kills is worked off in less."""
SHIPPED_AUTOSAVE_S = 300.0
"""What deploy/mosquitto.conf says."""
AUTOSAVE_S = 30.0
"""A broker that is killed loses what is younger. As shipped, benches would wait for long."""


class ShippedBroker(Broker):
    """Mosquitto with deploy/mosquitto.conf; only port, folder and user are the test's, and the autosave."""

    def __init__(self, folder: Path, autosave_s: float) -> None:
        super().__init__(folder)
        shipped = (ROOT / "deploy" / "mosquitto.conf").read_text()
        assert "listener 1883 127.0.0.1" in shipped
        line = "autosave_interval {:.0f}\n"
        assert line.format(SHIPPED_AUTOSAVE_S) in shipped
        shipped = shipped.replace(line.format(SHIPPED_AUTOSAVE_S), line.format(autosave_s))
        own = f"persistence_location {folder}/\nuser {getpass.getuser()}\nlog_dest file {self._log}\n"
        self._config.write_text(
            shipped.replace("listener 1883 127.0.0.1", f"listener {self.port} 127.0.0.1") + own
        )


class Watcher:
    """Takes alerts with QoS 1 in a session that outlives connections, and sentinels as they pass."""

    def __init__(self, port: int) -> None:
        self.alerts: set[audit.Alert] = set()
        self.repeated = 0
        self.sentinel = -1
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="watcher", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda c, *_: c.subscribe(
            [("edgeseq/n/+/alert", 1), (f"edgeseq/n/{SENTINEL}-value/forecast", 0)]
        )
        self._is_subscribed = False
        self._client.on_subscribe = lambda *_: setattr(self, "_is_subscribed", True)
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_until(lambda: self._is_subscribed, "watcher subscribed")

    def _take(self, _: Client, __: object, message: MQTTMessage) -> None:
        if not message.topic.endswith("/alert"):
            self.sentinel = int(json.loads(message.payload)["observed"])
            return
        alert = (message.topic, bytes(message.payload))
        self.repeated += alert in self.alerts
        self.alerts.add(alert)

    def close(self) -> None:
        """Go."""
        self._client.disconnect()
        self._client.loop_stop()
        # Else its wake-up pipe is left to the garbage collector, which may find it before the client.
        self._client._reset_sockets()


class Rig:
    """All of it, running."""

    def __init__(self, folder: Path, broker: Broker, proxy: Proxy, node: Node, seed: int) -> None:
        self.rng = random.Random(seed)
        self.broker = broker
        self.proxy = proxy
        self.node = node
        self.hoard = folder / "hoard"
        self.hoard.mkdir()
        node.interpreter = ["-m", "tests.support.hoarding"]
        self.watcher = Watcher(broker.port)
        self.sender = Sender(broker.port, readings(STREAMS, random.Random(seed)), PER_S)
        self.begun_s = time.monotonic()
        self.broker_killed_s: list[float] = []
        self._sentinels = itertools.count()
        self._caught_up = 0

    def launch(self, **environment: str) -> None:
        """Start the daemon; do not wait."""
        here = {"PYTHONPATH": str(ROOT), hoarding.ENVIRONMENT: str(self.hoard)}
        self.node.launch(**here, **environment)

    def start(self, **environment: str) -> bool:
        """Start the daemon → whether it lived until it was ready."""
        ready = self.node.listen().count("READY=1")
        self.launch(**environment)
        process = self.node.process
        wait_until(
            lambda: process.poll() is not None or self.node.listen().count("READY=1") > ready,
            "ready, or dead",
            PATIENCE_S,
        )
        return process.poll() is None

    def begin(self) -> None:
        """Let the daemon subscribe before the first reading is published."""
        assert self.start(), self.node.text()
        self.node.wait_for_event("broker.connected")
        wait_until(lambda: "edgeseq-n" in self.broker.log(), "the daemon is known to the broker")
        self.sender.start()
        self.catch_up()

    @property
    def most_behind(self) -> int:
        """Bound from above what the daemon has not yet taken: all that was published since it had caught up."""
        return len(self.sender.promised) - self._caught_up

    def work_off(self) -> None:
        """Let the daemon catch up while nothing new is published: the broker's queue has its bound."""
        self.sender.is_paused = True
        self.catch_up()
        self.sender.is_paused = False

    def catch_up(self) -> None:
        """Wait until the daemon has taken all that was published before now."""
        published = len(self.sender.promised)
        self._wait_for_sentinel()
        self._caught_up = published

    def _wait_for_sentinel(self) -> None:
        first = None
        deadline_s = time.monotonic() + PATIENCE_S
        while first is None or self.watcher.sentinel < first:
            assert time.monotonic() < deadline_s, f"the daemon does not catch up: {self.node.text()[-2000:]}"
            assert self.node.process.poll() is None, self.node.text()[-4000:]
            number = next(self._sentinels)
            first = number if first is None else first
            # A forecast may be lost with the daemon that made it, so others follow.
            self.sender.say(sentinel(number))
            until_s = time.monotonic() + 1.0
            while self.watcher.sentinel < first and time.monotonic() < until_s:
                time.sleep(0.01)

    def finish(self) -> dict[str, Any]:
        """Let all come to rest, and look at the books."""
        if self.node.process.poll() is not None:
            assert self.start(), self.node.text()
        self.sender.end()
        self.catch_up()
        self.sender.stop()
        assert self.node.stop() == 0, self.node.text()[-4000:]
        found = audit.committed(self.node.config, self.hoard, self.node.state_dir)
        different = audit.differing(self.node.config, self.node.state_dir, found.node)
        self._wait_for_alerts(found)
        lost = audit.lost(found, self.sender.promised)
        twice = audit.applied_twice(found, self.sender.sent)
        # A broker that is killed forgets our acknowledgements, too, of the time since it saved.
        again = sum(
            self._is_brokers(self.sender.promised[key]) for key in twice if key[0].startswith("packet/")
        )
        alerts_lost = found.alerts.keys() - self.watcher.alerts
        forgotten = sum(self._is_brokers(self.sender.promised[key]) for key in lost)
        alerts_forgotten = sum(
            self._is_brokers(self._monotonic(found.alerts[alert])) for alert in alerts_lost
        )
        return {
            "readings": len(self.sender.promised),
            "readings_per_s": round(len(self.sender.promised) / self.sender.busy_s),
            "published_again": sum(self.sender.sent.values()) - len(self.sender.sent),
            "readings_lost": len(lost) - forgotten,
            "readings_forgotten_by_broker": forgotten,
            "broker_was_full": self.broker.log().count("messages are being dropped"),
            "applied_twice": len(twice) - again,
            "delivered_again_by_broker": again,
            "applied_twice_of": dict(Counter(topic.partition("/")[0] for topic, _ in twice)),
            "alerts": len(found.alerts),
            "alerts_lost": len(alerts_lost) - alerts_forgotten,
            "alerts_forgotten_by_broker": alerts_forgotten,
            "alerts_not_of_the_journal": len(self.watcher.alerts - found.alerts.keys()),
            "alerts_repeated": self.watcher.repeated,
            "state_bit_equal": int(not different),
            "different": different,
        }

    def _wait_for_alerts(self, found: audit.Committed) -> None:
        """What the daemon still held when it stopped is in its state; give it the time to tell it."""
        if found.alerts.keys() <= self.watcher.alerts:
            return
        assert self.start(), self.node.text()
        deadline_s = time.monotonic() + 10.0
        while not found.alerts.keys() <= self.watcher.alerts and time.monotonic() < deadline_s:
            time.sleep(0.05)
        self.node.stop()

    def kill_broker(self) -> None:
        """End the broker without a chance to save, and start it again."""
        self.broker.kill()
        self.broker_killed_s.append(time.monotonic())
        self.broker.start()

    def _is_brokers(self, at_s: float) -> bool:
        """Tell whether what the broker had at that time is lost by its own stated limit: killed before it saved."""
        return any(killed_s - AUTOSAVE_S <= at_s <= killed_s for killed_s in self.broker_killed_s)

    @staticmethod
    def _monotonic(at_ns: int) -> float:
        return time.monotonic() - (time.time_ns() - at_ns) / 1e9

    def close(self) -> None:
        """Let go."""
        self.sender.end()
        self.watcher.close()


@contextmanager
def running_rig(
    folder: Path, *, seed: int, bundle: Path | None = None, is_proxied: bool = False
) -> Iterator[Rig]:
    """Set everything up in a folder; the daemon runs and reads."""
    with ExitStack() as stack:
        broker = ShippedBroker(folder / "broker", AUTOSAVE_S)
        broker.start()
        stack.callback(broker.kill)
        proxy = stack.enter_context(running_proxy(broker.port))
        port = proxy.port if is_proxied else broker.port
        trusted = f'[bundles]\ntrusted_keys = "{bundle.parent / "trusted_keys"}"\n' if bundle else ""
        mqtt = "keepalive_s = 5\n" if is_proxied else ""
        node = stack.enter_context(node_in(folder / "node", port, rules(bundle), mqtt=mqtt, rest=trusted))
        rig = Rig(folder, broker, proxy, node, seed)
        stack.callback(rig.close)
        rig.begin()
        yield rig
