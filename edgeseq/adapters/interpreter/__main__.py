"""The child of `probe`: run a bundle's golden roll-out under limits and say what came out, or die trying."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from edgeseq.adapters.interpreter.measure import measured_step
from edgeseq.adapters.interpreter.opening import open_stepper, verify_golden
from edgeseq.adapters.interpreter.probe import CPU_LIMIT_S, MEMORY_LIMIT_BYTES
from edgeseq.bundle import TrustedKeys, read_bundle
from edgeseq.errors import EXIT_CONFIG, BundleError


def set_limits() -> None:
    """Bound memory and CPU time of this process for good, and leave no core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))


def main() -> None:
    """Take FILE DIGEST RUNTIME VARIANT [measure] and print a line of JSON.

    It holds the difference, and what a step costs where that is asked for; or the fields of a BundleError.
    """
    file, digest, runtime, variant, *wishes = sys.argv[1:]
    set_limits()
    before_bytes = peak_bytes()
    try:
        bundle = read_bundle(Path(file), TrustedKeys(), known_digest=digest)
        stepper = open_stepper(bundle, runtime, None if runtime == "numpy" else variant)
        difference = verify_golden(stepper, bundle, variant)
    except BundleError as fault:
        print(json.dumps({name: getattr(fault, name) for name in ("what", "where", "found", "wanted", "do")}))  # noqa: T201  the answer
        sys.exit(EXIT_CONFIG)
    cost = {}
    if wishes:
        latency_ms, stream_us = measured_step(stepper)
        memory_bytes = max(0, peak_bytes() - before_bytes)
        cost = {"latency_ms": latency_ms, "stream_us": stream_us, "memory_bytes": memory_bytes}
    print(json.dumps({"difference": difference, **cost}))  # noqa: T201  the answer


def peak_bytes() -> int:
    """Tell the most memory that this process has held (ru_maxrss would tell its parent's); 0 where nothing says."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return 1024 * int(found[0]) if found else 0


if __name__ == "__main__":
    main()
