"""What edgeseq promises, checked after every start and at the end.

Journaling: the state is that of the commits, in order, bit for bit; what was acknowledged is in it; no reading is in
it twice; alerts were told, and none that the commits do not give. Without a journal: the state is that of the last
snapshot. Where a byte on the medium has changed, the loss is told, and the state is that of the first so many commits:
at least those before the newest snapshot, and all of them where it was a snapshot that was damaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeseq.adapters.journal import Record
from edgeseq.compose import Node
from edgeseq.core.types import Readings
from tests.simulator.disk import Folder
from tests.simulator.faults import Violation
from tests.simulator.oracle import Dump, Oracle, dump, new_oracle, unlike

if TYPE_CHECKING:
    from tests.simulator.world import World

Row = tuple[int, int, int]
"""Number of a message, stream and channel."""

Kept = tuple[Dump, set[Row]]

LOUD = ("journal.damaged", "snapshot.rejected", "state.lost")


class Promises:
    """The accounts of one seed."""

    def __init__(self, world: World) -> None:
        self.number_of: dict[int, int] = {}
        """Time of arrival → number of the message."""
        self.in_doubt: tuple[Record, ...] = ()
        """A commit that has not returned: there or not after a crash."""
        self.is_journaling = world.resolved.config.journal.durability != "none"
        self.is_strict = world.resolved.config.journal.durability == "strict"
        """Strict in every life so far."""
        self._world = world
        self._oracle = new_oracle(world.resolved, world.log)
        self._records: list[Record] = []
        self._counted = self._snapshot_records = 0
        self._applied: set[Row] = set()
        nothing: Kept = (dump(self._oracle.state), set())
        self._kept = [nothing, nothing]
        """What the newest snapshot and the one before it hold."""
        self._generation = 0
        """Of the newest snapshot."""
        self._keeping: Kept | None = None
        """What a snapshot holds that is being made: there or not after a crash."""
        self._told = 0
        self._loud = self._torn = self._unreadable = 0

    # --- what happens

    def commit(self, records: Sequence[Record]) -> None:
        """Note records that are durable, so the daemon believes."""
        for record in records:
            self._records.append(record)
            if record.packed is None:
                self._world.note("commit", f"{record.tick_ns} {record.resumed_ns}")
            else:
                self.apply(record.readings())

    def apply(self, rows: Readings) -> None:
        """Note readings that are in the state."""
        for row in self._rows(rows):
            self._world.note("reading", f"{row[0]} {row[1]}")
            self.require(row not in self._applied, f"message {row[0]} was applied twice to stream {row[1]}")
            self._applied.add(row)

    def keep(self, node: Node) -> None:
        """Note that a snapshot is about to be made; with a journal what it holds is known anyway."""
        if not self.is_journaling:
            self._keeping = dump(node.state), set(self._applied)

    def kept(self) -> None:
        """Note that it is there."""
        self._snapshot_records = len(self._records)
        self._generation = self._newest_generation()
        if self._keeping:
            self._kept, self._keeping = [self._kept[-1], self._keeping], None

    # --- what must hold

    def after_start(self, node: Node, rotten: str) -> None:
        """The state is what it must be; `rotten` names the file whose byte has changed, if any."""
        loud = sum(self._world.said[event] for event in LOUD)
        is_loud, self._loud = loud > self._loud, loud
        is_torn = self._world.said["journal.truncated"] > self._torn
        self._torn = self._world.said["journal.truncated"]
        is_read, self._unreadable = Folder.met == self._unreadable, Folder.met
        self.require(bool(rotten) or not is_loud or not is_read, "damage was told where there is none")
        if not self.is_journaling:
            self._after_start_without_journal(node, bool(rotten) and is_loud)
            return
        differing = self._count().differs(node.state)
        if differing and self.in_doubt:
            self.commit(self.in_doubt)
            differing = self._count().differs(node.state)
        if differing and rotten.startswith("journal") and (is_loud or is_torn):  # its end looks torn
            self._go_back_to(node)
            differing = []
        self.in_doubt = ()
        self.require(not differing, f"the state is not that of the commits: {differing[:5]} {rotten}")
        self._check_acknowledged()
        self.published()

    def published(self) -> None:
        """Nothing may have been told that the commits do not give, byte by byte."""
        broker = self._world.broker
        kinds = (
            ("/alert", "/forecast") if self.is_strict else ("/alert",)
        )  # batched, forecasts are told before
        for topic, payload in broker.told[self._told :] if self.is_journaling else ():
            if topic.endswith(kinds):
                is_due = (topic, payload) in self._oracle.published
                self.require(is_due, f"published without a commit: {topic} {payload[:200]!r}")
                self._world.note(topic, payload.decode())
        self._told = len(broker.told)

    def nothing_missing(self) -> None:
        """At the end every reading is in, and every alert was told."""
        world = self._world
        self._count()
        self._check_acknowledged()
        self.published()
        wanted = {n for n, sent in world.sent.items() if sent.is_readable} - world.broker.forgotten
        missing = sorted(wanted - self._numbers())
        self.require(not missing, f"never applied: messages {missing[:10]}")
        alerts = self._oracle.alerts
        untold = alerts - set(world.broker.told)
        self.require(not untold, f"{len(untold)} of {len(alerts)} alerts never told: {sorted(untold)[:1]}")

    def require(self, is_kept: bool, what: str) -> None:
        """Raise Violation, with the seed, where a promise is broken."""
        if not is_kept:
            raise Violation(f"seed {self._world.seed}, at {self._world.clock.monotonic():.3f} s: {what}")

    # --- parts

    def _after_start_without_journal(self, node: Node, may_be_older: bool) -> None:
        found = dump(node.state)
        possible = [
            *([self._keeping] if self._keeping else []),
            self._kept[1],
            *self._kept[: int(may_be_older)],
        ]
        rows = next((rows for kept, rows in possible if not unlike(found, kept)), None)
        self.require(rows is not None, "the state is not that of the newest snapshot")
        assert rows is not None
        self._forget(self._applied - rows)
        # Where nothing has moved since the newest snapshot, only the disk tells whether the one being made is there.
        is_moved = bool(unlike(found, self._kept[1][0]))
        is_there = is_moved or self._newest_generation() > self._generation
        if self._keeping is not None and rows is self._keeping[1] and is_there:
            self.kept()
        if rows is self._kept[0][1]:
            self._kept[1] = self._kept[0]
        self._keeping = None
        self._applied = set(rows)
        self._check_acknowledged()

    def _newest_generation(self) -> int:
        folder = self._world.resolved.state_dir
        return max((int(path.stem.split("-")[1]) for path in folder.glob("snapshot-*.bin")), default=0)

    def _go_back_to(self, node: Node) -> None:
        """Find how many of the commits the state holds, and forget the rest."""
        world = self._world
        oracle, held = new_oracle(world.resolved, world.log), -1
        for count in range(len(self._records) + 1):
            if count:
                oracle.take(self._records[count - 1])
            if not oracle.differs(node.state):
                held = count
        self.require(held >= self._snapshot_records, f"damage left {held} of {len(self._records)} commits")
        lost = self._records[held:]
        self._forget({row for record in lost for row in self._rows(record.readings())})
        del self._records[held:]
        self._oracle, self._counted = new_oracle(world.resolved, world.log), 0
        self._count()
        self._told = len(world.broker.told)

    def _forget(self, rows: set[Row]) -> None:
        self._applied -= rows
        self._world.broker.forgotten |= {number for number, *_ in rows}

    def _rows(self, rows: Readings) -> list[Row]:
        columns = (rows.received_ns.tolist(), rows.stream_index.tolist(), rows.channel.tolist())
        return [(self.number_of[ns], stream, channel) for ns, stream, channel in zip(*columns, strict=True)]

    def _count(self) -> Oracle:
        for record in self._records[self._counted :]:
            self._oracle.take(record)
        self._counted = len(self._records)
        return self._oracle

    def _numbers(self) -> set[int]:
        return {number for number, *_ in self._applied}

    def _check_acknowledged(self) -> None:
        broker = self._world.broker
        readable = {n for n in broker.acknowledged if self._world.sent[n].is_readable} - broker.forgotten
        lost = sorted(readable - self._numbers())
        self.require(not lost, f"acknowledged and lost: messages {lost[:10]}")
