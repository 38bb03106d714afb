"""One seed: a plant, a broker, a disk and a daemon that dies and comes back, until nothing is left to happen."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PosixPath
from typing import Any, Literal

import msgspec

from edgeseq import compose, daemon
from edgeseq.adapters import mqtt
from edgeseq.adapters.inbox import Inbox
from edgeseq.adapters.journal import Record
from edgeseq.adapters.sdnotify import Notifier
from edgeseq.config import parse_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.core.types import Options, Reload, Stop
from edgeseq.errors import ConfigError, StorageError
from tests.simulator.broker import Sent, SimulatedBroker
from tests.simulator.clock import SimulatedTime
from tests.simulator.disk import SimulatedDisk
from tests.simulator.faults import KILL, POWER_CUT, Crash, Faults, Settled
from tests.simulator.promises import Promises
from tests.simulator.seams import SimulatedSchedule, seams
from tests.simulator.sensors import Plant, messages

MEMORY = Path("/dev/shm")
"""Files that never see a disk: the simulated one stands beside them."""

MODES: Sequence[Literal["none", "batched", "strict"]] = ("none", "batched", "batched", "batched", "strict")

MOST_STARTS = 60
PATIENCE_S = 300.0
"""After the last fault everything must be done within so much simulated time, and the plant's own."""

_CONFIG = parse_config('[[streams]]\ntopic = "x"\nevery = "1s"\n[node]\nname = "n"\n')
_RESOLVED = resolve(_CONFIG, Path("/nowhere"), environment={"HOME": "/nowhere"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a seed was like."""

    seed: int
    digest: str
    readings: int
    device_s: float
    crashes: int
    starts: int
    faults: Counter[str]


class Folder(PosixPath):
    """A path whose files cannot be read for a few times."""

    read_errors = 0

    def read_bytes(self) -> bytes:
        """Read a whole file."""
        if Folder.read_errors:
            Folder.read_errors -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read_bytes()


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


class World:
    """Everything of one seed. `run` is the simulation."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.clock = SimulatedTime()
        self.faults = Faults.draw(self.rng)
        self.plant = Plant.draw(self.rng)
        self.broker = SimulatedBroker(self.clock, self.faults, self.rng)
        self.folder = Folder(tempfile.mkdtemp(prefix="edgeseq-", dir=MEMORY if MEMORY.is_dir() else None))
        self.disk = SimulatedDisk(self.folder, self.faults, self.rng)
        self.tick_s = self.plant.period_s * self.rng.choice((0.5, 1.0, 3.0))
        self.snapshot_s = self.plant.period_s * self.rng.choice((1.5, 4.0, 10.0))
        self.sent: dict[int, Sent] = {}
        self.said: Counter[str] = Counter()
        self.had_session = False
        self.link: mqtt.Link | None = None
        self.inbox: Inbox | None = None
        self.schedule: SimulatedSchedule | None = None
        self.resolved = self._resolved()
        self.promises: Promises
        self._rotten = ""
        self._is_calm = False
        self._calm_since_s = 0.0
        self._starts = 0
        self._left = 0
        self._digest = hashlib.sha256()

    def _resolved(self) -> Resolved:
        clock: Literal["wall", "readings"] = "wall" if self.rng.random() < 0.5 else "readings"
        filters = tuple(sorted({f for rule in self.plant.rules for f in rule.filters}))
        mode: Literal["none", "batched", "strict"] = self.rng.choice(MODES)
        journal = msgspec.structs.replace(_CONFIG.journal, durability=mode)
        return replace(
            _RESOLVED,
            config=msgspec.structs.replace(_CONFIG, journal=journal),
            commit_every_s=self.plant.period_s * self.rng.choice((0.1, 0.5, 2.0)),
            rules=self.plant.rules,
            options=Options(clock=clock),
            filters=filters,
            state_dir=self.folder,
        )

    def reconfigure(self) -> Resolved:
        """Change the configuration file: other times, and of the two that journal another mode."""
        mode: Literal["none", "batched", "strict"] = self.rng.choice(("batched", "strict"))
        if not self.promises.is_journaling:
            mode = "none"
        config = msgspec.structs.replace(
            _CONFIG, journal=msgspec.structs.replace(_CONFIG.journal, durability=mode)
        )
        every_s = self.plant.period_s * self.rng.choice((0.1, 0.5, 2.0))
        self.resolved = replace(self.resolved, config=config, commit_every_s=every_s)
        self.promises.is_strict &= mode == "strict"
        return self.resolved

    # --- the run

    def run(self) -> Outcome:
        """Run to the end. Raises Violation."""
        try:
            with seams(self):
                self.promises = Promises(self)
                self._plan()
                self._live()
                self.promises.nothing_missing()
                self._power_off_and_on()
                if self.promises.is_journaling:
                    self.promises.nothing_missing()
        finally:
            self._end_process()
            Folder.read_errors = 0
            shutil.rmtree(self.folder)
        seen = self.faults.seen
        crashes = seen[KILL] + seen[POWER_CUT]
        return Outcome(
            self.seed,
            self._digest.hexdigest()[:16],
            len(self.sent),
            self.clock.monotonic(),
            crashes,
            self._starts,
            seen,
        )

    def _live(self) -> None:
        """Start the daemon again whenever it is gone, until everything has settled."""
        while True:
            self._starts += 1
            self.require(self._starts < MOST_STARTS, "the daemon does not stay up")
            try:
                self._process()
                self._end_process()
                self.note("exit", "0")
            except Settled:
                self._end_process()
                return
            except Crash as crash:
                self._end_process()
                self.note("crash", crash.kind)
                if crash.kind == POWER_CUT:
                    self._cut_power()
            except StorageError:
                self._end_process()
                self.note("exit", "75")
            except ConfigError as fault:
                self._end_process()
                self.note("exit", "78")
                self.require(self.disk.failing == errno.EROFS, f"not to be used: {fault}")
                self.clock.advance(self.rng.uniform(10.0, 60.0), lambda: False)  # somebody sees to it
            self.clock.advance(self.rng.uniform(0.1, 5.0), lambda: False)

    def _cut_power(self) -> None:
        """Cut the power; once in a seed, a byte of the medium changes meanwhile."""
        self.disk.cut_power()
        if self.faults.has("bit rot") and not self.faults.seen["bit rot"] and not self._is_calm:
            self._rotten = self.disk.rot()
            self.faults.seen["bit rot"] += bool(self._rotten)

    def _process(self) -> None:
        """One life of the daemon."""
        if not self._is_calm:
            self.faults.lay_fuse()
        node = compose.open_node(self.resolved, state_dir=self.folder, log=self.log, disk=self.disk)
        self.promises.after_start(node, self._rotten)
        self._rotten = ""
        self.had_session = node.had_session
        running = SimulatedDaemon(self, node)
        running.start()
        running.loop()
        running.stop()

    def _end_process(self) -> None:
        self.broker.lose_process()
        if self.schedule:
            self.schedule.stop()
        if self.link:
            transport: Any = self.link._transport
            transport.is_gone = True
            self.link._selector.close()
        if self.inbox is not None:
            self.inbox.close()
        self.link = self.inbox = self.schedule = None
        self.disk.let_go()
        self.faults.fuse = None

    def go_on(self, timeout_s: float, sink: Any) -> None:
        """Let time pass, until the daemon has something to do."""
        if self._is_calm and not len(sink):
            self._settle()
        self.clock.advance(timeout_s, lambda: len(sink) > 0)
        # What comes a moment later comes into the same batch.
        if len(sink) and self.rng.random() < 0.7:
            self.clock.advance(self.rng.choice((0.01, 0.2)), lambda: False)

    def _settle(self) -> None:
        if self.link is None or not self.link.is_connected or self._left:
            return
        if not self.broker.waiting and not self.link.unacknowledged() and not self.broker.on_the_way:
            raise Settled
        is_late = self.clock.monotonic() - self._calm_since_s > PATIENCE_S + 20 * self.plant.period_s
        self.require(not is_late, "not done long after the last fault")

    # --- what is going to happen

    def _plan(self) -> None:
        published = list(messages(self.plant, self.rng, self.faults))
        last_s = max(when_s for when_s, _ in published)
        for when_s, sent in published:
            self.sent[sent.number] = sent
            self._left += 1
            self.clock.after(5.0 + when_s, lambda sent=sent: self._publish(sent))  # type: ignore[misc]
        rng, at = self.rng, self.clock.after
        span_s = last_s + 10.0
        for kind, begin in self._disturbances().items():
            for _ in range(rng.randint(1, 3) if self.faults.has(kind) else 0):
                at(rng.uniform(0.0, span_s), lambda kind=kind, begin=begin: self._disturb(kind, begin))  # type: ignore[misc]
        if self.faults.has("broker rollback"):
            for _ in range(10):
                at(rng.uniform(0.0, span_s), self.broker.save)
        at(span_s + 1.0, self._calm_down)

    def _disturbances(self) -> dict[str, Callable[[], None]]:
        rng, broker = self.rng, self.broker

        def fail(error: int) -> None:
            self.disk.failing, self.disk.failing_share = error, rng.choice((0.3, 1.0))
            self.clock.after(rng.uniform(0.5, 90.0), self._mend_disk)

        found: dict[str, Callable[[], None]] = {
            "stop": self._stop,
            "EIO": lambda: fail(errno.EIO),
            "ENOSPC": lambda: fail(errno.ENOSPC),
            "EROFS": lambda: fail(errno.EROFS),
            "read error": self._fail_to_read,
            "reload": self._reload,
            "connection cut": broker.cut,
            "partition": lambda: broker.partition(rng.uniform(0.1, 60.0)),
            "broker restart": lambda: broker.restart(rng.uniform(0.1, 20.0), lambda: None),
            "broker amnesia": lambda: broker.restart(rng.uniform(0.1, 20.0), broker.forget_session),
            "clock step": lambda: self.clock.step_wall_clock(rng.choice((0.0, -200.0, 3600.0, 86_400.0))),
        }
        if all(rule.key != "packet" for rule in self.plant.rules):
            found["broker rollback"] = lambda: broker.restart(rng.uniform(0.1, 20.0), broker.roll_back)
        return found

    def _disturb(self, kind: str, begin: Callable[[], None]) -> None:
        if self._is_calm:
            return
        self.faults.seen[kind] += 1
        self.note("fault", kind)
        begin()

    def _mend_disk(self) -> None:
        self.disk.failing = 0

    def _fail_to_read(self) -> None:
        Folder.read_errors = self.rng.randint(1, 3)

    def _reload(self) -> None:
        if self.inbox is not None:
            self.inbox.put(Reload())

    def _stop(self) -> None:
        if self.inbox is not None:
            self.inbox.put(Stop("SIGTERM"))

    def _publish(self, sent: Sent) -> None:
        if self.broker.is_down:  # a sensor tries again
            self.clock.after(self.rng.uniform(0.5, 5.0), lambda: self._publish(sent))
            return
        self._left -= 1
        self.broker.publish(sent)

    def _calm_down(self) -> None:
        """No fault from here on."""
        self._is_calm = True
        self._calm_since_s = self.clock.monotonic()
        self.disk.failing = Folder.read_errors = 0
        self.faults.fuse = None

    # --- what happened

    def log(self, event: str, **fields: Any) -> None:
        """Take a log line."""
        self.said[event] += 1

    def arrival_ns(self) -> int:
        """Give a message's time of arrival, and remember which one it was."""
        now_ns = self.clock.unique_ns()
        assert self.broker.delivering is not None
        self.promises.number_of[now_ns] = self.broker.delivering.number
        return now_ns

    def note(self, what: str, detail: str) -> None:
        """Add to the trace that a seed is known by."""
        self._digest.update(f"{self.clock.monotonic_ns()} {what} {detail}\n".encode())

    def _power_off_and_on(self) -> None:
        """At the end: what is on the medium is everything."""
        self.faults.seen[POWER_CUT] += 1
        self.disk.cut_power()
        self._starts += 1
        self._is_calm = True
        try:
            self._process()
        except Settled:
            self._end_process()

    def require(self, is_kept: bool, what: str) -> None:
        """Raise Violation where a promise is broken."""
        self.promises.require(is_kept, what)


def simulate(seed: int) -> Outcome:
    """Run one seed. Raises Violation, whose text begins with the seed."""
    return World(seed).run()
