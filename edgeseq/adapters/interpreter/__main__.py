"""The child of `probe`: run a bundle's golden roll-out under limits and say what came out, or die trying."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

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
    """Take FILE DIGEST RUNTIME VARIANT and print one line of JSON: the difference, or the fields of a BundleError."""
    file, digest, runtime, variant = sys.argv[1:]
    set_limits()
    try:
        bundle = read_bundle(Path(file), TrustedKeys(), known_digest=digest)
        stepper = open_stepper(bundle, runtime, None if runtime == "numpy" else variant)
        difference = verify_golden(stepper, bundle, variant)
    except BundleError as fault:
        print(json.dumps({name: getattr(fault, name) for name in ("what", "where", "found", "wanted", "do")}))  # noqa: T201  the answer
        sys.exit(EXIT_CONFIG)
    print(json.dumps({"difference": difference}))  # noqa: T201  the answer


if __name__ == "__main__":
    main()
