"""What the daemon's log says of streams: named as subscribers see it, once, and with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeseq.adapters.log import CATALOGUE
from edgeseq.compose import Node, open_node
from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.core.pipeline import accept, advance
from edgeseq.core.types import DataStatus, Message, StreamStatus
from edgeseq.reporting import tell_events

SECOND = 10**9
Lines = list[tuple[str, dict[str, Any]]]


def node_of(folder: Path, streams: str) -> Node:
    """Open a node that keeps nothing."""
    resolved = resolve(parse_config(f"[[streams]]\n{streams}"), folder, environment={"HOME": str(folder)})
    return open_node(resolved, state_dir=None, log=lambda *_, **__: None)


def play(node: Node, gap_s: float, count: int = 60, start_s: float = 0) -> Lines:
    """Let readings come at a pace, a few a batch, told and rendered as the daemon does it."""
    lines: Lines = []
    sent = [Message("t/a", b"%d" % (k % 7), int((start_s + gap_s * k) * SECOND)) for k in range(count)]
    for at in range(0, count, 5):
        events = advance(node.state, accept(node.state, sent[at : at + 5]).readings)
        tell_events(lambda event, **fields: lines.append((event, fields)), node, events)
        node.render(events)
    return lines


@pytest.mark.parametrize(
    ("gap_s", "do"), [(1.0, "another aggregate than last"), (300.0, "set every to about that")]
)
def test_mismatch_is_logged_once_by_its_name_with_what_to_do(tmp_path: Path, gap_s: float, do: str) -> None:
    """When the status becomes mismatch, one line names it, both paces and the remedy."""
    lines = play(node_of(tmp_path, 'topic = "t/+"\nevery = "1m"'), gap_s)
    (fields,) = [fields for event, fields in lines if event == "stream.mismatched"]
    assert (fields["stream"], fields["data"], fields["every_s"]) == ("t-a", "mismatch", 60)
    assert fields["readings_every_s"] < 15 if gap_s < 60 else fields["readings_every_s"] > 120
    assert do in fields["do"]
    assert {event for event, _ in lines} <= set(CATALOGUE)


def test_mismatch_that_comes_back_is_logged_again(tmp_path: Path) -> None:
    """A pace that was right again in between is news."""
    node = node_of(tmp_path, 'topic = "t/+"\nevery = "1m"')
    lines = [*play(node, 5), *play(node, 60, 120, 300), *play(node, 5, 200, 7500)]
    assert [event for event, _ in lines].count("stream.mismatched") == 2


def test_mismatch_within_one_batch_is_logged_once(tmp_path: Path) -> None:
    """Several statuses of one stream in one batch are compared with each other, not only with what was rendered."""
    node = node_of(tmp_path, 'topic = "t/+"\nevery = "1m"')
    play(node, 60, 30)
    status = node.render_state.view(0).status
    events = [StreamStatus(k, 0, status.phase, DataStatus.MISMATCH, "none") for k in range(3)]
    lines: Lines = []
    tell_events(lambda event, **fields: lines.append((event, fields)), node, events)
    assert [event for event, _ in lines] == ["stream.mismatched"]


def test_steady_stream_says_nothing_but_its_creation(tmp_path: Path) -> None:
    """Readings at the configured pace leave one line in the log."""
    lines = play(node_of(tmp_path, 'topic = "t/+"\nevery = "1m"'), 60)
    assert [event for event, _ in lines] == ["stream.created"]
