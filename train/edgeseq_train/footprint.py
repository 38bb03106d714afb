"""Peak memory of serving a bundle: a process with nothing but the device's code opens it and takes some readings."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgeseq.bundle import Manifest, TrustedKeys, read_bundle, write_bundle
from edgeseq.core import pipeline
from edgeseq.errors import InternalError
from edgeseq_train import core_feed

STEPS = 96
"""The model joins after 32 readings; in the others it runs, whether or not it is good enough to serve."""
RUNTIME = "litert"
STATUS = Path("/proc/self/status")
NOT_ON_A_DEVICE = ("rich", "pygments", "tensorflow", "polars", "matplotlib", "edgeseq_train.backtest")
"""structlog would import rich if it were there, 8 MB that no device has."""
PROCESS = f"""
import sys
sys.modules.update(dict.fromkeys({NOT_ON_A_DEVICE}))  # importing one raises ImportError: it fails rather than counts
import edgeseq.daemon  # its memory counts
from edgeseq_train.footprint import main
main()
"""
PATIENCE_S = 300


def peak_bytes(manifest: Manifest, files: Mapping[str, bytes], streams: int) -> int:
    """Measure the peak resident memory of a process that serves a bundle to so many streams.

    Raises:
        InternalError: the process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "measured.edgeseq"
        write_bundle(path, manifest, dict(files), None)
        command = [sys.executable, "-c", PROCESS, str(path), str(streams)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if done.returncode:
        raise InternalError(
            "the memory of a bundle cannot be measured", where=manifest.label, found=done.stderr[-2000:]
        )
    return int(done.stdout)


def serve(path: Path, streams: int) -> bool:
    """Serve a bundle to so many streams as a device does → whether the model was run for each of them."""
    from edgeseq.adapters.interpreter import open_stepper

    bundle = read_bundle(path, TrustedKeys(), allow_unsigned=True)
    manifest, stepper = bundle.manifest, open_stepper(bundle, RUNTIME)
    state = core_feed.new_state(manifest, stepper, streams, season=0)
    values = np.cumsum(
        np.random.default_rng(0).standard_normal((STEPS, streams, len(manifest.channels))), axis=0
    )
    for t, row in enumerate(values):
        pipeline.advance(state, core_feed.readings(row, t * manifest.period_ns))
    return bool(state.groups[0].table["model_warm"].all())


def own_peak_bytes() -> int:
    """Give the peak resident memory of this process.

    Linux tells it by VmHWM: ru_maxrss would also hold what the parent had when this process was made (getrusage(2)).
    """
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def main() -> None:
    """Serve the bundle named on the command line and print the peak."""
    if not serve(Path(sys.argv[1]), int(sys.argv[2])):
        sys.exit("the model was not run")
    print(own_peak_bytes())  # noqa: T201 - read by the parent
