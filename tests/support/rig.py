"""A link with its inbox, whose loop a test turns."""

from __future__ import annotations

import socket
from typing import Any, TypeVar

import msgspec

from edgeseq.adapters.inbox import Inbox
from edgeseq.adapters.mqtt import BatchTransport, Deliveries, Link, PlainTransport, Settings
from edgeseq.core.types import Message, Outgoing
from tests.support.broker import wait_until

Item = TypeVar("Item")
WILL = Outgoing("out/bridge/state", b"offline", qos=1, retain=True)


class Rig:
    """A link with its inbox; `wait_for` turns the loop until something has arrived."""

    def __init__(self, transport: type[BatchTransport | PlainTransport], port: int, **changes: Any) -> None:
        settings = Settings("127.0.0.1", port, "edgeseq-test", ("in/#",), WILL, backoff_s=(0.05, 0.2))
        self.inbox = Inbox()
        self.settings = msgspec.structs.replace(settings, **changes)
        self.link = Link(self.settings, self.inbox, transport)
        self.items: list[object] = []

    def turn(self) -> None:
        """Turn the loop once."""
        self.link.wait(0.02)
        while taken := self.inbox.take(1):  # a message each
            self.items += taken

    def wait_for(self, kind: type[Item], count: int = 1) -> list[Item]:
        """Turn until `count` items of this kind are there."""

        def there() -> bool:
            self.turn()
            return len(self.of(kind)) >= count

        wait_until(there, f"{count} {kind.__name__}")
        return self.of(kind)

    def of(self, kind: type[Item]) -> list[Item]:
        """List the items of a kind so far."""
        return [item for item in self.items if isinstance(item, kind)]

    def deliveries(self, count: int) -> list[Deliveries]:
        """Wait for so many messages; each comes alone."""
        return self.wait_for(Deliveries, count)

    def messages(self, count: int) -> list[Message]:
        """Wait for so many messages."""
        return [found.messages[0] for found in self.deliveries(count)]

    def until(self, condition: Any, what: str) -> None:
        """Turn until a condition holds."""

        def holds() -> bool:
            self.turn()
            return bool(condition())

        wait_until(holds, what)

    def close(self) -> None:
        """Say goodbye and free all."""
        self.link._connector.join()
        self.link.close(timeout_s=0.0)
        self.inbox.close()

    def drop(self) -> None:
        """Lose the connection without a goodbye, as a crash does, after writing what waits."""
        self.link.wait(0.0)
        self.raw.shutdown(socket.SHUT_RDWR)

    @property
    def raw(self) -> socket.socket:
        """Give the socket of the connection."""
        found: Any = self.link._transport.socket()
        raw: socket.socket = getattr(found, "_socket", found)
        return raw
