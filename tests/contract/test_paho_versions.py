"""The fast transport knows paho's inside, so it is tried on every version of paho that is allowed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).parents[2]
OTHER = ROOT / "build/paho-2.1"
SUITE = ("tests/adapters/test_mqtt_wire.py", "tests/adapters/test_mqtt_wire_writing.py")
LEAST_TESTS = 90
"""What the suite holds today; fewer means that something was lost."""


def locked(path: str) -> str:
    """Give paho's version in a lock file, without the patch."""
    found = re.search(r"^paho-mqtt==(\d+\.\d+)", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert found, path
    return found[1]


def test_paho_allowed_is_what_is_tried() -> None:
    """The versions that pyproject.toml allows are those of the environment, which runs all tests, and the other one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (allowed,) = (d for d in project["project"]["dependencies"] if d.startswith("paho-mqtt"))
    assert allowed == "paho-mqtt>=2.1,<2.3"
    assert {locked("requirements/dev.txt"), locked("requirements/paho-2.1.txt")} == {"2.2", "2.1"}


def test_transports_pass_on_the_other_paho(tmp_path: Path) -> None:
    """The suite of the transports passes on paho 2.1 without a skip, and it is that paho which is imported."""
    assert OTHER.exists(), "the other paho is missing; do: make setup"
    report = tmp_path / "report.xml"
    check = (
        "import paho.mqtt, pytest, sys; print(paho.mqtt.__version__, flush=True); pytest.main(sys.argv[1:])"
    )
    options = ["-p", "no:cacheprovider", "--quiet", f"--junitxml={report}"]
    done = subprocess.run(
        [sys.executable, "-c", check, *SUITE, *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(OTHER)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    (suite,) = ET.parse(report).getroot().iter("testsuite")
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    assert (counts["failures"], counts["errors"], counts["skipped"]) == (0, 0, 0), done.stdout[-8000:]
    assert counts["tests"] >= LEAST_TESTS
    assert done.stdout.startswith("2.1.")
