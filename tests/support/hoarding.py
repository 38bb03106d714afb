"""The daemon, but for one thing: journals of old generations are kept, so that a test can read all that was committed.

EDGESEQ_HOARD=folder python -m tests.support.hoarding run --config edgeseq.toml
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from edgeseq.adapters import journal
from edgeseq.adapters.journal import Record
from edgeseq.disk import Disk

ENVIRONMENT = "EDGESEQ_HOARD"


def install() -> None:
    """Give journals a second name in the folder of the environment before they are removed."""
    folder = Path(os.environ[ENVIRONMENT])
    remove = Disk.remove

    def keep_and_remove(self: Disk, path: Path) -> None:
        if path.name.startswith("journal-"):
            with contextlib.suppress(FileExistsError):  # killed between the two steps
                os.link(path, folder / path.name)
        remove(self, path)

    setattr(Disk, "remove", keep_and_remove)  # noqa: B010 - an assignment is not typed


def records(hoard: Path, state_dir: Path) -> Iterator[Record]:
    """Read all that was ever committed, in order. Raises AssertionError where a journal is missing or damaged."""
    found = {
        int(path.stem.split("-")[1]): path for path in (*hoard.iterdir(), *state_dir.glob("journal-*.bin"))
    }
    assert sorted(found) == list(range(len(found))), f"a journal is missing: {sorted(found)}"
    for generation in sorted(found):
        contents = journal.read(found[generation], generation)
        assert not contents.corrupt_bytes, f"{found[generation]} is damaged"
        yield from contents.records


if __name__ == "__main__":
    from edgeseq.cli import main

    install()
    main()
