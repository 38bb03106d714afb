"""What was published, what the device acknowledged, and what its disk still holds of that."""

from __future__ import annotations

import json
import math
import random
import re
import threading
import time
from collections import defaultdict
from pathlib import Path

from edgeseq import replay
from edgeseq.core.instants import format_instant
from edgeseq.core.pipeline import accept, advance
from edgeseq.core.types import Message
from tests.support.broker import Peer

_SENT = re.compile(r"Sending PUBLISH to edgeseq-n \(d0, q1, r\d, m(\d+), '(room/\d+)'")
_SUBSCRIBED = "Sending SUBACK to edgeseq-n"
_ACKNOWLEDGED = re.compile(r"Received PUBACK from edgeseq-n \(Mid: (\d+)")
STREAMS = 50
TOPICS = tuple(f"room/{n}" for n in range(STREAMS))
WAITING = 2000
"""Readings that wait for the device at most: an emulated one takes fewer than come, and a broker keeps only so many."""

NEWEST = 1000
"""Readings that a state is asked for: older ones would pass as late in any case, and more late ones than a node
remembers identities (8,192) would make it forget those of the newest."""


class Publisher(threading.Thread):
    """Rooms that report each second with QoS 1, whether the device runs or not; when too many wait, they do, too."""

    def __init__(self, port: int, acknowledged: Acknowledged) -> None:
        super().__init__(daemon=True)
        self._acknowledged = acknowledged
        self.readings: dict[str, list[Message]] = {topic: [] for topic in TOPICS}
        self._peer = Peer(port)
        self._ended = threading.Event()

    def run(self) -> None:
        """Publish until told to end."""
        rng, begin_ns = random.Random(1), time.time_ns() // 10**9 * 10**9
        step, next_s = 0, time.time()
        while not self._ended.wait(max(0.0, next_s - time.time())):
            next_s = max(next_s + 1, time.time())
            if step * STREAMS - len(self._acknowledged.readings) > WAITING:
                continue
            for n, topic in enumerate(TOPICS):
                value = round(20 + math.sin(step / 40 + n) + rng.gauss(0, 0.1), 3)
                at_ns = begin_ns + step * 10**9
                body = json.dumps({"time": format_instant(at_ns), "value": value}).encode()
                self.readings[topic].append(Message(topic, body, at_ns))
                self._peer.publish(topic, body)
            step += 1

    def end(self) -> None:
        """End, with everything handed to the broker."""
        self._ended.set()
        self.join()
        self._peer.flush()
        self._peer.close()

    def all(self) -> list[Message]:
        """List what was published, by time."""
        messages = [message for found in self.readings.values() for message in list(found)]
        return sorted(messages, key=lambda message: message.received_ns)


class Acknowledged:
    """What the device has acknowledged, read from the broker's log: the k-th message that it sends of a topic is that
    topic's k-th reading; one that is sent again keeps its identifier.
    """

    def __init__(self, log: Path) -> None:
        self._file = log.open(encoding="utf-8", errors="replace")
        self._rest = ""
        self._sent: dict[str, int] = defaultdict(int)
        self._in_flight: dict[int, tuple[str, int]] = {}
        self.readings: set[tuple[str, int]] = set()
        self._is_subscribed = False

    def is_subscribed(self) -> bool:
        """Read on → whether the device has subscribed: what was published before then, no broker keeps for it."""
        self.count()
        return self._is_subscribed

    def count(self) -> int:
        """Read on → how many readings are acknowledged."""
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        for line in lines:
            if sent := _SENT.search(line):
                topic = sent[2]
                self._in_flight[int(sent[1])] = topic, self._sent[topic]
                self._sent[topic] += 1
            elif (told := _ACKNOWLEDGED.search(line)) and (found := self._in_flight.pop(int(told[1]), None)):
                self.readings.add(found)
            elif _SUBSCRIBED in line:
                self._is_subscribed = True
        return len(self.readings)

    def close(self) -> None:
        """Let go of the log."""
        self._file.close()


def lost(state: Path, config: Path, acknowledged: list[Message]) -> int:
    """Give to a state the newest of what was acknowledged: what it takes as new it had lost.

    A reading that is missing in the middle would pass as late; the end of a run, where whole states are compared,
    finds it.
    """
    node = replay.open_for_replay(config, state, save_state=True)
    try:
        before = node.state.counts.applied
        newest = sorted(acknowledged, key=lambda message: message.received_ns)[-NEWEST:]
        accepted = accept(node.state, newest)
        advance(node.state, accepted.readings)
        return int(node.state.counts.applied - before)
    finally:
        replay.close(node)
