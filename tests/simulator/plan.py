"""What is going to happen in a seed, and when."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeseq.core.types import Reload, Stop
from tests.simulator.disk import Folder
from tests.simulator.sensors import messages

if TYPE_CHECKING:
    from tests.simulator.world import World


def plan(world: World) -> None:
    """Let messages and faults come at drawn times, and in the end no more faults."""
    published = list(messages(world.plant, world.rng, world.faults))
    last_s = max(when_s for when_s, _ in published)
    for when_s, sent in published:
        world.sent[sent.number] = sent
        world.left += 1
        world.clock.after(5.0 + when_s, lambda sent=sent: world.publish(sent))  # type: ignore[misc]
    rng, at = world.rng, world.clock.after
    span_s = last_s + 10.0
    for kind, begin in _disturbances(world).items():
        for _ in range(rng.randint(1, 3) if world.faults.has(kind) else 0):
            at(rng.uniform(0.0, span_s), lambda kind=kind, begin=begin: world.disturb(kind, begin))  # type: ignore[misc]
    if world.faults.has("broker rollback"):
        for _ in range(10):
            at(rng.uniform(0.0, span_s), world.broker.save)
    at(span_s + 1.0, world.calm_down)


def _disturbances(world: World) -> dict[str, Callable[[], None]]:
    rng, broker = world.rng, world.broker

    def mend() -> None:
        world.disk.failing = 0

    def fail(error: int) -> None:
        world.disk.failing, world.disk.failing_share = error, rng.choice((0.3, 1.0))
        world.clock.after(rng.uniform(0.5, 90.0), mend)

    def fail_to_read() -> None:
        Folder.read_errors = rng.randint(1, 3)

    def put(item: object) -> None:
        if world.inbox is not None:
            world.inbox.put(item)

    found: dict[str, Callable[[], None]] = {
        "stop": lambda: put(Stop("SIGTERM")),
        "EIO": lambda: fail(errno.EIO),
        "ENOSPC": lambda: fail(errno.ENOSPC),
        "EROFS": lambda: fail(errno.EROFS),
        "read error": fail_to_read,
        "reload": lambda: put(Reload()),
        "connection cut": broker.cut,
        "partition": lambda: broker.partition(rng.uniform(0.1, 60.0)),
        "broker restart": lambda: broker.restart(rng.uniform(0.1, 20.0), lambda: None),
        "broker amnesia": lambda: _forget(world, fail),
        "clock step": lambda: world.clock.step_wall_clock(rng.choice((0.0, -200.0, 3600.0, 86_400.0))),
    }
    if all(rule.key != "packet" for rule in world.plant.rules):
        found["broker rollback"] = lambda: broker.restart(rng.uniform(0.1, 20.0), broker.roll_back)
    return found


def _forget(world: World, fail: Callable[[int], None]) -> None:
    """Let the broker come back without our session, and the new one have losses of its own."""
    rng, broker = world.rng, world.broker
    if world.faults.has("EIO") and rng.random() < 0.5:  # what waits then is of a session that is gone
        fail(errno.EIO)
    broker.restart(rng.uniform(0.1, 20.0), broker.forget_session)

    def cut() -> None:
        if not world.is_calm:
            broker.cut()

    if rng.random() < 0.5:  # what the new session sent first is lost on its way, and comes again
        world.clock.after(rng.uniform(20.0, 60.0 + 3 * world.plant.period_s), cut)
