"""Drive a client: send readings, as fast as their results come back or at an offered rate, and account for the results.

As fast as possible: a window of readings is kept under way. At a rate: each reading leaves when it is due, whatever has
come back; its latency is from then to the receipt of its result.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.bench.stream import packets, readings
from tests.bench.stream.connection import Closed, Connection
from tests.bench.stream.tally import SAMPLED, Locate, Tally

CHUNK = 500
"""Readings of one send: some 40 KB."""
RECEIVE_MAXIMUM = 1000
"""Readings of QoS 1 that may be unacknowledged: what the daemon asks for (mqtt.inflight)."""
WINDOW = 2000
PATIENCE_S = 3.0
ATTEND_EVERY_S = 1.0
HELD_BACK_S = 0.002
"""A reading that leaves so much later than it was due had to wait for the client, not for our own scheduler."""
GATHER_S = 0.0005
"""Pause between two looks for results while the window is full: each result looked for by itself would cost us more
than many clients need to make it."""


@dataclass
class Ends:
    """Where readings go in and results come out; one connection where the broker is ours."""

    source: Connection
    sink: Connection
    locate: Locate
    qos: int
    next: int = 0
    """Number of the reading that comes next."""
    sampled: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """Step and stream → payload of a sampled result."""

    @property
    def connections(self) -> list[Connection]:
        """List them, each once."""
        return [self.source] if self.source is self.sink else [self.source, self.sink]


class Load(NamedTuple):
    """What is sent."""

    readings: int
    rate: float | None = None
    """Readings/s; None: as fast as possible."""
    window: int = WINDOW
    patience_s: float = PATIENCE_S
    """What has not come after so long without any result is lost."""
    crowd: int = 0
    """Readings of topics that have no stream, sent along with each reading."""


def drive(ends: Ends, load: Load, idle: Iterable[Connection] = ()) -> tuple[Tally, float]:
    """Send a round of readings and wait for the results; give the account, and the seconds this process was busy.

    Args:
        ends: the connections; the readings go on where the last round ended.
        load: how many, how fast.
        idle: other clients' connections, whose pings are answered meanwhile.
    """
    blobs = readings.blobs(ends.next, load.readings, qos=ends.qos, version=ends.source.version)
    if load.crowd:
        blobs = readings.crowded(blobs, ends.next, load.crowd, qos=ends.qos, version=ends.source.version)
    tally = Tally(ends.next)
    ends.next += load.readings
    busy_s = time.process_time()
    _run(ends, load, blobs, tally, list(idle))
    ends.sampled |= tally.sampled
    return tally, time.process_time() - busy_s


def _run(ends: Ends, load: Load, blobs: Sequence[bytes], tally: Tally, idle: list[Connection]) -> None:
    source = ends.source
    window = load.window if load.rate is None else load.readings
    before = source.acknowledged
    start_s = heard_s = attended_s = time.perf_counter()
    while tally.sent < load.readings or tally.in_flight:
        now_s = time.perf_counter()
        due = (
            load.readings if load.rate is None else min(load.readings, int((now_s - start_s) * load.rate) + 1)
        )
        room = min(due - tally.sent, CHUNK, window - tally.in_flight)
        if ends.qos:
            unacknowledged = tally.sent * (1 + load.crowd) - source.acknowledged + before
            room = min(room, (RECEIVE_MAXIMUM - unacknowledged) // (1 + load.crowd))
        if room > 0 and not source.has_unsent:
            first = tally.sent
            tally.send(stamps(load, start_s, first, room, now_s))
            source.send(b"".join(blobs[first : first + room]))
            wait_s = 0.0
        elif due < load.readings and load.rate is not None and tally.sent == due:
            wait_s = max(0.0, start_s + due / load.rate - now_s)
        else:
            wait_s = 0.05
            if load.rate is None:
                time.sleep(GATHER_S)
        if _hear(ends, tally, wait_s):
            heard_s = now_s
        elif now_s - heard_s > load.patience_s and room <= 0:
            return
        if now_s - attended_s > ATTEND_EVERY_S:
            attended_s = now_s
            attend(idle)


def stamps(load: Load, start_s: float, first: int, count: int, now_s: float) -> list[float]:
    """Say when readings that leave now were sent: those that the client has held back, when they were due."""
    if load.rate is None:
        return [now_s] * count
    due = (start_s + index / load.rate for index in range(first, first + count))
    return [due_s if now_s - due_s > HELD_BACK_S else now_s for due_s in due]


def _hear(ends: Ends, tally: Tally, wait_s: float) -> bool:
    """Wait for results, at most so long, and note them; tell whether anything came."""
    waiting = [c.socket for c in ends.connections if c.has_unsent]
    ready, writable, _ = select.select([c.socket for c in ends.connections], waiting, [], wait_s)
    if writable:
        ends.source.flush()
        ends.sink.flush()
    if not ready:
        return False
    locate, take = ends.locate, tally.take
    for connection in ends.connections:
        buffer, published = connection.receive()
        now_s = time.perf_counter()
        for each in published:
            found = locate(buffer, each[1], each[2])
            if found is None:
                topic = packets.published(buffer, each, connection.version).topic
                tally.others[topic.rpartition(b"/")[2].decode()] += 1
                continue
            take(found, now_s)
            if found[1] % 100 == SAMPLED:
                tally.sampled[found] = packets.published(buffer, each, connection.version).payload
    return True


def attend(connections: Iterable[Connection]) -> None:
    """Answer what clients that are not measured just now have sent."""
    for connection in connections:
        with contextlib.suppress(Closed):
            connection.receive()
            connection.flush()
