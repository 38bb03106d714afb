"""Keep native libraries from chatting on stderr: they write to its descriptor, past Python and all log levels."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STDERR = 2


@contextmanager
def hushed(is_noise: Callable[[str], bool]) -> Iterator[None]:
    """Hold back what is written to descriptor 2 meanwhile; afterwards write on all lines that are no noise.

    When the body raises, every line is written on: among them may be the reason. Meant for a few calls at a start,
    while no other thread starts processes.
    """
    descriptors = _divert()
    if descriptors is None:
        yield
        return
    silence = False
    try:
        yield
        silence = True
    finally:
        for line in _restore(*descriptors):
            if not (silence and is_noise(line.decode(errors="replace"))):
                os.write(_STDERR, line)


def _divert() -> tuple[int, int] | None:
    """Point descriptor 2 to memory; give the old one and the memory, or None where that cannot be done."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(_STDERR)
    except OSError:  # stderr is closed: nobody hears anything
        return None
    try:
        caught = os.memfd_create("stderr")
    except (OSError, AttributeError):  # not on Linux, or forbidden: noise is no fault
        os.close(kept)
        return None
    os.dup2(caught, _STDERR)
    return kept, caught


def _restore(kept: int, caught: int) -> list[bytes]:
    """Point descriptor 2 back; give the lines that were written meanwhile."""
    if sys.stderr is not None:
        sys.stderr.flush()
    os.dup2(kept, _STDERR)
    os.close(kept)
    with os.fdopen(caught, "rb") as file:
        file.seek(0)
        return file.readlines()
