"""Run many seeds and all mutants: `make chaos`; figures to build/bench/simulator.json."""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.simulator import mutants

RESULT = Path("build/bench/simulator.json")
DAY_S = 86_400
CRASHES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""How a mutant may fail without breaking a promise."""


def main() -> int:
    """Run, print the table, write the figures; 1 where a seed fails or a mutant lives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument(
        "--mutant-seeds", type=int, default=2000, help="seeds within which a mutant must be caught"
    )
    parser.add_argument("--mutant", help="run one mutant and tell the number of seeds that it took")
    options = parser.parse_args()
    if options.mutant:
        print(seeds_to_catch(options.mutant, options.mutant_seeds))
        return 0
    figures = run_seeds(options.first, options.seeds)
    caught = {name: ask(name, options.mutant_seeds) for name in mutants.MUTANTS}
    figures |= {"mutants": caught, "mutants_alive": [name for name, took in caught.items() if not took]}
    for name, took in caught.items():
        print(f"{name:<56}{took or 'NOT CAUGHT':>10}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if figures["failed"] or figures["mutants_alive"] else 0


def run_seeds(first: int, seeds: int) -> dict[str, object]:
    """Run seeds and print what they were like."""
    from tests.simulator.faults import Violation
    from tests.simulator.world import simulate

    gc.freeze()  # what is imported need not be looked through again and again
    begun_s, begun_cpu_s = time.monotonic(), time.process_time()
    faults: Counter[str] = Counter()
    failed: dict[int, str] = {}
    device_s = crashes = readings = 0.0
    for seed in range(first, first + seeds):
        try:
            found = simulate(seed)
        except Violation as fault:
            failed[seed] = repr(fault)
            print(f"seed {seed}: {fault!r}", file=sys.stderr)
            continue
        faults += found.faults
        device_s, crashes, readings = (
            device_s + found.device_s,
            crashes + found.crashes,
            readings + found.readings,
        )
    minutes, cpu_minutes = (time.monotonic() - begun_s) / 60, (time.process_time() - begun_cpu_s) / 60
    figures: dict[str, object] = {
        "seeds": seeds,
        "first": first,
        "failed": failed,
        "minutes": round(minutes, 2),
        "cpu_minutes": round(cpu_minutes, 2),
        "device_days": round(device_s / DAY_S, 1),
        "device_days_per_minute": round(device_s / DAY_S / minutes, 1),
        "device_days_per_cpu_minute": round(device_s / DAY_S / cpu_minutes, 1),
        "readings": int(readings),
        "crashes": int(crashes),
        "faults": dict(sorted(faults.items())),
    }
    for name, value in figures.items():
        print(f"{name:<24}{value}")
    return figures


def ask(name: str, seeds: int) -> int:
    """Run a mutant in a process of its own → seeds it took, 0 where it lives."""
    command = [sys.executable, "-m", "tests.simulator.run", "--mutant", name, "--mutant-seeds", str(seeds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def seeds_to_catch(name: str, seeds: int) -> int:
    """Run seeds on a mutant until one breaks a promise → how many it took, 0 for none; a mere crash is no catch."""
    mutants.install(name)
    from tests.simulator.faults import Violation
    from tests.simulator.world import simulate

    for seed in range(seeds):
        try:
            simulate(seed)
        except Violation:
            return seed + 1
        except CRASHES:
            continue
    return 0


if __name__ == "__main__":
    sys.exit(main())
