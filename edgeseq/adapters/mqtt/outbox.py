"""Alerts, from when they are published until the broker has acknowledged them. Bounded; the oldest goes first."""

from __future__ import annotations

from collections import deque

from edgeseq.core.types import Outgoing

MAX_OUTBOX = 10_000
"""Alerts kept for a broker that is away: some 5 MB."""


class Outbox:
    """A queue of which the first are in flight, each under its packet id."""

    def __init__(self) -> None:
        self.dropped = 0
        self._waiting: dict[tuple[str, bytes], Outgoing] = {}
        self._in_flight: dict[int, Outgoing] = {}
        self._again: deque[int] = deque()
        self._known: set[tuple[str, bytes]] = set()

    def __len__(self) -> int:
        return len(self._in_flight) + len(self._waiting)

    def all(self) -> list[Outgoing]:
        """List what the broker may not have, oldest first."""
        return [*self._in_flight.values(), *self._waiting.values()]

    def add(self, out: Outgoing) -> None:
        """Take an alert. The same event derived again, with the same bytes, is kept once."""
        if _key(out) in self._known:
            return
        if len(self) >= MAX_OUTBOX:
            self._drop_oldest()
        self._known.add(_key(out))
        self._waiting[_key(out)] = out

    def begin_again(self) -> None:
        """Let all that is in flight go once more: a new connection."""
        self._again = deque(self._in_flight)

    def next(self, window: int) -> tuple[Outgoing, int] | None:
        """Give what goes next and its packet id, 0 where it goes for the first time; None while nothing may."""
        if self._again:
            fits = len(self._in_flight) - len(self._again) < window
            mid = self._again[0]
            return (self._in_flight[mid], mid) if fits else None
        if not self._waiting or len(self._in_flight) >= window:
            return None
        return next(iter(self._waiting.values())), 0

    def sent(self, out: Outgoing, mid: int) -> None:
        """Note that what `next` gave is on its way under this packet id."""
        if self._again:
            self._again.popleft()
            return
        del self._waiting[_key(out)]
        self._in_flight[mid] = out

    def is_in_flight(self, mid: int) -> bool:
        """Tell whether an alert has this packet id."""
        return mid in self._in_flight

    def settle(self, mid: int) -> Outgoing | None:
        """Give up the alert of a packet id: the broker has it, or refuses it."""
        out = self._in_flight.pop(mid, None)
        if out is None:
            return None
        if mid in self._again:
            self._again.remove(mid)
        self._known.discard(_key(out))
        return out

    def give_up(self, out: Outgoing) -> None:
        """Drop an alert that can never go."""
        self.dropped += 1
        for mid in [mid for mid, each in self._in_flight.items() if each is out]:
            self.settle(mid)
        self._waiting.pop(_key(out), None)
        self._known.discard(_key(out))

    def clear(self) -> None:
        """Forget all."""
        for part in (self._waiting, self._in_flight, self._again, self._known):
            part.clear()

    def _drop_oldest(self) -> None:
        self.dropped += 1
        if self._in_flight:
            self.settle(next(iter(self._in_flight)))
        else:
            self._known.discard(oldest := next(iter(self._waiting)))
            del self._waiting[oldest]


def _key(out: Outgoing) -> tuple[str, bytes]:
    return out.topic, out.payload
