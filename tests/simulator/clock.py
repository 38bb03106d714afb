"""Simulated time: what is to happen waits in a queue, and the clock jumps from one thing to the next.

Stands in for the module `time` in the daemon's modules.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

START_S = 1_760_000_000
MOMENT_S = 0.001


class SimulatedTime:
    """The clock and what it brings. No two readings of the wall clock are equal."""

    def __init__(self) -> None:
        self._ns = 0
        self._step_ns = 0
        self._given: set[int] = set()
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0

    # --- as the module time

    def monotonic_ns(self) -> int:
        """Give the time since the machine began (ns)."""
        return self._ns

    def monotonic(self) -> float:
        """Give the time since the machine began (s)."""
        return self._ns / 1e9

    perf_counter = monotonic

    def time_ns(self) -> int:
        """Give the wall clock (ns)."""
        return START_S * 10**9 + self._ns + self._step_ns

    def time(self) -> float:
        """Give the wall clock (s)."""
        return self.time_ns() / 1e9

    # --- what only the simulation does

    def unique_ns(self) -> int:
        """Give the wall clock as no message had it before: it tells the deliveries apart."""
        now_ns = self.time_ns()
        while now_ns in self._given:
            now_ns += 1
        self._given.add(now_ns)
        return now_ns

    def step_wall_clock(self, to_s: float) -> None:
        """Set the wall clock to be off by so much."""
        self._step_ns = round(to_s * 1e9)

    def after(self, delay_s: float, what: Callable[[], None]) -> None:
        """Let something happen later."""
        self._number += 1
        heapq.heappush(self._queue, (self._ns + round(delay_s * 1e9), self._number, what))

    def advance(self, longest_s: float, is_enough: Callable[[], bool]) -> None:
        """Let things happen until it is enough, or the time is over."""
        end_ns = self._ns + round(max(longest_s, MOMENT_S) * 1e9)
        while self._queue and self._queue[0][0] <= end_ns and not is_enough():
            at_ns, _, what = heapq.heappop(self._queue)
            self._ns = max(self._ns, at_ns)
            what()
        if not is_enough():
            self._ns = max(self._ns, end_ns)
