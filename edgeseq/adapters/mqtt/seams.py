"""Where the parts of the link meet: the inbox above it, the transport below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from edgeseq.adapters.mqtt.settings import Settings
from edgeseq.core.types import Message, Outgoing


class Sink(Protocol):
    """Where values go; the inbox."""

    @property
    def room(self) -> int:
        """Count the messages that may still be read; 0: reading must pause."""
        ...

    def fileno(self) -> int:
        """Give the file that wakes the selector."""
        ...

    def deliver(self, item: Any, count: int = 1, size_bytes: int = 0) -> None:
        """Take a value, which may stand for several and hold payloads of some length."""
        ...

    def wake(self) -> None:
        """Wake the selector, from another thread."""
        ...

    def clear_wakeups(self) -> None:
        """Forget the wake-ups so far."""
        ...


class Listener(Protocol):
    """Who is told; the link."""

    @property
    def room(self) -> int:
        """Count the messages that may still be read."""
        ...

    def connected(self, *, is_session_present: bool, window: int, most_bytes: int | None) -> None:
        """Take note: the broker has accepted us, takes so many alerts at once, and no larger packets than that."""
        ...

    def refused(self, reason: str) -> None:
        """Take note: the broker does not want us."""
        ...

    def subscribed(self, refusals: list[str | None]) -> None:
        """Take note of the broker's answer for each filter: None, or why not."""
        ...

    def arrived(self, messages: list[Message]) -> None:
        """Take messages."""
        ...

    def settled(self, mid: int, refusal: str | None) -> None:
        """Take note: the broker has an alert, or refuses it."""
        ...

    def is_in_flight(self, mid: int) -> bool:
        """Tell whether an alert has this packet id."""
        ...

    def lost(self, reason: str, *, is_malformed: bool) -> None:
        """Take note: the connection is gone."""
        ...

    def closing(self) -> None:
        """Forget the socket: it is about to be closed."""
        ...


class Transport(Protocol):
    """What a link moves packets by. One thread uses it, but for `connect`."""

    def connect(self) -> None:
        """Connect, and begin the handshake; may block. Raises OSError, ValueError (a host name none can encode)."""
        ...

    def disconnect(self) -> None:
        """Say goodbye and close."""
        ...

    def socket(self) -> Any:
        """Give what a selector can watch, or None while there is no connection."""
        ...

    @property
    def wants_read(self) -> bool:
        """Whether the peer may send more: it takes what we answer."""
        ...

    @property
    def wants_write(self) -> bool:
        """Whether to tell when the peer takes more."""
        ...

    @property
    def has_more(self) -> bool:
        """Whether reading gives something that a selector cannot see."""
        ...

    @property
    def unsent(self) -> int:
        """Count what is taken and not yet written, in whatever unit; 0 when all is."""
        ...

    def read(self) -> None:
        """Read what is there, as far as the listener has room."""
        ...

    def write(self) -> None:
        """Write what the peer takes now."""
        ...

    def keep_alive(self) -> None:
        """Ping, and give up a peer that is silent for too long."""
        ...

    def send_states(self, outgoing: Sequence[Outgoing]) -> int:
        """Take messages of QoS 0, the first ones, as far as there is room. Gives how many."""
        ...

    def send_alert(self, out: Outgoing, mid: int) -> int:
        """Take a message of QoS 1, again where it has a packet id. Gives its packet id; 0: no room."""
        ...

    def acknowledge(self, mids: list[int]) -> None:
        """Tell the broker that it may forget these, in order."""
        ...


OpenTransport = Callable[[Settings, Listener, Callable[[], int]], Transport]
