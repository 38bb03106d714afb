"""The bundle: one signed file that holds a model, its proofs and its description. Data only: no code, no pickle.

Layout: magic (8 bytes) · key id (8) · Ed25519 signature (64) over all bytes after it · ZIP archive with
`manifest.json`, model variants, `weights.npz` (for the NumPy stepper) and `golden.npz` (a golden roll-out).
Key id and signature of an unsigned bundle are zeros. Nothing is read from the archive before the signature holds.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from edgeseq.bundle.archive import MAX_ARCHIVE_BYTES, pack, unpack
from edgeseq.bundle.keys import (
    KEY_ID_BYTES,
    SIGNATURE_BYTES,
    SigningKey,
    TrustedKeys,
    default_key_path,
    key_id,
)
from edgeseq.bundle.manifest import (
    GOLDEN,
    MANIFEST,
    MIN_GOLDEN_STEPS,
    SCHEMA_MAJOR,
    WEIGHTS,
    Channel,
    Manifest,
    SchemaVersion,
    Signature,
    Variant,
    check_fits,
    check_manifest,
    check_serves,
)
from edgeseq.errors import BundleError

__all__ = [
    "GOLDEN",
    "MIN_GOLDEN_STEPS",
    "WEIGHTS",
    "Bundle",
    "Channel",
    "Manifest",
    "SchemaVersion",
    "Signature",
    "TrustedKeys",
    "Variant",
    "bundle_id",
    "check_fits",
    "check_serves",
    "check_writable",
    "pack_bundle",
    "parse_bundle",
    "read_bundle",
    "signer_of",
    "write_bundle",
]

MAGIC = b"EDGESEQ\x01"
HEADER_BYTES = len(MAGIC) + KEY_ID_BYTES + SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read and verified: nothing in it is read from the disk again."""

    manifest: Manifest
    files: Mapping[str, bytes]
    key_id: str | None
    """Hex of the key that signed it, None if unsigned."""
    path: Path
    digest: str
    """SHA-256 hex of the whole file."""

    @property
    def signed(self) -> bool:
        """Say whether a trusted key has signed it."""
        return self.key_id is not None

    @property
    def size_bytes(self) -> int:
        """Add up the files."""
        return sum(map(len, self.files.values()))


# --- writing ------------------------------------------------------------------------------------------------


def bundle_id(weights_npz: bytes, network: Mapping[str, Any]) -> str:
    """Name a model by what it computes: 16 hex digits over its weights and the network specification."""
    specification = msgspec.json.encode(network, order="sorted")
    return hashlib.sha256(hashlib.sha256(specification).digest() + weights_npz).hexdigest()[:16]


def seal(manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """Fill in the digests and sizes of the files."""
    digests = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    variants = tuple(
        msgspec.structs.replace(variant, sha256=digests[variant.file], bytes=len(files[variant.file]))
        if variant.file in files
        else variant
        for variant in manifest.variants
    )
    return msgspec.structs.replace(manifest, files=digests, variants=variants)


def pack_bundle(manifest: Manifest, files: Mapping[str, bytes], key: SigningKey | None, where: str) -> bytes:
    """Make the bytes of a bundle, as `write_bundle` writes them; where: what errors call it.

    Raises:
        BundleError: the manifest contradicts itself or the files.
    """
    manifest = seal(manifest, files)
    check_manifest(manifest, files, where)
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    archive = pack({**files, MANIFEST: text})
    _check_size(HEADER_BYTES + len(archive), where)
    identity = key_id(key.public_key()) if key else bytes(KEY_ID_BYTES)
    signature = key.sign(archive) if key else bytes(SIGNATURE_BYTES)
    return MAGIC + identity + signature + archive


def write_bundle(path: Path, manifest: Manifest, files: Mapping[str, bytes], key: SigningKey | None) -> str:
    """Write a bundle at once or not at all; equal arguments give equal bytes. Returns the file's SHA-256 hex.

    Args:
        path: where it shall stand; an older bundle there is replaced.
        manifest: digests and sizes of files are filled in here.
        files: everything but the manifest, by name.
        key: signs it; None leaves it unsigned.

    Raises:
        BundleError: the manifest contradicts itself or the files, or the disk refuses.
    """
    data = pack_bundle(manifest, files, key, str(path))
    try:
        _replace_file(path, data)
    except OSError as fault:
        raise _unwritable(path, fault) from fault
    return hashlib.sha256(data).hexdigest()


def check_writable(path: Path) -> None:
    """Find out before the work of making a bundle whether it can be put at `path`.

    Raises:
        BundleError: as `write_bundle` would raise it.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        draft = _draft(path)
        draft.touch()
        draft.unlink()
    except OSError as fault:
        raise _unwritable(path, fault) from fault


def _unwritable(path: Path, fault: OSError) -> BundleError:
    return BundleError(
        "the bundle cannot be written",
        where=str(path),
        found=fault.strerror,
        do="choose a folder that exists, is writable and has room",
    )


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _replace_file(path: Path, data: bytes) -> None:
    draft = _draft(path)
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# --- reading ------------------------------------------------------------------------------------------------


def read_bundle(
    path: Path, trusted: TrustedKeys, *, allow_unsigned: bool = False, known_digest: str | None = None
) -> Bundle:
    """Read a bundle and verify all of it: signature, names, sizes, digests, manifest.

    Args:
        path: the file.
        trusted: keys whose bundles are accepted.
        allow_unsigned: accept a bundle without a signature (never one with a wrong signature or an unknown key).
        known_digest: SHA-256 hex of a file that was verified before; it then stands in for the signature.

    Raises:
        BundleError: the file is missing or anything in it is not as `write_bundle` writes it.
    """
    return parse_bundle(
        _read_file(path), path, trusted, allow_unsigned=allow_unsigned, known_digest=known_digest
    )


def parse_bundle(
    data: bytes,
    path: Path,
    trusted: TrustedKeys,
    *,
    allow_unsigned: bool = False,
    known_digest: str | None = None,
) -> Bundle:
    """Do what `read_bundle` does with the bytes of a file; the path is only named in errors."""
    where = str(path)
    digest = hashlib.sha256(data).hexdigest()
    identity = _check_header(data, where)
    if known_digest is None:
        _check_signature(data, trusted, allow_unsigned=allow_unsigned, where=where)
    elif digest != known_digest:
        raise BundleError(
            "the file changed while it was read",
            where=where,
            found=digest,
            wanted=known_digest,
            do="try again",
        )
    files = unpack(data[HEADER_BYTES:], where)
    manifest = _decode_manifest(files.pop(MANIFEST, None), where)
    check_manifest(manifest, files, where)
    signed_by = identity.hex() if any(identity) else None
    return Bundle(manifest, MappingProxyType(files), signed_by, path, digest)


def signer_of(data: bytes, path: Path) -> bytes | None:
    """Name the key that a bundle says it was signed by, unverified; None: it is not signed. Raises BundleError."""
    identity = _check_header(data, str(path))
    return identity if any(identity) else None


def _read_file(path: Path) -> bytes:
    try:
        with os.fdopen(_open_regular(path), "rb") as file:
            data = file.read(MAX_ARCHIVE_BYTES + 1)
    except OSError as fault:
        missing = isinstance(fault, FileNotFoundError)
        raise BundleError(
            "the bundle does not exist" if missing else "the bundle cannot be read",
            where=str(path),
            found=fault.strerror,
            wanted="a file made by `edgeseq train`",
            do="check the path" if missing else "check the path and its rights",
        ) from fault
    _check_size(len(data), str(path))
    return data


def _open_regular(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would block for ever
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file")


def _check_size(size_bytes: int, where: str) -> None:
    if size_bytes > MAX_ARCHIVE_BYTES:
        raise BundleError(
            "the bundle is too large",
            where=where,
            found=f"more than {MAX_ARCHIVE_BYTES} bytes",
            wanted=f"at most {MAX_ARCHIVE_BYTES} bytes",
            do="train a smaller model",
        )


def _check_header(data: bytes, where: str) -> bytes:
    if not data.startswith(MAGIC[: len(data)]) or not data:
        raise BundleError(
            "the file is not a bundle",
            where=where,
            found=f"it begins with {data[:8]!r}" if data else "an empty file",
            wanted=f"it begins with {MAGIC!r}",
            do="give a file made by `edgeseq train`",
        )
    if len(data) <= HEADER_BYTES:
        raise BundleError(
            "the bundle is truncated",
            where=where,
            found=f"{len(data)} bytes",
            wanted=f"more than {HEADER_BYTES} bytes",
            do="copy the file again",
        )
    return data[len(MAGIC) : len(MAGIC) + KEY_ID_BYTES]


def _check_signature(data: bytes, trusted: TrustedKeys, *, allow_unsigned: bool, where: str) -> None:
    identity = data[len(MAGIC) : len(MAGIC) + KEY_ID_BYTES]
    signature = data[len(MAGIC) + KEY_ID_BYTES : HEADER_BYTES]
    if not any(identity) and not any(signature):
        if allow_unsigned:
            return
        raise BundleError(
            "the bundle is not signed",
            where=where,
            found="no signature",
            wanted="a signature by a trusted key",
            do="train it with a signing key, or set bundles.allow_unsigned = true if you know where it comes from",
        )
    holds = trusted.verify(identity, signature, data[HEADER_BYTES:])
    if holds is None:
        raise _untrusted(identity.hex(), trusted, where)
    if not holds:
        raise BundleError(
            "the signature does not hold: the bundle was changed or damaged",
            where=where,
            found=f"other contents than key {identity.hex()} has signed",
            wanted="the file as it was signed",
            do="copy the file again from the workstation",
        )


def _untrusted(identity: str, trusted: TrustedKeys, where: str) -> BundleError:
    """Say which keys are trusted, whence they came, and how to trust another."""
    known = " or ".join(sorted(key.hex() for key in trusted.keys))
    if trusted.folder:
        wanted = f"{known or 'a key'} in {trusted.folder}"
        do = f"if you know this key, copy {identity}.pub from the workstation into {trusted.folder}"
    else:
        wanted = (
            f"the own key {known}"
            if known
            else f"a key, but there is none of your own at {default_key_path()}"
        )
        do = f"if you know this key, name the folder that holds {identity}.pub: --trusted DIR"
    return BundleError(
        "the bundle is signed by a key that is not trusted",
        where=where,
        found=f"key {identity}",
        wanted=wanted,
        do=do,
    )


def _decode_manifest(text: bytes | None, where: str) -> Manifest:
    if text is None:
        raise BundleError(
            "the bundle has no manifest", where=where, wanted=MANIFEST, do="train the bundle anew"
        )
    try:
        schema = msgspec.json.decode(text, type=_SchemaOnly).schema
        if schema.major == SCHEMA_MAJOR:
            return msgspec.json.decode(text, type=Manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as fault:
        raise BundleError(
            "the manifest cannot be understood",
            where=f"{where}: {MANIFEST}",
            found=str(fault)[:200],
            wanted=f"schema {SCHEMA_MAJOR}.x",
            do="train the bundle anew with this version of edgeseq",
        ) from fault
    raise BundleError(
        "the bundle was made for another version of edgeseq",
        where=f"{where}: {MANIFEST}",
        found=f"schema {schema.major}.{schema.minor}",
        wanted=f"schema {SCHEMA_MAJOR}.x",
        do="update edgeseq on this device" if schema.major > SCHEMA_MAJOR else "train the bundle anew",
    )


class _SchemaOnly(msgspec.Struct):
    schema: SchemaVersion
