"""Progress of long reads: a line every few seconds into a file, a bar on a terminal, nothing for short ones."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgeseq_train.recordings import progress
from edgeseq_train.recordings.progress import ReadProgress


def test_a_long_read_is_told_in_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal each line says what is being read and how much of it is done; a short read says nothing."""
    told = io.StringIO()
    with ReadProgress(Console(file=told, width=80)) as tell:
        tell("data.csv: 0.1 MB", 0.5)
    assert told.getvalue() == ""
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.0)
    with ReadProgress(Console(file=told, width=80)) as tell:
        tell("export.lp: 500,000 lines, 40 series", 0.25)
    assert told.getvalue() == "export.lp: 500,000 lines, 40 series, 25 %\n"


def test_a_terminal_shows_a_bar_that_goes_away() -> None:
    """On a terminal the bar names what is being read, and no line is left of it."""
    told = io.StringIO()
    with ReadProgress(Console(file=told, width=80, force_terminal=True)) as tell:
        tell("home-assistant_v2.db: 10.0 MB", 0.5)
    assert "home-assistant_v2.db: 10.0 MB" in told.getvalue()
    assert "10.0 MB, 50 %" not in told.getvalue()
