"""The paired test: against sums over all differences, a known value, and what chance allows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeseq.core.comparison import LOOKS, Comparison, new_comparison
from edgeseq.core.types import F64


def newey_west(d: F64, lag: int) -> float:
    """Compute the long-run variance from all differences, by its definition."""
    e = d - d.mean()
    gamma = [float(e[k:] @ e[: len(e) - k]) / len(d) for k in range(lag + 1)]
    return gamma[0] + 2 * sum((1 - k / (lag + 1)) * gamma[k] for k in range(1, lag + 1))


def compared(d: F64, lag: int, enough: int = 10**9) -> Comparison:
    """Compare over given differences; the old one's loss is 1."""
    comparison = Comparison(lag, enough)
    for one in d:
        comparison.add(1.0 + float(one), 1.0)
    return comparison


@pytest.mark.parametrize("lag", [0, 1, 5, 23])
@pytest.mark.parametrize("n", [2, 7, 24, 300])
def test_running_variance_is_that_of_all_differences(lag: int, n: int) -> None:
    """Sums that forget all but `lag` differences at both ends give what the whole series gives."""
    d = 0.1 + np.convolve(np.random.default_rng(n).standard_normal(n + 3), [1, 0.7, 0.4, 0.2], "valid")
    found = compared(d, lag)
    wanted = newey_west(d, min(lag, n - 1)) if lag < n else None
    if wanted is not None:
        assert found.variance() == pytest.approx(wanted, rel=1e-9)
    assert found.test().difference == pytest.approx(d.mean())


def test_statistic_of_a_series_worked_out_by_hand() -> None:
    """Differences 1, 2, 3, 6 with one lag: their mean is 3, its standard error 1."""
    # deviations -2, -1, 0, 3: gamma0 = 14/4, gamma1 = (2 + 0 + 0)/4, variance = 3.5 + 2 * 0.5 * 0.5 = 4
    test = compared(np.array([1.0, 2.0, 3.0, 6.0]), lag=1).test()
    assert test.statistic == pytest.approx(3 / math.sqrt(4 / 4))
    assert test.critical == pytest.approx(1.96 + 2.9694 / 2 + 0.4160 / 4 - 0.5324 / 8)


def test_equal_forecasters_are_undecided_at_the_last_look() -> None:
    """Differences of exactly zero have no variance, and decide nothing."""
    comparison = compared(np.zeros(0), lag=3, enough=20)
    found = []
    for _ in range(LOOKS * 20):
        comparison.add(1.0, 1.0)
        found.append(comparison.look())
    assert found == [None] * (LOOKS * 20 - 1) + ["undecided"]


@pytest.mark.parametrize(("shift", "verdict"), [(-0.3, "better"), (0.3, "worse")])
def test_clear_difference_is_found_at_the_first_look(shift: float, verdict: str) -> None:
    """A difference of several standard errors is told as soon as it may be."""
    noise = np.random.default_rng(1).standard_normal(200) * 0.3
    comparison = compared(noise + shift, lag=5, enough=200)
    assert comparison.look() == verdict
    assert comparison.test().difference == pytest.approx(shift, abs=0.1)


def test_differences_that_are_no_numbers_count_for_nothing() -> None:
    """A model that says NaN moves no sum."""
    comparison = compared(np.array([0.1, math.nan, math.inf, 0.3]), lag=2)
    assert comparison.count == 2
    assert math.isfinite(comparison.test().statistic)


def test_enough_is_two_seasons_two_hundred_and_twelve_horizons() -> None:
    """The longest of the three decides."""
    assert [new_comparison(*given).enough for given in ((1, 0), (24, 144), (24, 1440))] == [200, 288, 2880]
    assert new_comparison(24, 0).lag == 46


def overlapping(rng: np.random.Generator, steps: int) -> F64:
    """Draw loss differences of two equal forecasters whose errors overlap over up to 24 steps, as those of leads."""
    shared, own = rng.standard_normal(steps + 24), 0.3 * rng.standard_normal((2, steps + 24))

    def losses(errors: F64) -> F64:
        leads = (1, 2, 4, 8, 16, 24)
        sums = [np.convolve(errors, np.ones(lead) / lead**0.5, "valid")[-steps:] for lead in leads]
        total: F64 = np.abs(sums).sum(axis=0)
        return total

    return losses(shared + own[0]) - losses(shared + own[1])


@pytest.mark.parametrize(("horizon", "most"), [(1, 0.08), (24, 0.1)])
def test_of_equal_forecasters_few_are_called_better(horizon: int, most: float) -> None:
    """200 series, both looks: at most 5 % by the rule, and what chance (and a short series of 24 leads) adds."""
    rng = np.random.default_rng(5)
    better = 0
    for _ in range(200):
        comparison = new_comparison(horizon, 0)
        steps = LOOKS * comparison.enough
        d = rng.standard_normal(steps) if horizon == 1 else overlapping(rng, steps)
        verdict = None
        for one in d:
            comparison.add(10.0 + float(one), 10.0)
            if verdict := comparison.look():
                break
        better += verdict == "better"
    assert better <= most * 200
