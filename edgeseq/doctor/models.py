"""Trusted keys, bundles, and what runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from edgeseq.bundle.keys import TrustedKeys
from edgeseq.config.resolve import Resolved
from edgeseq.doctor.finding import Finding, fail, of_fault, ok, warn
from edgeseq.errors import BundleError
from edgeseq.models import read_bundles

_TIMEOUT_S = 60
_ASK = (
    "import json; from edgeseq.adapters.interpreter import runtime_fault as fault; "
    "print(json.dumps(fault({!r})))"
)
RUNTIMES = {"litert": "edge", "tflite": "tflite"}
"""Runtime → the extra that brings it."""


def check_models(resolved: Resolved) -> Iterator[Finding]:
    """Check what bundles need; without one nothing is needed."""
    if not resolved.bundles:
        yield ok("bundles", "none configured: the baseline serves, no key and no runtime is needed")
        return
    wanted = resolved.config.bundles.runtime
    faults = {name: runtime_answer(name) for name in RUNTIMES if wanted in (name, "auto")}
    yield judge_runtimes(wanted, faults)
    yield from _keys(resolved)
    for key, path in resolved.bundles.items():
        yield from _bundle(resolved, key, path)


def runtime_answer(runtime: str) -> str | None:
    """Say why a runtime does not work, None if it does; in a child, since one made for another CPU may crash."""
    command = [sys.executable, "-P", "-c", _ASK.format(runtime)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer in {_TIMEOUT_S} s"
    if done.returncode:
        return f"it ended with {done.returncode}"
    answer: str | None = json.loads(done.stdout.splitlines()[-1])
    return answer


def judge_runtimes(wanted: str, faults: dict[str, str | None]) -> Finding:
    """Judge which runtimes work; `faults` of those that may be used."""
    working = [name for name, fault in faults.items() if fault is None]
    if working or wanted == "numpy":
        return ok("runtime", working[0] if working else "numpy")
    found = "; ".join(f"{name}: {fault}" for name, fault in faults.items())
    if wanted == "auto":
        do = "pip install 'edgeseq[edge]' (64 bit) or 'edgeseq[tflite]'"
        return warn("runtime", f"only numpy works: {found}", "a runtime of the bundles' own format", do)
    do = f"pip install 'edgeseq[{RUNTIMES[wanted]}]', or set [bundles] runtime = \"auto\""
    return fail("runtime", found, wanted, do)


def _keys(resolved: Resolved) -> Iterator[Finding]:
    folder = resolved.trusted_keys
    try:
        names = sorted(key.hex() for key in TrustedKeys.from_dir(folder).keys)
    except BundleError as fault:
        yield of_fault("trusted keys", fault)
        return
    if resolved.config.bundles.allow_unsigned:
        found, do = "bundles without a signature are loaded", "remove [bundles] allow_unsigned"
        yield warn("trusted keys", found, "signed bundles only", do)
    elif names:
        yield ok("trusted keys", f"{', '.join(names)} in {folder}")
    else:
        do = "copy the .pub file of the workstation's key there (`edgeseq keygen` shows it)"
        yield fail("trusted keys", f"none in {folder}", "the key that signed the bundles", do)


def _bundle(resolved: Resolved, key: str, path: Path) -> Iterator[Finding]:
    from edgeseq.adapters.interpreter import choose, probe  # heavy, and of no use without a bundle

    settings = resolved.config.bundles
    try:
        [(_, bundle)] = read_bundles(replace(resolved, bundles={key: path}))
        runtime, variant = choose(bundle, settings.runtime, settings.variant)
        probe(bundle, runtime, variant.name)
    except BundleError as fault:
        yield of_fault(f"bundle {key}", fault)
        return
    yield ok(
        f"bundle {key}", f"{bundle.digest[:8]} verified, {variant.name} runs on {runtime} as in training"
    )
