"""The bundle that benches serve: GRU 64, ring 96, H = 24, 3 quantiles, int8 weights, a grid of 1 s.

Nobody has trained it, which changes no time: its GRU is random and says little, and its highway takes the mean of the
last four seasons, so that on series with a season of 24 steps it beats the baseline and serves. It is signed, as on a
device, and its public key lies in `trusted_keys/` beside it. Making it takes TensorFlow and half a minute, so it is
kept until its sources change.
"""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np

from edgeseq.bundle.keys import load_signing_key, write_public_key
from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import NetworkSpec
from edgeseq.core.types import F32
from tests.support.tiny_bundle import ROOT, SOURCES

SPEC = NetworkSpec(
    layers=(LayerSpec("gru", 64),), channels=1, horizon=24, levels=(0.05, 0.5, 0.95), ring=96, seasons=(24,),
    half_life=300.0, taps=3,
)  # fmt: skip
PERIOD_S = 1
KEPT = ROOT / "build" / "bench" / "bundle"
TRUSTED_KEYS = "trusted_keys"


def bench_bundle(folder: Path = KEPT) -> Path:
    """Give the bundle in a folder, beside `trusted_keys/`; it is made where it is not there or its sources changed."""
    sources = (*SOURCES, str(Path(__file__).relative_to(ROOT)))
    digest = sha256(b"".join((ROOT / source).read_bytes() for source in sources)).hexdigest()[:16]
    path = folder / f"bench-{digest}.edgeseq"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("bench-*.edgeseq"):
        old.unlink()
    # A process of its own: TensorFlow talks much, and holds 500 MB.
    command = [sys.executable, "-m", "tests.bench.bench_bundle", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return path


def _build(path: Path) -> None:
    from tests.support.tiny_model import build_tiny_bundle, make_weights  # imports TensorFlow

    key = load_signing_key(path.parent / "signing.key")
    trusted = path.parent / TRUSTED_KEYS
    trusted.mkdir(exist_ok=True)
    write_public_key(key.public_key(), trusted)
    build_tiny_bundle(path, key, SPEC, name="bench", period_s=PERIOD_S, weights=_seasonal(make_weights(SPEC)))


def _seasonal(weights: dict[str, F32]) -> dict[str, F32]:
    """Let the highway take the mean of the values one to four seasons before each lead, and the GRU hardly correct."""
    season, last = SPEC.seasons[0], SPEC.ring - 1
    highway = np.zeros_like(weights["highway"])
    for lead in range(1, SPEC.horizon + 1):
        highway[[last + lead - season * k for k in range(1, SPEC.ring // season + 1)], lead - 1] = 1.0
    weights["highway"] = highway * np.float32(season / SPEC.ring)
    weights["head.kernel"] *= np.float32(0.01)
    weights["head.bias"] *= np.float32(0.01)
    return weights


if __name__ == "__main__":
    _build(Path(sys.argv[1]))
