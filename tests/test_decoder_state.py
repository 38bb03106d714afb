"""What decoders remember outlasts a stop and a crash, as far as it may be believed then."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeseq.adapters.mqtt import Deliveries
from edgeseq.commits import GroupCommit
from edgeseq.compose import Node, open_node
from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.core.pipeline import accept, advance
from edgeseq.core.types import Message, Reason
from tests.support.families import (
    EVERY_NS,
    HOMEASSISTANT,
    HOMIE,
    SPARKPLUG,
    START_NS,
    Household,
    data,
    messages,
)


def opened(folder: Path, household: Household) -> Node:
    """Open a node of one family on a state folder."""
    table = f'[[streams]]\ntopic = "{household.topics[0]}"\ndecoder = "{household.decoder}"\nevery = "10s"\n'
    resolved = resolve(parse_config(table), folder, environment={"HOME": str(folder)})
    return open_node(resolved, state_dir=folder, log=lambda *_, **__: None)


def take(node: Node, sent: list[Message]) -> list[Reason]:
    """Take messages as the daemon does, and journal what is to be kept; give the reasons of rejections."""
    assert node.store is not None
    group = GroupCommit("batched", 1.0, 100)
    batch = accept(node.state, sent)
    group.take_batch(batch, [Deliveries(sent, 0)], 0.0)
    advance(node.state, batch.readings)
    if group.has_records:
        node.store.commit(group.records())
    return [rejection.reason for rejection in batch.rejections]


def close(node: Node, *, is_at_rest: bool = False, is_kept: bool = True) -> None:
    """End: by a stop, or as a kill would, with or without a snapshot before."""
    node.is_at_rest = is_at_rest
    if is_kept:
        node.keep([])
    assert node.store is not None
    node.store.close()


@pytest.mark.parametrize("household", [HOMIE, HOMEASSISTANT], ids=["homie", "homeassistant"])
@pytest.mark.parametrize("is_kept", [False, True], ids=["journal", "snapshot"])
def test_descriptions_outlast_a_crash(tmp_path: Path, household: Household, is_kept: bool) -> None:
    """A broker tells them once, so they are journaled before they are acknowledged, and only where they bring news."""
    node = opened(tmp_path, household)
    start = messages(household.start(START_NS), START_NS)
    take(node, start)
    facts = next(iter(node.state.registry.memories.values())).facts
    assert facts
    assert accept(node.state, start).heard == ()
    close(node, is_kept=is_kept)
    again = opened(tmp_path, household)
    assert next(iter(again.state.registry.memories.values())).facts == facts
    close(again, is_kept=False)


@pytest.mark.parametrize(
    ("is_at_rest", "is_followed", "reasons"),
    [(True, False, []), (False, False, [Reason.NO_BIRTH] * 2), (True, True, [Reason.NO_BIRTH] * 2)],
    ids=["stopped", "killed after a snapshot", "killed after a stop and a start"],
)
def test_aliases_are_believed_after_a_stop_alone(
    tmp_path: Path, is_at_rest: bool, is_followed: bool, reasons: list[Reason]
) -> None:
    """Births are of QoS 0: whatever may have come since the snapshot is not repeated."""
    node = opened(tmp_path, SPARKPLUG)
    take(node, messages(SPARKPLUG.start(START_NS), START_NS))
    close(node, is_at_rest=is_at_rest)
    at_ns = START_NS + EVERY_NS
    if is_followed:
        second = opened(tmp_path, SPARKPLUG)
        assert take(second, messages(data(0, at_ns), at_ns)) == []
        close(second, is_kept=False)
    third = opened(tmp_path, SPARKPLUG)
    assert take(third, messages(data(1, 2 * at_ns - START_NS), at_ns + EVERY_NS)) == reasons
    close(third, is_kept=False)
