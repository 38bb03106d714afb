"""Train a model for each series of a recording, on any executor, into a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from edgeseq.bundle.keys import SigningKey, key_id
from edgeseq.errors import InputError
from edgeseq_train.fleet import folder as folders
from edgeseq_train.fleet.executor import Executor
from edgeseq_train.fleet.folder import Entry
from edgeseq_train.fleet.series import Series
from edgeseq_train.fleet.task import Fault, Setting, content_key, train

Progress = Callable[[int, int], None]
"""Is told how many are finished, and of how many."""


class Outcome(NamedTuple):
    """What a run has done."""

    entries: dict[str, Entry]
    """Series → its line of the index, in the order of the recording."""
    faults: dict[str, str]
    """Series → why it has no model."""
    kept: int
    """Bundles that were there already."""


def train_each(
    series: Sequence[Series], setting: Setting, execute: Executor, folder: Path, signer: SigningKey | None,
    progress: Progress = lambda *_: None,
) -> Outcome:  # fmt: skip
    """Train what is not in the folder yet, and write its index in the order of the series.

    Raises:
        InputError: two series have one name.
        OperatorError, EnvironmentFault: as folder and executor say; what is finished is kept.
    """
    _check_names(series)
    files = folders.file_names(one.name for one in series)
    signed_by = key_id(signer.public_key()).hex() if signer else ""
    keys = {one.name: content_key(setting, one, signed_by) for one in series}
    there = folders.open_folder(folder)
    entries = {name: e for name, e in there.items() if keys.get(name) == e.key and files[name] == e.file}
    kept, faults = len(entries), dict[str, str]()
    missing = [one for one in series if one.name not in entries]
    progress(kept, len(series))
    for place, result in execute(train, setting, missing):
        name = missing[place].name
        if isinstance(result, Fault):
            faults[name] = result.text
        else:
            entries[name] = folders.add(folder, name, files[name], keys[name], result, signer)
        progress(len(entries) + len(faults), len(series))
    ordered = {one.name: entries[one.name] for one in series if one.name in entries}
    folders.write_index(folder, ordered.values())
    return Outcome(ordered, {one.name: faults[one.name] for one in series if one.name in faults}, kept)


def _check_names(series: Sequence[Series]) -> None:
    names = [one.name for one in series]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            "two series have one name", found=twice[0], wanted="a name for each", do="rename a column"
        )
