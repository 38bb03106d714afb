"""Trees, packages and what amd64 computes, once for all tests of this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.arm.trees import (
    BUILD,
    JOB,
    ROOT,
    SITE,
    SOURCES,
    TEST_TOOLS,
    TESTING,
    TFLITE,
    Tree,
    locked,
    own_wheel,
    package,
)  # fmt: skip

PYTHONS = {"litert": Path(sys.executable), "tflite": ROOT / ".venv-tflite/bin/python"}
PATHS = {"litert": f"{SITE}:{TESTING}", "tflite": TFLITE}
"""Where Python finds each runtime's environment in a tree."""


@pytest.fixture(scope="session")
def arm64(tmp_path_factory: pytest.TempPathFactory, job: Path) -> Tree:
    """Unpack the package for arm64, and both runtimes' environments beside it."""
    tree = Tree("arm64")
    tree.unpack(package("arm64"))
    tree.install(TESTING, "--requirement", str(locked(TEST_TOOLS, tmp_path_factory.mktemp("lock"))))
    tree.install(TFLITE, "--requirement", str(ROOT / "requirements/tflite.txt"))
    tree.install(TFLITE, str(own_wheel()), hashes=False)
    lay_out(tree, job)
    return tree


def lay_out(tree: Tree, job: Path) -> None:
    """Put the tests and the job into a tree."""
    tree.put(ROOT / "tests", f"{SOURCES}/tests")
    shutil.copy(ROOT / "pyproject.toml", tree.inside(SOURCES))
    tree.put(job, JOB)


@pytest.fixture(scope="session")
def job() -> Path:
    """Make the job, anew: what it computes depends on the sources."""
    folder = BUILD / "job"
    shutil.rmtree(folder, ignore_errors=True)
    _run(PYTHONS["litert"], "tests.arm.job", folder)
    return folder


@pytest.fixture(scope="session")
def amd64(job: Path) -> dict[str, Path]:
    """Compute the job on this machine with both runtimes → runtime → the files, without their endings."""
    for runtime, python in PYTHONS.items():
        _run(python, "tests.arm.roll", job, runtime, BUILD / f"amd64-{runtime}")
    return {runtime: BUILD / f"amd64-{runtime}" for runtime in PYTHONS}


def _run(python: Path, module: str, *arguments: object) -> None:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": f"{ROOT}:{ROOT / 'train'}"}
    command = [str(python), "-m", module, *map(str, arguments)]
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
