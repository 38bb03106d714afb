"""Tasks whose answer lies far back, to measure what a cell remembers and what training can teach it to.

Both are artificial: nothing but memory solves them, so a loss below that of a constant answer is memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgeseq.core.types import F32


class Sequences(NamedTuple):
    """Inputs and wanted outputs of B sequences."""

    x: F32
    """(T, B, F)"""
    target: F32
    """(T, B); 0 where nothing is due."""
    due: F32
    """(T, B): 1 where the target counts, else 0."""

    @property
    def constant_loss(self) -> float:
        """Mean squared error of the best constant answer: what a cell without memory reaches."""
        return float(self.target[self.due > 0].var())


def adding(rng: np.random.Generator, steps: int, batch: int) -> Sequences:
    """Add two marked numbers of a long list: the adding problem.

    Inputs are a number in [0, 1) and a mark; one mark lies in each half. Due after the last step is the sum, so the
    memory must bridge between half and all of the steps. A constant answer errs by 1/6.

    Args:
        rng: draws numbers and marks.
        steps: T >= 2.
        batch: B.

    Source: Hochreiter and Schmidhuber 1997, Long Short-Term Memory, §5.4, in the form of arXiv 1504.00941, §4.1.
    """
    number = rng.random((steps, batch))
    mark, target, due = (np.zeros((steps, batch)) for _ in range(3))
    column = np.arange(batch)
    for first, last in ((0, steps // 2), (steps // 2, steps)):
        at = rng.integers(first, last, batch)
        mark[at, column] = 1.0
        target[-1] += number[at, column]
    due[-1] = 1.0
    return _sequences((number, mark), target, due)


def recall(rng: np.random.Generator, steps: int, batch: int, delay: int, pause: int) -> Sequences:
    """Give back a number some steps after it was shown, time after time: delayed recall in a stream.

    Inputs are a number in [-1, 1), a mark that says "keep this one" and a mark that says "what was it". All other
    numbers distract. Trials follow one another at a random distance below `pause`; a constant answer errs by 1/3.

    Args:
        rng: draws numbers and distances.
        steps: T >= delay + pause, so that each sequence has a trial.
        batch: B.
        delay: steps from the number to the question.
        pause: upper limit of the steps between trials, >= 2.

    Source: the latching problem of Bengio, Simard and Frasconi 1994, Learning Long-Term Dependencies with Gradient
    Descent is Difficult, with a number in place of a bit, and repeated.
    """
    number = rng.uniform(-1.0, 1.0, (steps, batch))
    keep, ask, target = (np.zeros((steps, batch)) for _ in range(3))
    for column in range(batch):
        shown = int(rng.integers(0, pause))
        while shown + delay < steps:
            keep[shown, column] = ask[shown + delay, column] = 1.0
            target[shown + delay, column] = number[shown, column]
            shown += delay + int(rng.integers(1, pause))
    return _sequences((number, keep, ask), target, ask)


def _sequences(inputs: tuple[np.ndarray, ...], target: np.ndarray, due: np.ndarray) -> Sequences:
    return Sequences(
        np.stack(inputs, axis=2).astype(np.float32), target.astype(np.float32), due.astype(np.float32)
    )
