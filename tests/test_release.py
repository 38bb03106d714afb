"""A release: what it says is signed, down to the last bit, and judged before anything is installed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgeseq.adapters.verifier import verified_digests
from edgeseq.bundle import HEADER_BYTES as BUNDLE_HEADER_BYTES
from edgeseq.bundle import MAGIC as BUNDLE_MAGIC
from edgeseq.bundle.keys import TrustedKeys, key_id, write_public_key
from edgeseq.bundle.release import (
    MAGIC,
    Present,
    Release,
    check_release,
    parse_release,
    refusal,
    sign_release,
)
from edgeseq.errors import BundleError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = TrustedKeys.of(KEY.public_key())
RELEASE = Release(
    node="attic-*", bundle="house.edgeseq", label="house@3f9a51c2", digest="ab" * 32, size_bytes=70_000,
    chunk_bytes=16_384, sequence=7, expires_s=2_000,
)  # fmt: skip


def test_signed_release_comes_back_equal() -> None:
    """What was signed is what is read; the last chunk is shorter."""
    data = sign_release(RELEASE, KEY)
    check_release(data, TRUSTED)
    assert parse_release(data) == RELEASE
    assert RELEASE.chunks == 5


def test_each_flipped_bit_is_refused() -> None:
    """One flipped bit anywhere, magic and key id included, is refused."""
    data = sign_release(RELEASE, KEY)
    for position in range(8 * len(data)):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(
            BundleError, match=r"no release|cannot be understood|another version|not trusted|not hold"
        ):
            check_release(bytes(changed), TRUSTED)


@pytest.mark.parametrize("length", [0, 1, 79, 80, 81, 200])
def test_truncated_release_is_refused(length: int) -> None:
    """Whatever is missing at its end."""
    with pytest.raises(BundleError, match=r"no release|cannot be understood"):
        check_release(sign_release(RELEASE, KEY)[:length], TRUSTED)


def test_signature_of_a_bundle_signs_no_release() -> None:
    """A bundle's signature covers the bytes after its header: they must not be taken for a release's body."""
    body = msgspec.json.encode(RELEASE)
    identity = key_id(KEY.public_key())
    assert len(BUNDLE_MAGIC) + len(identity) + 64 == BUNDLE_HEADER_BYTES
    with pytest.raises(BundleError, match="does not hold"):
        check_release(MAGIC + identity + KEY.sign(body) + body, TRUSTED)


def test_stranger_and_the_unsigned_are_refused() -> None:
    """Nothing unsigned ever comes over the air."""
    stranger = sign_release(RELEASE, Ed25519PrivateKey.generate())
    with pytest.raises(BundleError, match="not trusted"):
        check_release(stranger, TRUSTED)
    with pytest.raises(BundleError, match="not trusted"):
        check_release(MAGIC + bytes(72) + msgspec.json.encode(RELEASE), TRUSTED)


def test_child_verifies_a_release_even_where_unsigned_bundles_are_allowed(tmp_path: Path) -> None:
    """The verifying process tells a release by its name, and refuses one that was changed."""
    write_public_key(KEY.public_key(), tmp_path / "keys")
    path = tmp_path / "a.release"
    path.write_bytes(sign_release(RELEASE, KEY))
    assert verified_digests([path], tmp_path / "keys", allow_unsigned=True)
    path.write_bytes(path.read_bytes().replace(b'"sequence":7', b'"sequence":8'))
    with pytest.raises(BundleError, match="does not hold"):
        verified_digests([path], tmp_path / "keys", allow_unsigned=True)


@pytest.mark.parametrize(
    ("changes", "present", "says"),
    [
        ({}, Present("attic-3", 1_999.0, 6), None),
        ({}, Present("cellar", 1_000.0, 0), "attic-"),
        ({"node": "attic"}, Present("attic-3", 1_000.0, 0), "it is for attic"),
        ({}, Present("attic-3", 2_000.0, 0), "expired"),
        ({}, Present("attic-3", 1_000.0, 7), "not above 7"),
        ({}, Present("attic-3", 1_000.0, 8), "not above 8"),
        ({"replaces": 8}, Present("attic-3", 1_000.0, 8), None),
        ({"replaces": 8}, Present("attic-3", 1_000.0, 9), "replaces sequence 8"),
    ],
)  # fmt: skip
def test_wrong_target_freeze_and_rollback_are_refused(
    changes: dict[str, object], present: Present, says: str | None
) -> None:
    """Other nodes, expired releases and older sequences; an older one only where it was signed for just this case."""
    found = refusal(msgspec.structs.replace(RELEASE, **changes), present)
    assert (found is None) if says is None else (found is not None and says in found)
