"""Metrics for a textfile collector: a file that is replaced whole."""

from __future__ import annotations

import os
from pathlib import Path


def write_textfile(path: Path, text: str) -> None:
    """Replace a file whole: a collector sees the old one or the new one. Raises OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.chmod(0o644)  # the collector is another user
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
