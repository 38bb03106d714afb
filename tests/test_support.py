"""A support bundle tells what helps, and neither a secret nor, unless asked, a reading."""

from __future__ import annotations

import base64
import json
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq import cli
from edgeseq.commands.support_parts import MASK, scrub
from edgeseq.errors import EXIT_OK
from tests.support.broker import peer, running_broker, wait_until
from tests.support.node import node_in

SECRET, KEY_LINE = "canary-7f3a9-Zq", "MIGHAgEAcanarykeyline0000000000000000000000000000"
READING = 1234.56789
PEM = f"-----BEGIN PRIVATE KEY-----\n{KEY_LINE}\n-----END PRIVATE KEY-----\n"
STREAMS = '[[streams]]\ntopic = "attic/+"\nfield = "value"\nevery = "1s"\n'


def make(folder: Path, *options: str) -> dict[str, bytes]:
    """Run the command → its files by name."""
    output = folder / "support.tar.gz"
    output.unlink(missing_ok=True)
    command = ["support", "--config", str(folder / "edgeseq.toml"), "-o", str(output), *options]
    assert cli.exit_code(lambda: cli.edgeseq(command, standalone_mode=False)) == EXIT_OK
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    with tarfile.open(output) as archive:
        found = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name.partition("/")[2]: file.read() for name, file in found.items() if file is not None}


def forms(secret: str) -> list[bytes]:
    """List how a secret may show."""
    coded = [base64.b64encode(word.encode()).decode() for word in (secret, f"edgeseq:{secret}")]
    return [one.encode() for one in (secret, *coded)]


@pytest.mark.system
def test_planted_secrets_and_readings_stay_here(tmp_path: Path) -> None:
    """A password in file, log, comment and URL, a private key, and a reading: none is in any part."""
    with (
        running_broker(tmp_path / "broker") as broker,
        node_in(
            tmp_path / "node", broker.port, STREAMS + f"# the password is {SECRET}\n",
            mqtt='username = "edgeseq"\npassword_file = "password"',
        ) as node,
        peer(broker.port, "edgeseq/n/+/forecast") as sensor,
    ):  # fmt: skip
        (node.folder / "password").write_text(SECRET + "\n", encoding="utf-8")
        (node.folder / "password").chmod(0o600)
        node.start()
        node.wait_for_event("broker.connected")
        for n in range(5):
            sensor.publish("attic/a", json.dumps({"value": READING + n}))
            sensor.publish("attic/a", json.dumps({"value": f"{SECRET} {READING}"}))
        wait_until(lambda: len(sensor.texts("edgeseq/n/attic-a-value/forecast")) >= 1, "a forecast")
        log = tmp_path / "log"
        lines = [
            {"event": "x", "password": SECRET}, {"event": "x", "payload": f"{READING}"},
            {"event": "x", "where": f"mqtt://edgeseq:{SECRET}@host"}, {"event": "x", "said": PEM},
            {"event": "x", "coded": forms(SECRET)[2].decode()},
        ]  # fmt: skip
        planted = "\n".join(map(json.dumps, lines)) + f"\nno line of ours: {SECRET} {READING}\n"
        log.write_text(node.text() + planted, encoding="utf-8")
        parts = make(node.folder, "--log", str(log))
        assert node.stop() == 0
    for name, content in parts.items():
        for hidden in (*forms(SECRET), KEY_LINE.encode(), b"1234.5"):
            assert hidden not in content, (name, hidden)
    assert parts.keys() == {
        "version.json", "configuration.toml", "doctor.txt", "log.jsonl", "told.json", "state.json", "bundles.json",
    }  # fmt: skip
    assert json.loads(parts["told.json"])["state"]["state"] == "online"
    assert b"broker.connected" in parts["log.jsonl"]
    assert b"strangers" in parts["doctor.txt"]
    assert b'password_file = "password"' in parts["configuration.toml"]
    assert any(
        entry["file"].startswith("journal") and entry["bytes"] for entry in json.loads(parts["state.json"])
    )

    asked = make(node.folder, "--offline", "--with-readings")
    assert any(name.startswith("state/journal") for name in asked)
    heads = [entry["header"] for entry in json.loads(asked["state.json"]) if "header" in entry]
    assert heads
    assert heads[-1]["arrays"]


def test_configuration_that_cannot_be_read_is_told_not_copied(tmp_path: Path) -> None:
    """The file's text stays here; what is wrong with it is told."""
    (tmp_path / "edgeseq.toml").write_text(f'[mqtt]\npassword = "{SECRET}"\n', encoding="utf-8")
    parts = make(tmp_path, "--offline")
    assert b"mqtt.password" in parts["configuration.toml"]
    assert not [name for name, content in parts.items() if SECRET.encode() in content]


def test_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    """Neither a file nor a link is followed."""
    (tmp_path / "edgeseq.toml").touch()
    output = tmp_path / "taken"
    output.write_text("mine", encoding="utf-8")
    command = ["support", "--config", str(tmp_path / "edgeseq.toml"), "--offline", "-o", str(output)]
    assert cli.exit_code(lambda: cli.edgeseq(command, standalone_mode=False)) != EXIT_OK
    assert output.read_text(encoding="utf-8") == "mine"


@given(st.text(min_size=3, max_size=30), st.text(max_size=50), st.text(max_size=50))
def test_known_secret_never_stays(secret: str, before: str, after: str) -> None:
    """Whatever stands around it; the mask's own letters are none of it."""
    if secret not in MASK:
        assert secret not in scrub(before + secret + after, [secret]).replace(MASK, "")
