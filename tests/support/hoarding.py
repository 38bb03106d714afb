"""The daemon, but for one thing: journals of old generations are kept, so that a test can read all that was committed.

EDGESEQ_HOARD=folder python -m tests.support.hoarding run --config edgeseq.toml
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgeseq.adapters import journal
from edgeseq.adapters.journal import Contents, Record
from edgeseq.disk import Disk

ENVIRONMENT = "EDGESEQ_HOARD"


def install() -> None:
    """Copy journals to the folder of the environment before their files are used again."""
    folder = Path(os.environ[ENVIRONMENT])
    rename = Disk.rename

    def keep_and_rename(self: Disk, source: Path, target: Path) -> None:
        if target.name == journal.SPARE:
            # Killed meanwhile, the daemon will do it again: the journal has its name still.
            shutil.copyfile(source, folder / source.name)
        rename(self, source, target)

    setattr(Disk, "rename", keep_and_rename)  # noqa: B010 - an assignment is not typed


def records(hoard: Path, state_dir: Path) -> Iterator[Record]:
    """Read all that was ever committed, in order. Raises AssertionError where a frame is missing or damaged."""
    found = {
        int(path.stem.split("-")[1]): path for path in (*hoard.iterdir(), *state_dir.glob("journal-*.bin"))
    }
    chain: list[Contents] = []
    for generation in sorted(found, reverse=True):
        contents = journal.read(found[generation], generation)
        assert not contents.corrupt_bytes, f"{found[generation]} is damaged"
        if contents.frames:
            chain.append(contents.until(chain[-1].first) if chain else contents)
    following = 0
    for contents in reversed(chain):
        assert contents.first == following, f"frames {following} to {contents.first} are missing"
        following = contents.next
        for frame in contents.frames:
            yield from frame


if __name__ == "__main__":
    from edgeseq.cli import main

    install()
    main()
