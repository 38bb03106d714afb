"""Keys: made once, kept private, trusted by name of the key and not of the file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from edgeseq.bundle.keys import TrustedKeys, default_key_path, key_id, load_signing_key, write_public_key
from edgeseq.errors import BundleError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RSA = generate_private_key(65537, 2048)


def test_absent_key_is_made_once_with_mode_0600(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training finds or makes the key in the XDG folder; the second time it is the same."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    first = load_signing_key()
    assert default_key_path() == tmp_path / "edgeseq" / "signing.key"
    assert default_key_path().stat().st_mode & 0o777 == 0o600
    assert load_signing_key(create=False).private_bytes_raw() == first.private_bytes_raw()


def test_absent_key_is_not_made_unasked(tmp_path: Path) -> None:
    """A command that only reads does not make keys."""
    with pytest.raises(BundleError, match="cannot be read") as caught:
        load_signing_key(tmp_path / "signing.key", create=False)
    assert "edgeseq keygen" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_key_that_others_can_read_is_refused_with_advice(tmp_path: Path, mode: int) -> None:
    """A private key open to others is no longer private."""
    path = tmp_path / "signing.key"
    load_signing_key(path)
    path.chmod(mode)
    with pytest.raises(BundleError, match="open to other users") as caught:
        load_signing_key(path)
    assert f"chmod 600 {path}" in str(caught.value)
    assert f"{mode:04o}" in str(caught.value)


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"no key",
        RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ],
    ids=["empty", "text", "rsa", "public"],
)
def test_key_of_another_kind_is_refused(tmp_path: Path, pem: bytes) -> None:
    """Only an Ed25519 private key signs bundles."""
    path = tmp_path / "signing.key"
    path.write_bytes(pem)
    path.chmod(0o600)
    with pytest.raises(BundleError, match="not usable") as caught:
        load_signing_key(path)
    assert "Ed25519" in str(caught.value)
    path.rename(tmp_path / "device.pub")
    with pytest.raises(BundleError, match="not usable"):
        TrustedKeys.from_dir(tmp_path)


def test_trust_is_by_key_whatever_the_file_is_called(tmp_path: Path) -> None:
    """A .pub file may be renamed; its key counts."""
    write_public_key(KEY.public_key(), tmp_path).rename(tmp_path / "workstation.pub")
    (tmp_path / "README").write_text("not a key")
    trusted = TrustedKeys.from_dir(tmp_path)
    identity = key_id(KEY.public_key())
    assert set(trusted.keys) == {identity}
    assert trusted.verify(identity, KEY.sign(b"data"), b"data") is True
    assert trusted.verify(identity, KEY.sign(b"data"), b"date") is False
    assert trusted.verify(bytes(8), KEY.sign(b"data"), b"data") is None


def test_no_folder_means_nothing_is_trusted(tmp_path: Path) -> None:
    """A missing folder is not an error: signed bundles then say which key they want."""
    assert TrustedKeys.from_dir(tmp_path / "none").keys == {}


def test_openssl_reads_both_files(tmp_path: Path) -> None:
    """Keys are plain PEM: the tools of the trade read them, and both name the same public key."""
    path = tmp_path / "signing.key"
    public = write_public_key(load_signing_key(path).public_key(), tmp_path)
    derived = subprocess.run(
        ["openssl", "pkey", "-in", path, "-pubout"], check=True, capture_output=True
    ).stdout
    assert derived == public.read_bytes()
