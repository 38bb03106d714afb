"""Backtests with known inputs: the core is told what training was told, as far ahead as a device is, and no further."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeseq.bundle import Channel, Manifest
from edgeseq.core.calendar import FEATURES
from edgeseq.core.types import F64
from edgeseq.errors import ConfigError
from edgeseq_train import exogenous, recording
from edgeseq_train.backtest import asked, device, models
from edgeseq_train.backtest.plan import Plan
from edgeseq_train.parts import Recording
from edgeseq_train.recipe import Recipe
from tests.support.tiny_bundle import read_tiny_bundle, tiny_bundle_path
from tests.train.conftest import HOUR_NS
from tests.train.test_exogenous import CALENDAR, HORIZON, SWITCHES, Noting, write_house

HOURS, DAY = 240, 24
RECIPE = Recipe(covariates=("humidity",), known=("outdoor",), calendar=CALENDAR)
OUTDOOR = len(FEATURES)
"""Place of the weather among the known inputs."""


@pytest.fixture
def cells(tmp_path: Path) -> F64:
    """Write ten days with gaps over a switch of the clock; give what was written, by hour."""
    _, written = write_house(tmp_path / "house.csv", SWITCHES["23 hours"], HOURS)
    return written


@pytest.fixture
def taken(cells: F64, tmp_path: Path) -> Recording:
    """Read it as the command does."""
    assert len(cells) == HOURS
    return recording.read(tmp_path / "house.csv", HOUR_NS, multichannel=exogenous.needs_channels(RECIPE))


@pytest.fixture
def plan(taken: Recording) -> Plan:
    """Lay it out for a backtest."""
    return asked.lay_out(taken, RECIPE, HORIZON)[0]


def manifest_of(of: Recording, request: pytest.FixtureRequest) -> Manifest:
    """Describe a bundle for such a recording."""
    tiny = read_tiny_bundle(tiny_bundle_path(request.config)).manifest
    return msgspec.structs.replace(
        tiny, period_ns=HOUR_NS, horizon=HORIZON, channels=tuple(Channel(c) for c in of.channels), covariates=1,
        known=of.known_names, inputs=of.inputs,
    )  # fmt: skip


def told(of: Recording, request: pytest.FixtureRequest, stop: int = HOURS) -> list[np.ndarray]:
    """Let the core serve a recording up to a step → inputs (1 + H, K) of each step that the model was asked for."""
    model = Noting(len(of.known_names))
    device.serve(manifest_of(of, request), model, of, slice(0, stop), DAY, lambda _: None)
    return model.told


def test_core_is_told_what_training_was_told(
    taken: Recording, plan: Plan, request: pytest.FixtureRequest
) -> None:
    """Calendar over a switch of the clock and weather with gaps: at each step the same numbers, bit for bit."""
    trained = exogenous.arrange(taken, RECIPE)
    laid = plan.recording
    assert trained.known is not None
    assert laid.known is not None
    np.testing.assert_array_equal(laid.known[:HOURS], trained.known)
    assert laid.inputs == trained.inputs
    heard = told(laid, request)
    compared = 0
    for back, inputs in enumerate(reversed(heard)):
        t = HOURS - 1 - back
        if t < 0:
            break
        np.testing.assert_array_equal(inputs, laid.known[t : t + 1 + HORIZON])
        compared += 1
    assert compared >= HOURS - 40


def test_missing_weather_falls_back_on_the_day_before(cells: F64, plan: Plan) -> None:
    """Where the column had a gap of more than six hours, the model is told the same hour of the day before."""
    gone = cells[:, 2].copy()
    gone[150:160] = np.nan
    known = np.flatnonzero(np.isfinite(cells[126:136, 2])) + 126
    assert len(known) > 5
    laid = _with_weather(plan.recording, gone)
    covariate = laid.inputs.covariates[0]
    assert laid.known is not None
    expected = ((cells[known, 2] - covariate.mean) / covariate.scale).astype(np.float32)
    np.testing.assert_array_equal(laid.known[known + DAY, OUTDOOR], expected)


def test_core_is_told_nothing_beyond_the_horizon(plan: Plan, request: pytest.FixtureRequest) -> None:
    """Weather later than origin + horizon cannot be told: other weather there changes nothing that is heard before."""
    laid, change = plan.recording, 200
    assert laid.known is not None
    other = laid.known.copy()
    other[change:, OUTDOOR] += 1.0
    first = told(laid, request, stop=change - HORIZON + 1)
    second = told(dataclasses.replace(laid, known=other), request, stop=change - HORIZON + 1)
    # The newest step is `change - HORIZON`, whose last lead is the first that differs.
    for a, b in zip(first[:-1], second[:-1], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(first[-1][:-1], second[-1][:-1])
    assert second[-1][-1, OUTDOOR] == pytest.approx(first[-1][-1, OUTDOOR] + 1.0)


def test_weather_that_nobody_foretells_is_the_day_before(plan: Plan, request: pytest.FixtureRequest) -> None:
    """Where known inputs end with the recording, the core tells leads beyond the same hour of the day before."""
    laid = plan.recording
    assert laid.known is not None
    ending = dataclasses.replace(laid, values=laid.values[:HOURS], known=laid.known[:HOURS])
    last = told(ending, request)[-1]
    np.testing.assert_array_equal(last[0], laid.known[HOURS - 1])
    day_before = laid.known[HOURS - DAY : HOURS - DAY + HORIZON, OUTDOOR]
    np.testing.assert_array_equal(last[1:, OUTDOOR], day_before)


def test_bundle_with_known_inputs_needs_them(
    taken: Recording, plan: Plan, request: pytest.FixtureRequest
) -> None:
    """A recording that was read without the calendar is refused."""
    manifest = manifest_of(plan.recording, request)
    models.check_fits(manifest, plan)
    without = msgspec.structs.replace(RECIPE, calendar=None)
    bare = asked.lay_out(taken, without, HORIZON)[0]
    with pytest.raises(ConfigError, match="the bundle does not fit the recording") as caught:
        models.check_fits(manifest, bare)
    assert "the same --columns, --covariates, --known" in str(caught.value)


def _with_weather(laid: Recording, weather: F64) -> Recording:
    """Lay another weather into a recording, by training's own rules."""
    padded = np.concatenate([weather, np.full(len(laid.values) - len(weather), np.nan)])
    return exogenous.with_known(laid, laid.inputs.calendar, ("outdoor",), padded[:, None], round(0.6 * HOURS))
