"""The project file, the lock files and the commands agree with each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT_TEXT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PROJECT_TEXT)["project"]
EXTRAS = PROJECT["optional-dependencies"]

LOCKED_EXTRAS = {
    "dev.txt": ["edge", "sparkplug", "train", "demo", "dashboard", "dev"],
    "tflite.txt": ["tflite"],
    "edge.txt": ["edge"],
    "dashboard.txt": ["dashboard"],
}


def locked(name: str) -> dict[str, list[str]]:
    """Read a lock file: name → versions."""
    versions: dict[str, list[str]] = {}
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    for match in re.finditer(r"^([\w.-]+)==([^ ;\\]+)", text, re.MULTILINE):
        versions.setdefault(canonicalize_name(match[1]), []).append(match[2])
    return versions


def with_programs(folder: Path, scripts: dict[str, str]) -> dict[str, str]:
    """Write shell scripts and give the environment in which they stand before all other programs."""
    folder.mkdir(exist_ok=True)
    for name, script in scripts.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)
    outer = {
        key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "PYTEST"))
    }
    return {**outer, "PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize("lock", LOCKED_EXTRAS)
def test_lock_meets_every_requirement(lock: str) -> None:
    """Each dependency that the project file asks for is locked at a version it allows."""
    versions = locked(lock)
    wanted = PROJECT["dependencies"] + [line for extra in LOCKED_EXTRAS[lock] for line in EXTRAS[extra]]
    for requirement in map(Requirement, wanted):
        found = versions.get(canonicalize_name(requirement.name), [])
        assert found, f"{requirement.name} is not in {lock}; do: make lock"
        assert all(requirement.specifier.contains(v) for v in found), f"{requirement}: {found}; do: make lock"


@pytest.mark.parametrize("lock", LOCKED_EXTRAS)
def test_lock_hashes_every_package(lock: str) -> None:
    """Each locked package has at least one SHA-256, so that pip refuses anything else."""
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) >= len(PROJECT["dependencies"])
    assert [e.split()[0] for e in entries if "--hash=sha256:" not in e] == []


def test_device_lock_is_light() -> None:
    """The device's lock brings nothing of training, of the demo or of the tests."""
    heavy = {"tensorflow", "tensorflow-cpu", "keras", "polars", "scipy", "pytest", "amqtt", "rich"}
    assert heavy & set(locked("edge.txt")) == set()


def test_dependency_weight_is_stated() -> None:
    """Beside each dependency stands what it weighs."""
    table = PROJECT_TEXT[
        PROJECT_TEXT.index("dependencies = [") : PROJECT_TEXT.index("# The workstation with")
    ]
    lines = [line for line in table.splitlines() if line.startswith('  "')]
    assert len(lines) > len(PROJECT["dependencies"])
    assert [line for line in lines if not re.search(r"# .*(\d MB|the same|in )", line)] == []


def test_make_alone_lists_every_command() -> None:
    """`make` without argument names every command that has a description, and runs none."""
    run = subprocess.run(["make"], capture_output=True, text=True, cwd=ROOT, check=True)
    listed = set(re.findall(r"^  make (\S+) ", run.stdout, re.MULTILINE))
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert listed == set(phony[1].split())


@pytest.mark.parametrize("status", [0, 1, 5])
def test_ci_ends_with_the_tests_own_last_line_and_status(status: int, tmp_path: Path) -> None:
    """What a machine runs ends with `make test`; nothing follows pytest's summary, and its status is kept."""
    for name in ("Makefile", ".ci"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    stand_ins = {
        "pytest": f"echo '=== 1 passed ==='; exit {status}",
        **dict.fromkeys(("id", "mmdebstrap", "systemd-nspawn"), "echo 0"),
        "make": f'exec {shutil.which("make")} -o check -o deb -o .venv/.installed PYTEST={tmp_path}/bin/pytest "$@"',
    }
    run = subprocess.run(
        [tmp_path / ".ci" / "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=with_programs(tmp_path / "bin", stand_ins),
    )
    assert run.stdout.splitlines()[-1] == "=== 1 passed ==="
    assert run.returncode == status


@pytest.fixture
def without_root(tmp_path: Path) -> dict[str, str]:
    """Make an environment in which this user is not root and sudo asks for a password."""
    return with_programs(tmp_path, {"id": "echo 1000", "sudo": "exit 1"})


def test_missing_program_without_root_says_what_to_type(without_root: dict[str, str]) -> None:
    """Where a program is missing and cannot be installed, set-up exits 2 with the exact command."""
    need = [str(ROOT / ".ci" / "need"), "sh=command -v sh", "mosquitto=false", "python3-venv=false"]
    run = subprocess.run(need, capture_output=True, text=True, check=False, env=without_root)
    assert run.returncode == 2
    wanted = "  do: sudo apt-get update && sudo apt-get install --yes mosquitto python3-venv"
    assert wanted in run.stderr.splitlines()


def test_present_programs_need_nothing(without_root: dict[str, str]) -> None:
    """Where everything is there, set-up asks for no rights."""
    need = [str(ROOT / ".ci" / "need"), "sh=command -v sh"]
    run = subprocess.run(need, capture_output=True, text=True, check=False, env=without_root)
    assert (run.returncode, run.stderr) == (0, "")
