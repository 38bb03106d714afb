"""The bundles that the alert benches serve: one a data set, the default recipe, trained without its test part.

Making one takes TensorFlow and half a minute, so each is kept until the data or the recipe change.
"""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np

from edgeseq.bundle import Bundle, TrustedKeys, read_bundle, write_bundle
from tests.bench import datasets
from tests.bench.datasets import DataSet
from tests.support.tiny_bundle import ROOT

HORIZON = 96
KEPT = ROOT / "build" / "bench" / "alerts"
ALERT_SETS = ("ett/ETTh1", "tetouan/", "beijing_pm25/", "occupancy", "nab/machine_temperature")
"""How the names of the five data sets begin."""


def find(data: Path, wanted: tuple[str, ...] = ALERT_SETS) -> dict[str, DataSet]:
    """Read the data sets of a folder whose names begin so."""
    return {name: read() for name, read in datasets.find(data) if name.startswith(wanted)}


def trained(data: Path, name: str, d: DataSet) -> Bundle:
    """Give the bundle of a data set; it is made where it is not there."""
    digest = sha256(np.ascontiguousarray(d.targets[: d.validation]).tobytes() + _recipe()).hexdigest()[:12]
    path = KEPT / f"{name.replace('/', '-')}-{digest}.edgeseq"
    if not path.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        # A process of its own: TensorFlow talks much, and holds 500 MB.
        command = [sys.executable, "-m", "tests.bench.alerts.bundles", str(data), name, str(path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
    return read_bundle(path, TrustedKeys(), allow_unsigned=True)


def _recipe() -> bytes:
    from edgeseq_train.recipe import Recipe

    return msgspec.json.encode(Recipe(), order="sorted")


def _train(data: Path, name: str, path: Path) -> None:
    from edgeseq_train.fit import fit
    from edgeseq_train.produce import produce
    from edgeseq_train.recipe import Recipe, SplitRecipe
    from tests.bench import model

    d = dict(datasets.find(data))[name]()
    tail = model.tail_steps(d, d.validation, HORIZON)
    recipe = msgspec.structs.replace(
        Recipe(), name="bench", every=f"{d.period_s}s", horizon=f"{HORIZON * d.period_s}s",
        split=SplitRecipe(train=d.train, validation=d.validation - d.train, test=tail),
    )  # fmt: skip
    given = model.shown(model.recording_of(d, recipe, tail), d.validation, tail)
    fitted = fit(given, HORIZON, recipe, lambda *_: None, lambda _: None)
    manifest, files, _ = produce(given, fitted, recipe, "bench", lambda _: None)
    part = path.with_suffix(".part")
    write_bundle(part, manifest, files, None)
    part.rename(path)


if __name__ == "__main__":
    _train(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
