"""The daemon as a process of its own, as systemd runs it: with a notification socket, and its log read back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.broker import PATIENCE_S, wait_until

STRICT = '[journal]\ndurability = "strict"\n'
"""What a subscriber has been told is in the journal, so a kill at any time later finds it there."""


class Node:
    """A configuration in a folder, and the process that runs it; it may be started many times."""

    def __init__(
        self, folder: Path, port: int, streams: str, *, node: str = "", mqtt: str = "", rest: str = ""
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port
        self.config = folder / "edgeseq.toml"
        self.state_dir = folder / "state"
        self.interpreter = ["-m", "edgeseq"]
        """What Python is asked to run."""
        self.heard: list[str] = []
        self._log = folder / "log"
        self._log.touch()
        self._process: subprocess.Popen[bytes] | None = None
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._address = f"@edgeseq-test-{os.getpid()}-{id(self)}"
        self._manager.bind("\0" + self._address[1:])
        self._manager.setblocking(False)
        self.write(streams, node=node, mqtt=mqtt, rest=rest)

    def write(self, streams: str, *, node: str = "", mqtt: str = "", rest: str = "") -> None:
        """Write the configuration."""
        tables = (
            f'[node]\nname = "n"\nstate_dir = "state"\n{node}',
            f'[mqtt]\nhost = "127.0.0.1"\nport = {self.port}\n{mqtt}',
            rest,
            streams,
        )
        self.config.write_text("\n".join(tables) + "\n", encoding="utf-8")

    def start(self, **environment: str) -> None:
        """Start the process and wait until it says READY=1."""
        count = self.listen().count("READY=1")
        self.launch(**environment)
        wait_until(lambda: self.is_ready(count), "ready")

    def launch(self, **environment: str) -> None:
        """Start the process."""
        command = [sys.executable, *self.interpreter, "run", "--config", str(self.config)]
        variables = {**os.environ, "NOTIFY_SOCKET": self._address, **environment}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log, stdout=log, env=variables, cwd=self.folder)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None
        return self._process

    def require_alive(self) -> bool:
        """Fail with its log if it has ended."""
        assert self.process.poll() is None, self.text()
        return True

    def is_ready(self, count: int) -> bool:
        """Tell whether it has said READY=1 more often than this."""
        self.listen()
        return self.require_alive() and self.heard.count("READY=1") > count

    def kill(self) -> None:
        """SIGKILL it."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        """SIGTERM it; gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def died_of_failpoint(self) -> bool:
        """Wait for its end; tells whether that was a SIGKILL."""
        return self.process.wait(PATIENCE_S) == -signal.SIGKILL

    def listen(self) -> list[str]:
        """Read what it told the service manager so far."""
        while True:
            try:
                self.heard += self._manager.recv(4096).decode().split("\n")
            except BlockingIOError:
                return self.heard

    def text(self) -> str:
        """Give all that it wrote."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """List the log lines of an event."""
        lines = [
            json.loads(line)
            for line in self.text().splitlines()
            if line.startswith("{") and line.endswith("}")
        ]
        return [line for line in lines if line["event"] == name]

    def wait_for_event(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until an event stands in the log."""
        wait_until(lambda: self.require_alive() and len(self.events(name)) >= count, f"{count} {name}")
        return self.events(name)

    def close(self) -> None:
        """End it, however it fares."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self._manager.close()


@contextmanager
def node_in(folder: Path, port: int, streams: str, **tables: str) -> Iterator[Node]:
    """Make a node for a while; it is not started."""
    made = Node(folder, port, streams, **tables)
    try:
        yield made
    finally:
        made.close()
