"""`edgeseq doctor` against real brokers, good and bad, and beside a daemon that runs."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from edgeseq import cli
from edgeseq.bundle import write_bundle
from edgeseq.bundle.keys import load_signing_key, write_public_key
from edgeseq.doctor import probe
from edgeseq.doctor.away import KEPT
from edgeseq.errors import EXIT_FAILED_CHECK, EXIT_OK
from tests.support.broker import Broker, Peer, free_port, peer, running_broker, wait_until
from tests.support.bundles import make_files, make_manifest
from tests.support.certificates import make_certificates
from tests.support.node import node_in
from tests.support.tiny_bundle import read_tiny_bundle, tiny_bundle_path

pytestmark = pytest.mark.system

STREAMS = '[[streams]]\ntopic = "plant/+"\nfield = "value"\ntime = "time"\nevery = "10s"\n'

Examine = Callable[..., tuple[int, dict[str, str]]]


@pytest.fixture
def examine(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Examine:
    """Write a configuration and let the doctor look at it; gives exit code and check → verdict, found and all."""

    def command(
        port: int, mqtt: str = "", rest: str = "", streams: str = STREAMS
    ) -> tuple[int, dict[str, str]]:
        path = tmp_path / "edgeseq.toml"
        node = '[node]\nname = "n"\nstate_dir = "state"'
        host = "" if "host =" in mqtt else 'host = "127.0.0.1"\n'
        tables = (node, f"[mqtt]\n{host}port = {port}\n{mqtt}", rest, streams)
        path.write_text("\n".join(tables) + "\n", encoding="utf-8")
        return look(path, capfd)

    return command


def look(path: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str]]:
    """Run the command; of a check with several findings the worst is given."""
    capfd.readouterr()
    code = cli.exit_code(lambda: cli.edgeseq(["doctor", "--config", str(path)], standalone_mode=False))
    out, err = capfd.readouterr()
    assert "Traceback" not in err, err
    *findings, counts = [part for part in out.replace("\n      ", " | ").splitlines() if part]
    found: dict[str, str] = {}
    for text in sorted(findings, key=lambda text: ["ok", "warn", "fail"].index(text.split()[0])):
        found[text[6:].partition(":")[0]] = text
        assert text.startswith("ok") or (" | wanted: " in text and " | do: " in text), text
    fails = sum(text.startswith("fail") for text in findings)
    assert counts.endswith(f"{fails} fail")
    assert code == (EXIT_FAILED_CHECK if fails else EXIT_OK)
    return code, found


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Run a broker that is set up well."""
    with running_broker(tmp_path / "broker") as found:
        yield found


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_good_broker_all_well_and_nothing_left(
    examine: Examine, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """A broker set up as advised passes every check; no session, retained message or folder is left behind."""
    monkeypatch.setattr(secrets, "token_hex", lambda _: "known")
    code, found = examine(broker.port, f'version = "{version}"')
    assert code == EXIT_OK, found
    wanted = (
        "broker",
        "subscriptions",
        "session",
        "queue",
        "window",
        "longest message",
        "daemon",
        "state folder",
    )
    assert [check for check in wanted if not found[check].startswith("ok")] == []
    assert f"{KEPT:,} of {KEPT:,}" in found["queue"]
    assert not (tmp_path / "state").exists()
    with peer(broker.port, "edgeseq/#") as later:
        later.publish("edgeseq/end", b"")
        wait_until(lambda: later.texts("edgeseq/end"), "the end")
        assert {message.topic for message in later.received} == {"edgeseq/end"}
    assert not is_session_present(broker.port, "edgeseq-doctor-known-away")


def is_session_present(port: int, client_id: str) -> bool:
    """Ask the broker whether it has a session."""
    answers: list[bool] = []
    client = Client(CallbackAPIVersion.VERSION2, client_id, clean_session=False, protocol=MQTTv311)
    client.on_connect = lambda _client, _data, flags, _reason, _more: answers.append(
        bool(flags.session_present)
    )
    client.connect("127.0.0.1", port)
    while not answers:
        client.loop_read()
    client.disconnect()
    client.loop_write()
    return answers[0]


def test_session_left_by_anybody_is_seen(broker: Broker) -> None:
    """What the law above looks for can be found."""
    assert not is_session_present(broker.port, "edgeseq-doctor-known-away")
    assert is_session_present(broker.port, "edgeseq-doctor-known-away")


def test_broker_down_fails_with_advice(examine: Examine) -> None:
    """Nobody listens: that is told once, the rest is checked all the same, and the exit code is 1."""
    code, found = examine(free_port())
    assert code == EXIT_FAILED_CHECK
    assert "refused" in found["broker"]
    assert "host" in found["broker"].partition("do:")[2]
    assert "session" not in found
    assert found["streams plant/+"].startswith("ok")


def test_listener_that_is_no_broker_fails(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that takes connections and says nothing is no broker."""
    monkeypatch.setattr(probe.Probe.wait_for, "__kwdefaults__", {"quiet_s": 0.3})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, found = examine(silent.getsockname()[1])
    assert code == EXIT_FAILED_CHECK
    assert "does not answer" in found["broker"]


def test_broker_that_wants_a_password_fails(examine: Examine, tmp_path: Path) -> None:
    """Being refused is told with the broker's reason."""
    with running_broker(tmp_path / "broker", "allow_anonymous false") as found_broker:
        _, found = examine(found_broker.port)
    assert found["broker"].startswith("fail")
    assert "authori" in found["broker"].lower()


@pytest.mark.parametrize(
    ("line", "mqtt", "check", "said"),
    [
        ("max_queued_messages 100", "inflight = 50", "queue", "max_queued_messages"),
        ("max_inflight_messages 20", 'version = "3.1.1"', "window", "20 messages at most"),
        ("message_size_limit 2000", "", "longest message", "65,536 bytes do not pass"),
        ("max_packet_size 20000", "", "limits", "packets of 20,000 bytes"),
        ("retain_available false", "", "limits", "no retained messages"),
        ("max_qos 0", "", "limits", "no QoS 1"),
        ("max_qos 0", "", "session", "cannot be told"),
    ],
)
def test_broker_with_a_limit_told(
    examine: Examine, tmp_path: Path, line: str, mqtt: str, check: str, said: str
) -> None:
    """Each limit that would lose or delay readings is found by using it, or in the broker's greeting."""
    with running_broker(tmp_path / "broker", line) as found_broker:
        _, found = examine(found_broker.port, mqtt)
    assert not found[check].startswith("ok")
    assert said in found[check]


def test_topic_that_may_not_be_read_said_to_be_unknown(examine: Examine, tmp_path: Path) -> None:
    """Where the access list keeps the echo away, nothing is claimed about the session."""
    rights = tmp_path / "acl"
    rights.write_text("topic read plant/#\ntopic write edgeseq/n/#\n", encoding="utf-8")
    rights.chmod(0o700)
    with running_broker(tmp_path / "broker", f"acl_file {rights}") as found_broker:
        _, found = examine(found_broker.port)
    assert "cannot be told" in found["session"]
    assert "edgeseq/n/bridge/doctor" in found["session"]


# Paho drops the socket of a failed handshake without closing it; reference counting does.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_with_the_right_and_the_wrong_authority(examine: Examine, tmp_path: Path) -> None:
    """Over TLS all checks pass, with a stranger's certificate none begins."""
    ca, cert, key = make_certificates(tmp_path / "right")
    stranger, _, _ = make_certificates(tmp_path / "wrong")
    with running_broker(tmp_path / "b", f"cafile {ca}", f"certfile {cert}", f"keyfile {key}") as found_broker:
        good, bad = (f'host = "localhost"\ntls = true\nca_file = "{path}"' for path in (ca, stranger))
        code, found = examine(found_broker.port, good)
        assert code == EXIT_OK, found
        assert f"{KEPT:,} of {KEPT:,}" in found["queue"]
        _, found = examine(found_broker.port, bad)
        assert "certificate verify failed" in found["broker"]
        _, found = examine(found_broker.port, 'host = "localhost"\ntls = true\nca_file = "edgeseq.toml"')
        assert "TLS cannot be set up" in found["broker"]


def test_password_open_to_all_fails_and_in_the_clear_warns(
    examine: Examine, broker: Broker, tmp_path: Path
) -> None:
    """The file's mode is told; so is a password that goes to another machine unencrypted."""
    (tmp_path / "password").write_text("canary-7f3a\n", encoding="utf-8")
    (tmp_path / "password").chmod(0o644)
    user = 'username = "u"\npassword_file = "password"'
    code, found = examine(broker.port, user)
    assert code == EXIT_FAILED_CHECK
    assert "0644" in found["password file"]
    assert "canary" not in str(found)
    assert "password" not in found
    (tmp_path / "password").chmod(0o600)
    _, found = examine(broker.port, f'host = "127.0.0.2"\n{user}')
    assert found["password file"].startswith("ok")
    assert "unencrypted" in found["password"]


@pytest.mark.parametrize("state_dir", ["occupied", "/proc/edgeseq"])
def test_state_folder_that_cannot_be_used_fails(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], state_dir: str
) -> None:
    """A file in the way, or a file system that takes no folders; nothing of the disk is claimed then."""
    (tmp_path / "occupied").touch()
    path = tmp_path / "edgeseq.toml"
    tables = f'[node]\nstate_dir = "{state_dir}"\n[mqtt]\nhost = "127.0.0.1"\nport = {free_port()}\n'
    path.write_text(tables + STREAMS, encoding="utf-8")
    _, found = look(path, capfd)
    assert found["state folder"].startswith("fail")
    assert "state_dir" in found["state folder"]
    assert "writing" not in found


def test_bundle_trusted_untrusted_and_broken(
    examine: Examine, broker: Broker, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A good bundle is verified and run; without its key, changed, or without a model that runs it fails."""
    tiny = tiny_bundle_path(request.config)
    shutil.copy(tiny, tmp_path / "m.edgeseq")
    names = read_names(tiny)
    channels = ", ".join(f'{name} = "plant/{name}"' for name in names)
    streams = f'[[streams]]\nname = "p"\nevery = "10m"\nchannels = {{ {channels} }}\nbundle = "m.edgeseq"\n'
    _, found = examine(broker.port, streams=streams)
    assert found["trusted keys"].startswith("fail")
    assert found["bundle m.edgeseq"].startswith("fail")
    key = load_signing_key(tiny.parent / "signing.key", create=False)
    write_public_key(key.public_key(), tmp_path / "trusted_keys")
    code, found = examine(broker.port, streams=streams)
    assert code == EXIT_OK, found
    assert "runs on" in found["bundle m.edgeseq"]
    own = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    write_public_key(own.public_key(), tmp_path / "trusted_keys")
    manifest = make_manifest()
    write_bundle(tmp_path / "m.edgeseq", manifest, make_files(manifest), own)
    _, found = examine(
        broker.port, streams='[[streams]]\ntopic = "a"\nevery = "10m"\nunit = "°C"\nbundle = "m.edgeseq"\n'
    )
    assert found["bundle m.edgeseq"].startswith("fail")


def read_names(path: Path) -> list[str]:
    """Name the channels of a bundle."""
    return [channel.name for channel in read_tiny_bundle(path).manifest.channels]


def test_daemon_that_runs_is_seen_and_not_disturbed(
    tmp_path: Path, broker: Broker, capfd: pytest.CaptureFixture[str]
) -> None:
    """The daemon keeps its connection, its session and its folder, and goes on to forecast; its account is shown."""
    with (
        node_in(tmp_path / "node", broker.port, STREAMS, node='clock = "readings"') as node,
        closing(Peer(broker.port)) as sensor,
        closing(Peer(broker.port, "edgeseq/n/#")) as watcher,
    ):
        node.start()
        node.wait_for_event("broker.connected")
        wait_until(lambda: watcher.texts("edgeseq/n/bridge/health"), "health")
        code, found = look(node.config, capfd)
        assert code == EXIT_OK, found
        assert "online; 0 received = 0 applied" in found["daemon"]
        assert found["state folder"].startswith("ok")
        sensor.publish("plant/a", json.dumps({"value": 1.0, "time": 1_760_000_000}))
        wait_until(lambda: watcher.texts("edgeseq/n/plant-a-value/forecast"), "a forecast")
        assert node.stop() == 0, node.text()
        assert node.events("broker.disconnected") == []
        (connected,) = node.events("broker.connected")
        assert connected["is_session_present"] is False
        _, found = look(node.config, capfd)
        assert "stopped; 1 received = 1 applied" in found["daemon"]
        assert found["state files"].startswith("ok")
