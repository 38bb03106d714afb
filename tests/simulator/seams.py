"""Where the simulation takes the place of the world: names of the daemon's modules, for as long as a seed runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from edgeseq import compose, disk, models, reporting, store
from edgeseq.adapters import journal, mqtt
from edgeseq.adapters.inbox import Inbox
from edgeseq.adapters.schedule import TakeSnapshot
from edgeseq.config.resolve import Resolved
from edgeseq.core import pipeline
from edgeseq.core.known import NO_INPUTS
from edgeseq.core.pipeline import State
from edgeseq.core.types import Event, Outgoing, Readings, Tick
from edgeseq.daemon import changes, life, loop, storing
from edgeseq.linking import link_settings
from edgeseq.testing.fake_stepper import FakeStepper
from tests.simulator.broker import SimulatedClient

if TYPE_CHECKING:
    from tests.simulator.world import World

CHUNK_BYTES = 8192
"""A journal outgrows its room now and then."""

LONG_S = 1e6
"""The loop is woken by what happens, so it need not look every second."""


class SimulatedLink(mqtt.Link):
    """The real link, but for its sockets: waiting moves the simulated world."""

    def __init__(self, settings: mqtt.Settings, sink: Inbox, world: World, generation: int = 0) -> None:
        client = SimulatedClient(world.broker, self, world.arrival_ns)
        super().__init__(settings, sink, lambda *_: client, generation=generation)
        self._world = world
        world.broker.expect(client, world.rng.uniform(0.01, 2.0))

    def wait(self, timeout_s: float) -> None:
        """Let the world go on until there is something to do, or the time is over."""
        self._world.go_on(timeout_s, self._sink)
        self._flush()


class SimulatedSchedule:
    """Ticks and snapshots by the simulated clock."""

    def __init__(self, put: Callable[[object], None], world: World) -> None:
        self._put = put
        self._world = world
        self._is_running = False

    def start(self) -> None:
        """Begin."""
        self._is_running = True
        self._every(self._world.tick_s, lambda: Tick(self._world.clock.time_ns()))
        self._every(self._world.snapshot_s, TakeSnapshot)

    def stop(self) -> None:
        """End."""
        self._is_running = False

    def _every(self, period_s: float, make: Callable[[], object]) -> None:
        def due() -> None:
            if self._is_running:
                self._put(make())
                self._world.clock.after(period_s, due)

        self._world.clock.after(period_s, due)


@contextlib.contextmanager
def seams(world: World) -> Iterator[None]:
    """Put the world's parts into the modules, and take them out again."""
    time = {"time": world.clock}
    reach = {"reach": lambda name: world.faults.reach("failpoint", is_after=True)}
    places: list[tuple[Any, dict[str, Any]]] = [
        (loop, {**time, **reach, "WAIT_S": LONG_S, **_of_loop(world)}),
        (changes, {**reach, **_of_changes(world)}),
        (storing, {**time, "FEED_S": LONG_S}),
        (life, {"SIGNALS": {}}),
        (compose, time),
        (models, {"open_models": _open_models}),
        (compose.Node, {"keep": _keep(world)}),
        (mqtt.link, time),
        (mqtt.connector, time),
        (reporting, {**time, "resident_bytes": lambda: 0}),
        (disk, reach),
        (journal, {**reach, "CHUNK_BYTES": CHUNK_BYTES}),
        (store, reach),
    ]
    kept = [(module, name, getattr(module, name)) for module, names in places for name in names]
    for module, names in places:
        for name, value in names.items():
            setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


def _link_and_schedule(world: World) -> dict[str, Any]:
    def open_link(node: compose.Node, inbox: Inbox, *, generation: int = 0) -> mqtt.Link:
        world.link = SimulatedLink(link_settings(node), inbox, world, generation)
        return world.link

    def schedule(put: Callable[[object], None], *, snapshot_every_s: float) -> SimulatedSchedule:
        world.schedule = SimulatedSchedule(put, world)
        return world.schedule

    return {"open_link": open_link, "Schedule": schedule}


def _of_loop(world: World) -> dict[str, Any]:
    def inbox() -> Inbox:
        world.inbox = Inbox(world.clock.monotonic)
        return world.inbox

    def advance(state: State, readings: Readings) -> list[Event]:
        if not world.promises.is_journaling:
            world.promises.apply(readings)
        return pipeline.advance(state, readings)

    return {**_link_and_schedule(world), "Inbox": inbox, "advance": advance}


def _of_changes(world: World) -> dict[str, Any]:
    replaced = {"read_config": lambda _: world.reconfigure(), "open_log": lambda _: world.log}
    return {**_link_and_schedule(world), **replaced}


def _keep(world: World) -> Callable[[compose.Node, Iterable[Outgoing]], None]:
    keep_really = compose.Node.keep

    def keep(node: compose.Node, unacknowledged: Iterable[Outgoing]) -> None:
        world.promises.keep(node)
        keep_really(node, unacknowledged)
        world.promises.kept()
        if world.link is not None and world.link.unacknowledged():
            world.faults.strike()

    return keep


def _open_models(resolved: Resolved, *_: Any) -> models.Models:
    manifest: Any = SimpleNamespace(inputs=NO_INPUTS, covariates=0, channels=(SimpleNamespace(unit=None),))
    rules = tuple(models.served(rule, {"fake": manifest}) for rule in resolved.rules)
    return models.Models(rules, {"fake": FakeStepper(horizon=2, ring=8)}, {}, {"fake": NO_INPUTS}, [])
