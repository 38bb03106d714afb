"""Bundles: an archive, a manifest or a roll-out that is not as it must be is refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeseq.bundle import (
    GOLDEN,
    HEADER_BYTES,
    Channel,
    SchemaVersion,
    Variant,
    read_bundle,
    write_bundle,
)
from edgeseq.bundle.archive import pack, unpack
from edgeseq.bundle.golden import load_golden
from edgeseq.core.forecast import StateSpec
from edgeseq.errors import BundleError
from tests.support.bundles import make_manifest
from tests.support.signed_bundle import FILES, KEY, MANIFEST, TRUSTED, raw, refused


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a well signed bundle."""
    write_bundle(tmp_path / "good.edgeseq", MANIFEST, FILES, KEY)
    return tmp_path / "good.edgeseq"


def rewritten(path: Path, change: dict[str, bytes | None], name: str = "changed.edgeseq") -> Path:
    """Change files inside a bundle and leave it unsigned, as somebody without the key could."""
    files = unpack(path.read_bytes()[HEADER_BYTES:], "test")
    files = {n: d for n, d in {**files, **change}.items() if d is not None}
    return raw(path.with_name(name), pack(files))


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
