"""The tiny bundle of the tests: built once by the main environment, kept until its sources change."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeseq.bundle import Bundle, TrustedKeys, read_bundle
from edgeseq.keys import load_signing_key

ROOT = Path(__file__).parents[2]
BUNDLE_VARIABLE = "EDGESEQ_TINY_BUNDLE"
"""Names a bundle that was built before: for environments that cannot build it."""
SOURCES = ("edgeseq/*.py", "edgeseq/core/*.py", "train/edgeseq_train/*.py", "tests/support/tiny_model.py")


def tiny_bundle_path(cache: pytest.Cache) -> Path:
    """Give the path of the tiny bundle; its signing key lies beside it. Builds both if the sources have changed."""
    if given := os.environ.get(BUNDLE_VARIABLE):
        return Path(given)
    sources = sorted(path for pattern in SOURCES for path in ROOT.glob(pattern))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    path = Path(cache.mkdir("tiny-bundle")) / f"{digest}.edgeseq"
    if not path.exists():
        command = [sys.executable, "-m", "tests.support.tiny_model", str(path), str(path.parent / "signing.key")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
    return path


def read_tiny_bundle(path: Path) -> Bundle:
    """Read it with the key it was signed with."""
    key = load_signing_key(path.parent / "signing.key", create=False)
    return read_bundle(path, TrustedKeys.of(key.public_key()))
