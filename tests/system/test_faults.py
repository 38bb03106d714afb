"""Real faults, in short: kills under load, cuts, a restarted broker, failing system calls, a full and a read-only disk.

`make bench-durability` and `make chaos` run the same at length.
"""

from __future__ import annotations

import contextlib
import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeseq.compose import open_node
from edgeseq.config import load_config
from edgeseq.config.resolve import resolve
from edgeseq.errors import EXIT_CONFIG
from tests.bench import durability_cuts, durability_io, durability_kills, durability_strace
from tests.support.broker import PATIENCE_S, Peer, peer, running_broker, wait_until
from tests.support.node import Node, node_in
from tests.support.small_disk import fill, remount, small_disk

pytestmark = pytest.mark.system

CLEAN = {
    "readings_lost": 0,
    "applied_twice": 0,
    "alerts_lost": 0,
    "alerts_not_of_the_journal": 0,
    "state_bit_equal": 1,
}
KILLS = 8
T0_S = 1_760_000_000
RULES = '[[streams]]\ntopic = "plant/+"\nfield = "value"\ntime = "time"\nevery = "10s"\n'


def books(row: dict[str, object]) -> dict[str, object]:
    """Pick what must be in order."""
    return {name: row[name] for name in CLEAN}


def test_daemon_killed_under_load_nothing_lost_nothing_twice(tmp_path: Path) -> None:
    """Killed at failpoints and at random times at 1,000 readings/s: nothing lost, nothing twice, state bit-equal."""
    row = durability_kills.campaign(tmp_path, KILLS, seed=3)
    assert row["kills"] >= KILLS
    assert row["readings"] > 1000
    assert row["alerts"] > 0
    assert books(row) == CLEAN


def test_daemon_cut_off_and_in_the_dark_nothing_lost() -> None:
    """A reset in the middle of a packet, and a connection that is none any more: nothing lost, nothing twice."""
    row = durability_cuts.campaign("cuts", ("reset", "dark"), durability_cuts.cut, is_proxied=True)
    assert row["connections"] >= 3
    assert books(row) == CLEAN


def test_broker_restarted_under_load_nothing_lost() -> None:
    """A broker that is told to end while readings come and alerts go: it and the daemon lose nothing."""
    row = durability_cuts.campaign("restarts", ("told to end",), durability_cuts.restart, is_proxied=False)
    assert row["connections"] >= 2
    assert books(row) == CLEAN


def test_every_first_call_failed_in_all_ways_state_is_what_was_acknowledged(tmp_path: Path) -> None:
    """The first call of each kind in each operation, with every fault: the state is that of what was acknowledged."""
    rows = durability_io.table(tmp_path, most=1)
    assert {row["operation"] for row in rows} == {"start", "commit", "snapshot and rotation", "reload"}
    assert [row for row in rows if row["state_equal"] != row["calls_failed"]] == []


def test_system_calls_of_the_process_failed_nothing_lost(tmp_path: Path) -> None:
    """By strace: a write and a sync refused, a rename refused, a kill at a sync; each is met and told or survived."""
    rows, found = durability_strace.campaign(tmp_path, durability_strace.SAMPLE)
    assert [row["met"] for row in rows] == [True] * len(durability_strace.SAMPLE)
    assert [row["outcome"] for row in rows] == [
        "storage.failed, storage.recovered",
        "storage.failed, storage.recovered",
        "killed",
        "config.rejected",
        "killed",
    ]
    assert found == {"lost": 0, "applied_twice": 0, "state_bit_equal": 1}


def publish(sensor: Peer, steps: range) -> None:
    """Publish readings of one stream, and wait until the broker has them."""
    for step in steps:
        sensor.publish("plant/a", json.dumps({"value": step, "time": T0_S + 10 * step}))
    sensor.flush()


def seen(watcher: Peer, step: int) -> bool:
    """Tell whether the forecast made of a step has been seen."""
    return any(
        json.loads(p)["observed"] == step for t, p in watcher.last().items() if t.endswith("/forecast")
    )


@contextlib.contextmanager
def killed_on_small_disk(tmp_path: Path) -> Iterator[tuple[Node, Peer, Peer, bool]]:
    """Give a node that was killed after five readings, its sensor, a subscriber, and whether its disk is a real one."""
    with (
        small_disk(tmp_path / "node" / "state") as is_mounted,
        running_broker(tmp_path / "broker") as broker,
        node_in(tmp_path / "node", broker.port, RULES) as node,
        peer(broker.port, "edgeseq/#") as watcher,
        peer(broker.port) as sensor,
    ):
        node.start()
        node.wait_for_event("broker.connected")
        publish(sensor, range(5))
        wait_until(lambda: seen(watcher, 4), "before")
        node.kill()
        yield node, sensor, watcher, is_mounted


def test_disk_full_for_real_waits_and_then_loses_nothing(tmp_path: Path) -> None:
    """On a tmpfs without a free byte (RLIMIT_FSIZE where none can be mounted) it waits; given room, it goes on."""
    with killed_on_small_disk(tmp_path) as (node, sensor, watcher, is_mounted):
        node.start()  # the journal has been cut to what it holds, and has to grow again
        with full(node, is_mounted):
            publish(sensor, range(5, 10))
            assert "journal" in node.wait_for_event("storage.failed")[0]["error"]
        node.wait_for_event("storage.recovered")
        publish(sensor, range(10, 15))
        wait_until(lambda: seen(watcher, 14), "after")
        assert node.stop() == 0, node.text()
        assert steps_kept(node) == 15


@contextlib.contextmanager
def full(node: Node, is_mounted: bool) -> Iterator[None]:
    """Leave no room for the journal to grow."""
    if is_mounted:
        filler = fill(node.state_dir)
        yield
        filler.unlink()
        return
    unlimited = resource.RLIM_INFINITY
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (1000, unlimited))
    yield
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))


def steps_kept(node: Node) -> int:
    """Count the readings in the state that a stopped node has left."""
    resolved = resolve(load_config(node.config), node.folder)
    found = open_node(resolved, state_dir=node.state_dir, log=lambda *_, **__: None)
    assert found.store is not None
    found.store.close()
    return int(found.state.groups[0].table["arrivals"].sum())


def test_disk_read_only_start_says_so_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """A state folder that became read-only: 78, naming the folder; writable again, nothing is missing."""
    with killed_on_small_disk(tmp_path) as (node, sensor, watcher, is_mounted):
        make_read_only(node.state_dir, is_mounted)
        node.launch()
        assert node.process.wait(PATIENCE_S) == EXIT_CONFIG
        assert "state folder cannot be used" in node.text()
        assert str(node.state_dir) in node.text()
        make_writable(node.state_dir, is_mounted)
        node.start()
        publish(sensor, range(5, 10))
        wait_until(lambda: seen(watcher, 9), "after")
        assert node.stop() == 0, node.text()
        assert steps_kept(node) == 10


def make_read_only(folder: Path, is_mounted: bool) -> None:
    """Remount; where nothing can be mounted this user is not root, and permissions do."""
    if is_mounted:
        remount(folder, "ro")
        return
    (folder / "lock").chmod(0o400)
    folder.chmod(0o500)


def make_writable(folder: Path, is_mounted: bool) -> None:
    """Undo it."""
    if is_mounted:
        remount(folder, "rw")
        return
    folder.chmod(0o700)
    (folder / "lock").chmod(0o600)
