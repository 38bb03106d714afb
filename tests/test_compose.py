"""What a start takes from bundles, and what it tells of the state that it found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edgeseq.adapters.journal import record_of
from edgeseq.bundle import Channel
from edgeseq.compose import Node, open_node, served
from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.core.pipeline import accept, advance
from edgeseq.core.types import ChannelSource, Message, StreamRule
from tests.support.bundles import make_manifest

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
        node.store.commit([record_of(batch.created, batch.readings)])
        advance(node.state, batch.readings)


def close(node: Node) -> None:
    """Let go of the state folder without another word, as a kill would."""
    assert node.store is not None
    node.store.close()


def test_units_are_the_configurations_else_the_bundles() -> None:
    """A channel without a unit in the configuration has that of the bundle's channel; a configured one stays."""
    channels = (Channel("value", "ppm"), Channel("b", "lx"), Channel("c"))
    manifests = {"x": make_manifest(channels=channels, covariates=1)}
    sources = {name: ChannelSource("t", name) for name in ("CO2", "b", "c")}
    rule = StreamRule(
        key="r", name="r", period_ns=MINUTE_NS, channels=sources, bundle="x", units={"b": "kLx"}
    )
    found = served(rule, manifests)
    assert [found.unit_of(name) for name in sources] == ["ppm", "kLx", None]
    assert found.forecast_names == ("CO2", "b")
    shared = served(msgspec.structs.replace(rule, unit="%"), manifests)
    assert [shared.unit_of(name) for name in sources] == ["%", "kLx", "%"]
    bare = msgspec.structs.replace(rule, bundle=None)
    assert served(bare, {}) == bare


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
