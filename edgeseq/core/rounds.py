"""Cut a batch into rounds in which every stream appears at most once, so that each round is one array operation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.types import Index


def rounds(keys: NDArray[np.integer[Any]]) -> Iterator[Index]:
    """Yield index arrays: the first occurrence of each key, then the second, and so on; order is kept.

    >>> [r.tolist() for r in rounds(np.array([7, 8, 7, 7, 9]))]
    [[0, 1, 4], [2], [3]]
    """
    if len(keys) == 1:
        yield np.zeros(1, dtype=np.intp)
    if len(keys) <= 1:
        return
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    is_new = ordered[1:] != ordered[:-1]
    if is_new.all():
        yield np.arange(len(keys))
        return
    starts = np.concatenate([[0], np.flatnonzero(is_new) + 1])
    lengths = np.diff(starts, append=len(ordered))
    occurrence = np.empty(len(keys), dtype=np.int64)
    occurrence[order] = np.arange(len(keys)) - np.repeat(starts, lengths)
    for number in range(int(occurrence.max()) + 1):
        yield np.flatnonzero(occurrence == number)
