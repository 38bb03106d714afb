"""The account of `make powercut`: what it calls acknowledged, and that it sees what a disk has lost."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from edgeseq import replay
from edgeseq.core.dedupe import RECENT_IN_NODE
from edgeseq.core.instants import format_instant
from edgeseq.core.types import Message
from tests.powercut.account import TOPICS, Acknowledged, lost
from tests.powercut.run import configuration

BEGIN_NS = 1_767_225_600 * 10**9
SENT = "1: Sending PUBLISH to edgeseq-n (d{again}, q1, r0, m{mid}, 'room/{room}', ... (50 bytes))\n"
TAKEN = "1: Received PUBACK from edgeseq-n (Mid: {mid}, RC:0)\n"


def readings(count: int) -> list[Message]:
    """Make a room's readings, one a second."""
    made = []
    for k in range(count):
        at_ns = BEGIN_NS + k * 10**9
        body = {"time": format_instant(at_ns), "value": 20 + k % 7}
        made.append(Message("room/0", json.dumps(body).encode(), at_ns))
    return made


def test_readings_that_a_state_does_not_hold_are_counted(tmp_path: Path) -> None:
    """Of 40 acknowledged readings a state of the first 37 has lost three, one of all none."""
    config = tmp_path / "edgeseq.toml"
    config.write_text(configuration(1883, "batched"), encoding="utf-8")
    for kept in (37, 40):
        folder = tmp_path / f"state{kept}"
        node = replay.open_for_replay(config, folder, save_state=True)
        list(replay.replay(node, readings(kept), replay.Tally()))
        replay.save(node)
        replay.close(node)
        assert lost(folder, config, readings(40)) == 40 - kept


def test_a_long_account_is_no_loss(tmp_path: Path) -> None:
    """Of more acknowledged readings than a node remembers identities a whole state has lost none."""
    config = tmp_path / "edgeseq.toml"
    config.write_text(configuration(1883, "batched"), encoding="utf-8")
    rooms = [readings(170) for _ in TOPICS]
    taken = [
        msgspec.structs.replace(message, topic=TOPICS[n])
        for step in zip(*rooms, strict=True)
        for n, message in enumerate(step)
    ]
    assert len(taken) > RECENT_IN_NODE
    node = replay.open_for_replay(config, tmp_path / "state", save_state=True)
    list(replay.replay(node, taken, replay.Tally()))
    replay.save(node)
    replay.close(node)
    assert lost(tmp_path / "state", config, taken) == 0


def test_acknowledgements_are_read_from_the_brokers_log(tmp_path: Path) -> None:
    """A message sent again is the reading it was; an identifier used again is the next one."""
    log = tmp_path / "log"
    log.touch()
    found = Acknowledged(log)
    lines = [
        SENT.format(again=0, mid=1, room=3), SENT.format(again=0, mid=2, room=3), TAKEN.format(mid=2),
        SENT.format(again=1, mid=1, room=3), TAKEN.format(mid=1), SENT.format(again=0, mid=1, room=3),
        SENT.format(again=0, mid=4, room=5), TAKEN.format(mid=4), TAKEN.format(mid=9),
    ]  # fmt: skip
    text = "".join(lines)
    counts = []
    for part in (text[:100], text[100:333], text[333:]):
        with log.open("a", encoding="utf-8") as file:
            file.write(part)
        counts.append(found.count())
    assert not found.is_subscribed()
    with log.open("a", encoding="utf-8") as file:
        file.write("1: Sending SUBACK to edgeseq-n\n")
    assert found.is_subscribed()
    found.close()
    assert found.readings == {("room/3", 0), ("room/3", 1), ("room/5", 0)}
    assert counts == sorted(counts)
