"""Many trainings at once: parting, the folder, and processes that die."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from edgeseq.errors import EnvironmentFault
from edgeseq_train.fleet.folder import INDEX, file_names, open_folder
from edgeseq_train.fleet.processes import Processes
from edgeseq_train.fleet.series import part, recipe_for
from edgeseq_train.fleet.task import Setting, content_key
from edgeseq_train.parts import Recording
from edgeseq_train.recipe import Recipe

HOUR_NS = 3_600 * 10**9


def die_once(folder: Path, item: int) -> int:
    """Square a number; of item 2 the first worker dies."""
    mark = folder / "died"
    if item == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def die_always(folder: Path, item: int) -> int:
    """Die."""
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def make_recording() -> Recording:
    """Two series of which the second begins two hours later."""
    values = np.arange(16.0).reshape(8, 2, 1)
    values[:2, 1] = np.nan
    return Recording(values, ("a", "b"), HOUR_NS, (None, "K"), 0)


def test_processes_run_every_item_though_a_worker_dies(tmp_path: Path) -> None:
    """All items have their result, each once, when a worker is killed at one of them."""
    found = list(Processes(2)(die_once, tmp_path, range(5)))

    assert (tmp_path / "died").exists()
    assert sorted(found) == [(k, k * k) for k in range(5)]


def test_processes_that_always_die_end_in_a_fault(tmp_path: Path) -> None:
    """An item that kills every worker ends the run."""
    with pytest.raises(EnvironmentFault, match="again and again"):
        list(Processes(1)(die_always, tmp_path, [1]))


def test_part_begins_each_series_at_its_first_value() -> None:
    """A series has the steps from its first value to its last, and its time with them."""
    a, b = part(make_recording())

    assert (a.name, len(a.recording.values), a.recording.start_ns) == ("a", 8, 0)
    assert (b.name, len(b.recording.values), b.recording.start_ns) == ("b", 6, 2 * HOUR_NS)
    assert b.recording.units == ("K",)
    assert recipe_for(b, Recipe()).recording.columns == ("b",)


def test_content_key_tells_values_recipes_and_signers_apart() -> None:
    """Whatever changes the bundle changes its key."""
    a, b = part(make_recording())
    setting = Setting(Recipe(every="1h"), 2)
    others = [
        content_key(setting, b, ""),
        content_key(setting, a, "signer"),
        content_key(setting._replace(recipe=Recipe(every="1h", seed=1)), a, ""),
        content_key(setting, a._replace(recording=make_recording()), ""),
    ]

    assert content_key(setting, a, "") not in others
    assert content_key(setting, next(iter(part(make_recording()))), "") == content_key(setting, a, "")
    assert len(set(others)) == len(others)


def test_folder_forgets_torn_lines_and_missing_files(tmp_path: Path) -> None:
    """A line counts only where it is whole and its bundle there."""
    (tmp_path / INDEX).write_bytes(
        b'{"series":"a","file":"a.edgeseq","key":"k","sha256":"0","model":"a"}\n{"ser'
    )

    assert open_folder(tmp_path) == {}
    assert (tmp_path / INDEX).read_bytes() == b""


def test_file_names_never_meet() -> None:
    """Series whose names differ only in what a file name cannot say have files of their own."""
    names = file_names(["a/b", "a-b", "A B"])

    assert len(set(names.values())) == 3
