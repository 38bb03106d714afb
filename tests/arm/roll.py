"""Compute a job on this machine, with this environment's runtime.

    python -m tests.arm.roll FOLDER RUNTIME OUTPUT

OUTPUT.npz: quantiles of each quantization along x.npy (T, B, C, H, Q), and `int16x8`, the bare cell's first state along
features.npy (T, B, U). OUTPUT.jsonl: what `edgeseq replay` publishes for the recording.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np

from edgeseq.adapters.interpreter import available_runtimes
from edgeseq.adapters.interpreter.steppers import TFLiteStepper
from edgeseq.bundle import Bundle, TrustedKeys, read_bundle
from edgeseq.bundle.manifest import Signature
from edgeseq.core.forecast import initial_state
from edgeseq.core.network import spec_from_manifest
from edgeseq.core.types import F32
from edgeseq_train import bare_cell

DIES = ("dynamic", "tflite", "aarch64")
"""What dies of SIGSEGV: tflite-runtime 2.14's kernel for 8-bit weights with float inputs, under qemu-user.
Whether it does on a real CPU is not known; the daemon tries a bundle in a child first."""


def main() -> None:
    """Compute all of it."""
    folder, runtime, output = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    assert available_runtimes()[0] == runtime, f"{runtime} is not what serves here: {available_runtimes()}"
    bundle = read_bundle(folder / "small.edgeseq", TrustedKeys.from_dir(folder / "trusted_keys"))
    found = whole(bundle, runtime, np.load(folder / "x.npy"))
    np.savez(output.with_suffix(".npz"), int16x8=bare(folder, bundle, runtime), **found)  # type: ignore[arg-type]
    replayed = [
        "replay",
        "--config",
        str(folder / "edgeseq.toml"),
        "--input",
        str(folder / "recording.jsonl"),
    ]
    command = [sys.executable, "-m", "edgeseq", *replayed, "-o", str(output.with_suffix(".jsonl"))]
    subprocess.run(command, check=True)


def whole(bundle: Bundle, runtime: str, x: F32) -> dict[str, F32]:
    """Roll every quantization along x (T, B, C), its state fed back → quantiles by name (T, B, C, H, Q)."""
    found = {}
    for variant in bundle.manifest.variants:
        if runtime not in variant.runtimes or (variant.name, runtime, platform.machine()) == DIES:
            continue
        stepper = TFLiteStepper(bundle.manifest, runtime, bundle.files[variant.file])
        state, quantiles = initial_state(stepper.state_spec, x.shape[1]), []
        for row in x:
            q, state = stepper.step(row, state)
            quantiles.append(q)
        found[variant.name] = np.stack(quantiles)
    return found


def bare(folder: Path, bundle: Bundle, runtime: str) -> F32:
    """Step the bare cell through stored features, so that nothing but integers decides (T, B, U)."""
    spec = spec_from_manifest(bundle.manifest.network)
    features = np.load(folder / "features.npy")
    signature = msgspec.json.decode((folder / "int16x8.json").read_bytes(), type=Signature)
    model = (folder / "int16x8.tflite").read_bytes()
    advance = bare_cell.open_cell(runtime, model, signature, spec, features.shape[1])
    state, kept = initial_state(bare_cell.cell_states(spec), features.shape[1]), []
    for row in features:
        state = advance(row, state)
        kept.append(state[0].copy())
    return np.stack(kept)


if __name__ == "__main__":
    main()
