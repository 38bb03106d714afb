"""Bundles: what was written comes back, and nothing else is ever accepted."""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeseq.bundle import (
    GOLDEN,
    HEADER_BYTES,
    MAGIC,
    Bundle,
    Channel,
    Manifest,
    SchemaVersion,
    TrustedKeys,
    Variant,
    check_fits,
    parse_bundle,
    read_bundle,
    write_bundle,
)
from edgeseq.bundle.archive import MAX_ARCHIVE_BYTES, pack, unpack
from edgeseq.bundle.golden import load_golden
from edgeseq.bundle.keys import key_id
from edgeseq.core.forecast import StateSpec
from edgeseq.core.types import ChannelSource, StreamRule
from edgeseq.errors import EXIT_CONFIG, BundleError
from tests.support.bundles import make_files, make_manifest

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = TrustedKeys.of(KEY.public_key())
MANIFEST = make_manifest()
FILES = make_files(MANIFEST)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a well signed bundle."""
    write_bundle(tmp_path / "good.edgeseq", MANIFEST, FILES, KEY)
    return tmp_path / "good.edgeseq"


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


def rewritten(path: Path, change: dict[str, bytes | None], name: str = "changed.edgeseq") -> Path:
    """Change files inside a bundle and leave it unsigned, as somebody without the key could."""
    files = unpack(path.read_bytes()[HEADER_BYTES:], "test")
    files = {n: d for n, d in {**files, **change}.items() if d is not None}
    return raw(path.with_name(name), pack(files))


def raw(path: Path, archive: bytes) -> Path:
    """Write any bytes as the archive of an unsigned bundle."""
    path.write_bytes(MAGIC + bytes(HEADER_BYTES - len(MAGIC)) + archive)
    return path


# --- round trip ---------------------------------------------------------------------------------------------


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


# --- bytes ----------------------------------------------------------------------------------------------------


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


# --- who signed -----------------------------------------------------------------------------------------------


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


# --- the archive ----------------------------------------------------------------------------------------------


def entry(
    name: str, data: bytes = b"x", mode: int = 0o100644, kind: int = zipfile.ZIP_STORED
) -> zipfile.ZipInfo:
    """Make an archive entry as `pack` does, but for what the test changes."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr, info.compress_type = 3, mode << 16, kind
    return info


HOSTILE = {
    "absolute": (entry("/etc/passwd"), "not allowed"),
    "parent": (entry("../x"), "not allowed"),
    "folder": (entry("a/"), "not allowed"),
    "nested": (entry("a/b"), "not allowed"),
    "backslash": (entry("a\\b"), "not allowed"),
    "upper": (entry("Model.tflite"), "not allowed"),
    "unicode": (entry("mo\u0308del"), "not allowed"),
    "newline": (entry("model\n"), "not allowed"),
    "link": (entry("model", mode=0o120777), "not a plain file"),
    "executable": (entry("model", mode=0o100755), "not a plain file"),
    "deflated": (entry("model", kind=zipfile.ZIP_DEFLATED), "compressed"),
    "lzma": (entry("model", kind=zipfile.ZIP_LZMA), "compressed"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_entry_is_refused(tmp_path: Path, name: str) -> None:
    """Folders, links, odd names and compression have no place in a bundle."""
    info, match = HOSTILE[name]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, b"0" * 10_000)
    refused(raw(tmp_path / "a.edgeseq", buffer.getvalue()), match, allow_unsigned=True)


def test_duplicate_name_is_refused(tmp_path: Path) -> None:
    """Two files of one name are refused: two readers could see two bundles."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry("a"), b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(entry("a"), b"2")
    refused(raw(tmp_path / "a.edgeseq", buffer.getvalue()), "stands twice", allow_unsigned=True)


def test_many_files_are_refused(tmp_path: Path) -> None:
    """The number of files is bounded."""
    archive = pack({f"f{i}": b"" for i in range(65)})
    refused(raw(tmp_path / "a.edgeseq", archive), "too many files", allow_unsigned=True)


def test_comment_and_prefix_are_refused(tmp_path: Path) -> None:
    """ZIP readers skip comments and prefixes; a bundle has none."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry("a"), b"1")
        archive.comment = b"hello"
    refused(raw(tmp_path / "a.edgeseq", buffer.getvalue()), "more than its files", allow_unsigned=True)
    refused(raw(tmp_path / "b.edgeseq", b"MZ" + pack({"a": b"1"})), "archive", allow_unsigned=True)


# --- the manifest ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"manifest.json": None}, "no manifest"),
        ({"manifest.json": b"{"}, "cannot be understood"),
        ({"manifest.json": b"[" * 100_000}, "cannot be understood"),
        ({"manifest.json": b"\xff\xfe"}, "cannot be understood"),
        ({"model.tflite": None}, "a file is missing"),
        ({"model.tflite": b"other"}, "not the file that was listed"),
        ({"extra.bin": b""}, "not listed"),
    ],
    ids=["none", "cut", "deep", "utf8", "missing", "changed", "extra"],
)
def test_manifest_and_files_must_agree(path: Path, change: dict[str, bytes | None], match: str) -> None:
    """Every file is listed with its digest, and every listed file is there."""
    refused(rewritten(path, change), match, allow_unsigned=True)


def manifest_json(path: Path) -> dict[str, object]:
    """Read the manifest of a bundle as plain JSON."""
    decoded: dict[str, object] = msgspec.json.decode(
        unpack(path.read_bytes()[HEADER_BYTES:], "test")["manifest.json"]
    )
    return decoded


@pytest.mark.parametrize(("major", "advice"), [(2, "update edgeseq"), (0, "train the bundle anew")])
def test_foreign_major_version_is_refused_whatever_else_it_says(path: Path, major: int, advice: str) -> None:
    """Another major may mean anything: it is refused before its other fields are looked at."""
    text = msgspec.json.encode({"schema": {"major": major, "minor": 7}, "period": "new"})
    error = refused(rewritten(path, {"manifest.json": text}), "another version", allow_unsigned=True)
    assert f"schema {major}.7" in str(error)
    assert advice in str(error)


def test_unknown_fields_of_a_newer_minor_are_ignored(path: Path) -> None:
    """A newer minor only adds: what this version does not know it does not read."""
    newer = {**manifest_json(path), "schema": {"major": 1, "minor": 9}, "new_field": {"a": 1}}
    changed = rewritten(path, {"manifest.json": msgspec.json.encode(newer)})
    manifest = read_bundle(changed, TRUSTED, allow_unsigned=True).manifest
    assert manifest.schema == SchemaVersion(1, 9)
    assert manifest.horizon == MANIFEST.horizon


VARIANT = MANIFEST.variants[0]
LIES: list[tuple[dict[str, object], str]] = [
    ({"period_ns": 0}, "period_ns"),
    ({"horizon": 0}, "horizon"),
    ({"ring": -1}, "ring"),
    ({"golden_steps": 255}, "golden_steps"),
    ({"horizon": 10**9}, "channels x horizon x levels"),
    ({"channels": ()}, "channels x horizon x levels"),
    ({"levels": (0.5, 0.05, 0.95)}, "levels"),
    ({"levels": (0.1, 0.5, 0.95)}, "levels"),
    ({"levels": (0.1, 0.9)}, "levels"),
    ({"levels": (0.0, 0.5, 1.0)}, "levels"),
    ({"levels": (0.1, float("nan"), 0.9)}, "levels|cannot be understood"),
    ({"channels": (Channel("a"), Channel("a"))}, "channels"),
    ({"state": ()}, "state"),
    ({"state": (StateSpec("mean", (2**40,)), StateSpec("h0", (4,)))}, "state"),
    ({"state": (StateSpec("mean", (1,), "float64"), StateSpec("h0", (4,)))}, "state"),
    ({"state": (StateSpec("x", (1,)), StateSpec("h0", (4,)))}, "state"),
    ({"variants": (VARIANT, VARIANT)}, "variants"),
    ({"default_variant": "int4"}, "default_variant"),
    ({"variants": (msgspec.structs.replace(VARIANT, tolerance=0.0),)}, "tolerance"),
    ({"variants": (msgspec.structs.replace(VARIANT, loss=float("inf")),)}, "loss"),
    ({"variants": (msgspec.structs.replace(VARIANT, file="none.tflite"),)}, "has no file"),
    ({"bundle_id": "../x"}, "bundle_id"),
    ({"name": ""}, "name"),
    ({"signatures": {}}, "signature step is missing"),
    ({"state": (StateSpec("h0", (4,)), StateSpec("mean", (1,)))}, "inputs of signature step"),
]


@pytest.mark.parametrize(
    ("change", "match"), LIES, ids=[f"{i}-{m.split('|')[0]}" for i, (_, m) in enumerate(LIES)]
)
def test_contradicting_manifest_is_neither_written_nor_read(
    path: Path, change: dict[str, object], match: str
) -> None:
    """The laws of a manifest hold on both sides: training cannot write and a device cannot read a broken one."""
    broken = make_manifest(**change)
    with pytest.raises(BundleError, match=match):
        write_bundle(path, broken, FILES, KEY)
    sealed = {**manifest_json(path), **msgspec.to_builtins(make_manifest(**change))}
    sealed["files"] = manifest_json(path)["files"]
    if "variants" not in change:
        sealed["variants"] = manifest_json(path)["variants"]
    text = msgspec.json.encode(sealed)
    refused(
        rewritten(path, {"manifest.json": text}),
        f"{match}|cannot be understood|lists another",
        allow_unsigned=True,
    )


def test_variant_that_lists_another_digest_is_refused(path: Path) -> None:
    """A variant's digest is that of its file."""
    lie = manifest_json(path)
    lie["variants"] = [
        msgspec.to_builtins(Variant("float32", "model.tflite", "0" * 64, 1, ("litert",), 1e-4, 0.5))
    ]
    refused(
        rewritten(path, {"manifest.json": msgspec.json.encode(lie)}),
        "lists another file",
        allow_unsigned=True,
    )


# --- the golden roll-out ----------------------------------------------------------------------------------------


def test_golden_roll_out_must_fit_the_manifest(tmp_path: Path) -> None:
    """A roll-out of other shapes proves nothing about this model."""
    path = tmp_path / "a.edgeseq"
    write_bundle(path, make_manifest(horizon=3), FILES, KEY)
    with pytest.raises(BundleError, match="does not fit") as caught:
        load_golden(read_bundle(path, TRUSTED))
    assert "quantiles: float32 (256, 1, 3, 3)" in str(caught.value)


def test_golden_npz_with_a_pickle_is_never_unpickled(tmp_path: Path) -> None:
    """Objects in arrays are refused: a bundle holds no code."""
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([object()], dtype=object))  # pickles
    path = tmp_path / "a.edgeseq"
    write_bundle(path, MANIFEST, {**FILES, GOLDEN: buffer.getvalue()}, KEY)
    with pytest.raises(BundleError, match="arrays cannot be read"):
        load_golden(read_bundle(path, TRUSTED))


# --- what a stream asks -------------------------------------------------------------------------------------------


def rule(**changes: object) -> StreamRule:
    """Make a rule of one channel that the bundle fits."""
    return StreamRule(**{"key": "cellar", "period_ns": MANIFEST.period_ns, **changes})  # type: ignore[arg-type]


def test_bundle_of_one_channel_fits_any_stream_of_one_channel() -> None:
    """The name of a single channel does not matter."""
    check_fits(make_manifest(channels=(Channel("traffic", "°C"),)), rule())
    check_fits(MANIFEST, rule(unit="°C"))
    check_fits(make_manifest(channels=(Channel("value"),)), rule(unit="K"))


@pytest.mark.parametrize(
    ("changes", "match", "wanted"),
    [
        ({"period_ns": 10**9}, "another period", "10m"),
        ({"aggregate": "mean"}, "another aggregate", "last"),
        (
            {"channels": {"a": ChannelSource("t"), "b": ChannelSource("u")}},
            "another set of channels",
            "value in this order",
        ),
        ({"unit": "K"}, "another unit", "°C"),
    ],
    ids=["period", "aggregate", "channels", "unit"],
)
def test_bundle_for_other_streams_is_refused(changes: dict[str, object], match: str, wanted: str) -> None:
    """A model serves only streams like those it was trained on."""
    with pytest.raises(BundleError, match=match) as caught:
        check_fits(MANIFEST, rule(**changes))
    error = caught.value
    assert error.wanted is not None
    assert wanted in error.wanted
    assert error.where == "streams cellar"
    assert error.do


def test_units_are_compared_channel_by_channel_where_both_sides_name_one() -> None:
    """Channels of different units fit a rule that names the same ones; another unit of one channel is refused."""
    manifest = make_manifest(channels=(Channel("flow", "m³/h"), Channel("state"), Channel("heat", "°C")))
    sources = {name: ChannelSource(name) for name in ("flow", "state", "heat")}
    check_fits(manifest, rule(channels=sources, units={"flow": "m³/h", "state": "V", "heat": "°C"}))
    check_fits(manifest, rule(channels=sources))
    with pytest.raises(BundleError, match="another unit") as caught:
        check_fits(manifest, rule(channels=sources, units={"flow": "m³/h", "heat": "°F"}))
    assert (caught.value.found, caught.value.wanted) == ("°F", "°C")


def test_manifest_that_says_nothing_of_columns_is_read() -> None:
    """Bundles made before the columns of the recording were carried still open; the others keep what they say."""
    told = json.loads(msgspec.json.encode(make_manifest(columns=(Channel("cellar", "°C"), Channel("hall")))))
    assert msgspec.convert(told, Manifest).columns == (Channel("cellar", "°C"), Channel("hall"))
    del told["columns"]
    assert msgspec.convert(told, Manifest).columns == ()


def test_bundle_is_read_once_and_frozen(path: Path) -> None:
    """What was verified cannot be changed afterwards."""
    bundle: Bundle = read_bundle(path, TRUSTED)
    with pytest.raises(TypeError):
        bundle.files["model.tflite"] = b""  # type: ignore[index]
    with pytest.raises(AttributeError):
        bundle.digest = ""  # type: ignore[misc]
