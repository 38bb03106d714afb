"""What people do about alerts: kept, told once, and the same after a crash."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgeseq.adapters.log import open_log
from edgeseq.adapters.mqtt import Deliveries
from edgeseq.adapters.sdnotify import Notifier
from edgeseq.compose import open_node
from edgeseq.core import keeping
from edgeseq.core.alert_payload import alert_id
from edgeseq.core.asking import REQUESTS
from edgeseq.core.bridge import bridge_response
from edgeseq.core.instants import format_instant
from edgeseq.core.types import Message, Outgoing, Tick
from edgeseq.daemon import Daemon, read_config
from edgeseq.daemon.changes import reload
from edgeseq.daemon.life import start
from edgeseq.desk import RETRY_S
from edgeseq.requests import Gate, answer
from tests.support.validate import validate

S = 10**9
T0 = 1_772_359_200 * S
ROOT = "edgeseq/attic/bridge/request"
CONFIG = """
[node]
name = "attic"
state_dir = "s"
clock = "readings"
requests = true
[journal]
durability = "{mode}"
[[streams]]
topic = "t/+"
field = "v"
time = "time"
every = "10s"
limits = {{ max = 9 }}
silent_after = "90d"
alerts_per_week = 2
"""


class Bench:
    """A daemon without a broker: what it is given and what it hands over. It may be killed and made again."""

    def __init__(self, folder: Path, mode: str = "strict", more: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "edgeseq.toml"
        self.path.write_text(CONFIG.format(mode=mode) + more, encoding="utf-8")
        self.log: list[str] = []
        self.sent: list[Outgoing] = []
        self.now_ns = T0
        self.mid = 0
        self.start()

    def start(self) -> None:
        """Begin, or go on with what the last one left."""
        resolved = read_config(self.path)
        node = open_node(resolved, state_dir=resolved.state_dir, log=self._say)
        self.daemon = Daemon(self.path, node, open_log("error"), Notifier(None))
        self.daemon.log = self._say
        self.daemon.link.publish = self.sent.extend  # type: ignore[assignment, method-assign]
        self.daemon.link.unacknowledged = list  # type: ignore[method-assign]
        start(self.daemon)
        self.daemon.schedule.stop()

    def _say(self, event: str, **_: Any) -> None:
        self.log.append(event)

    def kill(self) -> None:
        """Let it end without a word, as a crash would."""
        node = self.daemon.node
        assert node.store
        node.store.close()
        if node.desk:
            node.desk.ledger.close()
        self.daemon.link.close()
        self.daemon.inbox.close()

    def read(self, step: int, value: float, topic: str = "t/a") -> None:
        """Give a reading of a step."""
        self.now_ns = T0 + 10 * step * S
        self._take(topic, {"v": value, "time": self.now_ns / S})

    def ask(self, verb: str, **asked: Any) -> dict[str, Any]:
        """Ask something; gives the answer."""
        before = len(self.sent)
        self._take(f"{ROOT}/{verb}", asked)
        answers = [out for out in self.sent[before:] if "/bridge/response/" in out.topic]
        assert len(answers) == 1
        content: dict[str, Any] = json.loads(answers[0].payload)
        return content

    def tick(self) -> None:
        """Let a second go by."""
        self.daemon.take([Tick(self.now_ns)])

    def _take(self, topic: str, content: dict[str, Any]) -> None:
        self.mid = self.mid % 60_000 + 1
        message = Message(topic, json.dumps(content).encode(), self.now_ns, mid=self.mid)
        self.daemon.take([Deliveries([message], self.daemon.link.generation)])
        self.daemon.commit_all()

    def told(self) -> set[bytes]:
        """Give all alert events, each once."""
        return {out.payload for out in self.sent if out.topic.endswith("/alert")}

    def kinds(self) -> list[str]:
        """List the alert events' types in the order in which they were first told."""
        seen = dict.fromkeys(out.payload for out in self.sent if out.topic.endswith("/alert"))
        return [json.loads(payload)["event_type"] for payload in seen]

    def last(self, topic: str) -> Any:
        """Give what a topic says."""
        payload = [out.payload for out in self.sent if out.topic == f"edgeseq/attic/{topic}"][-1]
        return json.loads(payload) if payload[:1] == b"{" else payload.decode()

    def open_id(self) -> str:
        """Give the id of the only open alert."""
        (alert,) = self.last("bridge/alerts")["alerts"]
        return str(alert["id"])


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Give a function that makes benches; all they sent is as documented."""
    made: list[Bench] = []

    def new(name: str = "one", **settings: Any) -> Bench:
        made.append(Bench(tmp_path / name, **settings))
        return made[-1]

    yield new
    for bench in made:
        bench.kill()
    for topic, payload in {(out.topic, out.payload) for bench in made for out in bench.sent}:
        validate(topic, payload)


@pytest.fixture
def bench(make: Callable[..., Bench]) -> Bench:
    """Give a node with a stream of good readings."""
    made = make()
    for step in range(5):
        made.read(step, 1.0 + step % 2)
    return made


def test_acknowledge_is_told_once_and_kept(bench: Bench) -> None:
    """An event, a mark in the list, and the first word stands, over a restart too."""
    bench.read(5, 50.0)
    name = bench.open_id()
    first = bench.ask("acknowledge", alert=name, by="anna")
    assert bench.ask("acknowledge", alert=name, by="ben")["acknowledged"] == first["acknowledged"]
    assert bench.kinds() == ["opened", "acknowledged"]
    assert bench.last("bridge/alerts")["alerts"][0]["acknowledged_by"] == "anna"
    told = bench.told()
    bench.kill()
    bench.start()
    assert bench.told() == told
    assert bench.last("bridge/alerts")["alerts"][0]["acknowledged_by"] == "anna"
    assert "no open alert" in bench.ask("acknowledge", alert="a" * 16)["error"]


def test_stream_stands_for_its_alerts(make: Callable[..., Bench]) -> None:
    """By the stream all that is open is acknowledged, as often as one likes; a label is that of its newest alert."""
    bench = make(more='[[streams]]\nname = "p"\nevery = "10s"\nchannels = { a = "p#a", b = "p#b" }\ntime = "time"\n'
                      "limits = { a = { max = 9 }, b = { max = 9 } }\n")  # fmt: skip
    for step, values in enumerate([{"a": 1, "b": 1}, {"a": 50, "b": 1}, {"a": 50, "b": 50}]):
        bench._take("p", {**values, "time": T0 / S + 10 * step})
    older, newer = sorted(bench.last("bridge/alerts")["alerts"], key=lambda alert: str(alert["opened"]))
    first = bench.ask("acknowledge", stream="p", by="anna")
    assert bench.ask("acknowledge", stream="p", by="ben")["acknowledged"] == first["acknowledged"]
    assert [alert["acknowledged_by"] for alert in bench.last("bridge/alerts")["alerts"]] == ["anna", "anna"]
    assert bench.kinds().count("acknowledged") == 2
    assert "error" not in bench.ask("label", stream="p", label="real")
    labels = {entry["alert"]["id"]: entry["label"] for entry in bench.ask("alerts")["alerts"]}
    assert labels == {older["id"]: None, newer["id"]: "real"}


def test_label_by_the_stream_finds_an_alert_that_is_over(bench: Bench) -> None:
    """Where none is open the newest of the history is meant."""
    bench.read(5, 50.0)
    name = bench.open_id()
    for step in range(6, 13):
        bench.read(step, 1.0)
    assert bench.kinds() == ["opened", "cleared"]
    assert "error" not in bench.ask("label", stream="t-a-v", label="false_alarm")
    assert {(e["alert"]["id"], e["label"]) for e in bench.ask("alerts")["alerts"]} == {(name, "false_alarm")}


def test_snooze_holds_alerts_back_until_it_ends(bench: Bench) -> None:
    """Not told and not ON, but listed, counted and in the history; then told, since it is open still."""
    number = bench.ask("snooze", stream="t-a-v", duration="100s", by="anna")["number"]
    bench.read(5, 50.0)
    assert bench.kinds() == []
    assert bench.last("t-a-v/anomaly") == "OFF"
    assert bench.last("bridge/alerts")["alerts"][0]["muted"] is True
    assert bench.daemon.health().alerts_muted == 1
    (entry,) = bench.ask("alerts")["alerts"]
    assert (entry["muted"], entry["alert"]["stream"]) == (True, "t-a-v")
    bench.read(13, 50.0)
    bench.tick()
    assert bench.kinds() == []
    bench.read(15, 50.0)
    bench.tick()
    assert bench.kinds() == ["opened"]
    assert bench.last("t-a-v/anomaly") == "ON"
    assert bench.last("bridge/alerts")["alerts"][0]["muted"] is False
    assert "none has the number" in bench.ask("snooze", cancel=number + 1)["error"]


def test_snooze_that_is_cancelled_ends_now(bench: Bench) -> None:
    """What is open is told at once."""
    number = bench.ask("snooze", table="t/+", duration="1d")["number"]
    bench.read(5, 50.0)
    bench.read(6, 50.0)
    answer = bench.ask("snooze", cancel=number)
    assert (bench.kinds(), answer["muting"]) == (["opened"], [])


def test_maintenance_of_the_configuration_mutes_and_is_listed(make: Callable[..., Bench]) -> None:
    """A window needs no request; it is told among those that hold."""
    begin, end = format_instant(T0 + 40 * S), format_instant(T0 + 200 * S)
    bench = make(more=f'[[maintenance]]\nbegin = "{begin}"\nend = "{end}"\nstreams = ["t-*"]\n')
    bench.read(3, 50.0, "t/b")
    bench.read(5, 50.0)
    assert [json.loads(payload)["stream"] for payload in bench.told()] == ["t-b-v"]
    (window,) = bench.ask("maintenance")["muting"]
    assert (window["number"], window["purpose"], window["streams"]) == (None, "maintenance", ["t-*"])
    bench.read(21, 50.0)
    bench.tick()
    assert {json.loads(payload)["stream"] for payload in bench.told()} == {"t-a-v", "t-b-v"}


STORY: list[Callable[[Bench], object]] = [
    *[lambda one, n=n: one.read(n, 1.0 + n % 2) for n in range(5)],
    lambda one: one.read(5, 50.0),
    lambda one: one.ask("acknowledge", alert=opened_at(one, 5), by="anna"),
    lambda one: one.read(6, 50.0, "t/b"),
    lambda one: one.ask("snooze", stream="t-c-*", duration="200s", by="anna"),
    lambda one: one.ask("snooze", stream="t-b-*", duration="60s"),
    lambda one: one.read(7, 50.0, "t/c"),
    lambda one: one.tick(),
    *[lambda one, n=n: one.read(n, 1.0 + n % 2) for n in range(8, 16)],
    lambda one: one.tick(),
    *[lambda one, n=n: one.read(n, 1.0 + n % 2, "t/b") for n in range(16, 24)],
    lambda one: one.read(30, 50.0, "t/c"),
    lambda one: one.tick(),
    *[lambda one, n=n: one.read(n, 1.0 + n % 2, "t/c") for n in range(31, 39)],
    lambda one: one.tick(),
]
"""Alerts that open and clear, one acknowledged, one snoozed while it is open, one that opens while it is snoozed."""


def opened_at(bench: Bench, step: int) -> str:
    """Give the id of the alert that opened at a step of stream a."""
    events = [json.loads(payload) for payload in bench.told()]
    moment = format_instant(T0 + 10 * step * S)
    return next(str(event["id"]) for event in events if event["opened"] == moment)


CUTS = [*range(5, 13), *range(13, len(STORY), 4), len(STORY) - 2]
"""After everything that is said or asked, and now and then between the readings that clear."""


def test_restart_anywhere_same_events_as_uninterrupted(make: Callable[..., Bench]) -> None:
    """Killed after a step of the story: the same alerts, acknowledgements and late openings, byte for byte."""
    whole = make("whole", mode="batched")
    for step in STORY:
        step(whole)
    assert sorted(whole.kinds()) == [*["acknowledged"], *["cleared"] * 3, *["opened"] * 3]
    for cut in CUTS:
        torn = make(f"cut {cut}", mode="batched")
        for n, step in enumerate(STORY):
            step(torn)
            if n == cut:
                torn.kill()
                torn.start()
        assert torn.told() == whole.told(), cut
        assert history(torn) == history(whole), cut
        assert torn.last("bridge/alerts") == whole.last("bridge/alerts")


def history(bench: Bench) -> list[Any]:
    """Give the history, without numbers."""
    bench.tick()
    entries = bench.ask("alerts", limit=50)["alerts"]
    return [{key: value for key, value in entry.items() if key != "number"} for entry in entries]


def test_label_is_kept_with_the_readings_around_the_alert(bench: Bench) -> None:
    """Readings before the alert and after it, on the grid; a label can be changed and taken back."""
    for step in range(5, 40):
        bench.read(step, 1.0 + step % 2)
    bench.read(40, 50.0)
    name = bench.open_id()
    for step in range(41, 180):
        bench.read(step, 1.0 + step % 2)
        bench.tick()
    assert (
        bench.ask("label", alert=name, label="false_alarm", note="cleaning", by="anna").get("error") is None
    )
    bench.kill()
    bench.start()
    (entry,) = bench.ask("alerts", labelled=True, readings=True)["alerts"]
    readings = entry["readings"]
    assert (entry["label"], entry["note"]) == ("false_alarm", "cleaning")
    assert readings["values"] == [50.0 if step == 40 else 1.0 + step % 2 for step in range(140)]
    assert (readings["onset"], readings["first"], readings["period_s"]) == (40, format_instant(T0), 10)
    bench.ask("label", alert=name, label="none")
    assert bench.ask("alerts", labelled=True)["alerts"] == []
    assert "no alert" in bench.ask("label", alert="a" * 16, label="real")["error"]


def test_readings_around_an_alert_survive_a_restart_in_the_middle(bench: Bench) -> None:
    """What had come before the crash and what came after it are one window."""
    bench.read(5, 50.0)
    name = bench.open_id()
    for step in range(6, 120):
        if step in (7, 60):
            bench.kill()
            bench.start()
        bench.read(step, 1.0 + step % 2)
        bench.tick()
    bench.ask("label", alert=name, label="real")
    (entry,) = bench.ask("alerts", labelled=True, readings=True)["alerts"]
    assert entry["readings"]["values"] == [50.0 if step == 5 else 1.0 + step % 2 for step in range(105)]


def test_history_comes_in_pages_and_holds_each_event_once(bench: Bench) -> None:
    """Also after a crash that makes the events again."""
    for k in range(6):
        bench.read(5 + k, 50.0, f"t/{k}")
    bench.kill()
    bench.start()
    seen, start = [], None
    while True:
        page = bench.ask("alerts", limit=2, **({} if start is None else {"start": start}))
        seen += [entry["alert"]["stream"] for entry in page["alerts"]]
        if (start := page["next"]) is None:
            break
    assert seen == [f"t-{k}-v" for k in reversed(range(6))]
    assert page["count"] == 6
    assert [e["alert"]["stream"] for e in bench.ask("alerts", stream="t-3-v")["alerts"]] == ["t-3-v"]


@pytest.mark.parametrize(
    ("verb", "asked", "says"),
    [
        ("acknowledge", {}, "wanted one of alert"),
        ("acknowledge", {"alert": "a" * 16, "stream": "t-a-v"}, "wanted one of alert"),
        ("acknowledge", {"stream": "t-x-v"}, "there is no stream t-x-v"),
        ("acknowledge", {"stream": "t-a-v"}, "has no open alert"),
        ("label", {"label": "real"}, "wanted one of alert"),
        ("label", {"stream": "t-a-v", "label": "real"}, "holds no alert of the stream t-a-v"),
        ("acknowledge", {"alert": "x"}, "cannot be read"),
        ("snooze", {"duration": "1h"}, "wanted stream, table or kind"),
        ("snooze", {"stream": "a"}, "wanted one of duration"),
        ("snooze", {"stream": "a", "duration": "1h", "until": "2026-03-02"}, "wanted one of duration"),
        ("snooze", {"stream": "a", "duration": "soon"}, "no duration"),
        ("snooze", {"stream": "a", "until": "soon"}, "no time"),
        ("snooze", {"stream": "a", "until": "2020-01-01"}, "not end within the next 366 days"),
        ("snooze", {"stream": "a", "duration": "99999999999w"}, "next 366 days"),
        ("snooze", {"kind": "loud", "duration": "1h"}, "wanted one of spike"),
        ("snooze", {"table": "x", "duration": "1h"}, "wanted one of t/+"),
        ("maintenance", {"begin": "Sun 02:00"}, "wanted begin and end"),
        ("maintenance", {"begin": "Sun 02:00", "end": "later"}, "no time"),
        ("maintenance", {"begin": "Sun 02:00", "end": "Sun 03:00", "time_zone": "Mars"}, "time zone"),
        ("maintenance", {"begin": "a", "end": "b", "streams": ["x"] * 21}, "cannot be read"),
        ("maintenance", {"cancel": 7}, "none has the number"),
        ("label", {"alert": "a" * 16, "label": "nice"}, "cannot be read"),
        ("alerts", {"limit": 0}, "cannot be read"),
    ],
)
def test_bad_request_says_what_was_found_and_wanted(
    bench: Bench, verb: str, asked: dict[str, Any], says: str
) -> None:
    """Nothing happens, and the answer says why."""
    assert says in bench.ask(verb, **asked)["error"]
    assert bench.ask("maintenance")["muting"] == []


def test_ledger_that_cannot_be_written_stops_nothing(bench: Bench) -> None:
    """Alerts are told, requests that must be kept are refused, health says so; later all is in the history."""
    desk = bench.daemon.node.desk
    assert desk
    clock_s = [0.0]
    desk._clock_s = lambda: clock_s[0]
    desk.ledger.close()
    aside = desk.ledger.path.parent / "away"
    desk.ledger.path.rename(aside)
    desk.ledger.path.mkdir()
    bench.read(5, 50.0)
    assert bench.kinds() == ["opened"]
    name = bench.open_id()
    assert "ledger" in bench.ask("acknowledge", alert=name)["error"]
    assert "ledger" in bench.ask("snooze", kind="spike", duration="1h")["error"]
    assert bench.daemon.health().ledger_faults >= 1
    assert bench.last("bridge/alerts")["alerts"][0]["acknowledged"] is None
    assert "ledger.failed" in bench.log
    desk.ledger.path.rmdir()
    aside.rename(desk.ledger.path)
    clock_s[0] = RETRY_S + 1
    bench.tick()
    assert [entry["alert"]["id"] for entry in bench.ask("alerts")["alerts"]] == [name]
    assert bench.ask("acknowledge", alert=name).get("error") is None


def test_ledger_that_cannot_be_read_at_a_start_is_read_later(bench: Bench) -> None:
    """The node starts without; once the disk works what people had said holds again."""
    bench.read(5, 50.0)
    bench.ask("acknowledge", alert=bench.open_id(), by="anna")
    bench.ask("snooze", kind="out_of_range", duration="1d")
    bench.read(6, 50.0)
    bench.kill()
    path = bench.path.parent / "s" / "ledger.sqlite"
    path.rename(path.with_name("away"))
    path.mkdir()
    bench.start()
    bench.tick()
    assert bench.daemon.health().ledger_faults >= 1
    assert bench.last("t-a-v/anomaly") == "ON"
    path.rmdir()
    path.with_name("away").rename(path)
    desk = bench.daemon.node.desk
    assert desk
    desk._retry_s = 0.0
    bench.tick()
    (alert,) = bench.last("bridge/alerts")["alerts"]
    assert (alert["muted"], alert["acknowledged_by"]) == (True, "anna")
    assert bench.last("t-a-v/anomaly") == "OFF"
    assert len(bench.ask("maintenance")["muting"]) == 1


def test_alerts_a_week_are_told_with_the_budget_and_an_excess_is_logged(bench: Bench) -> None:
    """Not before a week has been seen; then decayed, and logged once when it is beyond 1.5 times the budget."""
    week = 7 * 8640
    assert bench.daemon.health().alert_rates[0].per_week is None
    bench.tick()
    for k in range(1, 31):
        bench.read(k * week // 21, 50.0, f"t/{k}")
        bench.tick()
    (rate,) = bench.daemon.health().alert_rates
    assert (rate.table, rate.budget) == ("t/+", 2)
    assert rate.per_week is not None
    assert rate.per_week > 3
    assert bench.log.count("budget.exceeded") == 1


def test_reload_keeps_what_people_have_said(bench: Bench) -> None:
    """A new configuration takes over snoozes and acknowledgements; switched off, requests leave no ledger open."""
    bench.ask("snooze", stream="t-a-v", duration="1d")
    text = bench.path.read_text(encoding="utf-8")
    bench.path.write_text(text.replace("max = 9", "max = 8"), encoding="utf-8")
    reload(bench.daemon)
    bench.read(5, 50.0)
    assert bench.kinds() == []
    assert bench.last("bridge/alerts")["alerts"][0]["muted"] is True
    bench.read(6, 50.0, "t/b")
    bench.ask("snooze", stream="t-b-v", duration="1d")
    bench.read(7, 50.0)
    bench.tick()
    assert bench.last("t-b-v/anomaly") == "OFF"
    sent = len(bench.sent)
    reload(bench.daemon)
    assert [out.payload for out in bench.sent[sent:] if out.topic.endswith("t-b-v/anomaly")][-1] == b"OFF"
    assert b"ON" not in {out.payload for out in bench.sent[sent:]}
    bench.path.write_text(text.replace("requests = true", "requests = false"), encoding="utf-8")
    reload(bench.daemon)
    assert bench.daemon.node.desk is None
    views = bench.daemon.node.render_state.views.values()
    assert [one.alert.muted for view in views for one in view.open.values()] == [False, False]
    bench.daemon.link.unacknowledged = list  # type: ignore[method-assign]


def test_alert_id_of_the_list_is_that_of_the_event(bench: Bench) -> None:
    """What a person reads in the list can be used in a request."""
    bench.read(5, 50.0)
    (payload,) = bench.told()
    assert bench.open_id() == json.loads(payload)["id"]
    assert len(alert_id("a", "b", "c", 1, "d")) == len(bench.open_id())


JUNK: list[object] = [
    None, True, -1, 0, 2**62, 2**70, 1e300, "", "x", "Sun 02:00", "Mon 02:00", "0001-01-01T00:00", "9999-12-31T23:59",
    "2026-03-01T10:00:00Z", "2026-03-08T10:00:00+23:59", "9" * 30 + "w", "1h", "Asia/Tokyo", "\x00", "..", "spike",
    "t/+", "*", [], ["*"], ["["] * 20, {}, "a" * 16, "real", "none", "\ud800",
]  # fmt: skip


def test_no_request_about_alerts_raises_or_moves_a_stream(bench: Bench) -> None:
    """Whatever is asked, there is an answer as documented; nothing that follows from it breaks the node."""
    bench.read(5, 50.0)
    before = keeping.dump(bench.daemon.node.state)[1]
    rng = random.Random(3)
    node, gate = bench.daemon.node, Gate()
    for _ in range(400):
        verb = rng.choice(["alerts", "acknowledge", "snooze", "maintenance", "label"])
        keys = [field.name for field in msgspec.structs.fields(REQUESTS[verb])]
        asked = {key: rng.choice(JUNK) for key in rng.sample(keys, rng.randint(0, len(keys)))}
        gate._tokens = 1.0
        message = Message(f"{ROOT}/{verb}", json.dumps(asked).encode(), bench.now_ns)
        told = answer(gate, node, message, bench.daemon.health, lambda: True, bench.daemon.send)
        assert told is not None
        out = bridge_response(node.context.root, told)
        validate(out.topic, out.payload)
    bench.tick()
    assert keeping.dump(node.state)[1].keys() == before.keys()
    assert all(
        np.array_equal(a, before[k], equal_nan=a.dtype.kind == "f")
        for k, a in keeping.dump(node.state)[1].items()
    )
    bench.kill()
    bench.start()
