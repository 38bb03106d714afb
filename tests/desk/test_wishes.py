"""What people do about alerts: acknowledged, snoozed and labelled, told once, and the same after a crash."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from edgeseq.commands import alerts
from edgeseq.core.alert_payload import alert_id
from edgeseq.core.instants import format_instant
from edgeseq.daemon.changes import reload
from tests.support.desk import T0, Bench, S, history


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


def test_snooze_says_how_many_streams_it_fits(bench: Bench) -> None:
    """A slip fits none, which is said; it is taken all the same, since the streams may be yet to come."""
    fits = [
        bench.ask("snooze", stream=pattern, duration="1h")["count"] for pattern in ("t-*", "t-a-v", "t-b*")
    ]
    assert fits == [1, 1, 0]
    assert bench.ask("snooze", table="t/+", duration="1h")["count"] == 1
    assert bench.ask("snooze", kind="spike", duration="1h")["count"] == 1
    assert "count" not in bench.ask("snooze", cancel=1)


@pytest.mark.parametrize(
    ("count", "warning"), [(0, "no stream fits yet"), (1, "(fits 1 stream)"), (7, "(fits 7 streams)")]
)
def test_command_warns_where_a_snooze_fits_nothing(
    monkeypatch: pytest.MonkeyPatch, count: int, warning: str
) -> None:
    """The command says how many, and warns beside its output."""

    class Node:
        def ask(self, *_: object, **__: object) -> dict[str, object]:
            return {"number": 3, "count": count, "muting": []}

    monkeypatch.setattr(alerts, "_node", lambda _: contextlib.nullcontext(Node()))
    done = CliRunner().invoke(alerts.snooze, ["--stream", "pmup*", "--for", "2h"])
    assert warning in done.stdout + done.stderr
    assert ("no stream fits" in done.stderr) is (count == 0)
    assert "no stream fits" not in done.stdout


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
