"""What `edgeseq push` refuses before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edgeseq.cli import edgeseq
from edgeseq.errors import InputError
from tests.support.season_bundle import write_season_bundle
from tests.support.update_rig import KEY


@pytest.mark.parametrize(
    ("signer", "target", "says"),
    [
        (KEY, "cellar*", "would not be for this node"),
        (Ed25519PrivateKey.generate(), "attic", "signed by another key"),
        (KEY, "at?ic", ""),
        (None, "attic", ""),
    ],
    ids=["target", "foreign_key", "pattern", "unsigned"],
)
def test_release_that_its_node_would_refuse_is_not_made(
    tmp_path: Path, signer: Ed25519PrivateKey | None, target: str, says: str
) -> None:
    """A pattern that leaves the node out, and a bundle of another key; one without a signature a node may permit."""
    key = tmp_path / "signing.key"
    key.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)
    bundle = write_season_bundle(tmp_path / "new.edgeseq", "season", signer)
    command = [
        "push",
        "attic",
        str(bundle),
        "--key",
        str(key),
        "--target",
        target,
        "--files",
        str(tmp_path / "stick"),
    ]
    done = CliRunner().invoke(edgeseq, command)
    assert (tmp_path / "stick/new.release").exists() is not bool(says)
    if says:
        assert isinstance(done.exception, InputError)
        assert says in str(done.exception)
