"""The demo from the series to the page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq_train.pictures.canvas import write_pngs
from edgeseq_train.sine import words
from edgeseq_train.sine.page import Results, draw, page
from edgeseq_train.sine.series import make_sine

WIDTH = 120
KINDS = ("rnn", "gru", "lstm")


def run_sine(
    folder: Path,
    seed: int = 0,
    epochs: int | None = None,
    steps: int | None = None,
    kinds: Sequence[str] = KINDS,
) -> Results:
    """Train, forecast, and write sine.html and the pictures in sine/ into an existing folder.

    Args:
        folder: where to write.
        seed: of the noise and of all training.
        epochs: of the tutorials' network; default: as they do.
        steps: training steps of the others; default: until they no longer get better.
        kinds: of cells whose state is carried.
    """
    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    results = _results(seed, epochs, steps, kinds, console)
    pictures = draw(results)
    (folder / "sine.html").write_text(page(results, pictures), encoding="utf-8")
    write_pngs(pictures, folder / "sine")
    console.print(_table(results))
    console.print(
        words.headline(results.window, results.carried, results.noise, results.sine), soft_wrap=True
    )
    console.print(f"pictures and what they say: {folder / 'sine.html'}", highlight=False, soft_wrap=True)
    return results


def _results(
    seed: int, epochs: int | None, steps: int | None, kinds: Sequence[str], console: Console
) -> Results:
    begun = time.perf_counter()
    # TensorFlow, its converter and the first interpreter chat on stderr; what they say is told if they fail.
    with hushed(lambda _: True):
        from edgeseq_train.sine import carried, simple, tutorial

        def tell(what: str) -> None:
            console.print(f"{time.perf_counter() - begun:5.1f} s  {what}", highlight=False)

        sine = make_sine(seed)
        tell(f"training {tutorial.NAME} with Keras")
        window = tutorial.run_tutorial(sine, seed, epochs or tutorial.EPOCHS)
        kept = []
        for kind in kinds:
            tell(f"training {kind.upper()} with carried state")
            kept.append(carried.run_carried(sine, kind, seed, steps or carried.STEPS))
        naive = [simple.persistence(sine), simple.seasonal_naive(sine)]
        return Results(
            sine, seed, window, kept, naive, simple.two_seasons_of_ridge(sine), simple.noise_itself(sine),
            time.perf_counter() - begun,
        )  # fmt: skip


def _table(results: Results) -> Table:
    table = Table(
        title="Mean absolute error on the test part, in the runtime of the device", title_justify="left"
    )
    first, *others = words.TABLE_HEAD
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right")
    for row in words.table_rows(results.table, results.sine):
        table.add_row(*row)
    return table
