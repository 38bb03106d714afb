"""When a snapshot is taken early, and what happens where none can be taken."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from edgeseq import snapshots
from edgeseq.adapters.journal import record_of
from edgeseq.adapters.log import open_log
from edgeseq.adapters.mqtt import Deliveries
from edgeseq.adapters.sdnotify import Notifier
from edgeseq.compose import open_node
from edgeseq.core.types import Message, Readings, Stop
from edgeseq.daemon import Daemon, read_config, storing
from edgeseq.disk import Disk
from edgeseq.errors import StorageError
from edgeseq.snapshots import EARLY_BYTES, REPLAY_S, REPLAY_US, EarlySnapshots
from edgeseq.store import Store, open_store

CONFIG = (
    '[node]\nstate_dir = "s"\n[journal]\nsnapshot_every = "100d"\n[[streams]]\ntopic = "t"\nevery = "1s"\n'
)


def stored(folder: Path, count: int) -> Store:
    """Make a store whose journal holds so many readings."""
    store, _ = open_store(folder, is_journaling=True, notify=lambda *_, **__: None)
    store.commit([record_of([], Readings.from_rows([(k, 0, 0, k, k, 1.0, k, True) for k in range(count)]))])
    return store


def test_snapshot_is_due_when_the_replay_would_take_long(tmp_path: Path) -> None:
    """The bound is a time: a machine that replays slowly takes snapshots earlier."""
    store = stored(tmp_path, 1000)
    early = EarlySnapshots()
    assert 1e-6 * REPLAY_US * 1000 < REPLAY_S
    assert not early.is_due(store, 0.0)
    early.measured(100, 1e6)
    assert not early.is_due(store, 0.0), "too few readings to say anything"
    early.measured(20_000, 20_000 * REPLAY_S / 999)
    assert early.is_due(store, 0.0)
    store.snapshot_bytes = store.journal_bytes
    assert not early.is_due(store, 0.0), "it would cost the flash as much as the journal"
    store.rotate({}, {}, {}, is_journaling=True)
    assert 0 < store.snapshot_bytes < 500
    assert not early.is_due(store, 0.0)
    store.close()


def test_restored_journal_counts_for_the_next_replay(tmp_path: Path) -> None:
    """A process that starts has the journal that it found before it, too."""
    stored(tmp_path, 1000).close()
    store, _ = open_store(tmp_path, is_journaling=True, notify=lambda *_, **__: None)
    assert store.journal_readings == 1000
    store.close()


def test_snapshot_is_due_when_the_journal_is_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small commits take pages, so bytes have a bound of their own; without a journal nothing is due."""
    store = stored(tmp_path, 1)
    early = EarlySnapshots()
    assert store.journal_bytes < EARLY_BYTES
    monkeypatch.setattr(snapshots, "EARLY_BYTES", store.journal_bytes - 1)
    assert early.is_due(store, 0.0)
    early.failed(10.0)
    assert not early.is_due(store, 11.0)
    assert early.is_due(store, 10.0 + snapshots.RETRY_S)
    store.close()
    assert not early.is_due(None, 0.0)


class NoSnapshots(Disk):
    """A disk that lets a journal grow but refuses to rename anything: no snapshot is ever in place."""

    refusals = 0

    def rename(self, source: Path, target: Path) -> None:
        """Refuse, where it is a snapshot."""
        if "snapshot" in target.name and self.refusals:
            self.refusals -= 1
            raise OSError(errno.EIO, "broken")
        super().rename(source, target)


def running(folder: Path, disk: Disk, lines: list[tuple[str, Any]]) -> Daemon:
    """Make a daemon that talks to nobody."""
    path = folder / "edgeseq.toml"
    path.write_text(CONFIG, encoding="utf-8")
    resolved = read_config(path)
    node = open_node(resolved, state_dir=resolved.state_dir, log=open_log("error"), disk=disk)
    made = Daemon(path, node, lambda event, **fields: lines.append((event, fields)), Notifier(None))
    made.link.wait = lambda timeout_s: lines.append(("held", {}))  # type: ignore[method-assign] # no broker
    return made


@pytest.mark.parametrize("refusals", [1, 4])
def test_journal_at_its_bound_nothing_is_taken_until_a_snapshot_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    """Below the bound a failed snapshot costs nothing; at the bound the daemon waits, says so, and goes on."""
    monkeypatch.setattr(storing, "STORAGE_RETRY_S", (0.0, 0.0))
    lines: list[tuple[str, Any]] = []
    disk = NoSnapshots()
    made = running(tmp_path, disk, lines)
    made.take_messages([Deliveries([Message("t", b"1", 10**18, mid=1)], 0)])
    made.commit()
    disk.refusals = 1
    storing.bound_journal(made)
    assert [event for event, _ in lines] == ["stream.created", "snapshot.failed"]
    lines.clear()
    monkeypatch.setattr(type(made.node.store), "journal_bytes", property(lambda _: 2**40))
    disk.refusals = refusals
    storing.bound_journal(made)
    assert [event for event, _ in lines if event != "held"] == ["snapshot.failed"] * refusals + [
        "snapshot.taken"
    ]
    disk.refusals = 100
    made.inbox.put(Stop("SIGTERM"))
    storing.bound_journal(made)
    assert made.metrics.storage_faults == refusals + 2
    made.link.close()
    made.inbox.close()


def test_commit_that_is_refused_at_the_end_is_told(tmp_path: Path) -> None:
    """Told to stop while the disk refuses: StorageError, nothing is acknowledged, and nothing is tried for ever."""
    lines: list[tuple[str, Any]] = []
    made = running(tmp_path, Disk(), lines)
    made.take_messages([Deliveries([Message("t", b"1", 10**18, mid=1)], 0)])
    assert made.node.store is not None

    class Full(Disk):
        def write(self, file: int, data: bytes, offset: int) -> None:
            raise OSError(errno.ENOSPC, "full")

    made.node.store.journal._disk = Full()  # type: ignore[union-attr] # journaling
    made.stop_reason = "SIGTERM"
    with pytest.raises(StorageError, match="journal cannot be written"):
        made.commit()
    assert made.group.has_records
    made.link.close()
    made.inbox.close()
