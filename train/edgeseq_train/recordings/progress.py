"""What a human sees of a long read: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

PLAIN_EVERY_S = 5.0


class ReadProgress:
    """Progress of a read; what takes less than a few seconds leaves no trace."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True,
            disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("reading", total=1.0)

    def __enter__(self) -> Self:
        """Show the bar where there is a terminal."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._bar.stop()

    def __call__(self, what: str, share: float) -> None:
        """Tell what is being read and how much of it is done."""
        self._bar.update(self._task, description=what, completed=share)
        now = time.monotonic()
        if self._console.is_terminal or now - self._told < PLAIN_EVERY_S:
            return
        self._told = now
        self._console.print(f"{what}, {100 * share:.0f} %", highlight=False, soft_wrap=True)
