"""What the daemon has taken from the network and can no longer read is counted, not forgotten."""

from __future__ import annotations

from pathlib import Path

from edgeseq.adapters.log import open_log
from edgeseq.adapters.mqtt import Deliveries
from edgeseq.adapters.sdnotify import Notifier
from edgeseq.compose import open_node
from edgeseq.core.types import Message, Tick
from edgeseq.daemon import Daemon, read_config


def test_messages_that_wait_at_the_end_are_shed_unless_they_come_again(tmp_path: Path) -> None:
    """Of QoS 0 they are received and shed; those of QoS 1 were not acknowledged, so the broker sends them again."""
    path = tmp_path / "edgeseq.toml"
    path.write_text('[node]\nstate_dir = "s"\n[[streams]]\ntopic = "t"\nevery = "1s"\n', encoding="utf-8")
    node = open_node(read_config(path), state_dir=None, log=open_log("error"))
    daemon = Daemon(path, node, open_log("error"), Notifier(None))
    daemon.take_messages([Deliveries([Message("t", b"1", 1), Message("t", b"{", 2)], 0)])
    for mid in (0, 7, 0, 8, 0):
        daemon.inbox.deliver(Deliveries([Message("t", b"2", 3, mid=mid), Message("t", b"2", 3, mid=9)], 0), 2)
        daemon.inbox.deliver(Tick(4))
    daemon.shed()
    told = daemon.health()
    assert (told.received, told.applied, told.shed, told.inbox_messages) == (5, 1, 3, 0)
    assert (
        told.received == told.applied + told.late + told.duplicate + sum(told.rejected.values()) + told.shed
    )
    daemon.link.close()
    daemon.inbox.close()
