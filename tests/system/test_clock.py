"""The system clock may be set while the daemon runs: a Raspberry Pi without RTC starts in the past."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from edgeseq.adapters.sdnotify import Notifier
from edgeseq.compose import open_node
from edgeseq.core.pipeline import accept, advance
from edgeseq.core.types import Message, Tick
from edgeseq.daemon import Daemon, read_config

YEAR_NS = 365 * 86_400 * 10**9


def heard(daemon: Daemon, topic: str, seconds: int) -> None:
    """Let one reading a second have come for some seconds until now."""
    now_ns = time.time_ns()
    for age in reversed(range(seconds)):
        message = Message(topic, b"1.0", now_ns - age * 10**9)
        advance(daemon.node.state, accept(daemon.node.state, [message]).readings)


def test_clock_set_forward_makes_no_stream_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that jumps a year is told, and every stream gets its whole deadline anew."""
    config = tmp_path / "edgeseq.toml"
    config.write_text(f'[node]\nstate_dir = "{tmp_path}/state"\n[[streams]]\ntopic = "s/+"\nevery = "1s"\n')
    told: list[tuple[str, dict[str, Any]]] = []
    resolved = read_config(config)
    node = open_node(
        resolved, state_dir=resolved.state_dir, log=lambda event, **more: told.append((event, more))
    )
    daemon = Daemon(config, node, lambda event, **more: told.append((event, more)), Notifier(None))
    node.had_session = True  # with the broker
    heard(daemon, "s/a", seconds=20)
    real = time.time_ns
    # The clock itself is set: no fake of ours stands between it and the daemon.
    monkeypatch.setattr(time, "time_ns", lambda: real() + YEAR_NS)
    daemon.take([Tick(time.time_ns())])
    assert [event for event, _ in told if event == "clock.stepped"] == ["clock.stepped"]
    assert not node.state.groups[0].table["alert_open"].any()
    assert node.state.groups[0].table["deadline_ns"][0] > real() + YEAR_NS
    daemon.take([Tick(time.time_ns())])
    assert len([event for event, _ in told if event == "clock.stepped"]) == 1
    assert node.store is not None
    node.store.close()
    daemon.inbox.close()
