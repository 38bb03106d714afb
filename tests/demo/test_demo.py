"""The demo itself, in its short form: trained for seconds, everything else as it is."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeseq.demo import files
from edgeseq.errors import ConfigError

pytestmark = [pytest.mark.system, pytest.mark.training, pytest.mark.timeout(600)]


def _start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgeseq", "demo", "--quick", "--folder", str(folder), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _run(folder: Path, *options: str) -> tuple[int, str]:
    process = _start(folder, *options)
    text, _ = process.communicate()
    return process.returncode, text


def _summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def _failed(folder: Path) -> list[str]:
    return [check["name"] for check in _summary(folder)["checks"] if not check["passed"]]


def _port(folder: Path) -> int:
    found = re.search(r"^port = (\d+)$", (folder / "edgeseq.toml").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def _assert_all_stopped(folder: Path) -> None:
    """Nobody listens any more, and nobody holds the state folder."""
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", _port(folder))) != 0
    assert '"daemon.stopped"' in (folder / "daemon.log").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo has passed; its model is taken again by the other tests."""
    path = tmp_path_factory.mktemp("demo") / "run"
    code, text = _run(path)
    assert code == 0, text[-4000:]
    return path


def test_demo_passes_and_leaves_report_and_summary(folder: Path) -> None:
    """Every check holds, the report is one file, the summary tells every alert, and nothing is left running."""
    summary = _summary(folder)
    assert summary["passed"] is True
    assert summary["forecasts"] == {"motorway-vehicles": 1340, "pipeline-flow": 1268}
    assert {"spike", "stuck", "silent"} <= {alert["kind"] for alert in summary["alerts"]}
    assert summary["accuracy"]["rows"][0]["name"] == "served"
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    _assert_all_stopped(folder)


def test_demo_with_a_deaf_detector_fails_for_every_event(folder: Path) -> None:
    """Without alerts the demo fails: each fault, outage and gap is missed, and nothing else."""
    code, text = _run(folder, "--reuse", "--break", "detector")
    assert code == 1, text[-4000:]
    failed = _failed(folder)
    assert len(failed) == 8
    assert not [name for name in failed if "a forecast for every reading" in name]


def test_demo_with_lost_messages_fails_for_the_lost_forecasts(folder: Path) -> None:
    """When every 50th forecast is lost on its way the demo fails, for both streams."""
    code, text = _run(folder, "--reuse", "--break", "publish")
    assert code == 1, text[-4000:]
    assert _failed(folder) == [
        f"{s}: a forecast for every reading" for s in ("motorway-vehicles", "pipeline-flow")
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_interrupted_stops_what_it_started(folder: Path, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM in the middle of playing ends broker and daemon in order."""
    process = _start(folder, "--reuse")
    assert process.stdout is not None
    for line in process.stdout:
        if "demo is online" in line:
            break
    process.send_signal(number)
    process.communicate()
    assert process.returncode == 130
    _assert_all_stopped(folder)


def test_demo_refuses_a_folder_with_other_things(tmp_path: Path) -> None:
    """A folder that holds anything but a demo is not cleared."""
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="other things"):
        files.clear(files.Folder(tmp_path))
    assert (tmp_path / "thesis.tex").exists()
    with pytest.raises(ConfigError, match="no model"):
        files.clear(files.Folder(tmp_path / "new"), keep_model=True)
