"""What the daemon has taken from the network counts, though it is told to stop: applied, or given up and told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeseq.adapters.log import open_log
from edgeseq.adapters.mqtt import Deliveries
from edgeseq.adapters.sdnotify import Notifier
from edgeseq.compose import open_node
from edgeseq.core.payloads import HealthPayload
from edgeseq.core.types import Message, Tick
from edgeseq.daemon import Daemon, read_config
from edgeseq.daemon.life import stop
from edgeseq.disk import Disk
from edgeseq.errors import StorageError

MIDS = (0, 7, 0, 8, 0)


class Full(Disk):
    """A disk that takes nothing, once it is full."""

    is_full = False

    def write(self, file: int, data: bytes, offset: int) -> None:
        """Write, or not."""
        if self.is_full:
            raise OSError(28, "No space left on device")
        super().write(file, data, offset)


def stopping(folder: Path, disk: Disk) -> Daemon:
    """Give a daemon that has taken two messages and is told to stop while pairs of others wait, of both kinds."""
    path = folder / "edgeseq.toml"
    path.write_text('[node]\nstate_dir = "s"\n[[streams]]\ntopic = "t/+"\nevery = "1s"\n', encoding="utf-8")
    log: Any = open_log("error")
    node = open_node(read_config(path), state_dir=folder / "s", log=log, disk=disk)
    daemon = Daemon(path, node, log, Notifier(None))
    daemon.take_messages([Deliveries([Message("t/a", b"1", 1), Message("t/a", b"{", 2)], 0)])
    for k, mid in enumerate(MIDS):
        pair = [Message("t/a", b"2", 3, mid=mid), Message("t/b", b"%d" % k, 3, mid=9 + k)]
        daemon.inbox.deliver(Deliveries(pair, 0), 2)
        daemon.inbox.deliver(Tick(4))
    daemon.schedule.start()
    daemon.stop_reason = "SIGTERM"
    return daemon


def assert_adds_up(told: HealthPayload) -> None:
    """Every reading is in one of the parts."""
    parts = (told.applied, told.late, told.duplicate, sum(told.rejected.values()), told.shed)
    assert told.received == sum(parts)


def test_messages_that_wait_at_the_end_are_applied_and_kept(tmp_path: Path) -> None:
    """A clean stop loses nothing that was read from the network, of QoS 0 either; none is shed."""
    daemon = stopping(tmp_path, Disk())
    stop(daemon)
    told = daemon.health()
    assert (told.received, told.applied, told.shed, told.inbox_messages) == (12, 11, 0, 0)
    assert_adds_up(told)
    daemon.inbox.close()
    again = open_node(daemon.node.resolved, state_dir=tmp_path / "s", log=lambda *_, **__: None)
    assert sum(int(group.table["arrivals"].sum()) for group in again.state.groups) == 11
    assert again.store is not None
    again.store.close()


def test_messages_that_wait_while_the_disk_refuses_are_shed_unless_they_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unread ones of QoS 0 count as one reading each, received and shed; those of QoS 1 the broker sends again."""
    monkeypatch.setattr("edgeseq.daemon.life.MAX_BATCH", 2)
    disk = Full()
    daemon = stopping(tmp_path, disk)
    daemon.group.mode = "strict"
    disk.is_full = True
    reported: list[HealthPayload] = []
    monkeypatch.setattr(Daemon, "report", lambda self, *, is_last: reported.append(self.health()))
    with pytest.raises(StorageError, match="the journal cannot be written"):
        stop(daemon)
    (told,) = reported
    assert told.shed == 4, "the pair that was read and could not be committed, and of four others two"
    assert_adds_up(told)
    assert daemon.node.store is not None
    daemon.node.store.close()
    daemon.link.close(timeout_s=0.0)
    daemon.inbox.close()
