"""The commands of edgeseq as an operator runs them: in processes of their own, always ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeseq.errors import EXIT_OK, EdgeseqError

STOP_S = 15.0
LOG_TAIL_LINES = 15


class DemoError(EdgeseqError):
    """A part of the demo did not do its work."""

    exit_code = 1


@dataclass(slots=True)
class Daemon:
    """A running daemon; `exit_code` is known once it was stopped."""

    process: subprocess.Popen[bytes]
    log: Path
    exit_code: int | None = None

    def require_alive(self) -> None:
        """Raise DemoError with the end of the log if the daemon has ended."""
        code = self.process.poll()
        if code is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
            raise DemoError("the daemon ended", where=str(self.log), found=f"exit code {code}\n{tail}")


def run(arguments: Sequence[str], home: Path) -> None:
    """Run a command to its end, on our terminal.

    Raises:
        DemoError: it failed; it has said why.
    """
    code = subprocess.run(command(arguments), env=environment(home), check=False).returncode
    if code != EXIT_OK:
        raise DemoError(f"edgeseq {arguments[0]} failed", found=f"exit code {code}", where="see above")


@contextmanager
def daemon(config: Path, log: Path, home: Path) -> Iterator[Daemon]:
    """Run the daemon, stop it as systemd would."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command(["run", "--config", str(config)]),
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the demo alone, which then stops the daemon in order
        )
        running = Daemon(process, log)
        try:
            yield running
        finally:
            running.exit_code = stop(process)


def stop(process: subprocess.Popen[bytes]) -> int:
    """End a process: SIGTERM, and SIGKILL if it does not go → its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def command(arguments: Sequence[str]) -> list[str]:
    """Give the command line of an edgeseq command in this environment."""
    return [sys.executable, "-m", "edgeseq", *arguments]


def environment(home: Path) -> dict[str, str]:
    """Keep keys and state of the demo in its own folder, away from the user's."""
    return {
        **os.environ,
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",  # TensorFlow greets on stderr
    }
