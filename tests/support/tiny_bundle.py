"""The tiny bundle of the tests: built once by the main environment, kept until its sources change."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeseq.bundle import Bundle, TrustedKeys, read_bundle
from edgeseq.bundle.keys import load_signing_key

ROOT = Path(__file__).parents[2]
BUNDLE_VARIABLE = "EDGESEQ_TINY_BUNDLE"
"""Names a bundle that was built before: for environments that cannot build it."""
SOURCES = (
    "edgeseq/bundle/archive.py",
    "edgeseq/bundle/__init__.py",
    "edgeseq/core/calendar.py",
    "edgeseq/core/cells.py",
    "edgeseq/core/forecast.py",
    "edgeseq/core/front.py",
    "edgeseq/core/known.py",
    "edgeseq/core/layers/__init__.py",
    "edgeseq/core/layers/recurrent.py",
    "edgeseq/core/network.py",
    "edgeseq/core/ops.py",
    "edgeseq/core/specification.py",
    "edgeseq/bundle/golden.py",
    "edgeseq/bundle/manifest.py",
    "tests/support/calendars.py",
    "tests/support/tiny_model.py",
    "train/edgeseq_train/export.py",
    "train/edgeseq_train/tf_ops.py",
)
"""What decides the bundle's bytes."""


def tiny_bundle_path(config: pytest.Config) -> Path:
    """Give the path of the tiny bundle; its signing key lies beside it. Builds both if the sources have changed."""
    if given := os.environ.get(BUNDLE_VARIABLE):
        return Path(given)
    digest = hashlib.sha256(b"".join((ROOT / source).read_bytes() for source in SOURCES)).hexdigest()[:16]
    assert config.cache is not None, "the bundle is kept in pytest's cache"
    path = Path(config.cache.mkdir("tiny-bundle")) / f"{digest}.edgeseq"
    if not path.exists():
        command = [
            sys.executable,
            "-m",
            "tests.support.tiny_model",
            str(path),
            str(path.parent / "signing.key"),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
    return path


def known_twin(path: Path) -> Path:
    """Name the bundle beside the tiny one whose model takes inputs that are known for the future too."""
    return path.with_stem(f"{path.stem}-known")


def read_tiny_bundle(path: Path) -> Bundle:
    """Read it with the key it was signed with."""
    key = load_signing_key(path.parent / "signing.key", create=False)
    return read_bundle(path, TrustedKeys.of(key.public_key()))
