"""The real daemon in a simulated world: what it commits is noted, and its accounts are audited."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseq import compose, daemon
from edgeseq.adapters.journal import Record
from edgeseq.adapters.sdnotify import Notifier

if TYPE_CHECKING:
    from tests.simulator.world import World


class SimulatedDaemon(daemon.Daemon):
    """The real daemon; what it commits is noted, and its accounts are audited."""

    def __init__(self, world: World, node: compose.Node) -> None:
        self.world = world
        super().__init__(Path("/nowhere/edgeseq.toml"), node, world.log, Notifier(None))

    def take(self, items: list[object]) -> None:
        """Take, then audit."""
        super().take(items)
        counts = self.node.state.counts
        total = counts.applied + counts.late + counts.duplicate + sum(counts.rejected.values()) + counts.shed
        self.world.require(counts.received == total, f"accounts do not add up: {counts}")

    def greet(self, *, is_session_present: bool) -> None:
        """Greet; a session that is gone must have been told."""
        world = self.world
        is_lost = not is_session_present and world.had_session
        before = world.said["session.lost"]
        super().greet(is_session_present=is_session_present)
        world.had_session = True
        world.require(world.said["session.lost"] > before or not is_lost, "a lost session was not told")

    def write(self, records: Sequence[Record]) -> None:
        """Write; until it returns, the records may or may not be there after a crash, all or none."""
        promises = self.world.promises
        promises.in_doubt = tuple(records)
        super().write(records)
        promises.in_doubt = ()
        promises.commit(records)
