"""How far many trainings are, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_EVERY_S = 10.0


class Counted:
    """Tells how many of all are finished, and when the rest will be."""

    def __init__(self, what: str, console: Console | None = None) -> None:
        self._what = what
        self._console = console or Console(stderr=True)
        self._begun: tuple[float, int] | None = None
        self._told = -PLAIN_EVERY_S
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=self._console, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task(what, total=None)

    def __enter__(self) -> Self:
        """Show the bar where there is a terminal."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()

    def __call__(self, finished: int, of: int) -> None:
        """Tell it."""
        self._bar.update(self._task, completed=finished, total=of)
        now = time.monotonic()
        self._begun = self._begun or (now, finished)
        if self._console.is_terminal or (now - self._told < PLAIN_EVERY_S and finished < of):
            return
        self._told = now
        left = _left(now - self._begun[0], finished - self._begun[1], of - finished)
        self._console.print(f"{self._what}: {finished} of {of}{left}", highlight=False, soft_wrap=True)


def _left(seconds: float, done: int, left: int) -> str:
    """Say how long the rest takes at the rate so far.

    >>> _left(60.0, 10, 20), _left(0.0, 0, 20)
    (', 2 min left', '')
    """
    return f", {seconds / done * left / 60:.0f} min left" if done and left else ""
