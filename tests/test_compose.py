"""What a start takes from bundles, and what it tells of the state that it found."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeseq import restore
from edgeseq.adapters.journal import Record, record_of
from edgeseq.bundle import Channel
from edgeseq.compose import Node, open_node
from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.core import keeping, pipeline
from edgeseq.core.pipeline import accept, advance
from edgeseq.core.types import ChannelSource, Message, StreamRule
from edgeseq.models import served
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


def test_journal_taken_in_batches_of_any_size_gives_the_same_state(tmp_path: Path) -> None:
    """Joined, one by one or as they were: the state is that of the live node, bit for bit, and so is what is told."""
    node, _ = opened(tmp_path)
    take(node, 0, 40)
    assert node.store is not None
    node.store.commit([Record(tick_ns=41 * MINUTE_NS)])
    pipeline.tick(node.state, 41 * MINUTE_NS)
    take(node, 42, 50)
    node.store.commit([Record(resumed_ns=60 * MINUTE_NS)])
    pipeline.resume(node.state, 60 * MINUTE_NS)
    take(node, 61, 70)
    node.store.close()
    told = []
    for most in (1, 7, 100_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(restore, "joined", partial(restore.joined, most=most))
            again, fields = opened(tmp_path)
        assert fields["journal_readings"] == 2 * (40 + 8 + 9)
        (header, arrays), (live_header, live) = keeping.dump(again.state), keeping.dump(node.state)
        assert header == live_header
        assert {name: a.tobytes() for name, a in arrays.items()} == {
            name: a.tobytes() for name, a in live.items()
        }
        told.append({(out.topic, out.payload) for out in again.backlog})
        assert again.store is not None
        again.store.close()
    assert told[0] == told[1] == told[2]
    assert any(topic.endswith("/forecast") for topic, _ in told[0])
