"""The other runtime: tflite-runtime needs an older NumPy, hence an environment and a process of its own."""

from __future__ import annotations

import os
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.support.tiny_bundle import BUNDLE_VARIABLE, ROOT, tiny_bundle_path

PYTHON = ROOT / ".venv-tflite/bin/python"
SUITES = ("tests/runtimes", "tests/adapters/test_interpreter.py")
LEAST_TESTS = 200
"""What the suites hold today; fewer means that something was lost."""


@pytest.mark.timeout(600)  # two suites in one test
def test_suites_pass_on_tflite_runtime_without_a_skip(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The conformance and the adapter suite pass on tflite-runtime 2.14, on bundles that this environment built."""
    assert PYTHON.exists(), "the environment of tflite-runtime is missing; do: make setup"
    report = tmp_path / "report.xml"
    command = [
        str(PYTHON),
        "-m",
        "pytest",
        *SUITES,
        "-p",
        "no:cacheprovider",
        "--quiet",
        f"--junitxml={report}",
    ]
    chosen = {"EDGESEQ_TEST_RUNTIME": "tflite", BUNDLE_VARIABLE: str(tiny_bundle_path(request.config))}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **chosen},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    (suite,) = ET.parse(report).getroot().iter("testsuite")
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    print(f"tflite-runtime: {counts}")
    assert (counts["failures"], counts["errors"], counts["skipped"]) == (0, 0, 0), done.stdout[-8000:]
    assert counts["tests"] >= LEAST_TESTS
