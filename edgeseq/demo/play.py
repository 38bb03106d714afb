"""Play the live readings through the broker as the sensors would, only faster, and watch what comes back."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edgeseq.demo import scenario as s
from edgeseq.demo.evidence import Evidence, note
from edgeseq.demo.processes import Daemon, DemoError
from edgeseq.demo.recordings import iso
from edgeseq.watch import Broker, Inbox, Screen, connect, drain
from edgeseq.watch import view as v

PREFIX, NODE = "edgeseq", "demo"
ONLINE_S = 60.0
"""Longest wait for the daemon to come online (s)."""
SETTLE_S, PATIENCE_S = 1.0, 12.0
"""Silence after the last reading that ends the play (s): with all readings answered, and with some not. A daemon on a
busy machine may work for seconds at a batch of 512."""
MAX_UNACKNOWLEDGED = 100
FRAME_S = 0.05
BAR = 40

TOPICS = {s.TRAFFIC: (s.TRAFFIC_TOPIC, s.TRAFFIC_FIELD), s.PIPELINE: (s.PIPELINE_TOPIC, s.PIPELINE_FIELD)}


def play(live: Sequence[s.Reading], port: int, daemon: Daemon, seconds: float, screen: Screen) -> Evidence:
    """Publish the readings spread over some seconds; show and keep what a subscriber receives.

    Raises:
        DemoError: the daemon did not come online, or ended.
    """
    inbox: Inbox = queue.Queue()
    evidence, view = Evidence(), v.View(prefix=PREFIX, node=NODE)
    subscriber = connect(Broker("127.0.0.1", port), [f"{PREFIX}/{NODE}/#"], inbox)
    publisher = _publisher(port)

    def pump(footer: str) -> int:
        daemon.require_alive()
        count = drain(view, inbox, screen, lambda topic, payload: note(evidence, topic, payload))
        screen.frame(view, footer=("", footer))
        return count

    try:
        _wait_online(view, pump)
        _publish(live, publisher, seconds, pump)
        _settle(pump, lambda: sum(map(len, evidence.forecasts.values())) >= len(live))
    finally:
        for client in (publisher, subscriber):
            client.disconnect()
            client.loop_stop()
    return evidence


def message(reading: s.Reading) -> tuple[str, bytes]:
    """Write a reading as its sensor would: topic and payload."""
    topic, field = TOPICS[reading.stream]
    return topic, msgspec.json.encode({"time": iso(reading.time_ns), field: reading.value})


def _publisher(port: int) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


def _wait_online(view: v.View, pump: Callable[[str], int]) -> None:
    deadline = time.monotonic() + ONLINE_S
    while view.state != "online":
        if time.monotonic() > deadline:
            raise DemoError(
                "the daemon did not come online", wanted=f"bridge/state online within {ONLINE_S:.0f} s"
            )
        pump("waiting for the daemon")
        time.sleep(FRAME_S)


def _publish(
    live: Sequence[s.Reading], client: mqtt.Client, seconds: float, pump: Callable[[str], int]
) -> None:
    """Publish at an even pace; wait while the broker owes more than a few acknowledgements."""
    sent, started = 0, time.monotonic()
    waiting: deque[mqtt.MQTTMessageInfo] = deque()
    while sent < len(live) or waiting:
        due = (
            min(int((time.monotonic() - started) / seconds * len(live)) + 1, len(live))
            if seconds
            else len(live)
        )
        while waiting and waiting[0].is_published():
            waiting.popleft()
        while sent < due and len(waiting) < MAX_UNACKNOWLEDGED:
            topic, payload = message(live[sent])
            waiting.append(client.publish(topic, payload, qos=1))
            sent += 1
        pump(_progress(sent, len(live)))
        time.sleep(FRAME_S if seconds else 0.005)


def _settle(pump: Callable[[str], int], is_complete: Callable[[], bool]) -> None:
    """Wait until nothing has come for a while."""
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < (SETTLE_S if is_complete() else PATIENCE_S):
        if pump("all readings played"):
            quiet_since = time.monotonic()
        time.sleep(FRAME_S)


def _progress(sent: int, total: int) -> str:
    done = BAR * sent // total
    return f"playing  {'━' * done}{'┄' * (BAR - done)}  {sent:,} of {total:,} readings"
