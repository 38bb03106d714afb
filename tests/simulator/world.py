"""One seed: a plant, a broker, a disk and a daemon that dies and comes back, until nothing is left to happen."""

from __future__ import annotations

import errno
import hashlib
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgeseq import compose
from edgeseq.adapters import mqtt
from edgeseq.adapters.inbox import Inbox
from edgeseq.config import parse_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.core.types import Options
from edgeseq.daemon import life
from edgeseq.errors import ConfigError, StorageError
from tests.simulator.broker import Sent, SimulatedBroker
from tests.simulator.clock import SimulatedTime
from tests.simulator.disk import Folder, SimulatedDisk
from tests.simulator.faults import KILL, POWER_CUT, Crash, Faults, Settled
from tests.simulator.plan import plan
from tests.simulator.process import SimulatedDaemon
from tests.simulator.promises import Promises
from tests.simulator.seams import SimulatedSchedule, seams
from tests.simulator.sensors import Plant

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


class World:
    """Everything of one seed. `run` is the simulation."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.clock = SimulatedTime()
        self.faults = Faults.draw(self.rng)
        self.plant = Plant.draw(self.rng)
        self.broker = SimulatedBroker(self.clock, self.faults, self.rng)
        # Without any other key, packet ids are what tells two messages of the same payload apart.
        is_keyed = all(rule.key != "packet" for rule in self.plant.rules)
        self.broker.is_frugal = is_keyed and self.rng.random() < 0.5
        self.broker.latency_s = self.rng.choice((0.02, 0.02, 1.0, 0.5 * self.plant.period_s))
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
        self.is_calm = False
        self._calm_since_s = 0.0
        self._starts = 0
        self.left = 0
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
            bundles={"fake": self.folder / "fake"},
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
                plan(self)
                self._live()
                self.promises.nothing_missing()
                self._power_off_and_on()
                if self.promises.is_journaling:
                    self.promises.nothing_missing()
        finally:
            self._end_process()
            Folder.read_errors = Folder.met = 0
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
        if self.faults.has("bit rot") and not self.faults.seen["bit rot"] and not self.is_calm:
            self._rotten = self.disk.rot()
            self.faults.seen["bit rot"] += bool(self._rotten)

    def _process(self) -> None:
        """One life of the daemon."""
        if not self.is_calm:
            self.faults.lay_fuse()
        met = Folder.met
        node = compose.open_node(self.resolved, state_dir=self.folder, log=self.log, disk=self.disk)
        self.promises.after_start(node, self._rotten)
        if Folder.met == met or not self._rotten.startswith("snapshot"):  # else it was not read, and stays
            self._rotten = ""
        self.had_session = node.had_session
        running = SimulatedDaemon(self, node)
        life.start(running)
        running.loop()
        life.stop(running)

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
        if self.is_calm and not len(sink):
            self._settle()
        self.clock.advance(timeout_s, lambda: len(sink) > 0)
        # What comes a moment later comes into the same batch.
        if len(sink) and self.rng.random() < 0.7:
            self.clock.advance(self.rng.choice((0.01, 0.2)), lambda: False)

    def _settle(self) -> None:
        if self.link is None or not self.link.is_connected or self.left:
            return
        if not self.broker.waiting and not self.link.unacknowledged() and not self.broker.on_the_way:
            raise Settled
        is_late = self.clock.monotonic() - self._calm_since_s > PATIENCE_S + 20 * self.plant.period_s
        self.require(not is_late, "not done long after the last fault")

    # --- what happens

    def disturb(self, kind: str, begin: Callable[[], None]) -> None:
        """Let a fault begin, unless there are to be no more."""
        if not self.is_calm:
            self.faults.seen[kind] += 1
            self.note("fault", kind)
            begin()

    def publish(self, sent: Sent) -> None:
        """Let a sensor publish; it tries again where the broker is away."""
        if self.broker.is_down:
            self.clock.after(self.rng.uniform(0.5, 5.0), lambda: self.publish(sent))
            return
        self.left -= 1
        self.broker.publish(sent)

    def calm_down(self) -> None:
        """Let there be no fault from here on."""
        self.is_calm = True
        self._calm_since_s = self.clock.monotonic()
        self.disk.failing = Folder.read_errors = 0
        self.faults.fuse = None

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
        self.is_calm = True
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
