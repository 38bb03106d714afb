"""When Home Assistant is told what: all at once in turns, again at its birth, and what goes is taken away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeseq.adapters.log import open_log
from edgeseq.compose import Node, open_node, renew_node
from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.core.pipeline import accept, advance
from edgeseq.core.types import Message, Outgoing
from edgeseq.daemon.parts import open_discovery
from edgeseq.errors import ConfigError
from edgeseq.homeassistant import BIRTHS_EVERY_S, MESSAGES_AT_ONCE, Discovery
from edgeseq.reporting import intervals_of
from edgeseq.testing import ManualClock
from tests.support.homeassistant_rules import parse

ON = "[homeassistant]\ndiscovery = true\n"
TABLES = '[[streams]]\ntopic = "t/+"\nevery = "1m"\n'
ONE_EACH = f"{ON}streams_per_device = 1\n"


def opened(folder: Path, text: str) -> Node:
    """Open a node that keeps its state."""
    resolved = resolve(parse_config(f'[node]\nname = "n"\n{text}'), folder)
    return open_node(resolved, state_dir=folder / "state", log=open_log("error"))


def renewed(folder: Path, node: Node, text: str) -> Node:
    """Give the node another configuration."""
    resolved = resolve(parse_config(f'[node]\nname = "n"\nstate_dir = "state"\n{text}'), folder)
    return renew_node(node, resolved, open_log("error"))


def close(node: Node) -> None:
    """Keep the state, and end."""
    assert node.store
    node.keep([])
    node.store.close()


def hear(node: Node, count: int) -> None:
    """Take a reading of each of so many streams."""
    batch = accept(node.state, [Message(f"t/{n:02}", b"1", 10**9 + n) for n in range(count)])
    node.render(advance(node.state, batch.readings))


def told(discovery: Discovery) -> list[tuple[str, bytes]]:
    """Give all that is told until nothing is left."""
    found: list[Outgoing] = []
    while outgoing := discovery.look():
        found += outgoing
        assert len(found) < 1000, "it never ends"
    assert all(out.retain for out in found)
    return [(out.topic, out.payload) for out in found]


class Retained:
    """A broker's retained messages, and the entities that a Home Assistant that was there all the time knows."""

    def __init__(self) -> None:
        self.topics: dict[str, bytes] = {}
        self.entities: dict[str, str] = {}

    def take(self, messages: list[tuple[str, bytes]]) -> None:
        """Take messages in order; an entity is never told by two topics."""
        for topic, payload in messages:
            self.topics[topic] = payload
            if not payload:
                self.entities = {name: where for name, where in self.entities.items() if where != topic}
                continue
            for key, component in parse(payload)["components"].items():
                if set(component) == {"platform"}:
                    assert self.entities.pop(key) == topic
                else:
                    assert self.entities.setdefault(key, topic) == topic

    def live(self) -> set[str]:
        """List the topics that hold something."""
        return {topic for topic, payload in self.topics.items() if payload}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Give a node with 30 streams."""
    made = opened(tmp_path, ON + TABLES)
    hear(made, 30)
    yield made
    if made.store:
        made.store.close()


def test_discovery_is_off_by_default(tmp_path: Path) -> None:
    """Nothing is heard, announced or loaded for Home Assistant unless it is asked for."""
    made = opened(tmp_path, TABLES)
    assert made.resolved.filters == ("t/+",)
    assert open_discovery(made) is None
    close(made)
    loaded = "import edgeseq.daemon, sys; print([m for m in sys.modules if 'homeassistant' in m or 'discovery' in m])"
    done = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_all_is_told_in_turns_and_then_nothing(node: Node) -> None:
    """So many messages a second, each once."""
    discovery = Discovery(node)
    first = discovery.look()
    assert len(first) == min(MESSAGES_AT_ONCE, 4)
    assert told(discovery) == []
    hear(node, 31)
    ((topic, _),) = told(discovery)
    assert topic.endswith("_3/config"), "only the page of the new stream"


def test_birth_tells_all_again_at_a_bounded_rate(node: Node) -> None:
    """Home Assistant's birth repeats everything; who says it in a loop is heard once in a while."""
    clock = ManualClock()
    discovery = Discovery(node, clock.seconds)
    everything = told(discovery)
    status = Message("homeassistant/status", b"online", 1)
    assert discovery.parted([status, Message("t/00", b"1", 1)]) == [Message("t/00", b"1", 1)]
    assert told(discovery) == [], "just begun"
    clock.advance(BIRTHS_EVERY_S)
    assert told(discovery) == everything
    discovery.parted([Message("homeassistant/status", b"offline", 1)])
    clock.advance(BIRTHS_EVERY_S)
    assert told(discovery) == []


def test_own_announcements_are_no_readings(tmp_path: Path) -> None:
    """A table that reads everything does not read what we say; the status it does, if it asks for it."""
    made = opened(tmp_path, f'{ON}[[streams]]\ntopic = "homeassistant/#"\nevery = "1m"\n')
    discovery = Discovery(made)
    (topic,) = [topic for topic, _ in told(discovery)]
    messages = [Message(topic, b"{}", 1), Message("homeassistant/status", b"online", 1)]
    assert [message.topic for message in discovery.parted(messages)] == ["homeassistant/status"]
    close(made)


@pytest.mark.parametrize(
    ("before", "after"), [(ON, ONE_EACH), (ONE_EACH, ON), (f"{ON}streams_per_device = 7\n", ON)]
)
def test_entities_that_move_leave_before_they_enter(tmp_path: Path, before: str, after: str) -> None:
    """Another number of streams a device: no entity is told by two topics at any time, and none is lost."""
    seen = Retained()
    made = opened(tmp_path, before + TABLES)
    hear(made, 30)
    seen.take(told(Discovery(made)))
    names = set(seen.entities)
    again = renewed(tmp_path, made, after + TABLES)
    seen.take(told(Discovery(again)))
    fresh = Retained()
    fresh.take([(topic, seen.topics[topic]) for topic in seen.live()])
    assert set(seen.entities) == names == set(fresh.entities)
    close(again)


def test_entities_that_go_are_taken_away_singly(tmp_path: Path) -> None:
    """Without requests the buttons go, by their platforms; all else stays known. That holds over a restart, too."""
    seen = Retained()
    made = opened(tmp_path, f"requests = true\n{ON}{TABLES}")
    hear(made, 3)
    seen.take(told(Discovery(made)))
    assert [name for name in seen.entities if name.endswith("_acknowledge")]
    close(made)
    again = opened(tmp_path, ON + TABLES)
    discovery = open_discovery(again)
    assert discovery
    seen.take(told(discovery))
    assert not [name for name in seen.entities if name.endswith(("_acknowledge", "_real", "_false_alarm"))]
    assert len([name for name in seen.entities if name.endswith("_forecast")]) == 3
    close(again)


@pytest.mark.parametrize("is_restart", [False, True])
def test_all_is_taken_away_where_discovery_is_off(tmp_path: Path, *, is_restart: bool) -> None:
    """Empty messages for all topics, said again after the next connect or start, and then never more."""
    seen = Retained()
    made = opened(tmp_path, ON + TABLES)
    hear(made, 3)
    seen.take(told(Discovery(made)))
    topics = seen.live()
    assert len(topics) == 2
    if is_restart:
        close(made)
        again = opened(tmp_path, TABLES)
    else:
        again = renewed(tmp_path, made, TABLES)
    discovery = open_discovery(again)
    assert discovery
    seen.take(told(discovery))
    assert (seen.live(), seen.entities) == (set(), {})
    discovery.begin()
    assert dict(told(discovery)) == dict.fromkeys(topics, b"")
    close(again)
    last = opened(tmp_path, TABLES)
    assert open_discovery(last) is None
    close(last)


def test_stream_whose_table_is_gone_is_taken_away(tmp_path: Path) -> None:
    """A reload without a table takes its device away, and no other."""
    seen = Retained()
    other = '[[streams]]\ntopic = "u"\nevery = "1m"\n'
    made = opened(tmp_path, ON + TABLES + other)
    hear(made, 2)
    batch = accept(made.state, [Message("u", b"1", 10**9)])
    made.render(advance(made.state, batch.readings))
    seen.take(told(Discovery(made)))
    before = seen.live()
    again = renewed(tmp_path, made, ON + other)
    seen.take(told(Discovery(again)))
    assert len(before - seen.live()) == 1
    assert {name.split("_")[1] for name in seen.entities} == {"bridge", "u"}
    close(again)


@pytest.mark.parametrize(("key", "value"), [("prefix", "home/+"), ("prefix", ""), ("status_topic", "$SYS/x")])
def test_topics_that_cannot_be_published_to_are_refused(tmp_path: Path, key: str, value: str) -> None:
    """A wildcard or an empty level is told with the key that holds it."""
    with pytest.raises(ConfigError, match=f"homeassistant.{key}"):
        resolve(parse_config(f'[homeassistant]\n{key} = "{value}"\n{TABLES}'), tmp_path)


def test_intervals_of_the_coverage_entity_are_those_of_its_table(node: Node) -> None:
    """The template's index finds the table in bridge/health."""
    found: dict[str, Any] = {}
    for _, payload in told(Discovery(node)):
        found |= {k: c for k, c in parse(payload)["components"].items() if "bridge_coverage" in k}
    (entity,) = found.values()
    assert entity["value_template"] == "{{ value_json.intervals[0].coverage }}"
    assert [one.table for one in intervals_of(node)] == ["t/+"]
