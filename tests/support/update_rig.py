"""A node that takes updates, without a broker; as a process of its own it can be killed at failpoints.

`python -m tests.support.update_rig FOLDER` installs what lies in FOLDER/new.edgeseq and feeds readings until it is
settled or rolled back; it prints what serves.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgeseq.bundle.keys import write_public_key
from edgeseq.bundle.release import Release, sign_release
from edgeseq.compose import open_node, renew_node
from edgeseq.config import load_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.core.pipeline import accept, advance
from edgeseq.core.types import Message, Outgoing
from edgeseq.errors import EdgeseqError
from edgeseq.failpoint import reach
from edgeseq.updates import Updates
from edgeseq.updates.slots import overlaid
from tests.support.season_bundle import SEASON, Habit, write_season_bundle

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ROOT = "edgeseq/n/bridge"
START_S = 1_767_225_600
CONFIG = """
[node]
name = "n"
state_dir = "state"
clock = "readings"
updates = true
[[streams]]
topic = "t/+"
field = "v"
time = "t"
every = "1s"
season = "8s"
bundle = "house.edgeseq"
"""


class Rig:
    """A node in a folder, with its updates; what it told and logged."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        self.folder = folder
        self.sent: list[Outgoing] = []
        self.logged: list[tuple[str, dict[str, Any]]] = []
        resolved = resolve(load_config(folder / "edgeseq.toml"), folder)
        self.node = open_node(overlaid(resolved, self.log), state_dir=resolved.state_dir, log=self.log)
        self.step = step
        self.signal: Callable[[int], float] = seasonal
        self.updates = Updates(self)

    def restarted(self) -> Rig:
        """End it without a word, and start another from its folder."""
        assert self.node.store is not None
        self.node.store.close()
        return Rig(self.folder, self.step)

    def log(self, event: str, **fields: Any) -> None:
        """Remember a log line."""
        self.logged.append((event, fields))

    def send(self, *outgoing: Outgoing) -> None:
        """Remember what is told."""
        self.sent += outgoing

    def renew(self, resolved: Resolved, settle: Callable[[], None]) -> bool:
        """Let other bundles serve, as the daemon does."""
        try:
            node = renew_node(self.node, resolved, self.log)
            node.keep([])
            reach("update.renewed")
            settle()
        except EdgeseqError as fault:
            self.log("failed", error=str(fault))
            return False
        self.node = node
        self.updates = Updates(self, self.updates)
        return True

    def feed(self, steps: int, streams: int = 3) -> None:
        """Let readings come: a season and noise; the updates look from time to time."""
        for _ in range(steps):
            rng = np.random.default_rng(self.step)
            season = self.signal(self.step)
            text = [
                json.dumps({"v": season + rng.normal(), "t": START_S + self.step}) for _ in range(streams)
            ]
            now_ns = time.time_ns()
            batch = accept(
                self.node.state, [Message(f"t/{i}", t.encode(), now_ns) for i, t in enumerate(text)]
            )
            self.node.render(advance(self.node.state, batch.readings))
            self.step += 1
            if self.step % 16 == 0:
                self.updates.look()

    def push(self, path: Path, *, skip: tuple[int, ...] = (), **changes: Any) -> bytes:
        """Send a bundle: its release, and all chunks but some."""
        release = released(path, **changes)
        signed = sign_release(release, KEY)
        self.updates.take([message("release", signed)])
        self.chunks(path, release, skip=skip)
        return signed

    def chunks(self, path: Path, release: Release, *, skip: tuple[int, ...] = ()) -> None:
        """Send chunks."""
        data, size = path.read_bytes(), release.chunk_bytes
        for number in range(release.chunks):
            if number not in skip:
                chunk = data[number * size : (number + 1) * size]
                self.updates.take([message(f"chunk/{release.digest[:16]}/{number}", chunk)])

    def told(self) -> list[str]:
        """List the events of updates that were told."""
        return [event["event"].removeprefix("update.") for event in self.events()]

    def events(self) -> list[dict[str, Any]]:
        """List the events of updates in full."""
        found = [json.loads(out.payload) for out in self.sent if out.topic == f"{ROOT}/event"]
        return [event for event in found if event["event"].startswith("update.")]

    def states(self) -> list[dict[str, Any]]:
        """List what whoever sends was told."""
        return [json.loads(out.payload) for out in self.sent if out.topic == f"{ROOT}/update/state"]

    @property
    def serving(self) -> str:
        """Name what serves: its habit."""
        return self.node.steppers["house.edgeseq"].name.partition("@")[0]


def seasonal(step: int) -> float:
    """Give what the streams show but for their noise."""
    return float(10 * np.sin(2 * np.pi * step / SEASON))


def message(level: str, payload: bytes) -> Message:
    """Make a message of those who send updates."""
    return Message(f"{ROOT}/update/{level}", payload, 0)


def released(path: Path, **changes: Any) -> Release:
    """Say of a bundle what suits the rig, but for the changes."""
    data = path.read_bytes()
    fields = {
        "node": "n", "bundle": "house.edgeseq", "label": path.stem, "digest": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data), "chunk_bytes": 4096, "sequence": 1, "expires_s": 2**40,
    }  # fmt: skip
    return Release(**{**fields, **changes})


def make_folder(folder: Path, serving: Habit = "last", new: Habit = "season") -> Path:
    """Make configuration, key and bundles → the new bundle's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "edgeseq.toml").write_text(CONFIG, encoding="utf-8")
    write_public_key(KEY.public_key(), folder / "trusted_keys")
    write_season_bundle(folder / "house.edgeseq", serving, KEY)
    return write_season_bundle(folder / "new.edgeseq", new, KEY)


def main() -> None:
    """Install and judge until it is settled, from wherever a kill has left it."""
    rig = Rig(Path(sys.argv[1]))
    rig.feed(80)
    rig.push(rig.folder / "new.edgeseq")
    for _ in range(80):
        rig.feed(16)
        slot = rig.updates.index.slots.get("house.edgeseq")
        if slot and slot.phase == "settled" and slot.outcome != "staged":
            break
    print(json.dumps({"serving": rig.serving, "told": rig.told()}))


if __name__ == "__main__":
    main()
