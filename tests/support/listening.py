"""`edgeseq scan` and `edgeseq record` on a terminal of their own: the line of progress says what has been heard."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.broker import PATIENCE_S

_HEARD = re.compile(r"([\d,]+) (?:messages|rows)")


class Listener:
    """A command that listens to a broker. It listens from here on: the broker has taken its subscription."""

    def __init__(self, command: list[str], output: Path) -> None:
        self._terminal, theirs = os.openpty()
        self._output = output
        with output.open("wb") as out:
            self.process = subprocess.Popen(command, stdin=theirs, stdout=out, stderr=theirs)
        os.close(theirs)
        self.told = ""
        """What it has written on its terminal."""
        self.wait_for(0)

    def wait_for(self, count: int) -> None:
        """Wait until it has taken so many messages."""
        until_s = time.monotonic() + PATIENCE_S
        while self._heard() < count:
            assert time.monotonic() < until_s, f"not {count} messages: {self.told[-1000:]}"
            assert self._read(), self.told

    def interrupt(self) -> str:
        """Press Ctrl-C and wait for its end → what it has printed."""
        self.process.send_signal(2)
        while self._read():
            pass
        assert self.process.wait(PATIENCE_S) == 0, self.told
        return self._output.read_text(encoding="utf-8")

    def close(self) -> None:
        """End it, however it fares."""
        self.process.kill()
        self.process.wait(PATIENCE_S)
        os.close(self._terminal)

    def _heard(self) -> int:
        found = _HEARD.findall(self.told)
        return int(found[-1].replace(",", "")) if found else -1

    def _read(self) -> bool:
        """Read what it has written since; False where it has ended."""
        if not select.select([self._terminal], [], [], PATIENCE_S)[0]:
            raise AssertionError(f"it says nothing any more: {self.told[-1000:]}")
        try:
            self.told += os.read(self._terminal, 65_536).decode(errors="replace")
        except OSError:  # all ends of the terminal are closed
            return False
        return True


@contextmanager
def listening(folder: Path, port: int, *arguments: str) -> Iterator[Listener]:
    """Let a command listen to a broker for a while."""
    command = [sys.executable, "-m", "edgeseq", *arguments, "--host", "127.0.0.1", "--port", str(port)]
    listener = Listener(command, folder / "printed")
    try:
        yield listener
    finally:
        listener.close()
