"""Prove a model in a child process before this one loads it: a crash, a hang or a hunger for memory stays there.

Mutated models kill tflite-runtime 2.14 in 43-47 % of tries and made it allocate 20 GB; in both runtimes they also load
and compute wrong values silently. The signature keeps such files out; the probe covers what was signed nevertheless,
and runtimes that compute other values on this machine than where the model was trained.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgeseq.adapters.interpreter.opening import choose, open_stepper
from edgeseq.adapters.interpreter.runtimes import fingerprint
from edgeseq.adapters.interpreter.steppers import GuardedStepper
from edgeseq.bundle import Bundle
from edgeseq.errors import BundleError

MEMORY_LIMIT_BYTES = 2**30
"""Address space of the child. A runtime with a model maps 200-400 MB, most of it never touched."""
CPU_LIMIT_S = 20
_TIMEOUT_S = 60
"""The child takes 0.5 s on a workstation; this leaves room for the slowest board under load."""
_CACHE_FILE = "probes.json"
_CACHE_ENTRIES = 64
_ADVICE = "do not load this bundle; train it anew, or choose another variant or runtime"


def open_proven(
    bundle: Bundle, runtime: str = "auto", variant: str | None = None, *, cache_folder: Path | None = None
) -> GuardedStepper:
    """Choose runtime and variant, prove them in a child process, and open the stepper here.

    Args:
        bundle: as `read_bundle` gave it; its file must still be there.
        runtime: auto, litert, tflite or numpy.
        variant: name of a variant; None means the bundle's own choice.
        cache_folder: remembers proofs, so that the next start saves the child (the daemon's state folder).

    Raises:
        BundleError: nothing fits, or the model failed its proof.
    """
    runtime, chosen = choose(bundle, runtime, variant)
    if cache_folder is None:
        probe(bundle, runtime, chosen.name)
    else:
        probe_cached(bundle, runtime, chosen.name, cache_folder)
    return open_stepper(bundle, runtime, None if runtime == "numpy" else chosen.name)


def probe(bundle: Bundle, runtime: str, variant: str) -> float:
    """Run the golden roll-out in a child with limited memory, time and rights to dump core.

    Returns:
        The largest difference in units of the variant's tolerance, ≤ 1.

    Raises:
        BundleError: the child crashed, hung or ran out of memory, or the model computes other values.
    """
    return float(_prove(bundle, runtime, variant)["difference"])


def cost_of(bundle: Bundle, runtime: str, variant: str) -> dict[str, Any]:
    """Prove a variant as `probe` does, and measure it: the fields of VariantCost. Raises BundleError."""
    answer = _prove(bundle, runtime, variant, "measure")
    return {name: answer[name] for name in ("latency_ms", "stream_us", "memory_bytes")}


def _prove(bundle: Bundle, runtime: str, variant: str, *wishes: str) -> dict[str, Any]:
    where = f"{bundle.path}: {variant} on {runtime}"
    arguments = [str(bundle.path), bundle.digest, runtime, variant, *wishes]
    command = [sys.executable, "-P", "-m", "edgeseq.adapters.interpreter", *arguments]
    # BLAS reserves memory for each of its threads: with one the limit holds on any number of cores.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as fault:
        raise BundleError(
            "the runtime hangs on the model", where=where, found=f"no answer in {_TIMEOUT_S} s", do=_ADVICE
        ) from fault
    answer = _answer(done, where)
    difference = float(answer["difference"])
    if difference <= 1:
        return answer
    tolerance = bundle.manifest.variant(variant).tolerance
    raise BundleError(
        "the model computes other values here than where it was trained",
        where=where,
        found=f"{difference * tolerance:.3g} running scales apart from its golden roll-out",
        wanted=f"at most {tolerance:.3g}",
        do=_ADVICE,
    )


def _answer(done: subprocess.CompletedProcess[bytes], where: str) -> dict[str, Any]:
    """Read the child's line, or say how it died."""
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise BundleError("the runtime crashed on the model", where=where, found=name, do=_ADVICE)
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError) as fault:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing said"]
        found = f"exit code {done.returncode}: {lines[-1][:160]}"
        raise BundleError("the runtime failed on the model", where=where, found=found, do=_ADVICE) from fault
    if "what" in answer:
        raise BundleError(answer.pop("what"), **answer)
    return answer


# --- the memory of proofs ---------------------------------------------------------------------------------------


def probe_cached(bundle: Bundle, runtime: str, variant: str, folder: Path) -> float:
    """Do what `probe` does, once for each file, variant, runtime version and CPU.

    Only successes are remembered: a failure may be the machine's, and is worth another try by hand.
    """
    path = folder / _CACHE_FILE
    proofs = _load_proofs(path)
    key = hashlib.sha256(f"{bundle.digest} {variant} {fingerprint(runtime)}".encode()).hexdigest()
    if key not in proofs:
        proofs[key] = probe(bundle, runtime, variant)
        _save_proofs(path, dict(list(proofs.items())[-_CACHE_ENTRIES:]))
    return proofs[key]


def _load_proofs(path: Path) -> dict[str, float]:
    try:
        proofs = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(proofs, dict):
        return {}
    return {key: float(value) for key, value in proofs.items() if isinstance(value, float) and value <= 1}


def _save_proofs(path: Path, proofs: dict[str, float]) -> None:
    """Write the cache at once or not at all; a disk that refuses costs the next start 0.5 s and nothing else."""
    draft = path.with_suffix(".tmp")
    try:
        draft.write_text(json.dumps(proofs))
        draft.replace(path)
    except OSError:
        with suppress(OSError):  # read-only: not even what is not there can be removed
            draft.unlink()
