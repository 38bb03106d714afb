"""Anchor and unit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.core.features import WARM_READINGS, X_LIMIT, denormalise, normalise, settle


def _history(values: list[float]) -> np.ndarray:
    return np.array(values, dtype=np.float64).reshape(1, -1, 1)


def _sine(n: int = WARM_READINGS) -> np.ndarray:
    return np.sin(np.arange(n) / 3.0)


@pytest.mark.parametrize("amplitude", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("offset", [0.0, 1e5, 1e7])
def test_settle_any_offset_and_amplitude_brings_values_near_one(offset: float, amplitude: float) -> None:
    """Whatever offset and amplitude a sensor has, its values stand within a few units of the anchor."""
    values = offset + amplitude * _sine()
    anchor, unit = settle(_history(list(values)))
    x = normalise(values[:, None], anchor[0], unit[0])
    assert 0.3 < np.abs(x).max() < 10


def test_settle_fewer_values_than_needed_is_undetermined() -> None:
    """With one valid value too few, neither anchor nor unit is settled; gaps do not count."""
    values = np.append(_sine(WARM_READINGS - 1), [np.nan] * 20)
    anchor, unit = settle(values.reshape(1, -1, 1))
    assert np.isnan(anchor).all()
    assert np.isnan(unit).all()


@pytest.mark.parametrize("level", [0.0, 21.5, -1e9])
def test_settle_constant_values_are_undetermined(level: float) -> None:
    """A constant has no unit."""
    assert np.isnan(settle(_history([level] * 40))[1]).all()


def test_settle_rounding_of_decimals_is_no_signal() -> None:
    """Values that differ only by the rounding of decimal numbers count as constant."""
    assert np.isnan(settle(_history([21.2, 21.200000000000003] * 20))[1]).all()


@pytest.mark.parametrize("wild", [1e30, -1e300, 1e18])
@pytest.mark.parametrize("at", [0, 15, 31])
def test_settle_one_wild_value_moves_nothing_far(wild: float, at: int) -> None:
    """One absurd value among the first, even the very first, leaves anchor and unit usable."""
    values = list(_sine())
    clean_anchor, clean_unit = settle(_history(values))
    values[at] = wild
    anchor, unit = settle(_history(values))
    assert abs(anchor - clean_anchor)[0, 0] < 0.5
    assert 0.5 <= unit[0, 0] / clean_unit[0, 0] <= 2


@given(st.lists(st.floats(-1e6, 1e6), min_size=WARM_READINGS, max_size=60))
def test_settle_row_equals_itself_in_any_batch(values: list[float]) -> None:
    """A stream's anchor and unit do not depend on the streams beside it."""
    alone = settle(_history(values))
    row = np.array(values).reshape(1, -1, 1)
    beside = settle(np.concatenate([row * 3 + 1, row, np.full_like(row, np.nan)]))
    np.testing.assert_array_equal(alone[0][0], beside[0][1])
    np.testing.assert_array_equal(alone[1][0], beside[1][1])


@given(st.floats(-1e6, 1e6), st.integers(-20, 20), st.floats(-1e3, 1e3))
def test_denormalise_inverts_normalise(anchor: float, exponent: int, deviation: float) -> None:
    """Out and back is the value, to float32's precision of the distance from the anchor."""
    unit = 2.0**exponent
    value = anchor + deviation * unit
    x = normalise(np.array([[value]]), np.array([[anchor]]), np.array([[unit]]))
    back = denormalise(x[:, :, None, None], np.array([[anchor]]), np.array([[unit]]))
    assert abs(back.item() - value) <= 1e-6 * abs(value - anchor) + 1e-9 * abs(anchor) + 1e-30 * unit


@pytest.mark.parametrize(("value", "expected"), [(np.nan, np.nan), (1e300, X_LIMIT), (-np.inf, -X_LIMIT)])
def test_normalise_absurd_value_is_bounded_or_missing(value: float, expected: float) -> None:
    """NaN stays missing; what float32 could not square is bounded."""
    x = normalise(np.array([value]), np.array([0.0]), np.array([0.5]))
    np.testing.assert_array_equal(x, np.array([expected], np.float32))
