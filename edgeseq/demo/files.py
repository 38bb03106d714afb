"""The files that an operator would write: recordings as CSV, the daemon's configuration, the trusted key."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from edgeseq.bundle.keys import load_signing_key, write_public_key
from edgeseq.demo import scenario as s
from edgeseq.demo.play import NODE, PREFIX
from edgeseq.demo.recordings import WEEK_NS, Recording, iso
from edgeseq.errors import ConfigError

MARKER = ".edgeseq-demo"
"""File that tells that a folder is the demo's, to be removed by the next one."""


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the demo keeps its things."""

    root: Path

    @property
    def training(self) -> Path:
        """Traffic before the test weeks."""
        return self.root / "traffic.csv"

    @property
    def history(self) -> Path:
        """Traffic that gives the daemon its state."""
        return self.root / "history.csv"

    @property
    def recipe(self) -> Path:
        """How to train."""
        return self.root / "recipe.toml"

    @property
    def bundle(self) -> Path:
        """The trained model."""
        return self.root / "traffic.edgeseq"

    @property
    def config(self) -> Path:
        """The daemon's configuration."""
        return self.root / "edgeseq.toml"

    @property
    def state(self) -> Path:
        """The daemon's state."""
        return self.root / "state"

    @property
    def trusted_keys(self) -> Path:
        """Keys that the daemon trusts."""
        return self.root / "trusted_keys"

    @property
    def signing_key(self) -> Path:
        """The key that `edgeseq train` signs with."""
        return self.root / "config" / "edgeseq" / "signing.key"

    @property
    def log(self) -> Path:
        """The daemon's log."""
        return self.root / "daemon.log"


def clear(folder: Folder, *, keep_model: bool = False) -> None:
    """Remove what an earlier demo left, and nothing else: a folder with other things in it is refused.

    Args:
        folder: the demo's folder, which is made.
        keep_model: leave the trained bundle and the key that signed it.

    Raises:
        ConfigError: the folder is not the demo's, or has no model to keep.
    """
    marker = folder.root / MARKER
    if folder.root.exists() and any(folder.root.iterdir()) and not marker.exists():
        raise ConfigError(
            "the folder holds other things than a demo",
            where=str(folder.root),
            wanted="a folder that is empty or does not exist",
            do="name another one with --folder",
        )
    if keep_model and not (folder.bundle.exists() and folder.signing_key.exists()):
        raise ConfigError(
            "there is no model to take again", where=str(folder.root), do="run the demo once without --reuse"
        )
    folder.root.mkdir(parents=True, exist_ok=True)
    kept = {folder.bundle, folder.signing_key.parents[1]} if keep_model else set()
    for path in set(folder.root.iterdir()) - kept:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    marker.touch()


def claim(root: Path) -> None:
    """Make a folder the demo's, if nobody has anything else in it: what is written there a later demo removes."""
    root.mkdir(parents=True, exist_ok=True)
    if not any(root.iterdir()):
        (root / MARKER).touch()


def write_inputs(folder: Folder, scenario: s.Scenario, *, quick: bool) -> None:
    """Write what training and replay read."""
    taken = scenario.training
    if quick:
        taken = taken.between(s.TEST_FROM_NS - s.QUICK_TRAINING_WEEKS * WEEK_NS, s.TEST_FROM_NS)
    write_csv(folder.training, taken)
    write_csv(folder.history, scenario.history)
    name = "recipe-quick.toml" if quick else "recipe.toml"
    folder.recipe.write_text(resources.files("edgeseq.demo").joinpath(name).read_text())


def write_csv(path: Path, recording: Recording) -> None:
    """Write time and value; an empty cell is a missing reading."""
    rows = zip(recording.time_ns.tolist(), recording.value.tolist(), strict=True)
    lines = [f"{iso(time_ns)},{value:g}" if value == value else f"{iso(time_ns)}," for time_ns, value in rows]  # noqa: PLR0124 (NaN)
    path.write_text("\n".join([f"time,{s.TRAFFIC_FIELD}", *lines, ""]))


def trust_own_key(folder: Folder) -> None:
    """Let the daemon trust the key that training has made and signed with."""
    write_public_key(load_signing_key(folder.signing_key, create=False).public_key(), folder.trusted_keys)


def write_config(folder: Folder, port: int, *, alerts: bool) -> None:
    """Write the daemon's configuration: the traffic with its bundle, the pipeline without."""
    switched = "" if alerts else "alerts = false\n"
    folder.config.write_text(f"""\
[node]
name = "{NODE}"
state_dir = "{folder.state.name}"
clock = "readings"     # the recordings are played faster than real time

[mqtt]
host = "127.0.0.1"
port = {port}
version = "3.1.1"
topic_prefix = "{PREFIX}"

[[streams]]
topic = "{s.TRAFFIC_TOPIC}"
field = "{s.TRAFFIC_FIELD}"
time = "time"
unit = "{s.TRAFFIC_UNIT}"
every = "1h"
bundle = "{folder.bundle.name}"
{switched}
[[streams]]
topic = "{s.PIPELINE_TOPIC}"
field = "{s.PIPELINE_FIELD}"
time = "time"
unit = "{s.PIPELINE_UNIT}"
every = "1h"
{switched}""")
