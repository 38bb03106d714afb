"""What came back: how many results, how late, which were lost, came twice or out of order."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from edgeseq.core.types import F64
from tests.bench.stream.readings import STREAMS

SAMPLED = 37
"""Streams whose number ends in it are compared, value by value: 1 % of them."""


Located: TypeAlias = tuple[int, int]
"""Which reading a packet is the result of: step and stream."""

Locate: TypeAlias = Callable[[bytes, int, int], Located | None]
"""Finds it in a buffer between two places; None where the packet is no result."""


class Tally:
    """Accounts for the results of the readings from number `first` on."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.sent_s = array("d")
        """When each reading was sent."""
        self.received = 0
        """Different results."""
        self.passed = 0
        """Readings that nobody waits for any more: their result came, or a later one of the same stream."""
        self.duplicated = 0
        self.reordered = 0
        self.unasked = 0
        """Results of readings that were not sent in this round."""
        self.others: Counter[str] = Counter()
        """Messages that are no results, by the last level of their topic."""
        self.latency_s = array("d")
        self.last_s = 0.0
        """When the last result came."""
        self.sampled: dict[Located, bytes] = {}
        self._is_here = bytearray()
        self._newest = [(first - 1 - stream) // STREAMS for stream in range(STREAMS)]

    @property
    def sent(self) -> int:
        """Count the readings sent."""
        return len(self.sent_s)

    @property
    def lost(self) -> int:
        """Count the readings without a result, so far."""
        return self.sent - self.received

    @property
    def in_flight(self) -> int:
        """Count the readings whose result may still come."""
        return self.sent - self.passed

    def send(self, stamps_s: Sequence[float]) -> None:
        """Note when the next readings were sent."""
        self.sent_s.extend(stamps_s)
        self._is_here.extend(bytes(len(stamps_s)))

    def take(self, found: Located, now_s: float) -> None:
        """Note a result."""
        step, stream = found
        index = step * STREAMS + stream - self.first
        if not 0 <= index < len(self._is_here):
            self.unasked += 1
            return
        if self._is_here[index]:
            self.duplicated += 1
            return
        self._is_here[index] = 1
        self.received += 1
        self.last_s = now_s
        self.latency_s.append(now_s - self.sent_s[index])
        newest = self._newest[stream]
        if step < newest:
            self.reordered += 1
            return
        self._newest[stream] = step
        self.passed += step - newest

    def latencies_ms(self) -> F64:
        """Give the latencies in the order of arrival: (received,)."""
        return 1e3 * np.frombuffer(self.latency_s, dtype=np.float64)
