"""Key, manifest and files of a good bundle, and how others are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgeseq.bundle import (
    HEADER_BYTES,
    MAGIC,
    TrustedKeys,
    read_bundle,
)
from edgeseq.errors import EXIT_CONFIG, BundleError
from tests.support.bundles import make_files, make_manifest

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = TrustedKeys.of(KEY.public_key())
MANIFEST = make_manifest()
FILES = make_files(MANIFEST)


def refused(
    path: Path, match: str, trusted: TrustedKeys = TRUSTED, *, allow_unsigned: bool = False
) -> BundleError:
    """Read a bundle that must be refused; the error is complete."""
    with pytest.raises(BundleError, match=match) as caught:
        read_bundle(path, trusted, allow_unsigned=allow_unsigned)
    error = caught.value
    assert error.where is not None
    assert str(path) in error.where
    assert error.do
    assert error.exit_code == EXIT_CONFIG
    return error


def raw(path: Path, archive: bytes) -> Path:
    """Write any bytes as the archive of an unsigned bundle."""
    path.write_bytes(MAGIC + bytes(HEADER_BYTES - len(MAGIC)) + archive)
    return path
