"""Indices have the platform's width, so that the daemon runs where that is 32 bits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
NARROW = "tests.support.narrow"
FILES = [f"tests/core/test_{name}.py" for name in ("decimals", "dedupe", "estimate", "table")]
"""What reads, steps models, learns, snapshots and writes, and takes seconds."""

on_64_bits = pytest.mark.skipif(
    np.dtype(np.intp).char != "l", reason="the real test runs where indices are narrow"
)


@on_64_bits
def test_no_64_bit_indices_reach_what_refuses_them_on_32_bits() -> None:
    """With NumPy as picky as on 32-bit ARM, tests that play whole batches pass."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        NARROW,
        "-p",
        "no:cacheprovider",
        "-q",
        "--tb=short",
        *FILES,
    ]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


@on_64_bits
@pytest.mark.parametrize("made", ["np.int64", "np.intp"])
def test_pickiness_bites(made: str) -> None:
    """Rows numbered with 64 bits are refused there; with the platform's width they are not."""
    program = f"""
import numpy as np
import {NARROW}
from edgeseq.core.table import Column, Table
table = Table({{"step": Column(())}})
table.add_row()
table.gather(np.zeros(1, {made}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert ("Cannot cast array data from dtype('int64')" in done.stderr) is (made != "np.intp"), done.stderr
