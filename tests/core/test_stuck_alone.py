"""A stuck sensor is one fault: what looks at its value meanwhile, and shortly after, makes no second alert of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edgeseq.core.detect import CLEAR_AFTER, KINDS, STUCK
from edgeseq.core.detect.detectors import DETECTORS
from edgeseq.core.detect.kinds import DRIFT, LEVEL_SHIFT
from edgeseq.core.types import AlertKind
from tests.support.alerting import LEARNING, Bench, changing, scripted

REST = tuple(12 if kind in (DRIFT, LEVEL_SHIFT) else 0 for kind in range(len(KINDS)))


@pytest.fixture(autouse=True)
def _scripted_detectors() -> Iterator[None]:
    """Let the detectors be two that say what they are told."""
    before = DETECTORS[:]
    DETECTORS[:] = [scripted(kind) for kind in (LEVEL_SHIFT, DRIFT)]
    yield
    DETECTORS[:] = before


def stuck(**settings: object) -> Bench:
    """Make a stream that has just got stuck."""
    bench = Bench(refractory_steps=REST, **settings)
    bench.take(*changing(LEARNING + 5))
    bench.take(10.5, 10.5, 10.5)
    assert bench.level(STUCK) > 0
    return bench


def test_what_a_stuck_value_sets_off_is_a_sign_of_it() -> None:
    """A drift that begins meanwhile opens nothing, however severe; the alert names it among its signs."""
    bench = stuck()
    bench.scores = {DRIFT: 9.0}
    assert bench.take(*[10.5] * 10) == []
    bench.scores = {DRIFT: 0.0}
    assert bench.take(*changing(CLEAR_AFTER)) == ["stuck cleared"]
    assert set(bench.all[-1].signs) == {AlertKind.STUCK, AlertKind.DRIFT}


def test_what_looks_back_rests_when_the_value_moves_again() -> None:
    """Its mean still holds the stuck values: a dozen steps later it opens, where it still says so."""
    bench = stuck()
    bench.scores = {DRIFT: 9.0}
    bench.take(*[10.5] * 10)
    assert bench.take(*changing(CLEAR_AFTER)) == ["stuck cleared"]
    assert bench.take(*changing(REST[DRIFT] - 1)) == []
    assert bench.take(*changing(2)) == ["drift opened"]


def test_a_fault_that_follows_is_told_at_once() -> None:
    """What said nothing while the value was stuck does not rest."""
    bench = stuck()
    bench.scores = {DRIFT: 9.0}
    bench.take(*[10.5] * 10)
    bench.scores = {DRIFT: 0.0}
    assert bench.take(*changing(CLEAR_AFTER)) == ["stuck cleared"]
    bench.scores = {DRIFT: 0.0, LEVEL_SHIFT: 9.0}
    assert bench.take(*changing(2)) == ["level_shift opened"]


def test_a_spike_after_a_stuck_value_is_told_at_once() -> None:
    """Nor does a spike, which looks back at nothing."""
    bench = stuck()
    assert bench.take(*changing(CLEAR_AFTER)) == ["stuck cleared"]
    assert bench.take(80.0) == ["spike opened"]


def test_it_is_told_where_stuck_values_are_not() -> None:
    """An alert that nobody is told of hides none."""
    enabled = np.array([kind != STUCK for kind in range(len(KINDS))])
    bench = stuck(enabled=enabled)
    bench.scores = {DRIFT: 9.0}
    assert "drift opened" in bench.take(*[10.5] * 3)
