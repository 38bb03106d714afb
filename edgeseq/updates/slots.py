"""Which file serves as each bundle: one small index, whose replacement is the only step that changes it.

    state folder/updates/index.json      what serves, what is being judged
                         <digest>.edgeseq bundles that came over the air
                         incoming.*       one that is being received

Whatever happens in between, a start finds the old index or the new one. Files that it does not name are removed. Where
somebody replaces the configured file by hand, that one serves again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec

from edgeseq.adapters.log import Log
from edgeseq.config.resolve import Resolved
from edgeseq.core.bridge import update_filters
from edgeseq.disk import Disk, storage_faults, write_atomically

FOLDER, INDEX = "updates", "index.json"

Phase = Literal["settled", "shadowing", "watching"]


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in for one configured bundle."""

    base: str
    """SHA-256 hex of the configured file when the first update came."""
    highest: int = 0
    """Highest sequence that was taken."""
    taken: str = ""
    """SHA-256 hex of the release that was taken last."""
    sequence: int = 0
    """Its sequence."""
    label: str = ""
    """Name and digest of its model."""
    serving: str | None = None
    """Digest of the file that serves; null: the configured one."""
    other: str | None = None
    """Digest of the file that it is compared with; null: the configured one, or none where settled."""
    phase: Phase = "settled"
    """shadowing: `other` is new and runs in the shadow; watching: `other` is what served before."""
    outcome: str = ""
    """How the last release ended."""


class Index(msgspec.Struct, frozen=True):
    """All of them, by the key of the configured bundle."""

    slots: dict[str, Slot] = {}


def folder_of(resolved: Resolved) -> Path:
    """Name the folder."""
    return resolved.state_dir / FOLDER


def load_index(folder: Path, log: Log) -> Index | None:
    """Read the index; None where there is one that cannot be read, loudly."""
    path = folder / INDEX
    try:
        return msgspec.json.decode(path.read_bytes(), type=Index)
    except FileNotFoundError:
        return Index()
    except (OSError, msgspec.MsgspecError, ValueError) as fault:
        log("file.rejected", path=str(path), error=str(fault)[:200])
        return None


def keep_index(disk: Disk, folder: Path, index: Index) -> None:
    """Replace the index. Raises StorageError."""
    with storage_faults("the index of updates cannot be written", folder):
        write_atomically(disk, folder / INDEX, [msgspec.json.encode(index)], name="updates")


def file_of(folder: Path, digest: str) -> Path:
    """Name the file of a bundle that came over the air."""
    return folder / f"{digest}.edgeseq"


def path_of(configured: Path, folder: Path, digest: str | None) -> Path:
    """Name the file that stands behind a slot's digest."""
    return configured if digest is None else file_of(folder, digest)


def digest_of(path: Path) -> str | None:
    """Give the SHA-256 hex of a file; None where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def overlaid(resolved: Resolved, log: Log) -> Resolved:
    """Let bundles that came over the air serve in the place of the configured ones, and hear of further ones."""
    folder, configured = folder_of(resolved), resolved.bundles
    slots = sound(load_index(folder, log) or Index(), configured, folder, log).slots
    standing_in = {
        key: file_of(folder, slot.serving)
        for key, slot in slots.items()
        if key in configured and slot.serving is not None
    }
    root = f"{resolved.config.mqtt.topic_prefix}/{resolved.config.node.name}"
    filters = dict.fromkeys((*resolved.filters, *update_filters(root)))
    return replace(
        resolved, bundles={**configured, **standing_in}, configured=configured, filters=tuple(filters)
    )


def sound(index: Index, configured: Mapping[str, Path], folder: Path, log: Log) -> Index:
    """Set aside what no longer holds: of configured files that were replaced, and where our own are damaged."""
    slots = dict(index.slots)
    for key, slot in index.slots.items():
        base = digest_of(configured[key]) if key in configured else slot.base
        if base != slot.base:
            reason = "the configured file was replaced"
        elif slot.serving is not None and digest_of(file_of(folder, slot.serving)) != slot.serving:
            reason = "its file is missing or damaged: the configured one serves"
        else:
            continue
        log("update.retired", bundle=key, reason=reason)
        slots[key] = Slot(
            base=base or "",
            highest=slot.highest,
            taken=slot.taken,
            sequence=slot.sequence,
            outcome="set_aside",
        )
    return Index(slots)


def tidy(folder: Path, index: Index) -> None:
    """Remove bundles that the index does not name."""
    named = {digest for slot in index.slots.values() for digest in (slot.serving, slot.other) if digest}
    for path in folder.glob("*.edgeseq"):
        if path.stem not in named:
            path.unlink(missing_ok=True)
