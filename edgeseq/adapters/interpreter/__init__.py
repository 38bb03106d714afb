"""Models on a runtime: ai-edge-litert, tflite-runtime or NumPy, all behind the Stepper protocol.

    read_bundle ─▶ choose ─▶ probe (child process, golden roll-out) ─▶ open_stepper ─▶ GuardedStepper

`open_proven` is all of it. No runtime is imported before it is needed.
"""

from edgeseq.adapters.interpreter.measure import Budget, Choice, choose_measured
from edgeseq.adapters.interpreter.opening import choose, open_stepper, verify_golden
from edgeseq.adapters.interpreter.probe import open_proven, probe, probe_cached
from edgeseq.adapters.interpreter.runtimes import available_runtimes, fingerprint, runtime_fault
from edgeseq.adapters.interpreter.steppers import BUCKETS, GuardedStepper

__all__ = [
    "BUCKETS",
    "Budget",
    "Choice",
    "GuardedStepper",
    "available_runtimes",
    "choose",
    "choose_measured",
    "fingerprint",
    "open_proven",
    "open_stepper",
    "probe",
    "probe_cached",
    "runtime_fault",
    "verify_golden",
]
