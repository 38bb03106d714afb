"""The daemon on a simulated disk, broker and clock: whatever happens to them, edgeseq keeps its promises."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from edgeseq.disk import Disk
from tests.simulator import run
from tests.simulator.disk import SimulatedDisk
from tests.simulator.mutants import MUTANTS
from tests.simulator.world import simulate

ROOT = Path(__file__).parents[2]
SEEDS_A_TEST, TESTS = 6, 4

QUICKLY_CAUGHT = (
    "commit without sync",
    "acknowledged before the commit",
    "duplicates not recognised",
    "identities not in the commit",
    "packet ids of all sessions alike",
)


@pytest.mark.parametrize("first", range(0, SEEDS_A_TEST * TESTS, SEEDS_A_TEST))
def test_daemon_under_any_faults_keeps_its_promises(first: int) -> None:
    """No acknowledged reading is lost, none applied twice, no alert untold, and the state is that of the commits."""
    crashes = sum(simulate(seed).crashes for seed in range(first, first + SEEDS_A_TEST))
    assert crashes > SEEDS_A_TEST


def test_seed_run_again_same_trace() -> None:
    """A seed is one run: its trace is the same in another process, with other hashes of text."""
    code = "from tests.simulator.world import simulate; print(simulate(3).digest)"
    command = [sys.executable, "-c", code]
    told = {
        subprocess.run(
            command, cwd=ROOT, env={"PYTHONHASHSEED": str(n)}, capture_output=True, text=True, check=True
        ).stdout
        for n in (1, 2)
    }
    assert len(told) == 1
    assert len(told.pop()) > 16


def test_simulated_disk_knows_every_call() -> None:
    """A call of the disk that the simulation does not know would go past it."""
    calls = {name for name in vars(Disk) if not name.startswith("_")}
    assert calls <= vars(SimulatedDisk).keys()


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_finds_its_lines(name: str) -> None:
    """Each edit stands exactly once in its module, and leaves a program."""
    sources: dict[str, str] = {}
    for module, old, new in MUTANTS[name]:
        source = sources.get(module) or (ROOT / f"{module.replace('.', '/')}.py").read_text()
        assert source.count(old) == 1
        sources[module] = source.replace(old, new)
    for module, source in sources.items():
        ast.parse(source, module)


@pytest.mark.parametrize("name", QUICKLY_CAUGHT)
def test_promise_taken_away_is_noticed(name: str) -> None:
    """Of the daemon without one of its precautions the simulation says so, within a few seeds."""
    assert name in MUTANTS
    assert run.ask(name, 60) > 0
