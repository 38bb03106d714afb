"""Look over an installation: each check says what was found, what was wanted and what to do.

    configuration ─▶ machine (clock, disk) ─▶ files (permissions) ─▶ models ─▶ streams ─▶ broker

Nothing that a running daemon uses is taken: not its client id, not its lock, none of its files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgeseq.config import load_config
from edgeseq.config.resolve import resolve
from edgeseq.doctor.broker import check_broker
from edgeseq.doctor.files import check_files
from edgeseq.doctor.finding import Finding, of_fault, ok
from edgeseq.doctor.machine import check_clock, check_disk
from edgeseq.doctor.models import check_models
from edgeseq.doctor.streams import check_streams
from edgeseq.errors import ConfigError


def examine(path: Path) -> Iterator[Finding]:
    """Check everything that a configuration file names; nothing further where it cannot be read."""
    try:
        resolved = resolve(load_config(path), path.parent, name=path.name)
    except ConfigError as fault:
        yield of_fault("configuration", fault)
        return
    yield ok("configuration", f"{path} is usable")
    yield from check_clock([path, *resolved.bundles.values(), resolved.state_dir])
    yield from check_disk(resolved)
    yield from check_files(path, resolved)
    yield from check_models(resolved)
    yield from check_streams(resolved)
    yield from check_broker(resolved)
