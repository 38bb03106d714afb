"""The runtimes of this machine: which work, and what names their results to the last bit."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.resources
import platform
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgeseq.adapters.interpreter.hushed import hushed

PACKAGES = {"litert": "ai-edge-litert", "tflite": "tflite-runtime", "numpy": "numpy"}
"""Runtimes in order of preference, and the distribution that brings each."""
_MODULES = {"litert": "ai_edge_litert.interpreter", "tflite": "tflite_runtime.interpreter"}

RUNTIME_FAULTS = (RuntimeError, ValueError, SystemError, MemoryError)
"""What the runtimes raise on a model or a call they refuse."""
_IMPORT_FAULTS = (*RUNTIME_FAULTS, ImportError, AttributeError, OSError)


@cache
def runtime_fault(runtime: str) -> str | None:
    """Say why a runtime cannot be used here, None if it can.

    It must run a model of one addition: tflite-runtime beside numpy 2 imports well and dies in its interpreter.
    """
    if runtime == "numpy":
        return None
    model = importlib.resources.files("edgeseq.adapters.interpreter").joinpath("add_one.tflite").read_bytes()
    try:
        with hushed(_is_greeting):
            interpreter = make_interpreter(runtime, model)
            interpreter.allocate_tensors()
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.array([1, 2], np.float32))
            interpreter.invoke()
            result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    except _IMPORT_FAULTS as fault:
        return f"{type(fault).__name__}: {fault}"[:160]
    return None if result.tolist() == [2, 3] else f"it computes 1 + 1 = {result[0]}"


def _is_greeting(line: str) -> bool:
    """Tell what a runtime says once per process, with its first interpreter, when all is well."""
    return "INFO: Created TensorFlow Lite XNNPACK delegate" in line


def available_runtimes() -> tuple[str, ...]:
    """List the runtimes that work here, best first; NumPy always does."""
    return tuple(runtime for runtime in PACKAGES if runtime_fault(runtime) is None)


def fingerprint(runtime: str) -> str:
    """Name what decides a result to the last bit: runtime, versions and CPU. Equal names, equal bits."""
    versions = [f"{p}-{importlib.metadata.version(p)}" for p in sorted({PACKAGES[runtime], "numpy"})]
    return " ".join([*versions, platform.machine(), hashlib.sha256(_cpu().encode()).hexdigest()[:12]])


def _cpu() -> str:
    """Describe the first CPU by the lines that name its kind and abilities (x86 and ARM)."""
    kinds = (
        "vendor_id",
        "cpu family",
        "model",
        "stepping",
        "flags",
        "CPU implementer",
        "CPU part",
        "Features",
    )
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    first = text.split("\n\n", maxsplit=1)[0]
    return "\n".join(line for line in first.splitlines() if line.startswith(kinds))


def make_interpreter(runtime: str, model: bytes) -> Any:
    """Make an interpreter on one thread: the daemon's batches are too small to share."""
    return importlib.import_module(_MODULES[runtime]).Interpreter(model_content=model, num_threads=1)
