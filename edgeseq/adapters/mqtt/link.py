"""The link to the broker: a connection that is made again whenever it is lost, in our own selector loop.

A connection is attempted in a thread of its own (name lookup, TCP and TLS may block for seconds), and while one is
under way this thread leaves the transport alone. Acknowledgements are manual, and belong to the connection that
delivered: a generation number tells.

Two kinds of messages go out. States (forecasts, retained topics): the latest of a topic wins, so while the broker is
away or slow one per topic is kept. Alerts: QoS 1 from a bounded outbox, kept until the broker has acknowledged them.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from edgeseq.adapters.mqtt.connector import Connector
from edgeseq.adapters.mqtt.happenings import (
    Connected,
    Deliveries,
    Disconnected,
    PublishRefused,
    Refused,
    Subscribed,
    SubscriptionRefused,
    TooLarge,
    Unreachable,
)
from edgeseq.adapters.mqtt.outbox import Outbox
from edgeseq.adapters.mqtt.packets import publish_length
from edgeseq.adapters.mqtt.seams import OpenTransport, Sink
from edgeseq.adapters.mqtt.settings import MAX_ALERTS_IN_FLIGHT, Settings
from edgeseq.core.types import Message, Outgoing

TOLD_EVERY_S = 60.0
"""That messages are too large for the broker."""


class Link:
    """A connection that is made again whenever it is lost. Only `wait` moves it; one thread uses it."""

    def __init__(
        self,
        settings: Settings,
        sink: Sink,
        open_transport: OpenTransport,
        *,
        generation: int = 0,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.settings = settings
        self.generation = generation
        """Of the present connection; a link that follows another one goes on counting."""
        self.is_connected = False
        self.published = 0
        self.superseded = 0
        self.malformed = 0
        """Connections given up since the broker sent what it may not."""
        self.too_large = 0
        """Messages given up since the broker takes none of their size."""
        self._sink = sink
        self._transport = open_transport(settings, self, now_ns)
        self._selector = selectors.DefaultSelector()
        self._selector.register(sink.fileno(), selectors.EVENT_READ)
        self._watched: Any = None
        self._states: dict[str, Outgoing] = {}
        self._outbox = Outbox()
        self._window = MAX_ALERTS_IN_FLIGHT
        self._most_bytes: int | None = None
        self._told_s = -TOLD_EVERY_S
        self._connector = Connector(self._transport.connect, sink.wake, settings.backoff_s)
        self._deadline_s = 0.0
        self._is_closing = False

    # --- the loop's side

    def wait(self, timeout_s: float) -> None:
        """Wait for the network or a wake-up, at most so long; then read what is there and write all that goes."""
        self._see_to_connection()
        self._flush()
        self._watch()
        is_open = self._is_open()
        may_read = is_open and self._transport.has_more and self.room > 0
        for key, _ in self._selector.select(0.0 if may_read else timeout_s):
            if key.fileobj is not self._watched:
                self._sink.clear_wakeups()
            else:  # TLS may have to write before it can read
                may_read = self.room > 0
        if is_open and self._is_open():
            if may_read:
                self._transport.read()
            self._transport.keep_alive()
            self._flush()

    def acknowledge(self, batch: Iterable[Deliveries]) -> None:
        """Tell the broker that it may forget these, in order. Those of an earlier connection are left out.

        That is written at once, with all that waits: the broker sends the next ones while these are worked on.
        """
        mids: list[int] = []
        for found in batch:
            if self.is_connected and found.generation == self.generation:
                mids += [message.mid for message in found.messages if message.mid]
        if mids:
            self._transport.acknowledge(mids)
            self._transport.write()

    def publish(self, outgoing: Iterable[Outgoing]) -> None:
        """Send, now or when possible: the latest of a topic, or every alert. They are written by the next `wait`."""
        states: list[Outgoing] = []
        for out in outgoing:
            if self._most_bytes is not None and self._is_too_large(out):
                self._outbox.dropped += out.alert_id is not None
            elif out.alert_id is None:
                states.append(out)
            else:
                self._publish_states(states)
                states = []
                self._outbox.add(out)
                self._send_alerts()
        self._publish_states(states)

    def _publish_states(self, states: list[Outgoing]) -> None:
        taken = self._transport.send_states(states) if self.is_connected and not self._states else 0
        self.published += taken
        for out in states[taken:]:
            self.superseded += self._states.pop(out.topic, None) is not None
            self._states[out.topic] = out

    @property
    def alerts_dropped(self) -> int:
        """Count the alerts that were given up, since too many waited or the broker takes none so large."""
        return self._outbox.dropped

    def unacknowledged(self) -> list[Outgoing]:
        """List the alerts that the broker may not have, oldest first."""
        return self._outbox.all()

    def hand_over(self) -> list[Outgoing]:
        """Give all that has not gone out to whoever follows; nothing is left here."""
        left = [*self._outbox.all(), *self._states.values()]
        self._outbox.clear()
        self._states.clear()
        return left

    @property
    def waiting(self) -> int:
        """Count what is still to go out."""
        return len(self._states) + len(self._outbox) + self._transport.unsent

    def close(self, last: Sequence[Outgoing] = (), timeout_s: float = 3.0) -> None:
        """Send what waits, then these, and say goodbye, so that the will is not published."""
        self.publish(last)
        deadline_s = time.monotonic() + timeout_s
        while self.is_connected and self.waiting and time.monotonic() < deadline_s:
            self.wait(0.05)
        self._is_closing = True
        if self._is_open():
            self._transport.disconnect()
        self._selector.close()

    # --- connecting

    def _is_open(self) -> bool:
        return not self._connector.is_busy and self._transport.socket() is not None

    def _see_to_connection(self) -> None:
        now_s = time.monotonic()
        if self._connector.is_busy:
            if outcome := self._connector.outcome():
                (fault,) = outcome
                self._deadline_s = now_s + self.settings.connack_timeout_s
                if fault is not None:
                    self._sink.deliver(Unreachable(fault, self._connector.failed()))
        elif self._transport.socket() is None:
            self._connector.begin_if_due()
        elif not self.is_connected and 0 < self._deadline_s < now_s:
            self._deadline_s = 0.0
            self._transport.disconnect()

    def _watch(self) -> None:
        """Keep the selector in step with the transport's socket."""
        if not self._is_open():
            return
        events = selectors.EVENT_READ if self.room > 0 and self._transport.wants_read else 0
        if self._transport.wants_write:
            events |= selectors.EVENT_WRITE
        if not events:
            self.closing()
        elif self._watched is None:
            self._watched = self._transport.socket()
            self._selector.register(self._watched, events)
        else:
            self._selector.modify(self._watched, events)

    # --- sending

    def _flush(self) -> None:
        if not self._is_open():
            return
        if self.is_connected:
            self._send_alerts()
        if self._states and self.is_connected:
            taken = self._transport.send_states([*self._states.values()])
            for topic in [*islice(self._states, taken)]:
                del self._states[topic]
            self.published += taken
        self._transport.write()

    def _send_alerts(self) -> None:
        while self.is_connected and (found := self._outbox.next(self._window)):
            out, mid = found
            mid = self._transport.send_alert(out, mid)
            if not mid:
                return
            self._outbox.sent(out, mid)
            self.published += 1

    def _is_too_large(self, out: Outgoing) -> bool:
        """Tell whether the broker would close the connection for this message; count it and tell of it, if so."""
        size_bytes = publish_length(
            out.topic,
            out.payload,
            has_mid=out.alert_id is not None,
            is_version_5=self.settings.is_version_5,
        )
        if self._most_bytes is None or size_bytes <= self._most_bytes:
            return False
        self.too_large += 1
        if time.monotonic() >= self._told_s + TOLD_EVERY_S:
            self._told_s = time.monotonic()
            self._sink.deliver(TooLarge(out.topic, size_bytes, self._most_bytes))
        return True

    def _drop_too_large(self) -> None:
        """Give up what has waited, and this broker does not take."""
        if self._most_bytes is None:
            return
        self._states = {topic: out for topic, out in self._states.items() if not self._is_too_large(out)}
        for out in self._outbox.all():
            if self._is_too_large(out):
                self._outbox.give_up(out)

    # --- what the transport tells

    @property
    def room(self) -> int:
        """Count the messages that may still be read."""
        return self._sink.room

    def is_in_flight(self, mid: int) -> bool:
        """Tell whether an alert has this packet id."""
        return self._outbox.is_in_flight(mid)

    def connected(self, *, is_session_present: bool, window: int, most_bytes: int | None = None) -> None:
        """Take note: the broker has accepted us."""
        self._deadline_s = 0.0
        self.generation += 1
        self.is_connected = True
        self._connector.succeeded()
        self._window = window
        self._most_bytes = most_bytes
        self._drop_too_large()
        self._outbox.begin_again()
        self._sink.deliver(Connected(is_session_present))

    def refused(self, reason: str) -> None:
        """Take note: the broker does not want us."""
        self._deadline_s = 0.0
        self._sink.deliver(Refused(reason, self._connector.failed()))

    def subscribed(self, refusals: list[str | None]) -> None:
        """Take note of the broker's answer for each filter."""
        pairs = [pair for pair in zip(self.settings.filters, refusals, strict=False) if pair[1]]
        if pairs:
            self._sink.deliver(SubscriptionRefused(tuple(f for f, _ in pairs), str(pairs[0][1])))
        self._sink.deliver(Subscribed())

    def arrived(self, messages: list[Message]) -> None:
        """Pass on messages."""
        size_bytes = sum([len(message.payload) for message in messages])
        self._sink.deliver(Deliveries(messages, self.generation), len(messages), size_bytes)

    def settled(self, mid: int, refusal: str | None) -> None:
        """Take note: the broker has an alert, or refuses it."""
        out = self._outbox.settle(mid)
        if out and refusal:
            self._sink.deliver(PublishRefused(out.topic, refusal))

    def lost(self, reason: str, *, is_malformed: bool) -> None:
        """Take note: the connection is gone."""
        was_connected, self.is_connected = self.is_connected, False
        self._most_bytes = None
        self.malformed += is_malformed
        if self._is_closing:
            return
        if was_connected:
            is_repeated = self._connector.lost() and reason != "Keep alive timeout"
            self._sink.deliver(Disconnected(reason, is_repeated))
        elif self._connector.is_due:  # not refused a moment ago
            text = f"{reason}: connected, but no answer; does the broker speak this MQTT version?"
            self._sink.deliver(Unreachable(text, self._connector.failed()))

    def closing(self) -> None:
        """Forget the socket: it is about to be closed, or nothing is wanted of it."""
        if self._watched is not None:
            self._selector.unregister(self._watched)
            self._watched = None
