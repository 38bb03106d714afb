"""Compute a job on this machine, with this environment's runtime.

    python -m tests.arm.roll FOLDER RUNTIME OUTPUT

OUTPUT.npz: quantiles of each quantization along x.npy (T, B, C, H, Q), and the bare cell's first state along
features.npy (T, B, U): `int16x8` with the kernels that serve, `int16x8_reference` with the runtime's reference kernels.
OUTPUT.jsonl: what `edgeseq replay` publishes for the recording.
"""

from __future__ import annotations

import importlib
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

MODULES = {"litert": "ai_edge_litert.interpreter", "tflite": "tflite_runtime.interpreter"}
BARE = {"int16x8": "AUTO", "int16x8_reference": "BUILTIN_REF"}
"""Name of a result → the runtime's name for a set of kernels."""


def main() -> None:
    """Compute all of it."""
    folder, runtime, output = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    assert available_runtimes()[0] == runtime, f"{runtime} is not what serves here: {available_runtimes()}"
    bundle = read_bundle(folder / "small.edgeseq", TrustedKeys.from_dir(folder / "trusted_keys"))
    found = whole(bundle, runtime, np.load(folder / "x.npy"))
    for name, kernels in BARE.items():
        found[name] = bare(folder, bundle, runtime, kernels)
    np.savez(output.with_suffix(".npz"), **found)  # type: ignore[arg-type]
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
        if runtime not in variant.runtimes:
            continue
        stepper = TFLiteStepper(bundle.manifest, runtime, bundle.files[variant.file])
        state, quantiles = initial_state(stepper.state_spec, x.shape[1]), []
        for row in x:
            q, state = stepper.step(row, state)
            quantiles.append(q)
        found[variant.name] = np.stack(quantiles)
    return found


def bare(folder: Path, bundle: Bundle, runtime: str, kernels: str) -> F32:
    """Step the bare cell through stored features, so that nothing but integers decides (T, B, U)."""
    runtimes = importlib.import_module(MODULES[runtime])
    spec = spec_from_manifest(bundle.manifest.network)
    features = np.load(folder / "features.npy")
    signature = msgspec.json.decode((folder / "int16x8.json").read_bytes(), type=Signature)
    model = (folder / "int16x8.tflite").read_bytes()
    interpreter = runtimes.Interpreter(
        model_content=model,
        num_threads=1,
        experimental_op_resolver_type=getattr(runtimes.OpResolverType, kernels),
    )
    advance = bare_cell.bind_cell(interpreter, signature, spec, features.shape[1])
    grid = np.load(folder / "grid.npy")
    state, kept = initial_state(bare_cell.cell_states(spec), features.shape[1]), []
    for row in features:
        state = advance(row, tuple(map(on_grid, state, grid[1:])))
        kept.append(state[0].copy())
    return np.stack(kept)


def on_grid(values: F32, scale: float) -> F32:
    """Move values to whole multiples of an integer tensor's scale.

    The runtimes turn floats into integers by the scale's inverse or by a division, as the CPU's kernel has it: of
    4,000 values that lie anywhere one comes out beside the other's.
    """
    moved: F32 = (np.rint(values.astype(np.float64) / scale) * scale).astype(np.float32)
    return moved


if __name__ == "__main__":
    main()
