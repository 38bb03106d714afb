"""The systemd unit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgeseq import errors

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "edgeseq.service"


def settings() -> dict[str, list[str]]:
    """Read the unit: key → values in order; systemd allows a key several times."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def exposure(unit: Path) -> subprocess.CompletedProcess[str]:
    """Let systemd judge a unit; the status is 0 for an exposure of at most 1.0 of 10."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=10", "--no-pager", str(unit)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_unit_exposure_at_most_one() -> None:
    """Systemd's own judgement of the sandbox is at most 1.0 of 10."""
    run = exposure(UNIT)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Overall exposure level for edgeseq.service" in run.stdout


@pytest.mark.parametrize("key", ["SystemCallFilter", "DynamicUser", "PrivateUsers", "IPAddressDeny"])
def test_unit_weakened_fails_judgement(key: str, tmp_path: Path) -> None:
    """Taking one restriction away trips the gate."""
    lines = UNIT.read_text(encoding="utf-8").splitlines(keepends=True)
    weaker = tmp_path / UNIT.name
    weaker.write_text("".join(line for line in lines if not line.startswith(key)), encoding="utf-8")
    assert exposure(weaker).returncode != 0


def test_unit_restarts_except_when_a_human_must_act() -> None:
    """Systemd restarts for ever, but not after the exit codes that say a human must change something."""
    unit = settings()
    assert unit["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert unit["RestartPreventExitStatus"] == [f"{errors.EXIT_USAGE} {errors.EXIT_CONFIG}"]


def test_unit_tells_progress_and_reloads() -> None:
    """Readiness and progress are reported by the daemon; reload is a SIGHUP, as systemd 252 has no other way."""
    unit = settings()
    assert unit["Type"] == ["notify"]
    assert unit["NotifyAccess"] == ["main"]
    assert int(unit["WatchdogSec"][0]) >= 10
    assert unit["ExecReload"] == ["/usr/bin/kill -HUP $MAINPID"]


def complaints(text: str, folder: Path) -> list[str]:
    """List what systemd finds wrong with a unit; neither the daemon nor procps need be installed for it."""
    unit = folder / UNIT.name
    for program in ("/opt/edgeseq/bin/edgeseq run", "/usr/bin/kill"):
        text = text.replace(program, "/bin/true")
    unit.write_text(text, encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return [line for line in run.stderr.splitlines() if UNIT.name in line]


def test_unit_has_known_keys_only(tmp_path: Path) -> None:
    """Systemd knows every key of the unit: a misspelt restriction would be ignored."""
    text = UNIT.read_text(encoding="utf-8")
    assert complaints(text, tmp_path) == []
    assert complaints(text.replace("ProtectHome=", "ProtectHomes="), tmp_path) != []
