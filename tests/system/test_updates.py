"""A real node on a real broker is sent a bundle: in small packets, over a kill, into the shadow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgeseq.bundle.keys import public_pem
from tests.support.broker import peer, running_broker, wait_until
from tests.support.node import node_in
from tests.support.season_bundle import write_season_bundle
from tests.support.update_rig import KEY
from tests.support.validate import validate

STREAMS = '[[streams]]\ntopic = "t/+"\nevery = "1s"\nseason = "8s"\nbundle = "house.edgeseq"\n'
ROOT = "edgeseq/n/bridge"


def push(folder: Path, port: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "edgeseq", "push", "n", str(folder / "new.edgeseq"), "--port", str(port)]
    more = ["--key", str(folder / "signing.key"), "--replaces-bundle", "house.edgeseq", *options]
    return subprocess.run([*command, *more], capture_output=True, text=True, check=False, timeout=120)


def write_key(folder: Path) -> None:
    """Write the signing key where the command finds it, and its public half where the node does."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    path = folder / "signing.key"
    path.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    (folder / "trusted_keys").mkdir()
    (folder / "trusted_keys" / "k.pub").write_bytes(public_pem(KEY.public_key()))


@pytest.mark.system
def test_bundle_is_pushed_over_a_broker_that_takes_small_packets_only(tmp_path: Path) -> None:
    """Received in 1 KB chunks, verified and staged; the next start goes on in the shadow; a refusal is told."""
    folder = tmp_path / "node"
    with (
        running_broker(tmp_path / "broker", "max_packet_size 2000") as broker,
        node_in(folder, broker.port, STREAMS, node="updates = true") as node,
        peer(broker.port, f"{ROOT}/info", f"{ROOT}/event", f"{ROOT}/update/state") as user,
    ):
        write_key(folder)
        write_season_bundle(folder / "house.edgeseq", "last", KEY)
        write_season_bundle(folder / "new.edgeseq", "season", KEY)
        node.start()
        node.wait_for_event("broker.connected")
        done = push(folder, broker.port, "--chunk-bytes", "1024", "--sequence", "5")
        assert done.returncode == 0, done.stderr + node.text()
        assert "of 27 chunks" in done.stdout
        assert done.stdout.splitlines()[-1] in ("staged", "shadowing")
        wait_until(lambda: any("update.shadowing" in text for text in user.texts(f"{ROOT}/event")), "shadow")
        node.kill()
        node.start()
        node.wait_for_event("broker.connected", 2)
        again = push(folder, broker.port, "--chunk-bytes", "1024", "--sequence", "5", "--expires", "2d")
        assert again.returncode != 0
        assert "not above 5" in again.stderr
        for message in list(user.received):
            validate(message.topic, bytes(message.payload))
        told = json.loads(user.last()[f"{ROOT}/info"])["updates"]
        assert told[0] | {"test": None} == {
            "bundle": "house.edgeseq", "phase": "shadowing", "sequence": 5, "outcome": "shadowing", "test": None
        }  # fmt: skip
        assert node.stop() == 0
