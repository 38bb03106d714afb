"""Laws of the rate of alerts: steady habits are told exactly, old ones are forgotten, a group counts once."""

from __future__ import annotations

import pytest

from edgeseq.core.budget import MEMORY_NS, WEEK_NS, Rate, counted, per_week


def steady(per_week_: int, weeks: int) -> Rate:
    """Count so many alerts in each of some weeks, evenly."""
    rate = Rate(0, 0)
    for k in range(1, per_week_ * weeks + 1):
        rate = counted(rate, f"g{k}", k * WEEK_NS // per_week_)
    return rate


@pytest.mark.parametrize(("each", "weeks"), [(2, 2), (2, 10), (14, 1), (14, 50)])
def test_steady_rate_is_told_from_a_short_history_as_from_a_long_one(each: int, weeks: int) -> None:
    """Decay brings no bias: but for the alert that has just been counted."""
    found = per_week(steady(each, weeks), weeks * WEEK_NS)
    assert found is not None
    assert each <= found <= each + 1 / min(weeks, 4) + 0.5


def test_rate_is_not_told_before_a_week_and_fades_after_the_last_alert() -> None:
    """After the memory a habit that ended counts less than half."""
    assert per_week(steady(14, 1), WEEK_NS - 1) is not None, "the last alert lies at the end of the week"
    assert per_week(counted(Rate(0, 0), "g", 1), WEEK_NS - 1) is None
    rate = steady(7, 8)
    now, later = per_week(rate, 8 * WEEK_NS), per_week(rate, 8 * WEEK_NS + MEMORY_NS)
    assert now is not None
    assert later is not None
    assert later < now / 2


def test_group_counts_once_and_time_never_goes_back() -> None:
    """Fifty sensors behind one gateway are one alert; an alert told late does not undo the decay."""
    rate = counted(Rate(0, 0), "gateway", 5)
    for k in range(50):
        rate = counted(rate, "gateway", 6 + k)
    assert rate.weight == 1.0
    late = counted(counted(rate, "b", WEEK_NS), "c", 7)
    assert (late.updated_ns, round(late.weight, 2)) == (WEEK_NS, 2.78)
