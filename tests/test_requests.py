"""What others may ask of a node: answered, bounded, and without effect on any stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq import requests
from edgeseq.adapters.log import open_log
from edgeseq.adapters.mqtt import Deliveries
from edgeseq.adapters.sdnotify import Notifier
from edgeseq.compose import Node, open_node
from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.core.asking import REQUESTS
from edgeseq.core.bridge import bridge_response
from edgeseq.core.instants import format_instant, parse_instant
from edgeseq.core.payloads import HealthPayload, ResponsePayload
from edgeseq.core.pipeline import accept, advance
from edgeseq.core.types import Message
from edgeseq.daemon import Daemon, read_config
from edgeseq.requests import BURST, MAX_PAGE, MAX_REQUEST_BYTES, RATE_PER_S, SNAPSHOT_EVERY_S, Gate, parted
from edgeseq.requests.recording import MOST_VALUES
from edgeseq.testing import ManualClock
from tests.support.streams import equal_states
from tests.support.validate import validate

ROOT = "edgeseq/attic/bridge/request"
CONFIG = '[node]\nname = "attic"\nrequests = {}\n[[streams]]\ntopic = "t/+"\nevery = "1s"\n'
HEALTH = HealthPayload(
    time="2026-03-01T10:00:00Z", uptime_s=1, streams=0, open_alerts=0, received=3, applied=1, late=1,
    duplicate=0, rejected={"no_field": 1},
)  # fmt: skip


def open_in(folder: Path, *, are_allowed: bool = True, state_dir: Path | None = None) -> Node:
    """Open a node of one wildcard rule."""
    resolved = resolve(parse_config(CONFIG.format(str(are_allowed).lower())), folder)
    return open_node(resolved, state_dir=state_dir, log=open_log("error"))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Give a node that keeps its state and has taken a reading of each of 120 streams."""
    made = open_in(tmp_path, state_dir=tmp_path / "state")
    messages = [Message(f"t/{n:03}", b"1", 10**9 + n) for n in range(120)]
    batch = accept(made.state, messages)
    made.render(advance(made.state, batch.readings))
    yield made
    assert made.store
    made.store.close()


Ask = Callable[..., dict[str, Any] | None]


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that stands."""
    return ManualClock()


@pytest.fixture
def ask(node: Node, clock: ManualClock) -> Ask:
    """Give a function that asks the node; each answer is valid by its schema."""
    gate = Gate(clock.seconds)

    def asked(
        verb: str, payload: object = b"", *, retained: bool = False, is_kept: bool = True
    ) -> dict[str, Any] | None:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        sent = Message(f"{ROOT}/{verb}", data, 1, retained=retained)
        found = requests.answer(gate, node, sent, lambda: HEALTH, lambda: is_kept, lambda *_: None)
        if found is None:
            return None
        out = bridge_response(node.context.root, found)
        validate(out.topic, out.payload)
        content: dict[str, Any] = json.loads(out.payload)
        assert out.topic == f"edgeseq/attic/bridge/response/{content['verb']}"
        assert not out.retain
        return content

    return asked


def test_requests_are_subscribed_to_only_where_allowed(tmp_path: Path) -> None:
    """Off by default: then such a message is one that nobody wants."""
    readings = [
        Message("t/a", b"1", 1),
        Message(f"{ROOT}/health", b"", 1),
        Message(f"{ROOT}x/health", b"", 1),
    ]
    off, on = open_in(tmp_path, are_allowed=False), open_in(tmp_path)
    assert off.resolved.filters == ("t/+",)
    assert resolve(parse_config(CONFIG.replace("requests = {}", "")), tmp_path).filters == ("t/+",)
    assert on.resolved.filters == ("t/+", f"{ROOT}/+")
    assert parted(off, readings) == (readings, [])
    assert parted(on, readings) == ([readings[0], readings[2]], [readings[1]])


def test_health_and_info_tell_what_their_topics_tell_and_the_id_comes_back(ask: Ask, node: Node) -> None:
    """The account can be asked for at once."""
    told = ask("health", {"id": "a-7", "more": [1]})
    assert told
    assert (told["id"], told["health"]) == ("a-7", msgspec.to_builtins(HEALTH))
    info = ask("info", {"id": 7})
    assert info
    assert (info["id"], info["info"]["rules"][0]["key"]) == (7, "t/+")


def test_streams_come_in_pages_that_are_bounded_and_complete(ask: Ask) -> None:
    """Page after page gives every stream once; no page is longer than allowed."""
    seen: list[str] = []
    start: int | None = 0
    while start is not None:
        page = ask("streams", {"start": start, "limit": 10**6})
        assert page
        assert page["count"] == 120
        assert len(page["streams"]) <= MAX_PAGE
        seen += [entry["id"] for entry in page["streams"]]
        start = page["next"]
    assert seen == [f"t-{n:03}" for n in range(120)]
    beyond = ask("streams", {"start": 2**60})
    assert beyond
    assert (beyond["streams"], beyond["next"]) == ([], None)


def test_recording_gives_what_each_stream_remembers_and_no_page_is_long(ask: Ask, node: Node) -> None:
    """Page after page gives every value once; `since` leaves out older ones, and what is no time is refused."""
    later = [Message(f"t/{n:03}", b"%d" % k, 10**9 * k + n) for k in range(2, 60) for n in range(120)]
    node.render(advance(node.state, accept(node.state, later).readings))
    seen: dict[str, dict[str, Any]] = {}
    start: int | None = 0
    while start is not None:
        page = ask("recording", {"start": start})
        assert page
        assert page["count"] == 120
        assert sum(len(one["values"]) for one in page["recording"]) <= MOST_VALUES
        assert len(page["recording"]) > 1
        seen |= {entry["id"]: entry for entry in page["recording"]}
        start = page["next"]
    assert list(seen) == [f"t-{n:03}" for n in range(120)]
    values = [float(k) for k in range(1, 59)]
    assert all(one["values"] == values and one["period_s"] == 1 for one in seen.values())
    since = format_instant(int(parse_instant(seen["t-000"]["first"]) or 0) + 50 * 10**9)
    page = ask("recording", {"since": since})
    assert page
    assert page["recording"][0]["values"] == values[51:]
    refused = ask("recording", {"since": "soon"})
    assert refused
    assert "is no time" in refused["error"]


def test_snapshot_is_taken_once_a_minute_at_most(ask: Ask, clock: ManualClock) -> None:
    """Nobody can wear out the disk by asking; a disk that refuses is told."""
    refused = f"at most one snapshot is taken in {SNAPSHOT_EVERY_S:.0f} s"
    answers = [ask("snapshot", {"id": 1}), ask("snapshot", {"id": 2})]
    clock.advance(SNAPSHOT_EVERY_S)
    answers.append(ask("snapshot", {"id": 3}, is_kept=False))
    errors = [(told["id"], told.get("error")) for told in answers if told]
    assert errors == [(1, None), (2, refused), (3, "the disk refused: see the log")]


def test_snapshot_without_a_state_folder_refused(tmp_path: Path) -> None:
    """Where nothing is kept there is nothing to take."""
    found = requests.answer(
        Gate(), open_in(tmp_path), Message(f"{ROOT}/snapshot", b"", 1), lambda: HEALTH, lambda: True, print
    )
    assert found == ResponsePayload(verb="snapshot", error="no state is kept here")


@pytest.mark.parametrize(
    ("verb", "payload", "says"),
    [
        ("reset", b"", "no such verb"),
        ("", b"", "no such verb"),
        ("ä" * 5000, b"", "no such verb"),
        ("health", b"{", "cannot be read"),
        ("health", b"\xff\xfe", "cannot be read"),
        ("health", b'{"id":"\xff"}', "cannot be read"),
        ("health", b"[" * 1000, "cannot be read"),
        ("health", b"7", "cannot be read"),
        ("health", {"id": ["x"]}, "cannot be read"),
        ("health", {"id": "x" * 65}, "cannot be read"),
        ("streams", {"start": -1}, "cannot be read"),
        ("streams", {"limit": 0}, "cannot be read"),
        ("health", b" " * (MAX_REQUEST_BYTES + 1), "too long"),
    ],
)
def test_what_is_no_request_gets_an_error_response(ask: Ask, verb: str, payload: object, says: str) -> None:
    """Unknown, malformed and oversized: told, and short."""
    told = ask(verb, payload)
    assert told
    assert says in told["error"]
    assert told["verb"] in (verb, "unknown")
    assert len(told["error"]) <= 200


def test_requests_beyond_the_rate_and_retained_ones_are_not_answered(ask: Ask, clock: ManualClock) -> None:
    """A flood is answered at the stated rate; a retained request would come again with every connection."""
    assert sum(ask("info") is not None for _ in range(100)) == BURST
    clock.advance(2.0)
    assert sum(ask("nonsense") is not None for _ in range(100)) == 2 * RATE_PER_S
    clock.advance(100.0)
    assert ask("info", retained=True) is None
    assert sum(ask("info") is not None for _ in range(100)) == BURST


@given(st.lists(st.tuples(st.sampled_from([*REQUESTS, "x"]), st.binary(max_size=40)), max_size=5))
def test_any_request_leaves_the_streams_as_they_are(asked: list[tuple[str, bytes]]) -> None:
    """No bytes raise, and none moves a stream."""
    nodes = [open_in(Path("/nowhere")) for _ in range(2)]
    for made in nodes:
        made.render(advance(made.state, accept(made.state, [Message("t/a", b"1", 10**9)]).readings))
    for verb, payload in asked:
        requests.answer(
            Gate(), nodes[0], Message(f"{ROOT}/{verb}", payload, 1), lambda: HEALTH, lambda: True, print
        )
    assert equal_states(nodes[0].state, nodes[1].state)
    assert nodes[0].render_state.views.keys() == nodes[1].render_state.views.keys()


def test_daemon_answers_after_what_came_before_and_counts_requests_apart(tmp_path: Path) -> None:
    """A request among readings is no reading: the account in the answer holds those before it and none of its own."""
    path = tmp_path / "edgeseq.toml"
    path.write_text(CONFIG.format("true").replace("[node]", '[node]\nstate_dir = "s"'), encoding="utf-8")
    resolved = read_config(path)
    node = open_node(resolved, state_dir=resolved.state_dir, log=open_log("error"))
    daemon = Daemon(path, node, open_log("error"), Notifier(None))
    sent = [
        Message("t/a", b"1", 1),
        Message(f"{ROOT}/health", b'{"id":5}', 2),
        Message("t/a", b"x", 3),
        Message(f"{ROOT}/snapshot", b"", 4),
        Message(f"{ROOT}/x", b"", 5),
    ]
    daemon.take([Deliveries(sent, 1)])
    daemon.take([Deliveries([Message(f"{ROOT}/streams", b"", 6)], 1)])
    published = {out.topic: out for out in daemon.link.hand_over()}
    for out in published.values():
        validate(out.topic, out.payload)
    answers = {
        topic.rpartition("/")[2]: json.loads(out.payload)
        for topic, out in published.items()
        if "/bridge/response/" in topic
    }
    account = answers["health"]["health"]
    assert (answers["health"]["id"], account["received"], account["applied"]) == (5, 2, 1)
    assert account["rejected"] == {"wrong_type": 1}
    assert ("error" in answers["snapshot"], "error" in answers["unknown"]) == (False, True)
    assert [entry["id"] for entry in answers["streams"]["streams"]] == ["t-a"]
    told = daemon.health()
    assert (told.received, told.requests, told.requests_refused) == (2, 3, 1)
    assert daemon.metrics.snapshots == 1
    daemon.link.close()
    daemon.inbox.close()
    assert node.store
    node.store.close()
