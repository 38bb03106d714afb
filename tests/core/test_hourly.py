"""Unusual hours: when the mean of three readings lies so far outside its hours' range that it is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeseq.core.detect import hourly

HOUR_NS = 3600 * 10**9


@pytest.mark.parametrize("days", [1.0, 7.0, 14.0, 28.0, 90.0])
def test_threshold_is_the_law_of_records(days: float) -> None:
    """Half a range beyond its end is a record of so many days: (1.25 · (28 / days)^¼ - 1) / 2, no less after 28."""
    step: Any = SimpleNamespace(age=np.array([[int(24 * days)]]), period_ns=HOUR_NS)
    expected = (1.25 * (28 / min(days, 28.0)) ** 0.25 - 1) / 2
    assert hourly.threshold(step) == pytest.approx(expected)


def test_a_young_stream_must_go_farther() -> None:
    """A range of three days says less than one of a month."""
    step: Any = SimpleNamespace(age=24 * np.array([[3, 10, 28]]), period_ns=HOUR_NS)
    assert (np.diff(hourly.threshold(step)) < 0).all()
