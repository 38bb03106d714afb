"""The arm64 package on real aarch64 binaries: it starts, its core's tests pass, and it computes what amd64 computes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.arm.compare import RELATIVE, replays, rolled, share
from tests.arm.conftest import PATHS
from tests.arm.trees import JOB, SOURCES, Tree

CORE = [
    f"tests/core/test_{name}.py"
    for name in ("baseline", "calibrate", "decimals", "decode", "dedupe", "features", "heads", "identity", "layers",
                 "network", "packing", "table")
]  # fmt: skip
"""What computes and reads; left out are the laws that play thousands of readings, and what needs Keras."""
LEAST_TESTS = 150

EXACT = ("float32", "float16", "int8_weights")
"""Quantizations that compute in floats; `dynamic` rounds to 8 bits between, where a last bit becomes 1/127."""
ROUNDED = 0.02
"""Of the scale: what that may be."""


@pytest.fixture(scope="session", params=["litert", "tflite"])
def computed(request: pytest.FixtureRequest, arm64: Tree, amd64: dict[str, Path]) -> tuple[Path, Path]:
    """Compute the job on arm64 and on amd64 with a runtime → both results."""
    runtime = request.param
    arm64.python("-m", "tests.arm.roll", JOB, runtime, f"{JOB}/{runtime}", path=PATHS[runtime])
    return arm64.inside(f"{JOB}/{runtime}"), amd64[runtime]


def test_program_starts_and_reads_its_configuration(arm64: Tree) -> None:
    """The installed program says its version, and takes the configuration that the package brings."""
    assert arm64.run("uname", "-m").stdout.strip() == "aarch64"
    said = arm64.run("/usr/bin/edgeseq", "--version")
    assert re.fullmatch(r"edgeseq, version \d+\.\d+\.\d+\n", said.stdout), said.stderr
    checked = arm64.run("/usr/bin/edgeseq", "config", "check", "--config", "/etc/edgeseq/edgeseq.toml")
    assert checked.returncode == 0, checked.stderr


def test_bundle_of_the_workstation_is_verified(arm64: Tree) -> None:
    """Signature, golden roll-out and digest of a bundle that amd64 made hold here."""
    verified = arm64.run(
        "/usr/bin/edgeseq", "bundle", "verify", f"{JOB}/small.edgeseq", "--trusted", f"{JOB}/trusted_keys"
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.timeout(900)
def test_tests_of_the_core_pass(arm64: Tree) -> None:
    """The part of the suite that computes and reads passes on the packaged files."""
    assert arm64.has(f"{SOURCES}/tests")
    told = arm64.python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "timeout=600", *CORE, path=PATHS["litert"]
    )
    passed = re.search(r"(\d+) passed", told)
    print(told[-200:])
    assert passed is not None
    assert int(passed[1]) >= LEAST_TESTS
    assert not re.search(r"skipped|failed|error", told[-200:])


@pytest.mark.timeout(900)
def test_quantiles_are_those_of_amd64(computed: tuple[Path, Path]) -> None:
    """Over 500 steps in closed loop each quantization gives amd64's quantiles, within 1e-5 of the stream's scale."""
    found, wanted = (rolled(path) for path in computed)
    assert wanted.keys() >= found.keys() >= {*EXACT, "int16x8"}
    scale = np.std(np.load(computed[1].parent / "job/x.npy"), axis=0)
    apart = {
        name: share(found[name], wanted[name], scale) for name in found if not name.startswith("int16x8")
    }
    print(computed[1].name, {name: f"{value:.1e}" for name, value in apart.items()})
    assert max(apart[name] for name in EXACT) <= RELATIVE
    assert apart["dynamic"] <= ROUNDED


def test_integer_cell_is_bit_equal(computed: tuple[Path, Path], amd64: dict[str, Path]) -> None:
    """The bare cell in int16x8 has the same states, to the last bit, after each of 500 steps; see `bit_equal`."""
    bit_equal(computed[0], computed[1], amd64)


def bit_equal(found: Path, wanted: Path, amd64: dict[str, Path]) -> None:
    """Both runtimes' own kernels on ARM compute what ai-edge-litert does on amd64; reference kernels agree everywhere.

    On amd64 alone tflite-runtime's own kernels round their multiplications otherwise.
    """
    here, served, reference = rolled(found), rolled(amd64["litert"])["int16x8"], "int16x8_reference"
    assert np.ptp(served) > 0.1
    np.testing.assert_array_equal(here["int16x8"], served)
    np.testing.assert_array_equal(here[reference], rolled(wanted)[reference])


def test_replay_publishes_what_amd64_does(computed: tuple[Path, Path]) -> None:
    """A thousand steps of three rooms: the same messages and words, the same numbers but for the last printed place."""
    found = replays(*computed)
    print(computed[1].name, found)
    assert found.messages > 2900
    assert "model" in found.sources
    assert found.worst <= RELATIVE
