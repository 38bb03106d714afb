"""What a start tells of the state that it found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeseq.compose import Node, open_node
from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.core.pipeline import accept, advance
from edgeseq.core.types import Message

CONFIG = '[[streams]]\ntopic = "t/+"\nevery = "1m"\n'
MINUTE_NS = 60 * 10**9


def opened(folder: Path) -> tuple[Node, dict[str, Any]]:
    """Open a node on a state folder → the node and what `state.restored` says."""
    lines: list[tuple[str, dict[str, Any]]] = []
    resolved = resolve(parse_config(CONFIG), folder, environment={"HOME": str(folder)})
    node = open_node(resolved, state_dir=folder, log=lambda event, **fields: lines.append((event, fields)))
    (fields,) = [fields for event, fields in lines if event == "state.restored"]
    return node, fields


def take(node: Node, start: int, stop: int) -> None:
    """Take a reading of two streams in each minute, journaled as the daemon does it."""
    assert node.store is not None
    assert node.store.journal is not None
    for k in range(start, stop):
        batch = accept(node.state, [Message(f"t/{name}", b"%d" % (k % 9), k * MINUTE_NS) for name in "ab"])
        node.store.journal.append(batch.created, batch.readings)
        advance(node.state, batch.readings)


def close(node: Node) -> None:
    """Let go of the state folder without another word, as a kill would."""
    assert node.store is not None
    node.store.close()


def test_restored_state_is_told_by_what_the_snapshot_held_and_the_journal_added(tmp_path: Path) -> None:
    """Readings of the snapshot and of the journal are counted apart, so that neither looks lost."""
    node, fields = opened(tmp_path)
    assert set(fields.values()) == {0}
    take(node, 0, 10)
    close(node)
    node, fields = opened(tmp_path)
    journal_only = {
        "streams": 2, "snapshot_streams": 0, "snapshot_readings": 0, "journal_readings": 20, "journal_records": 10,
    }  # fmt: skip
    assert fields == journal_only
    node.keep([])
    close(node)
    node, fields = opened(tmp_path)
    assert fields == {
        "streams": 2, "snapshot_streams": 2, "snapshot_readings": 20, "journal_readings": 0, "journal_records": 0,
    }  # fmt: skip
    take(node, 10, 13)
    close(node)
    _, fields = opened(tmp_path)
    assert (fields["snapshot_readings"], fields["journal_readings"]) == (20, 6)
