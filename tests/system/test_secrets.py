"""Planted secrets are found nowhere: logs at DEBUG, state, journal, messages, process list, recordings, dumps."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import secrets
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeseq.adapters import snapshot
from edgeseq.adapters.mqtt import Settings
from edgeseq.bundle.keys import load_signing_key
from edgeseq.core.types import Outgoing
from tests.support.broker import running_broker
from tests.support.certificates import make_certificates
from tests.support.node import Node, node_in
from tests.support.tiny_bundle import tiny_bundle_path

PASSWORD = secrets.token_urlsafe(24)
WRONG = secrets.token_urlsafe(24)
TOKEN = secrets.token_urlsafe(24)
"""In the environment of the process, where a careless operator may have left one for something else."""

STREAMS = '[[streams]]\ntopic = "t/+"\nfield = "v"\nevery = "1m"\ntime = "time"\n'
SERVICE = Path(__file__).parents[2] / "systemd" / "edgeseq.service"


def needles(*texts: str) -> list[bytes]:
    """List a secret as it may appear: plain, in base64, as hexadecimal digits."""
    raw = [text.encode() for text in texts]
    return [form for text in raw for form in (text, base64.b64encode(text).rstrip(b"="), text.hex().encode())]


def key_lines(pem: Path) -> list[str]:
    """Give the lines of a private key that are like no other's."""
    return [line for line in pem.read_text().splitlines() if not line.startswith("-")][1:]


def readable(path: Path) -> Iterator[tuple[str, bytes]]:
    """Give a file's bytes, and what is compressed in it."""
    data = path.read_bytes()
    yield str(path), data
    if path.name.startswith("snapshot") and (
        found := snapshot.parse(data, int(re.findall(r"\d+", path.name)[0]))
    ):
        yield f"{path} decompressed", repr(found).encode()
    if data[:2] == b"\x1f\x8b":
        yield f"{path} decompressed", gzip.decompress(data)


def assert_clean(wanted: list[bytes], places: Iterator[tuple[str, bytes]]) -> int:
    """Fail where a secret is found → places looked at."""
    count = 0
    for place, data in places:
        count += 1
        assert [needle for needle in wanted if needle in data] == [], place
    return count


def processes(node: Node) -> Iterator[tuple[str, bytes]]:
    """Give the command lines of a node and of its children, as everybody on the machine sees them."""
    pid = node.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in (str(pid), *children):
        yield f"command line of {one}", Path(f"/proc/{one}/cmdline").read_bytes()


def said(node: Node, *words: str) -> tuple[str, bytes]:
    """Run a command beside the node; gives all that it printed."""
    command = [sys.executable, "-m", "edgeseq", *words]
    done = subprocess.run(command, cwd=node.folder, capture_output=True, check=False, timeout=120)
    return " ".join(words), done.stdout + done.stderr


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[Node, list[bytes], Path, list[str]]]:
    """Run a node whose broker wants a user, a password and a certificate of its own."""
    ca, cert, key = make_certificates(tmp_path / "tls")
    known = tmp_path / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", str(known), "ann", PASSWORD], check=True, capture_output=True
    )
    known.chmod(0o644)
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    mqtt = f'username = "ann"\npassword_file = "{secret}"\ntls = true\nca_file = "{ca}"\n'
    mqtt += f'cert_file = "{cert}"\nkey_file = "{key}"\n'
    wanted = needles(PASSWORD, WRONG, TOKEN, *key_lines(key))
    with running_broker(
        tmp_path / "broker",
        "allow_anonymous false",
        "per_listener_settings false",
        f"password_file {known}",
        f"cafile {ca}",
        f"certfile {cert}",
        f"keyfile {key}",
        "require_certificate true",
    ) as broker:
        rest = '[log]\nlevel = "debug"\n[journal]\ndurability = "strict"\n'
        with node_in(
            tmp_path / "node", broker.port, STREAMS, node="requests = true\n", mqtt=mqtt, rest=rest
        ) as node:
            text = node.config.read_text().replace('host = "127.0.0.1"', 'host = "localhost"')
            node.config.write_text(text)
            client = ["-h", "localhost", "-p", str(broker.port), "-u", "ann", "-P", PASSWORD]
            yield node, wanted, secret, [*client, "--cafile", str(ca), "--cert", str(cert), "--key", str(key)]


def test_secrets_of_a_running_node_are_found_nowhere(
    secured: tuple[Node, list[bytes], Path, list[str]],
) -> None:
    """Connected, refused, reloaded, asked, stopped: at DEBUG nothing that a node leaves behind holds a secret."""
    node, wanted, secret, client = secured
    node.start(SOME_TOKEN=TOKEN, EDGESEQ__LOG__LEVEL="debug")
    node.wait_for_event("broker.connected")
    connection = ["--port", "1", "--username", "ann", "--password-file", str(secret)]
    assert_clean(wanted, processes(node))
    publish = ["mosquitto_pub", *client, "-q", "1"]
    for reading in ('{"v": 1, "time": 1790000000}', '{"v": 2, "time": 1790000060}', "no JSON"):
        subprocess.run([*publish, "-t", "t/a", "-m", reading], check=True)
    subprocess.run([*publish, "-t", "edgeseq/n/bridge/request/info", "-m", "{}"], check=True)
    node.wait_for_event("reading.rejected")
    heard = subprocess.run(
        ["mosquitto_sub", *client, "-v", "-W", "2", "-t", "#"], capture_output=True, check=False
    )
    assert b"edgeseq/n/bridge/info" in heard.stdout
    spoken = [
        ("retained messages", heard.stdout),
        said(node, "config", "show"),
        said(node, "config", "show", "--json"),
        said(node, "config", "check", "--json"),
        said(node, "doctor", "--json"),
        said(node, "watch", *connection),
    ]
    assert b"verdict" in spoken[4][1]
    secret.write_text(WRONG)  # from now on the broker refuses us
    node.process.send_signal(signal.SIGHUP)
    node.wait_for_event("config.reloaded")
    node.wait_for_event("broker.refused")
    node.config.write_text(node.config.read_text().replace("[mqtt]", f'[mqtt]\npassword = "{WRONG}"'))
    node.process.send_signal(signal.SIGHUP)
    (rejected, *_) = node.wait_for_event("config.rejected")
    assert "password_file" in rejected["error"]
    assert_clean(wanted, processes(node))
    assert node.stop() == 0
    left = [path for path in node.folder.rglob("*") if path.is_file() and path != node.config]
    assert {path.name.partition(".")[0].partition("-")[0] for path in left} >= {"log", "journal", "snapshot"}
    found = assert_clean(wanted, iter([*spoken, *(place for path in left for place in readable(path))]))
    assert found > len(left) + 5, "the snapshot was looked into"


def test_planted_secret_would_be_found(tmp_path: Path) -> None:
    """The search of these tests does find what is there, compressed or in another form."""
    wanted = needles(PASSWORD)
    packed = tmp_path / "recording.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps({"payload": PASSWORD}).encode()))
    with pytest.raises(AssertionError, match="decompressed"):
        assert_clean(wanted, readable(packed))
    for form in (base64.b64encode(PASSWORD.encode()), PASSWORD.encode().hex().encode()):
        packed.write_bytes(b"x" + form)
        with pytest.raises(AssertionError, match=r"recording"):
            assert_clean(wanted, readable(packed))


def test_settings_of_the_link_do_not_repeat_the_password() -> None:
    """What a traceback or a debugger's log would show of them has no password in it."""
    settings = Settings("h", 1, "c", (), Outgoing("will", b""), username="ann", password=PASSWORD)
    assert PASSWORD not in f"{settings!r} {settings}"


def test_bundle_holds_nothing_of_the_key_that_signed_it(request: pytest.FixtureRequest) -> None:
    """A bundle, and each file in it, is free of the private key."""
    path = tiny_bundle_path(request.config)
    pem = path.parent / "signing.key"
    raw = load_signing_key(pem, create=False).private_bytes_raw()
    wanted = [
        raw,
        raw.hex().encode(),
        *(line.encode() for line in pem.read_text().splitlines() if line[0] != "-"),
    ]
    assert len(wanted) == 3
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as packed:
        inside = [(name, packed.read(name)) for name in packed.namelist()]
    assert assert_clean(wanted, iter([(str(path), path.read_bytes()), *inside])) > 3


def test_recordings_are_of_the_messages_alone(tmp_path: Path) -> None:
    """What is recorded of a broker with a password holds none of it."""
    known, secret = tmp_path / "passwords", tmp_path / "password"
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", str(known), "ann", PASSWORD], check=True, capture_output=True
    )
    known.chmod(0o644)
    secret.write_text(PASSWORD)
    with running_broker(tmp_path / "b", "allow_anonymous false", f"password_file {known}") as broker:
        sensor = ["mosquitto_pub", "-p", str(broker.port), "-u", "ann", "-P", PASSWORD, "-r", "-t", "t/a"]
        subprocess.run([*sensor, "-m", '{"v": 1}'], check=True)
        output = tmp_path / "recording.jsonl.gz"
        words = ["record", "--host", "127.0.0.1", "--port", str(broker.port), "--username", "ann"]
        command = [*words, "--password-file", str(secret), "--seconds", "1", "-o", str(output)]
        done = subprocess.run(
            [sys.executable, "-m", "edgeseq", *command], capture_output=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr.decode()
    assert b"t/a" in gzip.decompress(output.read_bytes())
    assert_clean(needles(PASSWORD), iter([*readable(output), ("said", done.stdout + done.stderr)]))


def test_no_core_file_is_left() -> None:
    """A dump of the process would hold its password: the unit allows none, and hands secrets over as credentials."""
    unit = SERVICE.read_text()
    assert "\nLimitCORE=0\n" in unit
    assert "\nLoadCredential=mqtt-password:" in unit
    assert not re.search(r"^Environment=.*(PASS|TOKEN|SECRET)", unit, re.MULTILINE | re.IGNORECASE)
