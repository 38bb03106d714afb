"""Bundles over the air: received in chunks, verified, judged in the shadow, promoted, and taken back where worse.

    release (signed) ─▶ chunks ─▶ whole, synced ─▶ signature, golden roll-out ─▶ index: shadowing
        ─▶ better than the present model on the node's own streams ─▶ index: serving, watching
        ─▶ not worse for as long again ─▶ index: settled

`receiving` takes what is sent (`parcel`: its chunks), `judging` what is compared (`shadow`), `shelf` holds the files
and the index (`slots`), which is replaced as a whole: a kill anywhere leaves what served before or what serves now.
The comparison is kept nowhere: after a restart it begins anew. Off unless [node] updates = true.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from edgeseq.core.types import Message
from edgeseq.disk import Disk
from edgeseq.errors import StorageError
from edgeseq.updates.judging import Judging
from edgeseq.updates.receiving import Receiving
from edgeseq.updates.shelf import RETRY_S, Host, Shelf
from edgeseq.updates.slots import Index

DROP_EVERY_S = 15.0
"""The folder for files is looked into."""


class Updates:
    """What is received, and what is judged."""

    def __init__(self, host: Host, before: Updates | None = None, disk: Disk | None = None) -> None:
        self.shelf = Shelf(host, disk or Disk())
        self.judging = Judging(self.shelf)
        self.receiving: Receiving = Receiving(
            self.shelf, self.judging.stage, before.receiving if before else None
        )
        self._retry_s = self._dropped_s = float("-inf")

    @property
    def index(self) -> Index:
        """Give what stands in for each configured bundle."""
        return self.shelf.index

    def parted(self, messages: list[Message]) -> tuple[list[Message], list[Message]]:
        """Part readings from what belongs to updates."""
        above = self.receiving.above
        mine = [message for message in messages if message.topic.startswith(above)]
        if not mine:
            return messages, mine
        return [message for message in messages if not message.topic.startswith(above)], mine

    def take(self, messages: Iterable[Message]) -> None:
        """Take releases and chunks. Total: no bytes raise; a disk that refuses is told, and tried again later."""
        try:
            self.receiving.take(list(messages))
        except (StorageError, OSError) as fault:
            self._tell_fault(fault)

    def look(self) -> None:
        """Judge what is judged; install what was dropped as a file."""
        now_s = time.monotonic()
        if now_s < self._retry_s or self.judging.is_over:
            return
        try:
            self.receiving.give_up()
            if now_s - self._dropped_s >= DROP_EVERY_S and self.receiving.parcel is None:
                self._dropped_s = now_s
                self.receiving.take_dropped()
            self.judging.look()
        except (StorageError, OSError) as fault:
            self._retry_s = now_s + RETRY_S
            self._tell_fault(fault)

    def _tell_fault(self, fault: Exception) -> None:
        self.shelf.host.log("storage.failed", error=str(fault), retry_s=RETRY_S)


__all__ = ["Host", "Updates"]
