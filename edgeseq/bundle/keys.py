"""Ed25519 keys: the signing key of the workstation and the keys a device trusts.

Private keys are PKCS #8 PEM, public keys SubjectPublicKeyInfo PEM, both as `openssl pkey` reads and writes them.

`cryptography` is imported where it is used: the daemon lets a child verify and so saves its 7 MB of memory.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from edgeseq.errors import BundleError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SigningKey: TypeAlias = "Ed25519PrivateKey"

KEY_ID_BYTES = 8
SIGNATURE_BYTES = 64
KEY_FILE = "signing.key"
_MAX_KEY_FILE_BYTES = 4096
_KEYGEN = "make one with `edgeseq keygen`"


def key_id(public: Ed25519PublicKey) -> bytes:
    """Name a public key: the first 8 bytes of its SHA-256."""
    return hashlib.sha256(public.public_bytes_raw()).digest()[:KEY_ID_BYTES]


def default_key_path() -> Path:
    """Say where the signing key lives: $XDG_CONFIG_HOME/edgeseq/signing.key."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "edgeseq" / KEY_FILE


def load_signing_key(path: Path | None = None, *, create: bool = True) -> SigningKey:
    """Read the signing key, or make it where there is none.

    Args:
        path: PEM file; None means `default_key_path()`.
        create: make a new key (mode 0600) if the file does not exist.

    Raises:
        BundleError: absent and not to be made, readable by others, or not an Ed25519 private key.
    """
    path = path or default_key_path()
    if create and not path.exists():
        _create_signing_key(path)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read(_MAX_KEY_FILE_BYTES)
    except OSError as fault:
        raise BundleError(
            "the signing key cannot be read",
            where=str(path),
            found=fault.strerror,
            wanted="a PEM file",
            do=_KEYGEN,
        ) from fault
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BundleError(
            "the signing key is open to other users",
            where=str(path),
            found=f"mode {stat.S_IMODE(mode):04o}",
            wanted="mode 0600",
            do=f"chmod 600 {path}; if somebody may have read it, make a new key and replace it on the devices",
        )
    return _parse_private(pem, path)


def _create_signing_key(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return  # another process was first: its key is as good
    except OSError as fault:
        raise BundleError(
            "the signing key cannot be written",
            where=str(path),
            found=fault.strerror,
            do="make the folder writable, or choose another with `edgeseq keygen -o DIR`",
        ) from fault


def _parse_private(pem: bytes, path: Path) -> SigningKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(
            "the signing key is not usable",
            where=str(path),
            found="something else",
            wanted="an unencrypted Ed25519 private key in PEM",
            do=f"move the file away and {_KEYGEN}",
        )
    return key


def public_pem(public: Ed25519PublicKey) -> bytes:
    """Write a public key as the text of a .pub file."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def write_public_key(public: Ed25519PublicKey, folder: Path) -> Path:
    """Write <key id>.pub into a folder and give its path."""
    path = folder / f"{key_id(public).hex()}.pub"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(public_pem(public))
    except OSError as fault:
        raise BundleError(
            "the public key cannot be written",
            where=str(path),
            found=fault.strerror,
            do="make the folder writable",
        ) from fault
    return path


def announce_key(key: SigningKey, path: Path, *, is_new: bool) -> str:
    """Write the public half beside the signing key at `path`; give the lines that tell where both are and what for."""
    public = key.public_key()
    published = write_public_key(public, path.parent)
    lines = (
        f"signing key {'made' if is_new else 'kept'}: {path}",
        f"public key {key_id(public).hex()}: {published}",
        public_pem(public).decode().rstrip(),
        f"copy {published.name} into the folder trusted_keys of each device that shall load your bundles",
    )
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The public keys whose bundles a device loads, by key id."""

    keys: Mapping[bytes, Ed25519PublicKey] = field(default_factory=dict)
    folder: Path | None = None
    """Where they came from, for messages."""

    @staticmethod
    def of(*public: Ed25519PublicKey) -> TrustedKeys:
        """Trust just these keys."""
        return TrustedKeys({key_id(key): key for key in public})

    @staticmethod
    def from_dir(folder: Path) -> TrustedKeys:
        """Read all *.pub files of a folder. No folder means no trusted key.

        Raises:
            BundleError: a file is not an Ed25519 public key, or cannot be read.
        """
        return TrustedKeys({key_id(k): k for k in map(_read_public, sorted(folder.glob("*.pub")))}, folder)

    def verify(self, identity: bytes, signature: bytes, data: bytes) -> bool | None:
        """Check a signature: True if it holds, False if not, None if the key is not trusted."""
        from cryptography.exceptions import InvalidSignature

        key = self.keys.get(identity)
        if key is None:
            return None
        try:
            key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


def _read_public(path: Path) -> Ed25519PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes()[:_MAX_KEY_FILE_BYTES])
    except (ValueError, UnsupportedAlgorithm):
        key = None
    except OSError as fault:
        raise BundleError(
            "a trusted key cannot be read", where=str(path), found=fault.strerror, do="make the file readable"
        ) from fault
    if not isinstance(key, Ed25519PublicKey):
        raise BundleError(
            "a trusted key is not usable",
            where=str(path),
            found="something else",
            wanted="an Ed25519 public key in PEM, as `edgeseq keygen` writes it",
            do="copy the .pub file from the workstation again, or remove it",
        )
    return key
