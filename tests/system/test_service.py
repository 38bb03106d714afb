"""The daemon under its service manager, and in the face of what operators do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgeseq.core.types import Reason
from tests.support.broker import Broker, Peer, free_port, running_broker, wait_until
from tests.support.node import Node, node_in
from tests.support.validate import validate

pytestmark = pytest.mark.system

T0_S = 1_760_000_000
RULES = '[[streams]]\ntopic = "plant/+"\nfield = "value"\ntime = "time"\nevery = "10s"\n'


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Give a fresh broker."""
    with running_broker(tmp_path / "broker") as found:
        yield found


@pytest.fixture
def node(tmp_path: Path, broker: Broker) -> Iterator[Node]:
    """Give a node that is not running yet."""
    with node_in(tmp_path / "node", broker.port, RULES, node='clock = "readings"') as found:
        yield found


@pytest.fixture
def watcher(broker: Broker) -> Iterator[Peer]:
    """Give a subscriber of all that the node publishes; all of it is validated in the end."""
    found = Peer(broker.port, "edgeseq/#")
    yield found
    found.close()
    for message in found.received:
        validate(message.topic, bytes(message.payload))


@pytest.fixture
def sensor(broker: Broker) -> Iterator[Peer]:
    """Give a publisher."""
    found = Peer(broker.port)
    yield found
    found.close()


def reading(step: int, value: float | None = None) -> str:
    """Make a payload."""
    return json.dumps({"value": step % 4 if value is None else value, "time": T0_S + 10 * step})


def begin(node: Node, watcher: Peer) -> None:
    """Start the node and wait until it listens."""
    node.start()
    wait_until(lambda: watcher.texts("edgeseq/n/bridge/state")[-1:] == ['{"state":"online"}'], "online")


def last_origin(watcher: Peer, stream: str = "plant-a-value") -> str:
    """Tell the origin of a stream's last forecast."""
    payload = watcher.last().get(f"edgeseq/n/{stream}/forecast", "{}")
    return str(json.loads(payload).get("origin", ""))


def test_service_told_ready_progress_and_end(node: Node, watcher: Peer) -> None:
    """READY once the state is restored, WATCHDOG after ticks, STOPPING at SIGTERM; exit 0 and a goodbye."""
    begin(node, watcher)
    wait_until(lambda: node.listen().count("WATCHDOG=1") >= 2, "two signs of progress")
    assert node.heard[0] == "READY=1"
    assert node.stop() == 0, node.text()
    assert node.listen()[-1] == "STOPPING=1"
    wait_until(lambda: watcher.texts("edgeseq/n/bridge/state")[-1] == '{"state":"stopped"}', "goodbye")
    assert [line["reason"] for line in node.events("daemon.stopped")] == ["SIGTERM"]


def test_service_stuck_loop_not_alive(node: Node, watcher: Peer) -> None:
    """A daemon whose loop does not turn sends no more signs of progress: no thread does it on its behalf."""
    begin(node, watcher)
    wait_until(lambda: "WATCHDOG=1" in node.listen(), "a sign of progress")
    node.process.send_signal(signal.SIGSTOP)
    subprocess.run(["sleep", "0.2"], check=True)
    node.listen()
    count = len(node.heard)
    subprocess.run(["sleep", "2.5"], check=True)
    assert len(node.listen()) == count
    node.process.send_signal(signal.SIGCONT)
    wait_until(lambda: node.listen().count("WATCHDOG=1") > 1, "alive again")


def test_service_ready_without_broker(tmp_path: Path) -> None:
    """READY does not wait for the broker: it is told as unreachable, with what to do, and tried again."""
    with node_in(tmp_path / "node", free_port(), RULES) as node:
        node.start()
        first, second = node.wait_for_event("broker.missed", 2)[:2]
        assert first["where"] == f"127.0.0.1:{node.port}"
        assert "refused" in first["reason"]
        assert "mqtt.host" in first["do"]
        assert 0 < first["retry_s"] <= 1.0 < second["retry_s"] + 0.6
        wait_until(lambda: "WATCHDOG=1" in node.listen(), "alive without a broker")
        assert node.stop() == 0, node.text()


@contextmanager
def node_with_password(tmp_path: Path) -> Iterator[tuple[Node, Path]]:
    """Give a node whose broker asks for the password "right", and the file of the node's own."""
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "me", "right"], check=True)
    passwords.chmod(0o644)
    folder = tmp_path / "node"
    folder.mkdir()
    mqtt = 'username = "me"\npassword_file = "password"'
    lines = ("allow_anonymous false", f"password_file {passwords}")
    with (
        running_broker(tmp_path / "broker", *lines) as broker,
        node_in(folder, broker.port, RULES, mqtt=mqtt) as node,
    ):
        yield node, folder / "password"


def test_wrong_password_at_the_first_start_of_all_ends_it(tmp_path: Path) -> None:
    """Somebody is setting it up: exit code 78, which systemd does not restart, and a message that says what to do."""
    with node_with_password(tmp_path) as (node, password):
        password.write_text("wr0ng-s3cret\n", encoding="utf-8")
        node.launch()
        assert node.process.wait(timeout=60) == 78, node.text()
        for said in ("does not let this node in", f"127.0.0.1:{node.port}", "as user me", "password_file"):
            assert said in node.text()
        assert "s3cret" not in node.text()
        password.write_text("right\n", encoding="utf-8")
        node.start()
        node.wait_for_event("broker.connected")
        assert node.stop() == 0, node.text()


def test_wrong_password_later_is_told_and_retried(tmp_path: Path) -> None:
    """A broker that let it in before may be wrong itself: the daemon lives on, and the password is never shown."""
    with node_with_password(tmp_path) as (node, password):
        password.write_text("right\n", encoding="utf-8")
        node.start()
        node.wait_for_event("broker.connected")
        assert node.stop() == 0, node.text()
        password.write_text("wr0ng-s3cret\n", encoding="utf-8")
        node.start()
        refused = node.wait_for_event("broker.refused")[0]
        assert (refused["where"], refused["username"]) == (f"127.0.0.1:{node.port}", "me")
        assert "password" in refused["do"]
        password.write_text("right\n", encoding="utf-8")
        node.process.send_signal(signal.SIGHUP)
        node.wait_for_event("broker.connected", 2)
        assert node.stop() == 0, node.text()
        assert "s3cret" not in node.text()


def test_reload_wrong_configuration_keeps_the_old_one(node: Node, watcher: Peer, sensor: Peer) -> None:
    """SIGHUP with a wrong file: config.rejected says what and where, and the daemon goes on as before."""
    begin(node, watcher)
    sensor.publish("plant/a", reading(0))
    wait_until(lambda: last_origin(watcher), "a forecast")
    good = node.config.read_text(encoding="utf-8")
    node.config.write_text(good.replace("every =", "evry ="), encoding="utf-8")
    node.process.send_signal(signal.SIGHUP)
    (rejected,) = node.wait_for_event("config.rejected")
    assert "evry" in rejected["error"]
    wait_until(lambda: node.listen().count("READY=1") == 2, "ready again")
    assert node.heard.count("RELOADING=1") == 1
    sensor.publish("plant/a", reading(1))
    wait_until(lambda: last_origin(watcher) == "2025-10-09T08:53:30Z", "the next forecast")
    assert node.stop() == 0, node.text()


def test_reload_good_configuration_keeps_streams(node: Node, watcher: Peer, sensor: Peer) -> None:
    """SIGHUP with a good file: new rules apply, streams of unchanged rules keep their state, others are told."""
    begin(node, watcher)
    for step in range(30):
        sensor.publish("plant/a", reading(step))
    wait_until(lambda: last_origin(watcher) == "2025-10-09T08:58:10Z", "forecasts")
    more = '[[streams]]\ntopic = "attic/+"\nfield = "value"\ntime = "time"\nevery = "10s"\n'
    node.write(RULES + more, node='clock = "readings"')
    node.process.send_signal(signal.SIGHUP)
    node.wait_for_event("config.reloaded")
    node.wait_for_event("broker.connected", 2)  # new subscriptions need a new link; its session goes on
    sensor.publish("attic/b", reading(30))
    sensor.publish("plant/a", reading(30))
    wait_until(lambda: last_origin(watcher, "attic-b-value"), "a forecast of the new rule")
    wait_until(lambda: last_origin(watcher) == "2025-10-09T08:58:20Z", "a forecast of the old rule")
    assert node.events("session.lost") == []
    assert node.events("stream.dropped") == []
    ids = [json.loads(p)["id"] for p in watcher.texts("edgeseq/n/plant-a-value/forecast")]
    steps = [int(i.split(":")[1]) for i in ids]
    assert steps == list(range(steps[0], steps[0] + 31)), "the grid goes on"
    node.write(more, node='clock = "readings"')
    node.process.send_signal(signal.SIGHUP)
    assert node.wait_for_event("stream.dropped")[0]["stream"] == "plant-a-value"
    node.wait_for_event("config.reloaded", 2)
    node.kill()
    node.start()
    assert node.events("state.restored")[-1]["streams"] == 2, "numbers are never given twice"
    assert node.stop() == 0, node.text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("[[streams", "TOML"),
        ('[[streams]]\ntopic = "plant/+"\n', "every"),
        ('[[streams]]\ntopic = "plant/+"\nevery = "0s"\n', "every"),
        ('[[streams]]\ntopic = "edgeseq/#"\nevery = "1s"\n', "edgeseq"),
        ('[[streams]]\ntopic = "plant/+"\nevery = "1s"\nbundle = "none.edgeseq"\n', "none.edgeseq"),
    ],
)
def test_wrong_set_up_exits_78_and_says_what(node: Node, change: str, said: str) -> None:
    """A configuration or bundle that cannot be used ends the daemon with 78, which systemd does not restart."""
    node.write(change)
    node.launch()
    assert node.process.wait(60) == 78, node.text()
    assert said in node.text()
    assert "Traceback" not in node.text()
    assert "READY=1" not in node.listen()


def test_second_daemon_on_one_state_folder_exits_78(node: Node, watcher: Peer, tmp_path: Path) -> None:
    """Two daemons never share a state folder."""
    begin(node, watcher)
    command = [sys.executable, "-m", "edgeseq", "run", "--config", str(node.config)]
    variables = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}
    other = subprocess.run(command, capture_output=True, text=True, timeout=60, env=variables, check=False)
    assert other.returncode == 78
    assert "another process uses the state folder" in other.stderr


def test_bad_messages_through_the_broker_counted_exactly(node: Node, watcher: Peer, sensor: Peer) -> None:
    """Bad messages among good ones: exact counts in bridge/health, a log line per reason, forecasts as without."""
    sensor.publish("plant/old", reading(0, 99.0), retain=True)
    sensor.flush()
    begin(node, watcher)
    bad: list[tuple[str | bytes, Reason]] = [
        ("{", Reason.MALFORMED_JSON),
        (b'{"value": "\xff"}', Reason.BAD_UTF8),
        ('{"value":NaN,"time":1760000000}', Reason.NOT_FINITE),
        ('{"value":1e999,"time":1760000000}', Reason.NOT_FINITE),
        ('{"value":"warm","time":1760000000}', Reason.WRONG_TYPE),
        ('{"other":1}', Reason.NO_FIELD),
        ("[" * 5000, Reason.TOO_DEEP),
        ("x" * 70_000, Reason.PAYLOAD_TOO_LARGE),
        ('{"value":1,"time":"soon"}', Reason.BAD_TIME),
        ('{"value":1,"time":4000000000}', Reason.TIME_IN_FUTURE),
    ]
    for step in range(20):
        sensor.publish("plant/a", reading(step))
        payload, _ = bad[step % len(bad)]
        sensor.publish("plant/a", payload)
    sensor.publish("plant/a", reading(19))  # again
    sensor.publish("plant/a", reading(5, 77.0))  # long after
    sensor.publish("plant/end", reading(0))
    wait_until(lambda: last_origin(watcher, "plant-end-value"), "the last forecast")
    assert node.stop() == 0, node.text()
    wait_until(lambda: watcher.texts("edgeseq/n/bridge/state")[-1] == '{"state":"stopped"}', "goodbye")
    health = json.loads(watcher.last()["edgeseq/n/bridge/health"])
    expected = {str(reason): 2 for _, reason in bad} | {"retained": 1, "not_finite": 4}
    assert health["rejected"] == expected
    assert (health["applied"], health["late"], health["duplicate"]) == (21, 1, 1)
    assert health["received"] == 21 + 1 + 1 + sum(expected.values()) + health["shed"]
    assert health["shed"] == 0
    told = {line["reason"] for line in node.events("reading.rejected")}
    assert told == {*expected, "late", "duplicate"}
    observed = [json.loads(p)["observed"] for p in watcher.texts("edgeseq/n/plant-a-value/forecast")]
    assert observed == [step % 4 for step in range(20)]
    (summary,) = node.events("daemon.summary")
    assert summary["applied"] == 21


def test_broker_that_forgot_us_told_and_counted(tmp_path: Path) -> None:
    """A broker that comes back without our session: messages may be lost, so it is told, counted and published."""
    with (
        running_broker(tmp_path / "broker") as broker,
        node_in(tmp_path / "node", broker.port, RULES, node='clock = "readings"') as node,
    ):
        node.start()
        node.wait_for_event("broker.connected")
        broker.kill()
        for path in (tmp_path / "broker").glob("mosquitto.db*"):
            path.unlink()
        broker.start()
        (lost,) = node.wait_for_event("session.lost")
        assert lost["client_id"] == "edgeseq-n"
        watcher = Peer(broker.port, "edgeseq/#")
        wait_until(lambda: "edgeseq/n/bridge/health" in watcher.last(), "health")
        assert json.loads(watcher.last()["edgeseq/n/bridge/health"])["sessions_lost"] == 1
        assert node.stop() == 0, node.text()
        watcher.close()


def test_broker_away_sensors_are_not_called_silent(tmp_path: Path) -> None:
    """While the broker is away nobody can tell whether sensors are silent; back again, they get their time anew."""
    rules = '[[streams]]\ntopic = "plant/+"\nevery = "1s"\nsilent_after = "3s"\n'
    with (
        running_broker(tmp_path / "broker") as broker,
        node_in(tmp_path / "node", broker.port, rules) as node,
    ):
        watcher, sensor = Peer(broker.port, "edgeseq/#"), Peer(broker.port)
        begin(node, watcher)
        for value in ("1", "2", "3", "4"):
            sensor.publish("plant/a", value)
        wait_until(lambda: "edgeseq/n/plant-a/forecast" in watcher.last(), "a forecast")
        watcher.close()
        sensor.close()
        broker.stop()
        node.wait_for_event("broker.missed")
        ticks = node.listen().count("WATCHDOG=1")
        wait_until(
            lambda: node.listen().count("WATCHDOG=1") >= ticks + 5, "five ticks, longer than the deadline"
        )
        assert node.events("alert.changed") == []
        broker.start()
        node.wait_for_event("broker.connected", 2)
        assert node.wait_for_event("alert.changed")[0]["kind"] == "silent", (
            "still nothing: now it is the sensor"
        )
        back, named = node.events("broker.connected")[1]["time"], node.events("alert.changed")[0]["time"]
        assert back < named
        assert node.stop() == 0, node.text()
