"""A signed word about a bundle that is to be installed over the air: for which nodes, in which order, until when.

Layout: magic (8 bytes) · key id (8) · Ed25519 signature (64) over magic and body · body (JSON). The magic is signed
too, so that no signature of a bundle stands for a release. The bundle has a signature of its own, and is named here by
its digest.
"""

from __future__ import annotations

import fnmatch
import hashlib
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from edgeseq.bundle.archive import MAX_ARCHIVE_BYTES
from edgeseq.bundle.keys import KEY_ID_BYTES, SIGNATURE_BYTES, SigningKey, TrustedKeys, key_id
from edgeseq.errors import BundleError

MAGIC = b"EDGESEQR"
HEADER_BYTES = len(MAGIC) + KEY_ID_BYTES + SIGNATURE_BYTES
MAX_RELEASE_BYTES = 4096
SCHEMA = 1

MIN_CHUNK_BYTES, MAX_CHUNK_BYTES = 256, 2**18

_ADVICE = "push the bundle again with `edgeseq push`"

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Count = Annotated[int, Meta(ge=1, le=2**62)]


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """What the key's owner says of a bundle."""

    schema: Annotated[int, Meta(ge=1)] = SCHEMA
    node: Name
    """Name of the node it is for, or a pattern with * and ?."""
    bundle: Name
    """File name of the configured bundle whose place it takes."""
    label: Name
    """Name and digest of the model, as subscribers see it."""
    digest: Digest
    """SHA-256 of the bundle's file."""
    size_bytes: Annotated[int, Meta(ge=1, le=MAX_ARCHIVE_BYTES)]
    chunk_bytes: Annotated[int, Meta(ge=MIN_CHUNK_BYTES, le=MAX_CHUNK_BYTES)]
    sequence: Count
    """Rises with every release; one that is not above the highest that a node has taken is refused."""
    expires_s: Count
    """Time (Unix, s) from which it is refused."""
    replaces: Count | None = None
    """Permits an older sequence, on nodes whose highest is just this one: a rollback, signed as such."""

    @property
    def chunks(self) -> int:
        """Count the chunks."""
        return -(-self.size_bytes // self.chunk_bytes)


def sign_release(release: Release, key: SigningKey) -> bytes:
    """Write a release; equal arguments give equal bytes."""
    body = msgspec.json.encode(release)
    data = MAGIC + key_id(key.public_key()) + key.sign(MAGIC + body) + body
    if len(data) > MAX_RELEASE_BYTES:
        raise _fault("the release is too long", f"{len(data)} bytes", f"at most {MAX_RELEASE_BYTES} bytes")
    return data


def is_release(data: bytes) -> bool:
    """Tell a release from a bundle by its first bytes."""
    return data.startswith(MAGIC)


def check_release(data: bytes, trusted: TrustedKeys) -> str:
    """Verify a release: its signature by a trusted key → SHA-256 hex of its bytes.

    Raises:
        BundleError: it is no release, or was not signed by a trusted key just so.
    """
    parse_release(data)
    identity = data[len(MAGIC) : len(MAGIC) + KEY_ID_BYTES]
    signature = data[len(MAGIC) + KEY_ID_BYTES : HEADER_BYTES]
    holds = trusted.verify(identity, signature, MAGIC + data[HEADER_BYTES:])
    if holds is None:
        known = " or ".join(sorted(key.hex() for key in trusted.keys)) or "a trusted key"
        raise _fault("the release is signed by a key that is not trusted", f"key {identity.hex()}", known)
    if not holds:
        raise _fault("the signature of the release does not hold", "other contents than were signed", None)
    return hashlib.sha256(data).hexdigest()


def parse_release(data: bytes) -> Release:
    """Read a release without its signature. Raises BundleError."""
    if len(data) > MAX_RELEASE_BYTES or len(data) <= HEADER_BYTES or not is_release(data):
        raise _fault("this is no release", f"{len(data)} bytes, {data[:8]!r}", f"it begins with {MAGIC!r}")
    try:
        release = msgspec.json.decode(data[HEADER_BYTES:], type=Release)
    except (msgspec.MsgspecError, ValueError, RecursionError) as fault:
        raise _fault("the release cannot be understood", str(fault)[:200], f"schema {SCHEMA}") from fault
    if release.schema != SCHEMA:
        found = f"schema {release.schema}"
        raise _fault("the release was made for another version of edgeseq", found, f"schema {SCHEMA}")
    return release


class Present(NamedTuple):
    """What a release is judged by."""

    node: str
    now_s: float
    highest: int
    """Highest sequence that was taken for this bundle; 0: none."""


def refusal(release: Release, present: Present) -> str | None:
    """Say why a release must not be installed here, or None."""
    if not fnmatch.fnmatchcase(present.node, release.node):
        return f"it is for {release.node}, this is {present.node}"
    if release.expires_s <= present.now_s:
        return "it has expired"
    if release.replaces is None:
        if release.sequence > present.highest:
            return None
        return f"sequence {release.sequence} is not above {present.highest}, which was taken before"
    if release.replaces == present.highest:
        return None
    return f"it replaces sequence {release.replaces}; the highest taken here is {present.highest}"


def _fault(what: str, found: str, wanted: str | None) -> BundleError:
    return BundleError(what, where="release", found=found, wanted=wanted, do=_ADVICE)
