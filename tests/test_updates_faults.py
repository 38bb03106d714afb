"""Bundles over the air where something goes wrong around: pushers that leave or meet, a lost index, a full disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeseq.adapters.log import open_log
from edgeseq.adapters.sdnotify import Notifier
from edgeseq.bundle.release import sign_release
from edgeseq.compose import open_node
from edgeseq.core import keeping
from edgeseq.daemon import Daemon
from edgeseq.errors import StorageError
from edgeseq.snapshots import RETRY_S
from edgeseq.updates import receiving
from edgeseq.updates.slots import FOLDER, INDEX
from tests.support.season_bundle import write_season_bundle
from tests.support.update_rig import KEY, Rig, make_folder, message, released


def dropped(folder: Path, bundle: Path) -> Path:
    """Put a release with its bundle into the folder `drop` → that folder."""
    drop = folder / "state" / FOLDER / "drop"
    drop.mkdir(exist_ok=True)
    (drop / "a.edgeseq").write_bytes(bundle.read_bytes())
    (drop / "a.release").write_bytes(sign_release(released(bundle, sequence=7), KEY))
    return drop


def test_second_pusher_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While chunks come the other release is sent away, for now; what came of the first stays."""
    new, rig = make_folder(tmp_path), Rig(tmp_path)
    other = write_season_bundle(tmp_path / "other.edgeseq", "last", KEY)
    monkeypatch.setattr(receiving, "MOST_CHECKED_EVERY_S", 0.0)
    rig.push(new, skip=(0,))
    lacking = rig.states()[-1]["lacking"]
    signed = rig.push(other, sequence=2)
    assert rig.states()[-1]["state"] == "refused"
    assert "another release is being sent" in rig.states()[-1]["reason"]
    assert rig.told() == ["received"]
    rig.chunks(new, released(new), skip=tuple(range(1, released(new).chunks)))
    assert lacking == 1
    assert rig.told() == ["received", "staged"]
    rig.updates.take([message("release", signed)])
    assert rig.told()[-1] == "received", "it was not refused for good"


def test_second_pusher_takes_the_place_of_one_that_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the first has been quiet for a while the node does not wait for it."""
    new, rig = make_folder(tmp_path), Rig(tmp_path)
    other = write_season_bundle(tmp_path / "other.edgeseq", "last", KEY)
    monkeypatch.setattr(receiving, "MOST_CHECKED_EVERY_S", 0.0)
    rig.push(new, skip=(0,))
    monkeypatch.setattr(receiving, "ALIVE_S", 0.0)
    rig.push(other, sequence=2)
    assert rig.told() == ["received", "received", "staged"]


def test_abandoned_push_does_not_keep_dropped_files_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told and let go of, and the file from the stick is installed."""
    new, rig = make_folder(tmp_path), Rig(tmp_path)
    other = write_season_bundle(tmp_path / "other.edgeseq", "last", KEY)
    monkeypatch.setattr(receiving, "MOST_CHECKED_EVERY_S", 0.0)
    rig.push(new, skip=(0,))
    drop = dropped(tmp_path, other)
    rig.updates.look()
    assert rig.told() == ["received"], "a push that may still go on has the first turn"
    monkeypatch.setattr(receiving, "ABANDONED_S", 0.0)
    rig.updates.look()
    assert rig.told()[:4] == ["received", "refused", "received", "staged"]
    assert "1 of " in rig.events()[1]["reason"]
    assert not list(drop.iterdir())


def test_abandoned_push_goes_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came stays on the disk: pushed again, only what lacks is asked for."""
    new, rig = make_folder(tmp_path), Rig(tmp_path)
    monkeypatch.setattr(receiving, "MOST_CHECKED_EVERY_S", 0.0)
    signed = rig.push(new, skip=(0,))
    with monkeypatch.context() as context:
        context.setattr(receiving, "ABANDONED_S", 0.0)
        rig.updates.look()
    rig.updates.take([message("release", signed)])
    assert rig.states()[-1]["missing"] == [[0, 0]]


def test_nothing_is_installed_while_the_index_cannot_be_read(tmp_path: Path) -> None:
    """Nobody knows then which releases are old. No file is removed, and the index brought back is as before."""
    new, rig = make_folder(tmp_path), Rig(tmp_path)
    rig.feed(80)
    rig.push(new, sequence=5)
    index = tmp_path / "state" / FOLDER / INDEX
    good, files = index.read_bytes(), sorted(index.parent.glob("*.edgeseq"))
    index.write_bytes(good[: len(good) // 2])
    rig = rig.restarted()
    assert ("file.rejected", str(index)) in [(name, fields.get("path")) for name, fields in rig.logged]
    rig.push(new, sequence=1)
    assert rig.told() == ["refused"]
    assert f"{index} cannot be read" in rig.events()[0]["reason"]
    assert "restart edgeseq" in rig.events()[0]["reason"]
    assert index.read_bytes() == good[: len(good) // 2]
    assert sorted(index.parent.glob("*.edgeseq")) == files
    index.write_bytes(good)
    rig = rig.restarted()
    rig.push(new, sequence=4)
    assert "sequence" in rig.events()[-1]["reason"]


@pytest.mark.parametrize("is_disk_well", [True, False])
def test_model_that_stays_is_the_one_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_disk_well: bool
) -> None:
    """Where the index refuses the new one, a kill brings the old one back as warm as it was, or soon after."""
    new, rig = make_folder(tmp_path), Rig(tmp_path)
    rig.feed(80)
    node = rig.node
    daemon = Daemon(tmp_path / "edgeseq.toml", node, open_log("error"), Notifier(None))
    assert node.store is not None
    rotate, kept = node.store.rotate, 0

    def rotate_once(*given: object, **named: object) -> None:
        nonlocal kept
        kept += 1
        if kept > 1 and not is_disk_well:
            raise StorageError("the disk is full")
        rotate(*given, **named)  # type: ignore[arg-type]

    def settle() -> None:
        raise StorageError("the index cannot be replaced")

    resolved = node.resolved
    with monkeypatch.context() as context:
        context.setattr(node.store, "rotate", rotate_once)
        other = replace(resolved, bundles={"house.edgeseq": new})
        assert not daemon.renew(other, settle)
    assert daemon.node is node
    assert daemon.early.is_wanted is not is_disk_well
    if not is_disk_well:
        assert daemon.early.is_due(node.store, float("inf"))
        assert not daemon.early.is_due(node.store, RETRY_S - RETRY_S)
        assert daemon.take_snapshot()
        assert not daemon.early.is_wanted
    daemon.link.close(timeout_s=0.0)
    daemon.inbox.close()
    header, arrays = keeping.dump(node.state)
    node.store.close()
    again = open_node(resolved, state_dir=resolved.state_dir, log=rig.log)
    found, columns = keeping.dump(again.state)
    assert again.state.groups[0].table["model_warm"].all()
    assert found["streams"] == header["streams"]
    assert {name: a.tobytes() for name, a in columns.items()} == {n: a.tobytes() for n, a in arrays.items()}
