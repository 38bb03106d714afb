"""Signatures are verified in a child, with the same verdicts as in this process."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edgeseq.adapters.verifier import verified_digests
from edgeseq.bundle import read_bundle
from edgeseq.bundle.keys import TrustedKeys, load_signing_key, write_public_key
from edgeseq.errors import BundleError
from tests.support.tiny_bundle import tiny_bundle_path


@pytest.fixture
def signed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a signed bundle; the key that has signed it is in the folder keys beside it."""
    source = tiny_bundle_path(request.config)
    key = load_signing_key(source.parent / "signing.key", create=False)
    write_public_key(key.public_key(), tmp_path / "keys")
    path = tmp_path / "tiny.edgeseq"
    path.write_bytes(source.read_bytes())
    return path


def test_verified_digest_is_the_files(signed: Path) -> None:
    """A good bundle's digest comes back, and reads the file without any key."""
    digests = verified_digests([signed], signed.parent / "keys", allow_unsigned=False)
    assert digests == {signed: hashlib.sha256(signed.read_bytes()).hexdigest()}
    assert read_bundle(signed, TrustedKeys(), known_digest=digests[signed]).signed


@pytest.mark.parametrize("fault", ["changed", "truncated", "missing", "no key", "odd key"])
def test_verifier_says_what_reading_says(signed: Path, fault: str) -> None:
    """Whatever is wrong, the child's error is the one that reading in this process gives, in all its parts."""
    keys = signed.parent / "keys"
    data = signed.read_bytes()
    if fault == "changed":
        signed.write_bytes(data[:-100] + bytes([data[-100] ^ 1]) + data[-99:])
    elif fault == "truncated":
        signed.write_bytes(data[:50])
    elif fault == "missing":
        signed.unlink()
    elif fault == "no key":
        keys = signed.parent / "nowhere"
    else:
        (keys / "odd.pub").write_text("no key", encoding="utf-8")
    with pytest.raises(BundleError, match=r"bundle|key") as here:
        read_bundle(signed, TrustedKeys.from_dir(keys))
    with pytest.raises(BundleError, match=r"bundle|key") as there:
        verified_digests([signed], keys, allow_unsigned=False)
    assert str(there.value) == str(here.value)


def test_verifier_child_that_cannot_work_is_a_clear_fault(
    signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that dies is no verdict: the bundle is refused."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(BundleError, match="could not be verified"):
        verified_digests([signed], signed.parent / "keys", allow_unsigned=False)
