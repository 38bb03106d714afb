"""What was proven of bundles is remembered where the disk allows it, and nowhere else."""

from __future__ import annotations

from pathlib import Path

from edgeseq.adapters.interpreter.probe import _save_proofs


def test_proofs_disk_that_refuses_everything_is_no_fault(tmp_path: Path) -> None:
    """Neither writing the cache nor clearing up after it may end a start: a read-only disk refuses both."""
    (tmp_path / "file").touch()
    _save_proofs(tmp_path / "file" / "proofs.json", {"key": 0.5})
    assert (tmp_path / "file").read_bytes() == b""
