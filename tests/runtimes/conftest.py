"""Which steppers the suite runs: all that this environment has to have. Nothing is skipped."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeseq.adapters.interpreter import open_stepper
from edgeseq.bundle import Bundle
from edgeseq.core.baseline import BaselineStepper
from edgeseq.core.forecast import Stepper
from tests.support.tiny_bundle import read_tiny_bundle, tiny_bundle_path

RUNTIME = os.environ.get("EDGESEQ_TEST_RUNTIME", "litert")
"""The TFLite runtime that this environment must have: litert here, tflite in .venv-tflite."""
MODELS = [*((RUNTIME, v) for v in ("float32", "float16", "int8_weights", "dynamic")), ("numpy", "float32")]
BASELINES: dict[str, Callable[[], Stepper]] = {
    "baseline-seasonal": lambda: BaselineStepper(channels=2, horizon=5, season_steps=6),
    "baseline-persistence": lambda: BaselineStepper(channels=1, horizon=24, season_steps=0),
}


@pytest.fixture(scope="session")
def bundle_path(request: pytest.FixtureRequest) -> Path:
    """Give the path of the tiny bundle."""
    return tiny_bundle_path(request.config)


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    """Give the tiny bundle, verified."""
    return read_tiny_bundle(bundle_path)


@pytest.fixture(params=MODELS, ids=lambda p: f"{p[0]}-{p[1]}")
def model(request: pytest.FixtureRequest, bundle: Bundle) -> Stepper:
    """Give each model stepper in turn."""
    runtime, variant = request.param
    return open_stepper(bundle, runtime, variant)


@pytest.fixture(params=[*MODELS, *BASELINES], ids=lambda p: p if isinstance(p, str) else f"{p[0]}-{p[1]}")
def stepper(request: pytest.FixtureRequest, bundle: Bundle) -> Stepper:
    """Give each stepper in turn, models and baselines."""
    if isinstance(request.param, str):
        return BASELINES[request.param]()
    runtime, variant = request.param
    return open_stepper(bundle, runtime, variant)
