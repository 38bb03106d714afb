"""Bundles: what was written comes back, what was changed is refused, and so is what nobody trusted has signed."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeseq.bundle import (
    GOLDEN,
    HEADER_BYTES,
    MAGIC,
    Bundle,
    TrustedKeys,
    parse_bundle,
    read_bundle,
    write_bundle,
)
from edgeseq.bundle.archive import MAX_ARCHIVE_BYTES, pack
from edgeseq.bundle.keys import key_id
from edgeseq.errors import BundleError
from tests.support.bundles import make_manifest
from tests.support.signed_bundle import FILES, KEY, MANIFEST, TRUSTED, raw, refused


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a well signed bundle."""
    write_bundle(tmp_path / "good.edgeseq", MANIFEST, FILES, KEY)
    return tmp_path / "good.edgeseq"


@pytest.mark.parametrize("key", [KEY, None], ids=["signed", "unsigned"])
def test_written_bundle_comes_back_equal(tmp_path: Path, key: Ed25519PrivateKey | None) -> None:
    """Manifest, files and key id come back as they were written."""
    path = tmp_path / "a.edgeseq"
    digest = write_bundle(path, MANIFEST, FILES, key)
    bundle = read_bundle(path, TRUSTED, allow_unsigned=key is None)
    assert dict(bundle.files) == FILES
    assert msgspec.structs.replace(bundle.manifest, files={}, variants=()) == msgspec.structs.replace(
        MANIFEST, variants=()
    )
    assert bundle.signed is (key is not None)
    assert bundle.key_id == (key_id(key.public_key()).hex() if key else None)
    assert bundle.digest == digest
    assert bundle.manifest.variants[0].bytes == len(FILES["model.tflite"])


def test_same_input_gives_same_bytes_in_any_order_of_files(tmp_path: Path) -> None:
    """A bundle is a function of its content: no clock, no order, no random in it."""
    a, b = tmp_path / "a.edgeseq", tmp_path / "b.edgeseq"
    write_bundle(a, MANIFEST, FILES, KEY)
    write_bundle(b, MANIFEST, dict(reversed(FILES.items())), KEY)
    assert a.read_bytes() == b.read_bytes()


def test_archive_layout_is_the_same_for_every_python() -> None:
    """Devices and workstations run different Pythons: the packed bytes are pinned."""
    assert (len(pack({"a": b"1", "b.c": b"22"})), zlib.crc32(pack({"a": b"1", "b.c": b"22"}))) == (
        185,
        0x8516CD41,
    )


def test_replacing_a_bundle_leaves_no_draft_and_failing_leaves_the_old(path: Path) -> None:
    """Writing is atomic: a refused write leaves the older bundle and nothing beside it."""
    before = path.read_bytes()
    with pytest.raises(BundleError, match="contradicts itself"):
        write_bundle(path, make_manifest(horizon=0), FILES, KEY)
    assert path.read_bytes() == before
    write_bundle(path, make_manifest(version="2"), FILES, KEY)
    assert read_bundle(path, TRUSTED).manifest.version == "2"
    assert list(path.parent.iterdir()) == [path]


def test_unwritable_folder_is_said(tmp_path: Path) -> None:
    """A folder that does not exist is named, with advice."""
    with pytest.raises(BundleError, match="cannot be written") as caught:
        write_bundle(tmp_path / "no" / "a.edgeseq", MANIFEST, FILES, KEY)
    assert "choose a folder" in str(caught.value)


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_each_flipped_byte_is_refused(tmp_path: Path, signed: bool) -> None:
    """No single byte of a bundle can change unnoticed, in a signed and even in an unsigned one (exhaustive)."""
    small = make_manifest()
    path = tmp_path / "small.edgeseq"
    write_bundle(path, small, FILES, KEY if signed else None)
    data = path.read_bytes()
    golden = FILES[GOLDEN]
    region = range(len(data)) if signed else sparse(data, data.index(golden), len(golden))
    accepted = []
    for position in region:
        changed = data[:position] + bytes([data[position] ^ (1 << position % 8)]) + data[position + 1 :]
        try:
            parse_bundle(changed, path, TRUSTED, allow_unsigned=not signed)
        except BundleError:
            continue
        accepted.append(position)
    assert accepted == []


def sparse(data: bytes, start: int, length: int) -> list[int]:
    """All positions, but only every 61st of the large middle file."""
    return [i for i in range(len(data)) if not start <= i < start + length or i % 61 == 0]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(edits=st.lists(st.tuples(st.integers(0), st.binary(max_size=6)), min_size=1, max_size=8))
def test_any_damage_to_an_unsigned_archive_is_a_bundle_error(
    path: Path, edits: list[tuple[int, bytes]]
) -> None:
    """Whatever the bytes of an archive are, reading gives the same bundle or a BundleError."""
    write_bundle(path, MANIFEST, FILES, None)
    data = bytearray(path.read_bytes())
    tail = len(data) - 700  # central directory and manifest: where a parser can be confused
    for position, patch in edits:
        at = tail + position % 700
        data[at : at + len(patch)] = patch
    if bytes(data) == path.read_bytes():
        return
    with pytest.raises(BundleError, match=r"archive|manifest|bundle|signature"):
        parse_bundle(bytes(data), path, TRUSTED, allow_unsigned=True)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 16, 79, 80, 81, 200, -1])
def test_truncated_bundle_is_refused_at_any_length(path: Path, length: int) -> None:
    """A bundle cut anywhere is never read."""
    path.write_bytes(path.read_bytes()[:length])
    refused(path, "not a bundle|truncated|signature does not hold")


def test_appended_bytes_are_refused(path: Path) -> None:
    """Nothing may follow the archive, not even in an unsigned bundle."""
    path.write_bytes(path.read_bytes() + b"\0")
    refused(path, "signature does not hold")
    refused(raw(path, pack(FILES) + b"\0"), "archive", allow_unsigned=True)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A path without a file is said as such."""
    error = refused(tmp_path / "none.edgeseq", "does not exist")
    assert "check the path" in str(error)


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    """A folder or a pipe is refused at once, not waited for."""
    path = tmp_path / kind
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    refused(path, "cannot be read")


def test_other_file_is_not_a_bundle(tmp_path: Path) -> None:
    """A file of another kind is told from a damaged bundle."""
    path = tmp_path / "x.edgeseq"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    assert "begins with" in str(refused(path, "not a bundle"))


def test_oversized_file_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    """A huge file costs no more memory than the limit."""
    path = tmp_path / "huge.edgeseq"
    with path.open("wb") as file:
        file.write(MAGIC)
        file.truncate(MAX_ARCHIVE_BYTES * 50)  # sparse
    refused(path, "too large")


def test_unsigned_bundle_loads_only_when_allowed(tmp_path: Path) -> None:
    """Without a signature the configuration must say so."""
    path = tmp_path / "a.edgeseq"
    write_bundle(path, MANIFEST, FILES, None)
    assert "allow_unsigned" in str(refused(path, "not signed"))
    assert not read_bundle(path, TRUSTED, allow_unsigned=True).signed


def test_unknown_key_is_refused_even_when_unsigned_is_allowed(path: Path, tmp_path: Path) -> None:
    """A stranger's signature is worse than none: it is never ignored."""
    identity = key_id(KEY.public_key()).hex()
    error = refused(path, "not trusted", TrustedKeys(folder=tmp_path / "keys"), allow_unsigned=True)
    assert f"{identity}.pub" in str(error)
    assert str(tmp_path / "keys") in str(error)


def test_signature_by_another_key_under_a_trusted_id_is_refused(path: Path) -> None:
    """The id alone opens nothing."""
    other = Ed25519PrivateKey.generate()
    data = path.read_bytes()
    start = len(MAGIC) + 8
    path.write_bytes(data[:start] + other.sign(data[HEADER_BYTES:]) + data[HEADER_BYTES:])
    refused(path, "signature does not hold", allow_unsigned=True)


def test_stripped_signature_makes_it_unsigned(path: Path) -> None:
    """Removing the signature does not get a bundle past a device that demands one."""
    data = path.read_bytes()
    raw(path, data[HEADER_BYTES:])
    refused(path, "not signed")


def test_known_digest_stands_in_for_the_signature_of_just_that_file(path: Path) -> None:
    """A child may trust the digest its parent verified, and nothing else."""
    digest = read_bundle(path, TRUSTED).digest
    assert read_bundle(path, TrustedKeys(), known_digest=digest).digest == digest
    write_bundle(path, make_manifest(version="2"), FILES, KEY)
    with pytest.raises(BundleError, match="changed while"):
        read_bundle(path, TrustedKeys(), known_digest=digest)


def test_bundle_is_read_once_and_frozen(path: Path) -> None:
    """What was verified cannot be changed afterwards."""
    bundle: Bundle = read_bundle(path, TRUSTED)
    with pytest.raises(TypeError):
        bundle.files["model.tflite"] = b""  # type: ignore[index]
    with pytest.raises(AttributeError):
        bundle.digest = ""  # type: ignore[misc]
