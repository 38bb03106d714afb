"""Options that commands share which listen to a broker for a while, and how they show their progress."""

from __future__ import annotations

import functools
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import click

from edgeseq.watch import Broker

FILE = click.Path(path_type=Path)
Command = TypeVar("Command", bound=Callable[..., None])

_OPTIONS = (
    click.option("--host", show_default="localhost", help="The broker's host."),
    click.option("--port", default=1883, show_default=True, help="The broker's port."),
    click.option("--username", help="User at the broker."),
    click.option("--password-file", type=FILE, help="File that holds the password."),
    click.option("--ca-file", type=FILE, help="Certificates to trust; switches TLS on."),
    click.option("--minutes", type=click.FloatRange(0, min_open=True), help="How long to listen."),
    click.option("--seconds", type=click.FloatRange(0, min_open=True), help="The same in seconds."),
)

PROGRESS_S, PROGRESS_ELSEWHERE_S = 0.5, 30.0
"""How often progress is told, on a terminal and in a log."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Which broker to listen to, and how long."""

    broker: Broker
    is_named: bool
    """Whether the command line says which one."""
    given_s: float | None
    """None where the command line does not say."""


def listens(command: Command) -> Command:
    """Add the options, which the command gets as `listening`."""

    @functools.wraps(command)
    def with_listening(
        host: str | None,
        port: int,
        username: str | None,
        password_file: Path | None,
        ca_file: Path | None,
        minutes: float | None,
        seconds: float | None,
        **others: object,
    ) -> None:
        broker = Broker(host or "localhost", port, username, password_file, ca_file)
        given_s = (minutes or 0.0) * 60 + (seconds or 0.0)
        command(listening=Listening(broker, host is not None, given_s or None), **others)

    decorated: Callable[..., None] = with_listening
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return cast("Command", decorated)


class Progress:
    """A line on stderr, redrawn on a terminal."""

    def __init__(self, total_s: float) -> None:
        self.begun_s = time.monotonic()
        self.total_s = total_s
        self._is_live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._every_s = PROGRESS_S if self._is_live else PROGRESS_ELSEWHERE_S
        self._next_s = self.begun_s

    @property
    def end_s(self) -> float:
        """When listening ends (monotonic s)."""
        return self.begun_s + self.total_s

    def tell(self, text: Callable[[], str]) -> None:
        """Tell how it goes, if it is time to."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + self._every_s
        whole = "" if math.isinf(self.total_s) else f" of {self.total_s:.0f}"
        line = f"{now_s - self.begun_s:.0f}{whole} s: {text()}; Ctrl-C ends"
        sys.stderr.write(f"\r{line}\x1b[K" if self._is_live else f"{line}\n")
        sys.stderr.flush()

    def done(self) -> None:
        """End the line."""
        if self._is_live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
