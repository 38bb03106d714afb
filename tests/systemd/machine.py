"""A small Debian of its own, booted by systemd-nspawn: what is tested there is the real systemd.

Its network is the host's, so its broker listens on a port that is free there. Needs root.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "python3.11", "procps", "init-system-helpers", "mosquitto",
    "mosquitto-clients", "ca-certificates", "libsqlite3-0", "strace",
)  # fmt: skip
"""What the tree holds beside Debian's essentials: what the package depends on, a broker, and tools of the tests."""

PATIENCE_S = 60.0
ENTER = ("-m", "-u", "-i", "-n", "-p", "-C")
"""Namespaces of the machine that a command of ours enters."""


def make_tree(archive: Path, suite: str = "bookworm", architecture: str = "amd64") -> Path:
    """Make the tree as an archive, unless it is there → its path."""
    if archive.exists():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    unfinished = archive.with_suffix(".unfinished.tar")
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--architectures={architecture}"]
    subprocess.run([*command, f"--include={','.join(PACKAGES)}", suite, str(unfinished)], check=True)
    return unfinished.rename(archive)


class Machine:
    """One booted tree."""

    def __init__(self, root: Path, archive: Path) -> None:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        subprocess.run(["tar", "--extract", "--file", str(archive), "--directory", str(root)], check=True)
        self.root = root
        self.port = _free_port()
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._pid = 0
        (root / "etc/hostname").write_text("cellar\n", encoding="utf-8")
        self.write("/etc/hosts", "127.0.0.1 localhost\n")
        shipped = (Path(__file__).parents[2] / "deploy/mosquitto.conf").read_text(encoding="utf-8")
        self.write(
            "/etc/mosquitto/conf.d/edgeseq.conf", shipped.replace("listener 1883", f"listener {self.port}")
        )

    def boot(self) -> None:
        """Start it, and wait until its systemd says that it runs."""
        command = [
            "systemd-nspawn",
            "--quiet",
            "--register=no",
            "--keep-unit",
            f"--machine=edgeseq-{os.getpid()}",
        ]
        command += [f"--directory={self.root}", "--console=pipe", "--boot"]
        # Else nspawn itself refuses what ProtectClock and ProtectKernelLogs are to refuse.
        command.insert(1, "--capability=CAP_SYS_TIME,CAP_SYSLOG")
        self._nspawn = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        )
        self.wait(self._find_init, "its first process")
        self.wait(
            lambda: (
                self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")
            ),
            "a running system",
        )

    def _find_init(self) -> bool:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, "systemd-nspawn has ended: it needs root and cgroups"
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        for child in children:
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                self._pid = int(child)
        return self._pid != 0

    def power_off(self) -> None:
        """End it as it is: what it had not synced stays in the host's cache, so this is no power cut."""
        if self._nspawn is not None:
            # Its first process, and so all of it; nspawn then puts away what it had mounted.
            if self._pid:
                os.kill(self._pid, signal.SIGKILL)
            else:
                self._nspawn.terminate()
            self._nspawn.wait()
        self._pid = 0

    def run(self, *command: str, check: bool = True, given: str | None = None) -> str:
        """Run a command in it, and give what it prints."""
        done = subprocess.run(
            ["nsenter", "-t", str(self._pid), *ENTER, "--", *command],
            check=False, input=given, capture_output=True, text=True, timeout=PATIENCE_S * 3,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + ("" if check else done.stderr)

    def status(self, *command: str) -> int:
        """Run a command in it, and give its exit status."""
        return subprocess.run(
            ["nsenter", "-t", str(self._pid), *ENTER, "--", *command], check=False, capture_output=True
        ).returncode

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in it that goes on."""
        return subprocess.Popen(
            ["nsenter", "-t", str(self._pid), *ENTER, "--", *command], stdout=subprocess.PIPE, text=True
        )

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of it."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)

    def put(self, file: Path) -> str:
        """Copy a file into it → its path there."""
        shutil.copy(file, self.root / "opt" / file.name)
        return f"/opt/{file.name}"

    def shown(self, key: str, unit: str = "edgeseq.service") -> str:
        """Give a property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={key}", unit).strip()

    def journal(self, unit: str = "edgeseq.service") -> str:
        """Give what a unit has logged."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")

    def wait(self, true: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        """Wait until something is true, or fail with the service's log."""
        until_s = time.monotonic() + patience_s
        while not true():
            if time.monotonic() > until_s:
                told = self.journal()[-4000:] if self._pid else ""
                raise AssertionError(f"waited {patience_s:.0f} s for {what}\n{told}")
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
