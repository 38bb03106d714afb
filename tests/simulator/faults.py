"""What ends a simulated process, and which faults a seed has.

Each seed draws which kinds of faults it knows (swarm testing): a fault that is rare among all others is common in
the seeds that know few.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field


class Crash(BaseException):
    """The process is gone at this instruction. No clean-up code of the product catches it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(kind)


class Settled(BaseException):
    """Nothing is left to happen: the simulation looks at what came of it."""


class Violation(AssertionError):
    """A promise of edgeseq was broken."""


KILL, POWER_CUT = "kill", "power cut"

DISK_CALLS = ("create", "reopen", "write", "truncate", "sync", "sync_folder", "rename", "remove")
NETWORK_CALLS = ("acknowledge", "publish")
POINTS = (*DISK_CALLS, *NETWORK_CALLS, "failpoint")
RARE = ("create", "reopen", "truncate", "sync_folder", "rename", "remove")

KINDS = (
    KILL,
    POWER_CUT,
    "stop",
    "EIO",
    "ENOSPC",
    "EROFS",
    "read error",
    "bit rot",
    "QoS 0",
    "reload",
    "connection cut",
    "partition",
    "broker restart",
    "broker amnesia",
    "broker rollback",
    "clock step",
    "published twice",
    "reordering",
    "burst",
    "silence",
    "bad payload",
)


@dataclass(slots=True)
class Fuse:
    """Where the present process will die: before or after its n-th call of a kind."""

    kind: str
    point: str
    count: int
    is_after: bool


@dataclass(slots=True)
class Faults:
    """The faults of one seed, and how often each came."""

    rng: random.Random
    known: frozenset[str] = frozenset()
    seen: Counter[str] = field(default_factory=Counter)
    fuse: Fuse | None = None
    crashes_left: int = 0
    is_at_stake: bool = False
    """Whether the last process was killed: what it wrote may be in the page cache alone, until the next sync."""

    @classmethod
    def draw(cls, rng: random.Random) -> Faults:
        """Draw the kinds of a seed and the number of its crashes."""
        known = frozenset(kind for kind in KINDS if rng.random() < 0.5)
        crashes = rng.randint(1, 5) if known & {KILL, POWER_CUT} else 0
        return cls(rng, known, crashes_left=crashes)

    def has(self, kind: str) -> bool:
        """Tell whether this seed knows a kind of fault."""
        return kind in self.known

    def lay_fuse(self) -> None:
        """Choose where a process that begins now will die, if at all."""
        self.fuse = None
        kinds = sorted(self.known & {KILL, POWER_CUT})
        if not kinds or self.crashes_left == 0:
            return
        rng = self.rng
        if self.is_at_stake and POWER_CUT in kinds and rng.random() < 0.7:
            point = rng.choice(("publish", "acknowledge", "write", "sync"))
            self.fuse = Fuse(POWER_CUT, point, rng.choice((1, 1, 2, 2, 3, 5, 8)), is_after=rng.random() < 0.5)
            return
        if len(kinds) == 2 and self.crashes_left > 1 and rng.random() < 0.3:
            # What a kill leaves in the page cache, the next process reads as if it were on the medium.
            point = rng.choice(("sync", "sync", "sync_folder"))
            self.fuse = Fuse(KILL, point, rng.randint(1, 12 if point == "sync" else 4), is_after=False)
            return
        point = rng.choice(POINTS)
        is_early = point in RARE or rng.random() < 0.3
        count = rng.choice((1, 1, 2, 3)) if is_early else rng.randint(1, 40)
        self.fuse = Fuse(rng.choice(kinds), point, count, is_after=rng.random() < 0.5)

    def reach(self, point: str, *, is_after: bool) -> None:
        """Pass a place where the process may die."""
        fuse = self.fuse
        if fuse is None or fuse.point != point or fuse.is_after is not is_after:
            return
        fuse.count -= 1
        if fuse.count == 0:
            self._die(fuse)

    def strike(self) -> None:
        """Let a process that is going to die do so now, perhaps: at a moment that matters and is rare."""
        if self.fuse is not None and self.rng.random() < 0.5:
            self._die(self.fuse)

    def _die(self, fuse: Fuse) -> None:
        self.fuse = None
        self.crashes_left -= 1
        self.seen[fuse.kind] += 1
        self.is_at_stake = fuse.kind == KILL
        raise Crash(fuse.kind)
