"""Attempts to connect: one at a time, each in a thread of its own, with growing delays after failures."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

STABLE_AFTER_S = 30.0
"""A connection that lasted this long was good: the next failure starts at the shortest delay again."""

MOST_BY_CHANCE = 2
"""So many connections may be lost soon after each other, with no attempt failing between, before that is told."""


class Connector:
    """Runs `connect`, and `wake` when that is over."""

    def __init__(
        self, connect: Callable[[], None], wake: Callable[[], None], backoff_s: tuple[float, float]
    ) -> None:
        self._connect = connect
        self._wake = wake
        self._backoff_s = backoff_s
        self._failures = 0
        self._next_s = 0.0
        self._since_s = 0.0
        self._lost_soon = 0
        self._thread: threading.Thread | None = None
        self._outcomes: list[str | None] = []

    @property
    def is_busy(self) -> bool:
        """Whether an attempt is under way, or its outcome not yet asked for."""
        return self._thread is not None

    @property
    def is_due(self) -> bool:
        """Whether it is time for an attempt."""
        return time.monotonic() >= self._next_s

    def begin_if_due(self) -> None:
        """Begin an attempt, unless it is too early for one."""
        if self.is_due:
            self._thread = threading.Thread(target=self._run, name="connect", daemon=True)
            self._thread.start()

    def outcome(self) -> tuple[str | None] | None:
        """Give how the attempt ended: in what fault, or none; None while it is under way."""
        if not self._outcomes:
            return None
        self._thread = None
        return (self._outcomes.pop(),)

    def failed(self) -> float:
        """Note that an attempt has failed, and put the next one off → seconds."""
        self._lost_soon = 0
        return self._back_off()

    def _back_off(self) -> float:
        """Put the next attempt off, longer each time → seconds."""
        shortest_s, longest_s = self._backoff_s
        delay_s = min(longest_s, shortest_s * 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)
        # Jitter, so that a house full of daemons does not come back in step.
        delay_s *= random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._next_s = time.monotonic() + delay_s
        return round(delay_s, 3)

    def succeeded(self) -> None:
        """Note that the broker has accepted a connection."""
        self._since_s = time.monotonic()

    def lost(self) -> bool:
        """Put the next attempt off; tell whether connections are made at once and lost soon, again and again."""
        is_stable = time.monotonic() - self._since_s > STABLE_AFTER_S
        if is_stable:
            self._failures = 0
        self._back_off()
        self._lost_soon = 0 if is_stable else self._lost_soon + 1
        return self._lost_soon > MOST_BY_CHANCE

    def join(self) -> None:
        """Wait for the attempt under way, if any."""
        if self._thread:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        fault: str | None = None
        try:
            self._connect()
        except (OSError, ValueError) as found:  # ValueError: a host name that cannot be encoded
            fault = str(found) or type(found).__name__
        self._outcomes.append(fault)
        self._wake()
