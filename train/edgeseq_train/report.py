"""What a human sees of training: progress with the time left, and the table at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

PLAIN_EVERY_S = 5.0
BEHIND_PERCENT = 2.0
"""So much more error than ridge on the test part is worth a line."""


class Watch:
    """Progress of a training run: a bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = self._told = time.monotonic()
        self._bar: Progress | None = None
        self._task: Any = None

    def __enter__(self) -> Self:
        """Show the bar where there is a terminal."""
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TextColumn("loss {task.fields[loss]:.4f}  best on validation {task.fields[best]:.4f}"),
                TimeRemainingColumn(), console=self._console,
            )  # fmt: skip
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def __call__(self, step: int, steps: int, loss: float, best: float) -> None:
        """Tell how far training is."""
        if self._bar:
            if self._task is None:
                self._task = self._bar.add_task("training", total=steps, loss=loss, best=best)
            self._bar.update(self._task, completed=step, loss=loss, best=best)
            return
        now = time.monotonic()
        if now - self._told < PLAIN_EVERY_S and step < steps:
            return
        self._told = now
        left_s = (now - self._begun) / step * (steps - step)
        self.say(
            f"step {step}/{steps}  loss {loss:.4f}  best on validation {best:.4f}  at most {left_s:.0f} s left"
        )


def comparison(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """Lay out the table of forecasters: errors at lead 1 and over all leads, size and loss of each quantization."""
    leads = list(rows[0]["mase"])
    table = Table(title=title, title_justify="left")
    table.add_column("forecaster", no_wrap=True)
    for lead in leads:
        span = "lead 1" if lead == "1" else f"1-{lead}"
        table.add_column(f"MASE\n{span}", justify="right")
        table.add_column(f"MAE\n{span}", justify="right")
    for name in ("pinball\nloss", "loss by\nquantizing", "largest\ndifference", "kB"):
        table.add_column(name, justify="right")
    exact = next((r["loss"] for r in rows if "loss" in r), None)
    for r in rows:
        cells = [f"{r[measure][lead]:.4g}" for lead in leads for measure in ("mase", "mae")]
        extra = ["", "", "", ""]
        if "loss" in r and exact:
            lost = 100 * (r["loss"] / exact - 1)
            extra = [
                f"{r['loss']:.4f}",
                f"{lost:+z.2f} %",
                f"{100 * r['difference']['max']:.2g} %",
                str(r["kb"]),
            ]
        table.add_row(r["forecaster"], *cells, *extra)
    return table


def fallen_behind(rows: Sequence[Mapping[str, Any]], shipped: str) -> str | None:
    """Say that the variant that ships makes plainly more error than ridge over all leads; None where it does not."""
    far = list(rows[0]["mase"])[-1]
    error = {row["forecaster"]: row["mase"][far] for row in rows}
    ridge = next(value for name, value in error.items() if name.startswith("ridge"))
    more = 100 * (error[f"model {shipped}"] / ridge - 1)
    if more <= BEHIND_PERCENT:
        return None
    return (
        f"On the test part it makes {more:.1f} % more error than ridge: what it gained on validation did not last. "
        "Look for wild values in the recording, or train on a longer one."
    )
