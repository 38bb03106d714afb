"""Bundles over the air: received, refused, judged, promoted and taken back, with kills between all steps."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgeseq import failpoint
from edgeseq.bundle.release import sign_release
from edgeseq.disk import Disk
from edgeseq.updates import Updates, receiving
from edgeseq.updates.slots import FOLDER, INDEX
from tests.support import update_rig
from tests.support.season_bundle import write_season_bundle
from tests.support.update_rig import KEY, Rig, make_folder, message, released
from tests.support.validate import validate

KEY_OF = "house.edgeseq"


def judged(rig: Rig, most: int = 80) -> str:
    """Feed readings until nothing is being judged any more → how that ended."""
    for _ in range(most):
        rig.feed(16)
        slot = rig.updates.index.slots[KEY_OF]
        if slot.phase == "settled":
            return slot.outcome
    raise AssertionError("it was never decided")


def test_better_model_is_promoted_watched_and_settled(tmp_path: Path) -> None:
    """Each step is told, with the figures of the paired test; the streams go on, and only the new file is left."""
    new = make_folder(tmp_path)
    rig = Rig(tmp_path)
    rig.feed(80)
    rig.push(new)
    assert rig.told() == ["received", "staged"]
    assert judged(rig) == "settled"
    assert rig.told() == ["received", "staged", "shadowing", "promoted", "settled"]
    test = rig.events()[3]["test"]
    assert test["pairs"] == test["wanted"] == 200
    assert test["difference"] < -0.5
    assert test["statistic"] < -test["critical"] < 0
    assert rig.serving == "season"
    assert [path.stem for path in (tmp_path / "state" / FOLDER).glob("*.edgeseq")] == [released(new).digest]
    assert rig.node.state.registry.streams == 3
    assert all(info.id.startswith("t-") for info in rig.node.state.registry.infos)
    for out in rig.sent:
        validate(out.topic, out.payload)
    assert rig.restarted().serving == "season", "a start finds it"


def test_worse_model_is_rolled_back_and_not_tried_again(tmp_path: Path) -> None:
    """It never serves; the same release, which stays at the broker, is only answered."""
    new = make_folder(tmp_path, "season", "half")
    rig = Rig(tmp_path)
    rig.feed(80)
    signed = rig.push(new)
    assert judged(rig) == "rolled_back"
    assert rig.serving == "season"
    assert rig.events()[-1]["test"]["statistic"] > rig.events()[-1]["test"]["critical"]
    assert not list((tmp_path / "state" / FOLDER).glob("*.edgeseq"))
    told = rig.told()
    rig.updates.take([message("release", signed)])
    assert rig.told() == told
    assert rig.states()[-1]["state"] == "rolled_back"


def test_equal_model_is_promoted_only_where_the_policy_says_so(tmp_path: Path) -> None:
    """The same model under another version: neither better nor worse at the last look."""
    for promote, outcome in (("better", "rolled_back"), ("not_worse", "settled")):
        folder = tmp_path / promote
        new = make_folder(folder, "season", "season")
        text = update_rig.CONFIG + f'[bundles]\npromote = "{promote}"\n'
        (folder / "edgeseq.toml").write_text(text, encoding="utf-8")
        rig = Rig(folder)
        rig.feed(80)
        rig.push(new)
        assert judged(rig, 120) == outcome
        assert ("promoted" in rig.told()) is (promote == "not_worse")


def test_promoted_model_that_becomes_worse_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the promotion the streams lose their season: the old model is better now, and serves again."""
    new = make_folder(tmp_path)
    rig = Rig(tmp_path)
    rig.feed(80)
    rig.push(new)
    while "promoted" not in rig.told():
        rig.feed(16)
    assert rig.serving == "season"
    walk = np.cumsum(np.random.default_rng(1).standard_normal(4000))
    rig.signal = lambda step: float(walk[step])
    assert judged(rig) == "rolled_back"
    assert rig.serving == "last"
    assert rig.told() == ["received", "staged", "shadowing", "promoted", "rolled_back"]
    assert rig.restarted().serving == "last"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"node": "cellar"}, "it is for cellar"),
        ({"expires_s": 1_700_000_000}, "expired"),
        ({"sequence": 4}, "not above 5"),
        ({"sequence": 4, "replaces": 3}, "replaces sequence 3"),
        ({"sequence": 6, "bundle": "barn.edgeseq"}, "configured: house.edgeseq"),
    ],
)
def test_wrong_target_freeze_and_rollback_are_refused(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    """Refused before a chunk is taken; told once, and answered each time it is asked for."""
    new = make_folder(tmp_path)
    rig = Rig(tmp_path)
    rig.push(new, sequence=5)
    assert rig.told()[-1] == "staged"
    rig.updates.receiving._checked_s = float("-inf")
    signed = sign_release(released(new, **changes), KEY)
    for _ in range(2):
        rig.updates.take([message("release", signed)])
        assert says in rig.states()[-1]["reason"]
    assert rig.told() == ["received", "staged", "refused"]
    assert says in rig.events()[-1]["reason"]


def test_rollback_that_was_signed_as_such_is_taken_once(tmp_path: Path) -> None:
    """An older sequence comes back where it names the highest; it does not lower what later ones must exceed."""
    new = make_folder(tmp_path)
    rig = Rig(tmp_path)
    rig.push(new, sequence=9)
    rig.updates.receiving._checked_s = float("-inf")
    rig.push(new, sequence=4, replaces=9)
    slot = rig.updates.index.slots[KEY_OF]
    assert (slot.sequence, slot.highest) == (4, 9)


def test_strangers_release_and_strangers_bundle_are_refused(tmp_path: Path) -> None:
    """Both signatures must be those of trusted keys: that of the release, and that of the bundle in it."""
    new = make_folder(tmp_path)
    rig = Rig(tmp_path)
    stranger = Ed25519PrivateKey.generate()
    rig.updates.take([message("release", sign_release(released(new), stranger))])
    rig.updates.receiving._checked_s = float("-inf")
    foreign = write_season_bundle(tmp_path / "foreign.edgeseq", "season", stranger)
    rig.push(foreign)
    assert rig.told() == ["refused", "received", "refused"]
    assert all("not trusted" in event["reason"] for event in rig.events()[::2])
    assert not list((tmp_path / "state" / FOLDER).glob("*.edgeseq"))


def test_another_horizon_is_refused(tmp_path: Path) -> None:
    """With it all streams would begin anew."""
    make_folder(tmp_path)
    other = write_season_bundle(tmp_path / "other.edgeseq", "season", KEY, horizon=3)
    rig = Rig(tmp_path)
    rig.push(other)
    assert "horizon" in rig.events()[-1]["reason"]


def test_receiving_goes_on_after_a_restart(tmp_path: Path) -> None:
    """Only what lacks is asked for; chunks of another size or number are nobody's."""
    new = make_folder(tmp_path)
    rig = Rig(tmp_path)
    signed = rig.push(new, skip=(0, 2, 3, 5))
    assert rig.states()[-1]["missing"] == [[0, 0], [2, 3], [5, 5]]
    rig = rig.restarted()
    rig.updates.take([message("release", signed)])
    assert rig.states()[-1]["missing"] == [[0, 0], [2, 3], [5, 5]]
    short = f"chunk/{released(new).digest[:16]}/0"
    rig.updates.take([message(short, b"x"), message(short.replace("/0", "/99"), b"x" * 4096)])
    assert rig.states()[-1]["lacking"] == 4
    rig.chunks(new, released(new), skip=(1, 4))
    assert rig.told() == ["received", "staged"]


def test_changed_chunk_is_found_by_the_digest(tmp_path: Path) -> None:
    """One flipped bit in one chunk: refused, and asked for again from the first chunk on."""
    new = make_folder(tmp_path)
    rig = Rig(tmp_path)
    rig.push(new, skip=(1,))
    data = bytearray(new.read_bytes()[4096:8192])
    data[7] ^= 1
    rig.updates.take([message(f"chunk/{released(new).digest[:16]}/1", bytes(data))])
    assert rig.told() == ["received", "refused"]
    assert rig.states()[-1]["lacking"] == released(new).chunks
    rig.chunks(new, released(new))
    assert rig.told()[-1] == "staged"


def test_no_bytes_raise(tmp_path: Path) -> None:
    """Whatever is published there."""
    make_folder(tmp_path)
    rig = Rig(tmp_path)
    for level in ("release", "chunk", "chunk/a/b", "chunk/a/b/c", "chunk//1", "state", "x/y/z"):
        for payload in (b"", b"x", b"EDGESEQR" + bytes(200), b"{}", bytes(9000)):
            rig.updates.take([message(level, payload)])
    assert set(rig.told()) == {"refused"}


def test_files_that_are_dropped_are_installed(tmp_path: Path) -> None:
    """A release beside its bundle in the folder drop; both are gone afterwards."""
    new = make_folder(tmp_path)
    rig = Rig(tmp_path)
    drop = tmp_path / "state" / FOLDER / "drop"
    drop.mkdir()
    (drop / "a.release").write_bytes(sign_release(released(new), KEY))
    (drop / "a.edgeseq").write_bytes(new.read_bytes())
    rig.updates.look()
    assert rig.told()[:2] == ["received", "staged"]
    assert not list(drop.iterdir())


def refuse(*_: object) -> None:
    """Be a call that a full disk refuses."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["truncate", "sync", "rename", "sync_folder"])
def test_disk_that_refuses_after_the_last_chunk_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Nobody sends a chunk of which none lacks: the release, sent again, goes on by itself, or asks anew."""
    new, disk, rig = make_folder(tmp_path), Disk(), Rig(tmp_path)
    rig.updates = Updates(rig, None, disk)
    signed = rig.push(new, skip=(0,))
    with monkeypatch.context() as context:
        context.setattr(disk, call, refuse)
        rig.chunks(new, released(new), skip=tuple(range(1, released(new).chunks)))
    assert [event for event, _ in rig.logged][-1] == "storage.failed"
    rig.updates.take([message("release", signed)])
    if rig.told()[-1] == "received":
        assert rig.states()[-1]["lacking"] == released(new).chunks
        rig.chunks(new, released(new))
    assert rig.told() == ["received", "staged"]


@pytest.mark.parametrize("call", ["write", "sync"])
def test_dropped_files_that_the_disk_refuses_are_taken_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """What was begun is let go of: it would keep whatever is dropped waiting until a restart."""
    new, disk, rig = make_folder(tmp_path), Disk(), Rig(tmp_path)
    rig.updates = Updates(rig, None, disk)
    drop = tmp_path / "state" / FOLDER / "drop"
    drop.mkdir()
    signed = sign_release(released(new), KEY)
    with monkeypatch.context() as context:
        context.setattr(disk, call, refuse)
        (drop / "a.edgeseq").write_bytes(new.read_bytes())
        (drop / "a.release").write_bytes(signed)
        rig.updates.look()
    assert rig.told() == ["received"]
    monkeypatch.setattr(receiving, "MOST_CHECKED_EVERY_S", 0.0)
    rig.updates.receiving.take_dropped()
    assert rig.told()[-1] == "staged"
    (drop / "b.release").write_bytes(signed)
    rig.updates.receiving.take_dropped()
    assert not list(drop.iterdir()), "one that was taken before is not told of for ever"


def promoted(folder: Path) -> Rig:
    """Let the new model serve."""
    new = make_folder(folder)
    rig = Rig(folder)
    rig.feed(80)
    rig.push(new)
    assert judged(rig) == "settled"
    return rig


def test_configured_file_that_somebody_replaces_serves_again(tmp_path: Path) -> None:
    """Hands go before the air; a damaged file of ours makes room for the configured one, too."""
    rig = promoted(tmp_path)
    stored = next((tmp_path / "state" / FOLDER).glob("*.edgeseq"))
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert rig.restarted().serving == "last"
    rig = promoted(tmp_path / "second")
    write_season_bundle(rig.folder / "house.edgeseq", "half", KEY)
    assert rig.restarted().serving == "half"


PASSAGES = [
    *[(name, 1) for name in failpoint.UPDATE_NAMES],
    *[("updates.written", n) for n in (2, 3, 4)],
    *[("updates.renamed", n) for n in (2, 3, 4)],
]
"""The index is replaced when the bundle is staged, when its shadow begins, and when it is promoted and settled."""


@pytest.mark.parametrize(("name", "nth"), PASSAGES, ids=str)
def test_kill_at_every_step_leaves_old_or_new(tmp_path: Path, name: str, nth: int) -> None:
    """Killed there, the next start finds one of the two whole, and the same release ends as it would have."""
    new = make_folder(tmp_path)
    command = [sys.executable, "-m", "tests.support.update_rig", str(tmp_path)]
    killed = subprocess.run(
        command, env={**os.environ, failpoint.ENVIRONMENT: f"{name}:{nth}"}, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    rig = Rig(tmp_path, step=3000)
    index = tmp_path / "state" / FOLDER / INDEX
    slots = json.loads(index.read_bytes())["slots"] if index.exists() else {}
    is_new = slots.get(KEY_OF, {}).get("serving") == released(new).digest
    assert rig.serving == ("season" if is_new else "last")
    assert is_new is ((name, nth) in (("updates.renamed", 3), ("updates.written", 4), ("updates.renamed", 4)))
    rig.push(new)
    assert KEY_OF in rig.updates.index.slots, "it is installed, or was"
    if (name, nth) in (("update.renewed", 1), ("updates.renamed", 3)):
        rig.feed(80)
        assert judged(rig) == "settled"
        assert rig.serving == "season"
