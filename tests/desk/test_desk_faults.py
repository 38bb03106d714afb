"""Requests about alerts that are wrong, and a ledger that fails: nothing stops, nothing moves."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import numpy as np
import pytest

from edgeseq.core import keeping
from edgeseq.core.asking import REQUESTS
from edgeseq.core.bridge import bridge_response
from edgeseq.core.types import Message
from edgeseq.desk import RETRY_S
from edgeseq.requests import Gate, answer
from tests.support.desk import ROOT, Bench
from tests.support.validate import validate


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
