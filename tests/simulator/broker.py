"""A broker, a network and a transport, in one thread: QoS 1 at least once, sessions, and what becomes of them.

The transport stands below `edgeseq.adapters.mqtt.Link`, which is the real one, with its outbox. Packets of the client
take a moment, and so do the broker's; a cut loses the last of them, both ways. The broker delivers in order, at most
`window` without an acknowledgement, and delivers what was not acknowledged again, marked DUP, on the next connection of
a session that it still knows, whether the client has seen it before or not.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count, takewhile

from edgeseq.adapters import mqtt
from edgeseq.core.types import Message, Outgoing
from tests.simulator.clock import SimulatedTime
from tests.simulator.faults import Faults


@dataclass(slots=True, frozen=True)
class Sent:
    """A message that a sensor has published; `number` tells it from all others."""

    number: int
    topic: str
    payload: bytes
    is_readable: bool = True
    qos: int = 1


@dataclass(slots=True)
class Session:
    """What the broker keeps for a client."""

    queue: deque[Sent] = field(default_factory=deque)
    in_flight: dict[int, Sent] = field(default_factory=dict)
    mid: int = 0

    def copy(self) -> Session:
        """Copy, as the broker's periodic save does."""
        return Session(self.queue.copy(), self.in_flight.copy(), self.mid)


class SimulatedClient:
    """The transport of a link."""

    wants_read = True
    wants_write = has_more = False
    unsent = 0

    def __init__(self, broker: SimulatedBroker, link: mqtt.Link, now_ns: Callable[[], int]) -> None:
        self.is_connected = False
        self.is_gone = False
        """Whether its process is."""
        self.link = link
        self.now_ns = now_ns
        self._broker = broker
        self._mid = 0

    def send_states(self, outgoing: Sequence[Outgoing]) -> int:
        """Send with QoS 0, one after the other, until one does not go."""
        return sum(1 for _ in takewhile(lambda out: self._send(out, 0), outgoing))

    def send_alert(self, out: Outgoing, mid: int) -> int:
        """Send with QoS 1; the link does so again on a reconnect."""
        if not mid:
            self._mid += 1
        mid = mid or self._mid
        return mid if self._send(out, mid) else 0

    def _send(self, out: Outgoing, mid: int) -> bool:
        self._broker.faults.reach("publish", is_after=False)
        if not self.is_connected:
            return False
        self._broker.take_later(("publish", mid, out.topic, out.payload))
        self._broker.faults.reach("publish", is_after=True)
        return True

    def acknowledge(self, mids: list[int]) -> None:
        """Acknowledge deliveries."""
        for mid in mids:
            self._broker.faults.reach("acknowledge", is_after=False)
            self._broker.take_later(("puback", mid, "", b""))
            self._broker.faults.reach("acknowledge", is_after=True)

    def connect(self) -> None:
        """Do nothing: the broker lets it connect."""

    def read(self) -> None:
        """Do nothing: the broker delivers."""

    def keep_alive(self) -> None:
        """Do nothing: the broker notices."""

    def disconnect(self) -> None:
        """Say goodbye, after all that was sent."""
        if self.is_connected:
            self._broker.take_now()
            self._broker.drop(self)

    def write(self) -> None:
        """Write; nothing is ever left unwritten."""

    def socket(self) -> object | None:
        """Give something for as long as there is a connection."""
        return self if self.is_connected else None


class SimulatedBroker:
    """The broker and the network to it."""

    def __init__(self, clock: SimulatedTime, faults: Faults, rng: random.Random) -> None:
        self.clock = clock
        self.faults = faults
        self.session: Session | None = None
        self.window = rng.choice((20, 100, 1000))
        self.latency_s = 0.02
        """Of the network, at most."""
        self.is_frugal = False
        """Whether a packet id is used again as soon as it is free."""
        self.acknowledged: set[int] = set()
        """Numbers of messages that it may forget."""
        self.forgotten: set[int] = set()
        """Numbers of messages that it lost: no promise holds for them."""
        self.told: list[tuple[str, bytes]] = []
        """What subscribers have received."""
        self.client: SimulatedClient | None = None
        self.delivering: Sent | None = None
        self.is_present = False
        """Whether the session was there at the last connect."""
        self._rng = rng
        self._uplink: deque[tuple[str, int, str, bytes]] = deque()
        self._downlink: deque[tuple[int, Sent, bool]] = deque()
        """Deliveries on their way: packet id, message, whether it is one again."""
        self._is_partitioned = False
        self.is_down = False
        self._saved: Session | None = None
        self._is_taking = self._is_bringing = False

    @property
    def waiting(self) -> int:
        """Count the messages that the client has not acknowledged."""
        return len(self.session.queue) + len(self.session.in_flight) if self.session else 0

    @property
    def on_the_way(self) -> int:
        """Count the client's packets in the network."""
        return len(self._uplink)

    def publish(self, sent: Sent) -> None:
        """Take a sensor's message; without a session it is for nobody."""
        if self.session is None or sent.qos == 0:
            self.forgotten.add(sent.number)
        if self.session is None:
            return
        if sent.qos == 0:
            if not self.session.queue and not self._is_partitioned:
                self._deliver(0, sent, dup=False)
            return
        self.session.queue.append(sent)
        self._pump()

    # --- connections

    def expect(self, client: SimulatedClient, delay_s: float) -> None:
        """Let a client connect after a while, again and again until it works."""

        def attempt() -> None:
            if client.is_gone or client.is_connected:
                return
            if self.is_down or self._is_partitioned:
                self.expect(client, self._rng.uniform(1.0, 10.0))
                return
            self._connect(client)

        self.clock.after(delay_s, attempt)

    def _connect(self, client: SimulatedClient) -> None:
        self.client = client
        client.is_connected = True
        self.is_present = self.session is not None
        self.subscribe()
        client.link.connected(is_session_present=self.is_present, window=mqtt.MAX_ALERTS_IN_FLIGHT)
        if self.session:
            for mid, sent in list(self.session.in_flight.items()):
                self._deliver(mid, sent, dup=True)
        self._pump()

    def subscribe(self) -> None:
        """Begin a session, where there is none."""
        if self.session is None:
            self.session = Session()

    def cut(self) -> None:
        """Break the connection; of what is on its way, the first few packets may still arrive."""
        client = self.client
        if client is None or not client.is_connected:
            return
        if not self._is_partitioned:
            self._take(self._rng.randint(0, len(self._uplink)))
            self._bring(self._rng.randint(0, len(self._downlink)))
        self.drop(client)
        client.link.lost("cut", is_malformed=False)
        self.expect(client, self._rng.uniform(0.5, 20.0))

    def drop(self, client: SimulatedClient) -> None:
        """Forget a connection."""
        client.is_connected = False
        self._uplink.clear()
        self._lose_downlink()
        self.client = None

    def lose_process(self) -> None:
        """Notice that the client's process is gone; what it sent just before may still arrive."""
        if self.client is not None:
            if not self._is_partitioned:
                self._take(self._rng.randint(0, len(self._uplink)))
            self.drop(self.client)

    # --- faults

    def partition(self, duration_s: float) -> None:
        """Let no packet through for a while; then all come late, or the connection is gone."""
        if self._is_partitioned:
            return
        self._is_partitioned = True

        def heal() -> None:
            if self._rng.random() < 0.5:
                self.cut()
                self._is_partitioned = False
                return
            self._is_partitioned = False
            self.take_now()
            self._bring(len(self._downlink))
            self._pump()

        self.clock.after(duration_s, heal)

    def restart(self, away_s: float, what: Callable[[], None]) -> None:
        """Be away for a while; `what` happens to the session meanwhile."""
        if self.is_down:
            return
        self.cut()
        self.is_down = True
        what()

        def back() -> None:
            self.is_down = False

        self.clock.after(away_s, back)

    def forget_session(self) -> None:
        """Lose the session with all that waits in it."""
        if self.session:
            lost = [*self.session.queue, *self.session.in_flight.values()]
            self.forgotten |= {sent.number for sent in lost}
        self.session = None

    def save(self) -> None:
        """Keep a copy of the session, as brokers do now and then."""
        self._saved = self.session.copy() if self.session else None

    def roll_back(self) -> None:
        """Go back to the copy: what was acknowledged since comes again, what came since is lost."""
        saved = self._saved.copy() if self._saved else None
        if saved is None or self.session is None:
            return
        kept = {sent.number for sent in [*saved.queue, *saved.in_flight.values()]}
        lost = {sent.number for sent in [*self.session.queue, *self.session.in_flight.values()]} - kept
        self.forgotten |= lost
        self.session = saved

    # --- packets

    def take_later(self, packet: tuple[str, int, str, bytes]) -> None:
        """Put a packet of the client on its way."""
        self._uplink.append(packet)
        if not self._is_taking:
            self._is_taking = True
            self.clock.after(self._rng.uniform(0.0, self.latency_s), self._arrive)

    def _arrive(self) -> None:
        self._is_taking = False
        self.take_now()

    def take_now(self) -> None:
        """Take what is on its way, unless nothing comes through."""
        if not self._is_partitioned:
            self._take(len(self._uplink))

    def _take(self, count: int) -> None:
        for _ in range(count):
            kind, mid, topic, payload = self._uplink.popleft()
            if kind == "publish":
                self.told.append((topic, payload))
                if mid:
                    self._acknowledge_later(mid)
            elif self.session is not None:
                sent = self.session.in_flight.pop(mid, None)
                if sent is not None:
                    self.acknowledged.add(sent.number)
        self._pump()

    def _acknowledge_later(self, mid: int) -> None:
        client = self.client
        generation = client.link.generation if client else 0

        def arrive() -> None:
            if client is None or not client.is_connected:
                return
            if client.link.generation != generation:
                return
            if self._is_partitioned:
                self.clock.after(1.0, arrive)
                return
            client.link.settled(mid, None)

        self.clock.after(self._rng.uniform(0.0, self.latency_s), arrive)

    def _pump(self) -> None:
        """Deliver what waits, as far as the window allows."""
        session = self.session
        if session is None or self.client is None:
            return
        while session.queue and len(session.in_flight) < self.window:
            session.mid = self._free_mid(session)
            sent = session.queue.popleft()
            session.in_flight[session.mid] = sent
            self._deliver(session.mid, sent, dup=False)

    def _free_mid(self, session: Session) -> int:
        if self.is_frugal:
            return next(mid for mid in count(1) if mid not in session.in_flight)
        return session.mid % 65_535 + 1

    def _deliver(self, mid: int, sent: Sent, *, dup: bool) -> None:
        """Put a message on its way; in a quiet network it is there at once."""
        if self.client is None:
            return
        self._downlink.append((mid, sent, dup))
        if self._is_bringing:
            return
        self._is_bringing = True
        self.clock.after(self._rng.choice((0.0, self._rng.uniform(0.0, self.latency_s))), self._come)

    def _come(self) -> None:
        self._is_bringing = False
        if not self._is_partitioned:
            self._bring(len(self._downlink))

    def _bring(self, count: int) -> None:
        for _ in range(count):
            if self.client is None:
                return
            mid, sent, dup = self._downlink.popleft()
            self.delivering = sent
            now_ns = self.client.now_ns()
            self.client.link.arrived([Message(sent.topic, sent.payload, now_ns, dup=dup, mid=mid)])

    def _lose_downlink(self) -> None:
        """Lose what is on its way to the client."""
        self.faults.seen["delivery lost"] += len(self._downlink)
        self._downlink.clear()
