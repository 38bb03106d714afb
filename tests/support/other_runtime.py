"""Roll models out on tflite-runtime: its environment cannot import what makes them, so files carry them over."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from edgeseq.adapters.interpreter.steppers import TFLiteStepper
from edgeseq.bundle import Channel, Manifest
from edgeseq.core.forecast import initial_state
from edgeseq.core.types import F32

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-tflite/bin/python"


def roll_on_tflite_runtime(
    manifest: Manifest, models: Mapping[str, bytes], x: F32, folder: Path
) -> dict[str, F32]:
    """Step models through x (T, B, C) from the initial state → quantiles (T, B, C, H, Q) by name."""
    assert PYTHON.exists(), "the environment of tflite-runtime is missing; do: make setup"
    named = msgspec.structs.replace(manifest, channels=tuple(Channel(f"c{i}") for i in range(x.shape[2])))
    (folder / "manifest.json").write_bytes(msgspec.json.encode(named))
    np.save(folder / "x.npy", x)
    for name, model in models.items():
        (folder / f"{name}.tflite").write_bytes(model)
    command = [str(PYTHON), "-m", "tests.support.other_runtime", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return {name: np.load(folder / f"{name}.npy") for name in models}


def main() -> None:
    """Be the child: roll every model of a folder out."""
    folder = Path(sys.argv[1])
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    x = np.load(folder / "x.npy")
    for path in folder.glob("*.tflite"):
        stepper = TFLiteStepper(manifest, "tflite", path.read_bytes())
        state, quantiles = initial_state(stepper.state_spec, x.shape[1]), []
        for row in x:
            q, state = stepper.step(row, state)
            quantiles.append(q)
        np.save(path.with_suffix(".npy"), np.array(quantiles))


if __name__ == "__main__":
    main()
