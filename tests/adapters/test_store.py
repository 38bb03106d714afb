"""Generations of snapshot and journal: no crash loses what was committed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseq.adapters import journal
from edgeseq.adapters.journal import record_of
from edgeseq.core.types import Readings
from edgeseq.disk import Disk
from edgeseq.errors import ConfigError, StorageError
from edgeseq.recovery import Found
from edgeseq.store import Store, check_folder, open_store
from edgeseq.testing import FaultyDisk, PowerCut


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files be small: hundreds are made."""
    monkeypatch.setattr(journal, "CHUNK_BYTES", 512)


class Log:
    """Remember what was said."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str, **_: Any) -> None:
        """Take an event."""
        self.names.append(name)


def commit(store: Store, value: float) -> None:
    """Commit one reading."""
    store.commit([record_of([], Readings.from_rows([(0, 0, 0, 1, 1, value, 0, False)]))])


def values(found: Found) -> list[float]:
    """List what the state would be: the snapshot's values, then the journals'."""
    kept = found.snapshot.arrays["values"].tolist() if found.snapshot else []
    return kept + [float(v) for record in found.records for v in record.readings().value]


def reopen(folder: Path, log: Callable[..., None] | None = None) -> list[float]:
    """Open the folder, as after a crash, and give the values found."""
    store, found = open_store(folder, is_journaling=True, notify=log or Log(), disk=FaultyDisk())
    store.close()
    return values(found)


def rotate(store: Store, state: list[float]) -> None:
    """Take a snapshot of the values."""
    store.rotate({}, {}, {"values": np.array(state)}, is_journaling=True)


def scenario(folder: Path, disk: Disk, state: list[float]) -> None:
    """Commit 12 values with a snapshot after each third; `state` holds those whose commit returned."""
    store, found = open_store(folder, is_journaling=True, notify=Log(), disk=disk)
    assert values(found) == []
    try:
        for value in range(12):
            commit(store, value)
            state.append(value)
            if value % 3 == 2:
                rotate(store, state)
    finally:
        store.close()


def calls_of_scenario(folder: Path) -> int:
    """Count the disk calls of the undisturbed scenario."""
    disk = FaultyDisk()
    scenario(folder, disk, [])
    return disk.calls


def test_store_undisturbed_two_generations_kept(tmp_path: Path) -> None:
    """After a clean run the present and the previous generation are there, and the state is whole."""
    scenario(tmp_path, Disk(), [])
    kept = {p.name for p in tmp_path.iterdir()} - {"lock"}
    assert kept == {"snapshot-3.bin", "snapshot-4.bin", "journal-3.bin", "journal-4.bin", "journal.spare"}
    assert reopen(tmp_path) == list(range(12))


@pytest.mark.parametrize("is_torn", [False, True])
def test_store_power_cut_at_every_call_nothing_lost(tmp_path: Path, is_torn: bool) -> None:
    """Whatever call the power cut hits: every committed value is there, in order, once; at most the one in work too."""
    calls = calls_of_scenario(tmp_path / "count")
    assert calls > 40
    for fail_at in range(1, calls + 1):
        folder = tmp_path / f"cut-{fail_at}"
        committed: list[float] = []
        with pytest.raises(PowerCut):
            scenario(folder, FaultyDisk(fail_at, is_torn=is_torn), committed)
        found = reopen(folder)
        assert found[: len(committed)] == committed
        assert found in (committed, [*committed, float(len(committed))])
        assert reopen(folder) == found, "reading changes nothing"


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_store_every_call_fails_once_told_and_nothing_lost(tmp_path: Path, error: int) -> None:
    """Whatever call the disk refuses: StorageError, and every committed value is there afterwards."""
    calls = calls_of_scenario(tmp_path / "count")
    for fail_at in range(1, calls + 1):
        folder = tmp_path / f"fault-{fail_at}"
        committed: list[float] = []
        with pytest.raises(StorageError, match="cannot be"):
            scenario(folder, FaultyDisk(fail_at, error=error, is_torn=True), committed)
        assert reopen(folder)[: len(committed)] == committed


def patient_scenario(folder: Path, disk: Disk) -> None:
    """Do as `scenario` does, but try a failed commit again, and go on without a snapshot that fails."""
    store, _ = open_store(folder, is_journaling=True, notify=Log(), disk=disk)
    state: list[float] = []
    for value in range(12):
        with suppress(StorageError):
            commit(store, value)
            state.append(value)
        if value not in state:
            commit(store, value)
            state.append(value)
        if value % 3 == 2:
            with suppress(StorageError):
                rotate(store, state)
    store.close()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_store_every_call_fails_once_and_it_goes_on(tmp_path: Path, error: int) -> None:
    """Whatever call fails once after the start: tried again it works, and all is there afterwards, in order."""
    probe = FaultyDisk()
    store, _ = open_store(tmp_path / "start", is_journaling=True, notify=Log(), disk=probe)
    store.close()
    for fail_at in range(probe.calls + 1, calls_of_scenario(tmp_path / "count") + 1):
        folder = tmp_path / f"fault-{fail_at}"
        disk = FaultyDisk(fail_at, error=error, is_torn=True)
        patient_scenario(folder, disk)
        log = Log()
        assert reopen(folder, log) == list(range(12)), disk.names[fail_at - 1]
        assert log.names == []


def test_store_failed_sync_goes_on_in_a_new_journal(tmp_path: Path) -> None:
    """After a failed sync the file is left: the commit is repeated in the next generation, and found there once, even
    where the old file holds it, too.
    """
    disk = FaultyDisk()
    store, _ = open_store(tmp_path, is_journaling=True, notify=Log(), disk=disk)
    commit(store, 0)
    store._disk = store.journal._disk = FaultyDisk(2, error=errno.EIO)  # type: ignore[union-attr] # journaling
    with pytest.raises(StorageError, match="journal cannot be written"):
        commit(store, 1)
    commit(store, 1)
    commit(store, 2)
    bytes_in_use = store.journal_bytes
    store.close()
    assert len(journal.read(tmp_path / "journal-0.bin", 0).frames) == 2, "the page cache kept it"
    assert len(journal.read(tmp_path / "journal-1.bin", 1).frames) == 2
    assert bytes_in_use > journal.read(tmp_path / "journal-1.bin", 1).length_bytes
    log = Log()
    assert reopen(tmp_path, log) == [0, 1, 2]
    assert log.names == []


def test_store_later_journal_missing_in_between_is_a_hole(tmp_path: Path) -> None:
    """Where a whole journal of the chain is gone, what follows builds on what is lost: told, and kept aside."""
    store, _ = open_store(tmp_path, is_journaling=True, notify=Log())
    for value in range(6):
        commit(store, value)
        if value % 2:
            store.journal.is_suspect = True  # type: ignore[union-attr] # journaling
    store.close()
    (tmp_path / "journal-1.bin").unlink()
    log = Log()
    assert reopen(tmp_path, log) == [0, 1]
    assert log.names == ["journal.damaged", "file.rejected"]
    assert (tmp_path / "journal-2.corrupt").exists()
    assert reopen(tmp_path) == [0, 1]


def test_store_power_cut_while_recovering_nothing_lost(tmp_path: Path) -> None:
    """A second power cut at any call of the recovery from damage loses nothing more than the first."""
    expected = None
    for fail_at in range(1, 100):
        folder = tmp_path / f"{fail_at}"
        scenario(folder, Disk(), [])
        (folder / "snapshot-4.bin").write_bytes(b"damaged")
        place = folder / "journal-3.bin"
        place.write_bytes(place.read_bytes()[:80] + b"damaged" + place.read_bytes()[87:])
        expected = expected or [float(v) for v in range(9)]
        disk = FaultyDisk(fail_at)
        try:
            store, _ = open_store(folder, is_journaling=True, notify=Log(), disk=disk)
            store.close()
        except PowerCut:
            assert reopen(folder) == expected
        else:
            assert disk.calls > 5
            return
    pytest.fail("the recovery never ended")


def test_store_damaged_snapshot_previous_gives_same_state(tmp_path: Path) -> None:
    """A damaged snapshot costs nothing: the previous one and two journals give the same state; it is kept aside."""
    scenario(tmp_path, Disk(), [])
    newest = tmp_path / "snapshot-4.bin"
    newest.write_bytes(newest.read_bytes()[:-1])
    log = Log()
    assert reopen(tmp_path, log) == list(range(12))
    assert log.names == ["snapshot.rejected", "file.rejected"]
    assert newest.with_suffix(".corrupt").exists()


def refuse_to_read(monkeypatch: pytest.MonkeyPatch, name: str, error: int = errno.EIO) -> None:
    """Let reading this file fail, however often it is tried."""
    read_really = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.name == name:
            raise OSError(error, os.strerror(error))
        return read_really(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)


def test_store_unreadable_snapshot_previous_gives_same_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk does not give the newest snapshot, the one before and its journals do, and it is told.

    The file stays: whether the next starts can read it or not, they find the same, and what was committed meanwhile.
    """
    scenario(tmp_path, Disk(), [])
    expected = [float(value) for value in range(12)]
    for is_readable in (False, False, True, False):
        log = Log()
        with monkeypatch.context() as patch:
            if not is_readable:
                refuse_to_read(patch, "snapshot-4.bin")
            store, found = open_store(tmp_path, is_journaling=True, notify=log)
        assert values(found) == expected
        assert log.names == ([] if is_readable else ["snapshot.rejected"])
        expected.append(77.0 + len(expected))
        commit(store, expected[-1])
        store.close()
    store, found = open_store(tmp_path, is_journaling=True, notify=Log())
    for _ in range(2):
        rotate(store, values(found))
    store.close()
    assert reopen(tmp_path) == expected
    assert not (tmp_path / "snapshot-4.bin").exists()


def test_store_unreadable_snapshot_may_be_read_again_when_the_older_one_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that did not give a snapshot once has not cost it: it is the one that counts, should the other go bad."""
    scenario(tmp_path, Disk(), [])
    with monkeypatch.context() as patch:
        refuse_to_read(patch, "snapshot-4.bin")
        store, _ = open_store(tmp_path, is_journaling=True, notify=Log())
    commit(store, 77)
    store.close()
    (tmp_path / "snapshot-3.bin").write_bytes(b"damaged")
    assert reopen(tmp_path) == [*range(12), 77]


@pytest.mark.parametrize("lost", ["snapshot-3.bin", "journal-3.bin", "journal-4.bin"])
@pytest.mark.parametrize("is_damaged", [True, False], ids=["damaged", "gone"])
def test_store_unreadable_snapshot_with_nothing_that_leads_past_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str, *, is_damaged: bool
) -> None:
    """Nothing is begun anew, and no file touched, where readings would be lost: the error says what to do."""
    scenario(tmp_path, Disk(), [])
    data = (tmp_path / lost).read_bytes()
    (tmp_path / lost).unlink()
    if is_damaged:
        (tmp_path / lost).write_bytes(bytes(journal.HEADER_BYTES) + data[journal.HEADER_BYTES :])
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    with monkeypatch.context() as patch:
        refuse_to_read(patch, "snapshot-4.bin")
        with pytest.raises(StorageError, match="the snapshot cannot be read") as caught:
            reopen(tmp_path)
    assert "mend the disk" in str(caught.value)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_store_snapshot_that_this_user_may_not_read_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a human can change is no damage: no older snapshot is taken for it."""
    scenario(tmp_path, Disk(), [])
    with monkeypatch.context() as patch:
        refuse_to_read(patch, "snapshot-4.bin", error=errno.EACCES)
        with pytest.raises(ConfigError, match="the state folder cannot be used"):
            reopen(tmp_path)
    assert reopen(tmp_path) == list(range(12))


def test_store_damaged_middle_stops_there_and_keeps_rest_aside(tmp_path: Path) -> None:
    """Damage in the middle of a journal: state up to it, the file kept aside, and the journal goes on from there."""
    store, _ = open_store(tmp_path, is_journaling=True, notify=Log())
    ends = []
    for value in range(5):
        commit(store, value)
        ends.append(store.journal_bytes)
    store.close()
    path = tmp_path / "journal-0.bin"
    data = bytearray(path.read_bytes())
    data[ends[1] + 20] ^= 1
    path.write_bytes(data)
    log = Log()
    store, found = open_store(tmp_path, is_journaling=True, notify=log)
    assert (values(found), log.names) == ([0, 1], ["journal.damaged", "file.rejected"])
    assert path.with_suffix(".corrupt").read_bytes() == data
    commit(store, 77)
    store.close()
    assert reopen(tmp_path) == [0, 1, 77]


def test_store_all_snapshots_damaged_told_loudly_and_kept(tmp_path: Path) -> None:
    """Without any good snapshot the state begins anew; nothing is deleted, and state.lost is said."""
    scenario(tmp_path, Disk(), [])
    for path in tmp_path.glob("snapshot-*.bin"):
        path.write_bytes(b"")
    log = Log()
    assert reopen(tmp_path, log) == []
    assert "state.lost" in log.names
    assert len(list(tmp_path.glob("*.corrupt"))) == 4
    journals = [path.read_bytes() for path in tmp_path.glob("journal*") if path.suffix != ".corrupt"]
    assert [data.count(journal._MARKER) for data in journals] == [0], (
        "generations that come again are in no file"
    )
    assert reopen(tmp_path) == []


def test_store_without_journal_keeps_snapshots(tmp_path: Path) -> None:
    """Durability none: what was accepted after the snapshot is gone, the snapshot is not."""
    store, _ = open_store(tmp_path, is_journaling=False, notify=Log())
    assert store.journal is None
    store.rotate({}, {}, {"values": np.array([1.0, 2.0])}, is_journaling=False)
    store.close()
    assert reopen(tmp_path) == [1.0, 2.0]


def test_store_second_process_refused(tmp_path: Path) -> None:
    """Two daemons cannot share a state folder."""
    store, _ = open_store(tmp_path, is_journaling=True, notify=Log())
    with pytest.raises(ConfigError, match="another process uses the state folder"):
        open_store(tmp_path, is_journaling=True, notify=Log())
    store.close()
    reopen(tmp_path)


@pytest.mark.parametrize("place", ["a file", "below a file", "/proc/edgeseq", "not ours"])
def test_store_folder_that_no_waiting_mends_is_a_set_up_fault(tmp_path: Path, place: str) -> None:
    """A state folder that cannot be made or written by this user ends with 78 and says what to set; check agrees."""
    (tmp_path / "file").touch()
    folder = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "state"}.get(
        place, Path(place)
    )
    if place == "not ours":
        folder = tmp_path / "locked"
        (folder / "lock").mkdir(parents=True)  # opened for writing as a file: refused for any user, root too
    with pytest.raises(ConfigError, match="state folder cannot be used") as fault:
        open_store(folder, is_journaling=True, notify=Log())
    assert fault.value.exit_code == 78
    assert "[node] state_dir" in str(fault.value)
    if place != "not ours":
        with pytest.raises(ConfigError, match="state folder cannot be used"):
            check_folder(folder)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_store_disk_that_may_recover_is_no_set_up_fault(tmp_path: Path, error: int) -> None:
    """A full or failing disk may be mended while we wait: 75, try again."""
    disk = FaultyDisk(fail_at=1, error=error)
    with pytest.raises(StorageError, match="cannot be") as fault:
        open_store(tmp_path, is_journaling=True, notify=Log(), disk=disk)
    assert fault.value.exit_code == 75


def test_check_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    """Checking a folder makes nothing that stays, and takes nothing away."""
    check_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    check_folder(tmp_path)
    assert tmp_path.is_dir()
