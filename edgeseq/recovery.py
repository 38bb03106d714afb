"""What a state folder holds at start: the newest snapshot that checks, and the frames of all journals since, in order.

A journal whose successor has frames ends where those begin: after a failed sync the next journal has taken over, and
what the older one may hold of the same commit is not applied twice. A later journal without frames says nothing: it
may have been made and never used.

A snapshot that the disk cannot give is passed over where the one before it and its journals lead to the same state;
where they do not, nothing is begun anew behind an operator's back. It stays where it is, since the next start may read
it: so what follows goes into no journal older than it.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgeseq.adapters import journal, snapshot
from edgeseq.adapters.journal import Contents, Record
from edgeseq.adapters.snapshot import Snapshot
from edgeseq.disk import Disk, storage_faults, write_atomically
from edgeseq.errors import StorageError

Notify = Callable[..., None]
"""Called with the name of a log event and its fields."""

_FILE = re.compile(r"(snapshot|journal)-(\d+)\.bin")

DAMAGED = ".corrupt"
"""What files are called that were set aside."""


@dataclass(slots=True)
class Found:
    """What the folder held at start."""

    snapshot: Snapshot | None = None
    records: list[Record] = field(default_factory=list)
    """All since the snapshot, in order."""
    base: int = 0
    """Generation of the snapshot."""
    generation: int = 0
    """Of the journal that goes on."""
    journal: Contents | None = None
    """What that one holds; None where it has to be made anew."""
    journal_bytes: int = 0
    """Length of all journals since the snapshot."""
    next_frame: int = 0
    is_damaged: bool = False
    """Something of an earlier start was set aside as damaged, now or before: this is no new node."""


def path_of(folder: Path, kind: str, generation: int) -> Path:
    """Name a file."""
    return folder / f"{kind}-{generation}.bin"


def files(folder: Path) -> set[tuple[str, int]]:
    """List kind and generation of what is there."""
    matches = (_FILE.fullmatch(entry.name) for entry in folder.iterdir())
    return {(m[1], int(m[2])) for m in matches if m}


def recover(folder: Path, notify: Notify, disk: Disk) -> Found:
    """Read the folder, and keep aside what is damaged. Raises StorageError."""
    found = Found()
    found.base, found.snapshot, passed_over = _newest_snapshot(folder, notify, disk)
    _read_journals(folder, found, passed_over, notify, disk)
    found.is_damaged = any(folder.glob(f"*{DAMAGED}"))
    return found


def _newest_snapshot(folder: Path, notify: Notify, disk: Disk) -> tuple[int, Snapshot | None, int]:
    """Read the newest snapshot that checks → its generation, itself, and the generation of one passed over, or 0."""
    seen = files(folder)
    generations = sorted((g for kind, g in seen if kind == "snapshot"), reverse=True)
    for generation in generations:
        path = path_of(folder, "snapshot", generation)
        try:
            good = snapshot.read(path, generation)
        except StorageError as fault:
            older, good = _before_unreadable(folder, generation, generations, fault)
            notify("snapshot.rejected", path=str(path), is_older_tried=True, reason=fault.found)
            return older, good, generation
        if good:
            return generation, good, 0
        notify("snapshot.rejected", path=str(path), is_older_tried=generation != generations[-1])
        _set_aside(path, notify, disk)
    if generations and ("journal", 0) not in seen:
        notify("state.lost", folder=str(folder), reason="no snapshot checks, and the journals build on one")
        for kind, generation in sorted(seen):
            if kind == "journal":
                _set_aside(path_of(folder, "journal", generation), notify, disk)
        # Generations are counted anew, and it holds frames of generations that will come again.
        if (spare := folder / journal.SPARE).exists():
            with storage_faults("an old journal cannot be removed", spare):
                disk.remove(spare)
    return 0, None, 0


def _before_unreadable(
    folder: Path, generation: int, generations: list[int], fault: StorageError
) -> tuple[int, Snapshot]:
    """Give the snapshot before one that the disk cannot give, from which the journals lead to it.

    Raises StorageError where there is none: what cannot be read now may be read tomorrow, or elsewhere.
    """
    is_of_medium = isinstance(fault.__cause__, OSError) and fault.__cause__.errno == errno.EIO
    for older in [each for each in generations if each < generation] if is_of_medium else []:
        good = snapshot.read(path_of(folder, "snapshot", older), older)
        if good and _leads_to(folder, older, generation):
            return older, good
    raise StorageError(
        fault.what,
        where=fault.where,
        found=fault.found,
        wanted="the newest snapshot, or the one before it with all journals since",
        do="mend the disk, or copy the state folder to another one; without this file the streams would fall back "
        "to an older state, or begin anew",
    ) from fault.__cause__


def _leads_to(folder: Path, older: int, generation: int) -> bool:
    """Tell whether the journals from one snapshot on lead to where the journal of a later one begins."""
    following: int | None = None
    for number, contents in _chain(folder, older).items():
        if number >= generation:
            break
        is_next = number == older if following is None else contents.first == following
        if not is_next or contents.corrupt_bytes or not contents.length_bytes:
            return False
        following = contents.next
    path = path_of(folder, "journal", generation)
    begun = journal.read(path, generation) if path.exists() else None
    return begun is not None and begun.length_bytes > 0 and begun.first == following


def _read_journals(folder: Path, found: Found, passed_over: int, notify: Notify, disk: Disk) -> None:
    """Read the chain from the snapshot's generation on, as far as it is whole."""
    found.generation = found.base
    left = _chain(folder, found.base, passed_over)
    while left:
        generation, contents = next(iter(left.items()))
        is_next = generation == found.base
        if found.journal is not None:
            is_next = not found.journal.corrupt_bytes and contents.length_bytes > 0
            is_next = is_next and contents.first == found.next_frame
        if not is_next:
            break
        del left[generation]
        found.generation, found.journal, found.next_frame = generation, contents, contents.next
        found.records += [record for frame in contents.frames for record in frame]
        found.journal_bytes += contents.length_bytes
    path = path_of(folder, "journal", found.generation)
    torn, corrupt = (found.journal.torn_bytes, found.journal.corrupt_bytes) if found.journal else (0, 0)
    if torn:
        notify("journal.truncated", path=str(path), cut_bytes=torn)
    if corrupt or left:
        notify("journal.damaged", path=str(path), unread_bytes=corrupt, records=len(found.records))
    # What follows a damaged place, or a hole in the chain, builds on what is lost. Later journals go first: once
    # the damaged one has been cut it looks whole, and nothing must follow it then.
    for later in sorted(left, reverse=True):
        _set_aside(path_of(folder, "journal", later), notify, disk)
    if corrupt:
        _keep_copy(path, notify, disk)
    if found.journal is not None and not found.journal.length_bytes:
        found.journal = None


def _chain(folder: Path, base: int, passed_over: int = 0) -> dict[int, Contents]:
    """Read the journals from `base` on that say something: generation → contents, each up to where the next begins.

    That of a snapshot that was passed over says where to go on.
    """
    generations = sorted((g for kind, g in files(folder) if kind == "journal" and g >= base), reverse=True)
    chain: dict[int, Contents] = {}
    for generation in generations:
        contents = journal.read(path_of(folder, "journal", generation), generation)
        if not contents.frames and not contents.corrupt_bytes and generation not in (base, passed_over):
            continue
        taken_over = [later.first for later in chain.values() if later.frames]
        chain[generation] = contents.until(min(taken_over)) if taken_over else contents
    return dict(sorted(chain.items()))


def _set_aside(path: Path, notify: Notify, disk: Disk) -> None:
    aside = path.with_suffix(DAMAGED)
    with storage_faults("a damaged file cannot be set aside", path):
        disk.rename(path, aside)
        disk.sync_folder(path.parent)
    notify("file.rejected", path=str(path), kept_as=str(aside))


def _keep_copy(path: Path, notify: Notify, disk: Disk) -> None:
    aside = path.with_suffix(DAMAGED)
    with storage_faults("a damaged file cannot be copied aside", path):
        write_atomically(disk, aside, [path.read_bytes()])
    notify("file.rejected", path=str(path), kept_as=str(aside))
