"""The inbox: everything that happens to the daemon waits here, in order, as a value.

The daemon's own thread delivers what it reads from the network; other threads and signal handlers put, which also
wakes the loop by a byte through a socket pair. Messages come many in one value, and are counted one by one; they are
bounded by their reader, which reads no more than there is `room`. Of a value that only reminds (a tick) one is enough,
so those are bounded by their kinds.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

CAPACITY = 4096
"""Messages that may wait. While the disk refuses, the rest waits at the broker."""

CAPACITY_BYTES = 2**24
"""Of their payloads: 4 KB each. Long ones, useful or not, fill the inbox sooner."""


class Inbox:
    """A queue that a selector can watch."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._items: deque[tuple[float, int, int, Any]] = deque()
        self._count = self._bytes = 0
        self._reminders: set[type] = set()
        self._clock_s = clock_s
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def __len__(self) -> int:
        return self._count

    @property
    def room(self) -> int:
        """Count the messages that may still be read."""
        return max(0, CAPACITY - self._count) if self._bytes < CAPACITY_BYTES else 0

    def fileno(self) -> int:
        """Give the file that becomes readable when something was put."""
        return self._reader.fileno()

    def deliver(self, item: Any, count: int = 1, size_bytes: int = 0) -> None:
        """Append from the loop's own thread. What stands for several can be cut, as a list can."""
        self._items.append((self._clock_s(), count, size_bytes, item))
        self._count += count
        self._bytes += size_bytes

    def put(self, item: object) -> None:
        """Append a reminder from any thread or signal handler, unless one of its type waits already."""
        if type(item) in self._reminders:
            return
        self._reminders.add(type(item))
        self.deliver(item)
        self.wake()

    def wake(self) -> None:
        """Wake the loop."""
        # Full of unread wake-ups: it will wake anyhow.
        with contextlib.suppress(BlockingIOError):
            self._writer.send(b"\0")

    def clear_wakeups(self) -> None:
        """Read the wake-up bytes away."""
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass

    def take(self, limit: int) -> list[object]:
        """Take the oldest item and those behind it of the same type, together at most `limit`."""
        taken: list[object] = []
        left = limit
        while self._items and left > 0:
            since_s, count, size_bytes, item = self._items[0]
            if taken and type(item) is not type(taken[0]):
                break
            self._items.popleft()
            if count > left:
                self._items.appendleft((since_s, count - left, size_bytes, item[left:]))
                item, count, size_bytes = item[:left], left, 0  # it is all counted until the last is taken
            self._bytes -= size_bytes
            self._reminders.discard(type(item))
            taken.append(item)
            left -= count
        self._count -= limit - left
        return taken

    def ahead(self, kind: type[T]) -> Iterator[T]:
        """Look at the oldest items, as far as they are of this type."""
        for *_, item in self._items:
            if not isinstance(item, kind):
                return
            yield item

    def has(self, kind: type) -> bool:
        """Tell whether an item of this type waits, however far behind."""
        return any(isinstance(item, kind) for *_, item in self._items)

    def oldest_age_s(self) -> float:
        """Tell how long the oldest item has been waiting."""
        return self._clock_s() - self._items[0][0] if self._items else 0.0

    def close(self) -> None:
        """Close the socket pair."""
        self._reader.close()
        self._writer.close()
