"""People and alerts on a real node: acknowledged, snoozed, labelled, exported; and the node killed in between."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from edgeseq import failpoint
from edgeseq.cli import edgeseq
from edgeseq.errors import BrokerError, InputError
from edgeseq.watch import asking
from tests.support.broker import Broker, Peer, peer, running_broker, wait_until
from tests.support.node import STRICT, Node, node_in
from tests.support.validate import validate

pytestmark = pytest.mark.system

STREAMS = """
[[streams]]
topic = "t/+"
field = "v"
time = "time"
every = "10s"
limits = { max = 9 }
silent_after = "90d"
"""
SETTINGS = 'requests = true\nclock = "readings"'
T0_S = 1_760_000_000


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Give a broker."""
    with running_broker(tmp_path / "broker") as found:
        yield found


@pytest.fixture
def node(tmp_path: Path, broker: Broker) -> Iterator[Node]:
    """Give a node that answers requests; it is not started."""
    with node_in(tmp_path / "node", broker.port, STREAMS, node=SETTINGS, rest=STRICT) as made:
        yield made


def read(user: Peer, step: int, value: float, topic: str = "t/a") -> None:
    """Publish a reading."""
    user.publish(topic, json.dumps({"v": value, "time": T0_S + 10 * step}))
    user.flush()


def alerts(user: Peer) -> set[str]:
    """Give the alert events that were told, each once."""
    return {m.payload.decode() for m in list(user.received) if m.topic.endswith("/alert")}


def types(user: Peer) -> list[str]:
    """List their types."""
    return sorted(json.loads(text)["event_type"] for text in alerts(user))


def listed(user: Peer) -> list[dict[str, Any]]:
    """Give the open alerts."""
    content = json.loads(user.last().get("edgeseq/n/bridge/alerts", '{"alerts":[]}'))
    return list(content["alerts"])


def command(port: int, *arguments: str) -> str:
    """Run `edgeseq alerts …`."""
    where = ["--port", str(port), "--node", "n"]
    done = CliRunner().invoke(edgeseq, ["alerts", *arguments, *where], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_alerts_by_the_command_line_over_kills_and_restarts(
    tmp_path: Path, broker: Broker, node: Node
) -> None:
    """What was asked for holds after a kill at each durable step, and everything is told once by its bytes."""
    with peer(broker.port, "edgeseq/#") as user:
        node.start(EDGESEQ_FAILPOINT="ledger.written")
        node.wait_for_event("broker.connected")
        read(user, 0, 50.0)
        assert node.died_of_failpoint(), "the alert is in the ledger, nobody has been told"
        assert alerts(user) == set()
        node.start(EDGESEQ_FAILPOINT="ledger.asked")
        wait_until(lambda: types(user) == ["opened"], "the alert")
        wait_until(lambda: len(listed(user)) == 1, "the list of open alerts")
        (alert,) = listed(user)
        user.publish("edgeseq/n/bridge/request/acknowledge", json.dumps({"alert": alert["id"], "by": "anna"}))
        assert node.died_of_failpoint(), "acknowledged in the ledger, nobody has been told"
        assert types(user) == ["opened"]
        node.start()
        wait_until(lambda: types(user) == ["acknowledged", "opened"], "the acknowledgement")
        wait_until(lambda: [a["acknowledged_by"] for a in listed(user)] == ["anna"], "the mark")
        # asked again by the broker, or by a person: it stands
        assert "acknowledged since" in command(broker.port, "acknowledge", alert["id"], "--by", "ben")
        command(broker.port, "snooze", "--stream", "t-b-*", "--for", "100s", "--by", "anna")
        read(user, 1, 50.0, "t/b")
        wait_until(lambda: [a["muted"] for a in listed(user) if a["stream"] == "t-b-v"] == [True], "muted")
        node.kill()
        node.start()
        for step in range(2, 13):
            read(user, step, 1.0)
        wait_until(
            lambda: types(user) == ["acknowledged", "cleared", "opened", "opened"], "told late, and cleared"
        )
        command(broker.port, "label", alert["id"], "false_alarm", "--note", "cleaning")
        check_history(tmp_path, broker.port, alert["id"])
        check_maintenance(broker.port)
        assert node.stop() == 0, node.text()
        for topic, text in user.last().items():
            validate(topic, text.encode())
    assert failpoint.DESK_NAMES == ("ledger.written", "ledger.asked"), "each was passed above"


def check_history(folder: Path, port: int, alert: str) -> None:
    """List and export what has happened."""
    lines = [json.loads(line) for line in command(port, "list", "--json").splitlines()]
    assert [(e["alert"]["stream"], e["alert"]["event_type"], e["muted"]) for e in lines] == [
        ("t-a-v", "cleared", False), ("t-b-v", "opened", True), ("t-a-v", "opened", False),
    ]  # fmt: skip
    assert "acknowledged by anna, false_alarm" in command(port, "list", "--stream", "t-a-v")
    command(port, "export", "-o", str(folder / "labels.csv"))
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == {"false_alarm"}
    assert {row["alert"] for row in rows} == {alert}
    assert [row["value"] for row in rows][:3] == ["50.0", "", "1.0"], "nothing came in the second step"
    command(port, "export", "-o", str(folder / "labels.parquet"))
    table = pl.read_parquet(folder / "labels.parquet")
    assert table["value"].to_list() == [float(row["value"]) if row["value"] else None for row in rows]
    command(port, "export", "-o", str(folder / "labels.jsonl"))
    assert json.loads((folder / "labels.jsonl").read_text(encoding="utf-8"))["alert"]["id"] == alert


def check_maintenance(port: int) -> None:
    """Plan, list and end a window; what the node refuses is told."""
    day = f"{datetime.now(UTC) + timedelta(days=3):%a}"  # a window that is open now would be told as such
    begin, end = f"{day} 02:00", f"{day} 04:00"
    planned = command(port, "maintenance", "--begin", begin, "--end", end, "--stream", "p-*")
    assert f"{begin} to {end}  p-*" in planned
    number = planned.split()[1]
    assert number in command(port, "maintenance")
    command(port, "maintenance", "--cancel", number)
    assert begin not in command(port, "maintenance")
    with pytest.raises(InputError, match="refuses") as fault:
        command(port, "maintenance", "--begin", "soon", "--end", "later")
    assert "no time" in str(fault.value)


def test_alerts_of_a_node_that_answers_nothing_are_an_error(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that requests must be switched on."""
    monkeypatch.setattr(asking, "ANSWER_S", 0.2)
    with pytest.raises(BrokerError, match="does not answer") as fault:
        command(broker.port, "list")
    assert "requests" in str(fault.value)
