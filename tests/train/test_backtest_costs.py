"""What a backtest says of the cost of serving: memory on the device's path, and what quantizing does along the way."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from edgeseq.bundle import Bundle
from edgeseq.core.forecast import RecurrentState
from edgeseq.core.network import NetworkStepper
from edgeseq.core.types import F32
from edgeseq.errors import InternalError
from edgeseq_train import footprint
from edgeseq_train.backtest import backtest as run
from edgeseq_train.backtest import growth, page, table
from edgeseq_train.backtest.asked import chosen_peers
from tests.support.tiny_bundle import known_twin, read_tiny_bundle, tiny_bundle_path
from tests.support.tiny_model import SPEC, make_series, make_weights
from tests.train.test_backtest import bundle, house, plan_of, ready  # noqa: F401 - a fixture

LARGEST_BYTES, LEAST_BYTES = 150 * 10**6, 25 * 10**6
"""A Python with NumPy has the lower; the process that runs these tests, with TensorFlow, several times the upper."""


# --- memory -------------------------------------------------------------------------------------------------------


def test_memory_is_that_of_a_process_with_the_devices_code_alone(request: pytest.FixtureRequest) -> None:
    """What this process holds does not count; more streams do."""
    held = np.ones(300 * 10**6, np.uint8)
    tiny = read_tiny_bundle(tiny_bundle_path(request.config))
    one = footprint.peak_bytes(tiny.manifest, tiny.files, 1)
    assert held.nbytes > LARGEST_BYTES > one > LEAST_BYTES
    assert footprint.peak_bytes(tiny.manifest, tiny.files, 400) > one + 10**6


def test_model_with_known_inputs_is_measured_too(request: pytest.FixtureRequest) -> None:
    """A calendar and a covariate that nobody gives: they are filled, and the model serves."""
    twin = read_tiny_bundle(known_twin(tiny_bundle_path(request.config)))
    assert footprint.peak_bytes(twin.manifest, twin.files, 2) > LEAST_BYTES


def test_what_cannot_be_served_is_no_figure(request: pytest.FixtureRequest) -> None:
    """A model that the runtime refuses is an error that says why."""
    tiny = read_tiny_bundle(tiny_bundle_path(request.config))
    broken = {name: b"none" if name.endswith(".tflite") else data for name, data in tiny.files.items()}
    with pytest.raises(InternalError, match="the runtime refuses the model"):
        footprint.peak_bytes(tiny.manifest, broken, 1)


def test_measured_process_can_import_nothing_of_the_workstation() -> None:
    """With TensorFlow, polars and the like made unimportable, all that is measured is imported."""
    code = (
        "import sys; from edgeseq_train import footprint; import edgeseq.daemon\n"
        "heavy = {m.partition('.')[0] for m in sys.modules} & {'tensorflow', 'polars', 'matplotlib', 'sklearn'}\n"
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- growth -------------------------------------------------------------------------------------------------------


class Drifting(NetworkStepper):
    """A network whose quantiles lie a running scale per thousand steps off."""

    steps = 0

    def step(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Step, and be further off each time."""
        quantiles, state = super().step(x, state, known)
        self.steps += 1
        scale = np.sqrt(state[[s.name for s in self.state_spec].index("variance")])[:, :, None, None]
        return (quantiles + self.steps / 1000 * scale).astype(np.float32), state


def test_growth_is_the_mean_difference_by_thirds() -> None:
    """One thousandth of a running scale a step: each third's mean is that of its steps, from the full ring on."""
    weights = make_weights(SPEC)
    steppers = {
        "float32": NetworkStepper(SPEC, weights, np.float32),
        "int8": Drifting(SPEC, weights, np.float32),
    }
    x = make_series(SPEC.ring + 300, SPEC.channels)[:, None]
    found = growth.along("int8", steppers, x, None)
    assert found is not None
    first = SPEC.ring + 1
    expected = [np.mean(np.arange(first + k, first + k + 100)) / 1000 for k in (0, 100, 200)]
    assert found.thirds == pytest.approx(expected, rel=0.02)
    assert (found.steps, found.has_grown) == (300, True)
    assert found.said.endswith("the difference grows along the way.")


def test_no_growth_where_the_difference_stays() -> None:
    """A steady difference is none that grows, and neither is one that falls or is too small to count."""
    assert not growth.Growth("int8", 300, (0.02, 0.02, 0.03)).has_grown
    assert not growth.Growth("int8", 300, (0.02, 0.01, 0.01)).has_grown
    assert not growth.Growth("int8", 300, (0.0, 0.0, 0.0009)).has_grown
    assert growth.Growth("int8", 300, (0.0, 0.0, 0.0011)).has_grown
    assert growth.Growth("int8", 300, (0.02, 0.01, 0.01)).said.endswith("does not grow along the way.")


def test_too_short_a_roll_out_has_no_thirds() -> None:
    """While the ring fills nothing is counted."""
    stepper = NetworkStepper(SPEC, make_weights(SPEC), np.float32)
    x = make_series(SPEC.ring + 2, SPEC.channels)[:, None]
    assert growth.along("a", {"float32": stepper, "a": stepper}, x, None) is None


@pytest.mark.training
def test_backtest_shows_costs_and_growth(bundle: Bundle) -> None:  # noqa: F811 - the fixture
    """Memory and growth of the model are in the JSON, on the page and in the table; peers have neither."""
    results = run(plan_of(house()), ready(bundle), chosen_peers("persistence", quick=True))
    document = json.loads(json.dumps(results.document()))
    peer, ours = document["forecasters"]
    assert ours["cost"]["parameters"] == bundle.manifest.training["parameters"]
    assert LEAST_BYTES < ours["cost"]["peak_bytes"] < LARGEST_BYTES
    assert ours["cost"]["state_bytes"] > 0
    assert ours["cost"]["us_per_reading"] > 0
    assert "peak_bytes" not in peer["cost"]
    (grown,) = ours["growth"]
    assert (grown["variant"], grown["has_grown"]) == (bundle.manifest.default_variant, False)
    assert all(0 < grown[third] < 0.2 for third in ("first", "middle", "last"))
    assert grown["steps"] == results.plan.origins.stop - bundle.manifest.ring
    assert peer["growth"] == [None]
    html = page.make(results, "house")
    peak = f"{ours['cost']['peak_bytes'] / 1e6:.0f}"
    assert grown["said"] in html
    assert f">{peak}<" in html
    assert peak in table.costs(results.line("edgeseq"))
    assert table.costs(results.line("persistence"))[3] == ""
    assert results.frame()["peak_bytes"].to_list().count(None) == len(results.plan.marks)
