"""A clock that only tests move."""

from __future__ import annotations


class ManualClock:
    """Time stands still until `advance`."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self._now_s = now_s

    def seconds(self) -> float:
        """Tell the time (s)."""
        return self._now_s

    def advance(self, by_s: float) -> None:
        """Let time go on."""
        self._now_s += by_s
