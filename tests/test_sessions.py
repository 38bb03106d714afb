"""A new session of the broker: its packet ids count from anew, and that it began outlasts a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeseq.adapters.log import open_log
from edgeseq.adapters.mqtt import Connected, Deliveries
from edgeseq.adapters.sdnotify import Notifier
from edgeseq.compose import Node, open_node
from edgeseq.core.types import Message, Reload
from edgeseq.daemon import Daemon, read_config

FIRST = Message("t", b"1", 1, mid=1)
SECOND = Message("t", b"1", 2, mid=1)
AGAIN = Message("t", b"1", 3, mid=1, dup=True)


class Live:
    """A daemon without a broker, in a folder."""

    def __init__(self, folder: Path, mode: str) -> None:
        path = folder / "edgeseq.toml"
        text = '[node]\nstate_dir = "s"\n[[streams]]\ntopic = "t"\nevery = "1s"\n'
        path.write_text(f'{text}[journal]\ndurability = "{mode}"\n', encoding="utf-8")
        log: Any = open_log("error")
        self.node: Node = open_node(read_config(path), state_dir=folder / "s", log=log)
        self.daemon = Daemon(path, self.node, log, Notifier(None))

    def hear(self, *messages: Message) -> tuple[int, int]:
        """Take messages → readings applied and duplicates since the start."""
        self.daemon.take([Deliveries(list(messages), 0)])
        return self.node.state.counts.applied, self.node.state.counts.duplicate

    def connect(self, *, is_present: bool) -> None:
        """Be accepted by the broker."""
        self.daemon.take([Connected(is_session_present=is_present)])

    def end(self, *, is_kept: bool = False) -> None:
        """Be gone, as by a kill; before that keep what there is, where that is asked for."""
        if is_kept:
            self.daemon.take_snapshot()
        assert self.node.store is not None
        self.node.store.close()
        self.daemon.link.close(timeout_s=0.0)
        self.daemon.inbox.close()


@pytest.mark.parametrize("mode", ["none", "batched", "strict"])
def test_redelivery_in_a_new_session_is_no_duplicate_of_the_old_one(tmp_path: Path, mode: str) -> None:
    """A first delivery that a crash or the network has lost is applied, though an equal one had its packet id."""
    live = Live(tmp_path, mode)
    live.connect(is_present=False)
    assert live.hear(FIRST) == (1, 0)
    live.end(is_kept=True)

    live = Live(tmp_path, mode)
    live.connect(is_present=False)
    live.end()  # before a message of the new session, or after one that was not committed

    live = Live(tmp_path, mode)
    live.connect(is_present=True)
    assert live.hear(AGAIN) == (1, 0)
    assert live.hear(AGAIN) == (1, 1)
    live.end()


@pytest.mark.parametrize("mode", ["none", "batched", "strict"])
def test_redelivery_in_the_same_session_is_a_duplicate_after_a_start(tmp_path: Path, mode: str) -> None:
    """What was taken before a crash is known after it, whatever sessions there were before."""
    live = Live(tmp_path, mode)
    for _ in range(3):
        live.connect(is_present=False)
    assert live.hear(FIRST, SECOND) == (2, 0)
    live.end(is_kept=True)
    live = Live(tmp_path, mode)
    live.connect(is_present=True)
    assert live.hear(AGAIN) == (0, 1)
    live.end()


def test_reload_that_asks_for_updates_where_no_folder_can_be_made_changes_nothing(tmp_path: Path) -> None:
    """It is refused as a whole: a daemon that ended of it would leave half a change behind."""
    live = Live(tmp_path, "batched")
    (tmp_path / "s" / "updates").write_text("a file", encoding="utf-8")
    path = live.daemon.path
    path.write_text(
        path.read_text(encoding="utf-8").replace("[node]", "[node]\nupdates = true"), encoding="utf-8"
    )
    live.daemon.take([Reload()])
    assert live.daemon.node is live.node
    live.end()


@pytest.mark.parametrize("mode", ["none", "batched", "strict"])
def test_that_there_was_a_session_outlasts_a_crash(tmp_path: Path, mode: str) -> None:
    """A broker that refuses the next start is asked again for ever, even where the first session was cut short."""
    live = Live(tmp_path, mode)
    assert not live.node.had_session
    live.connect(is_present=False)
    live.end()
    live = Live(tmp_path, mode)
    assert live.node.had_session
    live.end()


@pytest.mark.parametrize("kind", ["snapshot", "journal"])
def test_that_there_was_a_session_outlasts_the_loss_of_the_state(tmp_path: Path, kind: str) -> None:
    """Where all that was kept is damaged, a node is still none that no broker has ever let in; at later starts, too."""
    live = Live(tmp_path, "batched")
    for _ in range(3):
        live.connect(is_present=False)
        if kind == "snapshot":
            live.daemon.take_snapshot()
    live.end()
    for path in (tmp_path / "s").glob(f"{kind}-*.bin"):
        content = bytearray(path.read_bytes())
        content[len(content.rstrip(b"\0")) // 4] ^= 0xFF  # of a journal's frames, the first
        path.write_bytes(content)
    for _ in range(2):
        live = Live(tmp_path, "batched")
        assert live.node.had_session
        live.end()
