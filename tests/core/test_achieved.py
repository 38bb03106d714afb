"""What published intervals have held is what a subscriber would have counted."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from edgeseq.core.achieved import HALF_LIFE_OUTCOMES, achieved
from tests.support.streams import MODEL, PLAIN, forecasts, message, node, run, wave


@pytest.mark.parametrize(("topic", "rule"), [("t/a", PLAIN), ("m/a", MODEL)])
def test_share_and_width_are_those_a_subscriber_counts(topic: str, rule: object) -> None:
    """Share and width of a stream, by baseline or model, follow from the forecasts and readings that were told."""
    state = node(rule)  # type: ignore[arg-type]  # one of the rules above
    told = forecasts(run(state, wave(400, topic=topic)))
    rate, share, width, count = 1 - 0.5 ** (1 / HALF_LIFE_OUTCOMES), 0.0, 0.0, 0
    for before, now in itertools.pairwise(told[:-1]):  # the newest reading's step is open
        lower, upper, y = before.lower[0, 0], before.upper[0, 0], now.observed[0]
        if math.isfinite(lower):
            weight = max(1 / (count + 1), rate)
            share += weight * ((lower <= y <= upper) - share)
            width += weight * (upper - lower - width)
            count += 1
    table = state.groups[0].table
    assert count > 300
    assert 0.5 < share < 1
    assert table["judged"][0, 0] == count
    assert table["covered"][0, 0] == pytest.approx(share, abs=1e-4)
    assert table["interval_width"][0, 0] == pytest.approx(width, rel=1e-4)
    found = achieved(table, 1)
    assert found.outcomes == count
    assert found.coverage == pytest.approx(share, abs=1e-4)


def test_sum_of_a_table_without_outcomes_says_nothing() -> None:
    """Before anything was judged there is no share, and missing readings are not judged."""
    state = node(PLAIN)
    assert achieved(state.groups[0].table, 1) == (0, None, None)
    run(state, [message("t/a", 60 * i, None) for i in range(1, 30)])
    assert achieved(state.groups[0].table, 1) == (0, None, None)


def test_share_of_streams_counts_each_alike() -> None:
    """A table's share is the mean over its streams, its width the median in errors of the baseline."""
    state = node(PLAIN)
    run(state, wave(200) + wave(60, topic="t/b"))
    table = state.groups[0].table
    found = achieved(table, 1)
    assert found.coverage == pytest.approx(np.mean(table["covered"][:, 0]))
    assert found.width == pytest.approx(np.median(table["interval_width"][:, 0] / table["error"][:, 0, 0, 0]))
