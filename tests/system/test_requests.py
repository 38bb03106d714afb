"""A node on a real broker answers what it is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.broker import peer, running_broker, wait_until
from tests.support.node import node_in
from tests.support.validate import validate

STREAMS = '[[streams]]\ntopic = "t/+"\nevery = "1s"\n'


@pytest.mark.system
def test_node_on_a_broker_tells_its_account_and_streams_when_asked(tmp_path: Path) -> None:
    """Each request is answered on its own topic, with its id; the account holds every reading before it, even."""
    root = "edgeseq/n/bridge"
    with (
        running_broker(tmp_path / "broker") as broker,
        node_in(tmp_path / "node", broker.port, STREAMS, node="requests = true") as node,
        peer(broker.port, f"{root}/response/+") as user,
    ):
        node.start()
        node.wait_for_event("broker.connected")
        for n in range(20):
            user.publish(f"t/{n % 4}", "bad" if n % 5 == 0 else str(n))
        for number, verb in enumerate(("health", "streams", "info", "snapshot", "dance")):
            user.publish(f"{root}/request/{verb}", json.dumps({"id": number}))
        user.flush()
        wait_until(lambda: len(user.last()) == 5, "five answers")
        answers = {topic.rpartition("/")[2]: json.loads(text) for topic, text in user.last().items()}
        for topic, text in user.last().items():
            validate(topic, text.encode())
        account = answers["health"]["health"]
        assert account["received"] == 20
        assert account["rejected"] == {"wrong_type": 4}
        assert account["received"] == account["applied"] + account["late"] + account["duplicate"] + 4
        assert [entry["id"] for entry in answers["streams"]["streams"]] == ["t-1", "t-2", "t-3", "t-0"]
        assert [answers[verb]["id"] for verb in ("health", "streams", "info", "snapshot")] == [0, 1, 2, 3]
        assert "error" in answers["unknown"]
        assert list(node.state_dir.glob("snapshot-*.bin")), "asked for, and taken before it was answered"
        assert node.stop() == 0
