"""What is muted: the windows of the configuration, and the snoozes and maintenance that people have asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from edgeseq.adapters.ledger import Asked
from edgeseq.config.windows import Window, end_ns, mutes_of
from edgeseq.core.muting import Mute

DAY_NS = 86_400 * 10**9

FORGOTTEN_NS = 90 * DAY_NS
"""A snooze that ended so long ago mutes nothing that a journal could bring back."""

Purpose = Literal["snooze", "maintenance"]


class Wish(NamedTuple):
    """A snooze or maintenance that somebody asked for."""

    number: int
    purpose: Purpose
    window: Window
    by: str | None


class Wishes:
    """All windows in which alerts are not told."""

    def __init__(self, maintenance: Iterable[Window]) -> None:
        self.maintenance = tuple(maintenance)
        self.asked: dict[int, Wish] = {}
        self._mutes_of_day = lru_cache(maxsize=8)(self._mutes)

    def mutes_at(self, time_ns: int) -> Sequence[Mute]:
        """Give all mutes that hold at a time, and those of some days around it."""
        return self._mutes_of_day(time_ns // DAY_NS)

    def follow(self, maintenance: Iterable[Window]) -> None:
        """Take another configuration's windows."""
        self.maintenance = tuple(maintenance)
        self._mutes_of_day.cache_clear()

    def put(self, wish: Wish) -> None:
        """Take a wish, or change it."""
        self.asked[wish.number] = wish
        self._mutes_of_day.cache_clear()

    def load(self, kept: Iterable[Asked]) -> None:
        """Take those that were kept."""
        for number, purpose, text, by in kept:
            window = msgspec.json.decode(text, type=Window)
            self.put(Wish(number, "snooze" if purpose == "snooze" else "maintenance", window, by))

    def forget(self, now_ns: int) -> list[int]:
        """Forget those that ended long ago → their numbers."""
        gone = [n for n, wish in self.asked.items() if end_ns(wish.window) < now_ns - FORGOTTEN_NS]
        for number in gone:
            del self.asked[number]
        return gone

    def current(self, now_ns: int) -> list[Wish]:
        """List those that hold or are to come."""
        return [wish for wish in self.asked.values() if end_ns(wish.window) > now_ns]

    def _mutes(self, day: int) -> list[Mute]:
        windows = [*self.maintenance, *(wish.window for wish in self.asked.values())]
        return [mute for window in windows for mute in mutes_of(window, day * DAY_NS)]
