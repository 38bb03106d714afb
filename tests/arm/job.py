"""What every machine is to compute: a trained bundle, a recording for it, and a bare cell in int16x8 with its inputs.

    python -m tests.arm.job FOLDER     # TensorFlow makes it, on the workstation

The series is drawn: a day, slow weather and noise, hourly. A quarter of a minute of training suffices for a model that
serves instead of the baseline.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np

from edgeseq.bundle import WEIGHTS, TrustedKeys, read_bundle
from edgeseq.bundle.archive import load_arrays
from edgeseq.bundle.manifest import Signature
from edgeseq.core.instants import format_instant
from edgeseq.core.network import spec_from_manifest
from tests.arm.roll import on_grid
from tests.bench.quantize_series import drawn

HOUR_NS = 3600 * 10**9
BEGIN_NS = 1_767_225_600 * 10**9
"""2026-01-01."""
TRAINED, PLAYED, ROLLED = 2880, 1000, 500
"""Steps that are trained on, replayed, and rolled through each quantization."""
SAMPLES, STREAMS = 300, 3

RECIPE = """every = "1h"
horizon = "12h"
[cell]
units = 32
[training]
steps = 200
"""
CONFIG = """[node]
name = "n"
clock = "readings"
state_dir = "state"

[mqtt]
host = "localhost"

[[streams]]
topic = "room/+"
field = "value"
time = "time"
every = "1h"
bundle = "small.edgeseq"
"""


def main() -> None:
    """Make all files of the job in a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    series = np.round(drawn(TRAINED, STREAMS) + 20.0, 3)
    (folder / "drawn.csv").write_text(_csv(series[:, 0]), encoding="utf-8")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    (folder / "edgeseq.toml").write_text(CONFIG, encoding="utf-8")
    (folder / "recording.jsonl").write_text(_recording(series[-PLAYED:]), encoding="utf-8")
    _train(folder)
    np.save(folder / "x.npy", (series[-ROLLED:, :, None] - 20.0).astype(np.float32))
    _bare(folder, (series[:ROLLED, :, None] - 20.0).astype(np.float32))


def _csv(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    rows = [f"{format_instant(BEGIN_NS + k * HOUR_NS)},{value}" for k, value in enumerate(values)]
    return "\n".join(["time,value", *rows]) + "\n"


def _recording(series: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    """Write rooms' messages, with a reading missing now and then, a spike and a stuck value."""
    lines = []
    for k, row in enumerate(series):
        time = format_instant(BEGIN_NS + k * HOUR_NS)
        for room, value in enumerate(row):
            if (k + 5 * room) % 97 == 0:
                continue
            told = value + 30 * (k == 700 and room == 1) if not (room == 2 and 800 <= k < 860) else 21.5
            body = {"topic": f"room/{room}", "payload": {"time": time, "value": told}, "received": time}
            lines.append(json.dumps(body))
    return "\n".join(lines) + "\n"


def _train(folder: Path) -> None:
    key = folder / "signing.key"
    made = ["--recipe", str(folder / "recipe.toml"), "-o", str(folder / "small.edgeseq"), "--key", str(key)]
    command = [sys.executable, "-m", "edgeseq", "train", str(folder / "drawn.csv"), *made, "--no-report"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    keys = folder / "trusted_keys"
    keys.mkdir(exist_ok=True)
    for public in folder.glob("*.pub"):
        public.rename(keys / public.name)


def _bare(folder: Path, x: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    """Convert the trained recurrent part alone, and keep what the front gives it along x (T, B, C)."""
    from edgeseq_train import bare_cell, quantization

    bundle = read_bundle(folder / "small.edgeseq", TrustedKeys.from_dir(folder / "trusted_keys"))
    spec = spec_from_manifest(bundle.manifest.network)
    weights = {k: a.astype(np.float32) for k, a in load_arrays(bundle.files[WEIGHTS], "weights").items()}
    samples = bare_cell.representative(spec, weights, x, SAMPLES, np.random.default_rng(0))
    model = quantization.bare_variants(spec, weights, samples)["int16x8"]
    (folder / "int16x8.tflite").write_bytes(model)
    signature = quantization.bare_signature(model, spec)
    (folder / "int16x8.json").write_bytes(msgspec.json.encode(signature))
    grid = _grid(model, signature)
    np.save(folder / "grid.npy", grid)
    features = np.stack([view.features for view in bare_cell.views(spec, weights, x)])
    np.save(folder / "features.npy", on_grid(features, grid[0]))


def _grid(model: bytes, signature: Signature) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Read the scales of the integers that the model turns x and its states into."""
    from ai_edge_litert.interpreter import Interpreter

    details = Interpreter(model_content=model).get_tensor_details()
    scales = {detail["name"]: detail["quantization"][0] for detail in details}
    return np.array([scales[f"{name}_int16"] for name in signature.inputs.values()])


if __name__ == "__main__":
    main()
