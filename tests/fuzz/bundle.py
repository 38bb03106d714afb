"""Bundles: any file is a bundle as edgeseq writes it, or a BundleError.

The first byte of an input says which reader the rest is for: the whole file, the archive, the manifest's text, places
of a sound manifest and what is put there, the golden roll-out, arrays, or a single array.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeseq.bundle import (
    GOLDEN,
    HEADER_BYTES,
    MAGIC,
    WEIGHTS,
    Bundle,
    Manifest,
    TrustedKeys,
    _decode_manifest,
    parse_bundle,
    seal,
)
from edgeseq.bundle.archive import dump_arrays, load_arrays, pack
from edgeseq.bundle.golden import load_golden
from edgeseq.bundle.manifest import MANIFEST, check_fits, check_manifest, check_serves
from edgeseq.core.types import StreamRule
from edgeseq.errors import BundleError
from tests.support.bundles import make_files, make_manifest

HEADER = MAGIC + bytes(HEADER_BYTES - len(MAGIC))
RULE = StreamRule("r", 600 * 10**9, topics=("t",), bundle="b")
PATH = Path("fuzzed.edgeseq")
WHOLE, ARCHIVE, DESCRIPTION, EDITS, GOLDEN_ARRAYS, ARRAYS, ARRAY = range(7)
ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        1,
        2,
        2**31,
        2**63 - 1,
        2**64,
        0.5,
        1e308,
        float("nan"),
        "",
        "a",
        "x",
        "\n",
        "a" * 300,
    ),
    *(
        [],
        {},
        [[]],
        [0.5],
        [0.05, 0.5, 0.95],
        [1, 1],
        {"": None},
        {"kind": "x", "known": 1},
        {"name": "a", "classes": ["x", "y"]},
    ),
    *(
        {"name": "a", "unit": None},
        [{"name": "a", "unit": None}] * 2,
        {"covariates": [{"name": "a", "mean": 0, "scale": 1}]},
    ),
)
TOKENS = (
    *('"schema"', '"major":1', '"minor"', '"period_ns"', '"aggregate"', '"horizon"', '"levels"', '"state"'),
    *('"signatures"', '"step"', '"variants"', '"files"', '"channels"', '"network"', '"target"', '"inputs"'),
    *("null", "1e999", "-1", "[]", "{}", "manifest.json", "golden.npz", "PK\x03\x04", "PK\x01\x02", "NUMPY"),
    *("'descr': '<f4'", "'|O'", "'fortran_order': True", "'shape': (99999999999,)", "(2**60,)", "L" * 8),
)


@cache
def parts() -> tuple[Manifest, dict[str, bytes], bytes]:
    """Give a small manifest as it stands in a bundle, its files, and the manifest's text."""
    manifest = make_manifest()
    files = make_files(manifest)
    files = {**files, GOLDEN: b"not looked at"}
    manifest = seal(manifest, files)
    return manifest, files, msgspec.json.encode(manifest)


def seeds() -> list[bytes]:
    """Give a good one of each kind, and some arrays."""
    manifest, files, text = parts()
    archive = pack({**files, MANIFEST: text})
    golden = make_files(manifest)[GOLDEN]
    newer = msgspec.json.encode({**json.loads(text), "schema": {"major": 2, "minor": 0}})
    plain = dump_arrays({"a": np.arange(3.0), "b": np.zeros((2, 2), np.float32)})
    odd = io.BytesIO()
    np.savez_compressed(odd, a=np.zeros(1000))
    pickled = io.BytesIO()
    np.savez(pickled, a=np.array([{}], dtype=object))
    npy = io.BytesIO()
    np.save(npy, np.zeros(4, np.float32))
    return [
        bytes([kind]) + data
        for kind, data in (
            (WHOLE, HEADER + archive),
            (WHOLE, MAGIC + b"k" * 72 + archive),
            (ARCHIVE, archive),
            (ARCHIVE, pack({"a": b"1"})),
            (DESCRIPTION, text),
            (DESCRIPTION, newer),
            (GOLDEN_ARRAYS, golden),
            *((ARRAYS, data) for data in (plain, odd.getvalue(), pickled.getvalue())),
            (ARRAY, npy.getvalue()),
            *((EDITS, bytes(edit)) for edit in ((0, 0), (9, 3), (20, 5, 30, 7), (40, 9), (60, 12), (80, 1))),
        )
    ]


def new() -> Callable[[bytes], None]:
    """Give the check; it remembers nothing."""
    return check


def check(data: bytes) -> None:
    """Read an input; what is read must be whole, all else a BundleError that says where."""
    if not data:
        return
    try:
        read(data[0] % 7, data[1:])
    except BundleError as refused:
        assert_told(refused)


def assert_told(refused: BundleError) -> None:
    """Look at an error: it fits on a screen and says where."""
    assert len(str(refused)) < 4000
    assert refused.where


def read(kind: int, rest: bytes) -> None:
    """Let the reader of a kind of input have it. Raises BundleError."""
    if kind in (ARRAYS, ARRAY):
        arrays = load_arrays(rest if kind == ARRAYS else pack({"a.npy": rest}), "fuzzed")
        assert all(array.dtype.kind != "O" for array in arrays.values())
        return
    if kind == GOLDEN_ARRAYS:
        load_golden(Bundle(make_manifest(), {GOLDEN: rest, WEIGHTS: b""}, None, PATH, ""))
        return
    if kind in (DESCRIPTION, EDITS):
        manifest, files = (
            _decode_manifest(edited(parts()[2], rest) if kind == EDITS else rest, "fuzzed"),
            parts()[1],
        )
        check_manifest(manifest, files, "fuzzed")
    else:
        whole = rest if kind == WHOLE else HEADER + rest
        bundle = parse_bundle(whole, PATH, TrustedKeys(), allow_unsigned=True)
        manifest, files = bundle.manifest, dict(bundle.files)
    assert_sound(manifest, files)
    check_serves(manifest, RULE, "bundle")
    check_fits(manifest, RULE)


def edited(text: bytes, choices: bytes) -> bytes:
    """Put odd values into a sound manifest: up to four pairs of place and value."""
    document = json.loads(text)
    paths = list(places(document))
    for place, value in zip(choices[:8:2], choices[1:8:2], strict=False):
        holder, key = paths[place % len(paths)]
        holder[key] = ODD[value % len(ODD)]
    return json.dumps(document).encode()


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """List all places of a document."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(items):
        yield document, key
        if isinstance(value, dict | list):
            yield from places(value)


def assert_sound(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Look at what was accepted: it must be usable as what it says."""
    assert manifest.label.isprintable()
    assert manifest.files.keys() == files.keys()
    assert manifest.horizon * len(manifest.channels) > 0
    assert manifest.variant(manifest.default_variant).file in files
