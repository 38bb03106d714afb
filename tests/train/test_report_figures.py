"""What the report shows of a network and of errors is what there is."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgeseq.core.forecast import initial_state
from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import NetworkStepper
from edgeseq_train.evaluate import Truth
from edgeseq_train.produce import Forecasts
from edgeseq_train.training_report import findings, gating
from edgeseq_train.training_report.findings import MODEL
from tests.support.reported import made_forecasts
from tests.support.tiny_model import SPEC, make_weights

# --- what happens inside ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "known"), [("gru", 0), ("lstm", 2), ("rnn", 0)])
def test_inside_is_what_the_network_does(kind: str, known: int) -> None:
    """Outputs are the states a NumPy stepper has; gates lie between 0 and 1; a cell without gates shows none."""
    spec = msgspec.structs.replace(SPEC, layers=(LayerSpec(kind, 5),), known=known)
    weights, rng = make_weights(spec), np.random.default_rng(0)
    x = rng.standard_normal((60, 2, spec.channels)).astype(np.float32)
    x[50] = np.nan
    given = rng.standard_normal((60 + spec.horizon, known)).astype(np.float32) if known else None
    seen = gating.look_inside(spec, weights, x, given, 40, 60)
    stepper = NetworkStepper(spec, weights)
    state, at = initial_state(stepper.state_spec, 2), [s.name for s in stepper.state_spec].index("h0")
    for t in range(40 - 2 * spec.ring, 60):
        ahead = None if given is None else np.stack([given[t : t + 1 + spec.horizon]] * 2)
        _, state = stepper.step(x[t], state, ahead)
    np.testing.assert_allclose(seen.output[-1], state[at], atol=1e-6)
    assert tuple(seen.gates) == gating.GATES.get(kind, ())
    for opening in seen.gates.values():
        assert opening.shape == (20, 2)
        assert ((opening > 0) & (opening < 1)).all()


def test_gate_that_is_held_open_is_seen_open() -> None:
    """Gates are named in the order in which the cell computes them: a bias that opens one opens the one named so."""
    for kind, at in (
        ("gru", {"keep (z)": 0, "reset (r)": 1}),
        ("lstm", {"input (i)": 0, "forget (f)": 1, "output (o)": 3}),
    ):
        layers = (LayerSpec("dense", 5), LayerSpec(kind, 4))
        spec = msgspec.structs.replace(SPEC, layers=layers)
        for name, block in at.items():
            weights = make_weights(spec)
            bias = weights[f"layer{len(layers) - 1}.bias"]
            bias[4 * block : 4 * block + 4] = 50.0
            seen = gating.look_inside(spec, weights, np.zeros((6, 1, spec.channels), np.float32), None, 2, 6)
            assert seen.gates[name].min() > 0.999
            assert all(v.max() < 0.999 for other, v in seen.gates.items() if other != name)


def test_mean_by_hour_leaves_gaps_out() -> None:
    """Values of one hour are averaged over the days on which they are known."""
    phase = np.array([0, 1, 0, 1])
    means = findings.by_phase(np.array([1.0, 5.0, 3.0, np.nan]), phase, 3)
    np.testing.assert_array_equal(means, [2.0, 5.0, np.nan])


# --- figures ------------------------------------------------------------------------------------------------------


def test_errors_ignore_missing_readings_and_covariates() -> None:
    """A reading that never came counts nowhere, and a channel whose unit is infinite does not count at all."""
    f = made_forecasts({"ridge 9": 2.0})
    y = np.repeat(f.truth.y, 2, axis=2).copy()
    y[:, :, 1] = 1e6
    y[5, 0, 0, 2] = np.nan
    both = {n: np.repeat(p, 2, axis=2) for n, p in f.peers.items()}
    wide = Forecasts(
        f.x,
        f.origins,
        Truth(y, np.array([[1.0, np.inf]]), np.ones((1, 2))),
        both,
        np.repeat(f.quantiles, 2, axis=2),
    )
    errors = findings.measure(wide)
    assert errors.gain(MODEL, "ridge 9") == pytest.approx(50, abs=0.5)
    assert np.isfinite(errors.by_origin[MODEL]).all()
    assert findings.inside(wide, None)[0] == pytest.approx(findings.inside(f, None)[0], abs=1e-3)


def test_stream_that_is_silent_in_the_test_part_counts_nowhere() -> None:
    """Errors are those of the streams that said something."""
    f = made_forecasts({"ridge 9": 2.0})
    y = np.repeat(f.truth.y, 2, axis=1).copy()
    y[:, 1] = np.nan
    two = Forecasts(
        f.x, f.origins, Truth(y, np.ones((2, 1)), np.ones((2, 1))),
        {n: np.repeat(p, 2, axis=1) for n, p in f.peers.items()}, np.repeat(f.quantiles, 2, axis=1),
    )  # fmt: skip
    assert findings.measure(two).at(MODEL) == pytest.approx(findings.measure(f).at(MODEL), rel=1e-6)
    assert {e.stream for e in findings.examples(two)} == {0}


def test_examples_are_ranked_by_error() -> None:
    """Best, typical, poor and worst stand at the ranks 0, 50, 90 and 100 % of the error over all leads."""
    f = made_forecasts({"ridge 9": 1.0})
    error = np.abs(f.quantiles[..., 3] - f.truth.y).mean(axis=-1).ravel()
    shown = {e.kind: e for e in findings.examples(f)}
    ranked = np.sort(error)
    for kind, rank in (("best", 0.0), ("typical", 0.5), ("poor", 0.9), ("worst", 1.0)):
        assert shown[kind].error == pytest.approx(ranked[round(rank * (len(error) - 1))], rel=1e-5)
        assert error[shown[kind].origin] == pytest.approx(shown[kind].error, rel=1e-5)


def test_examples_need_readings() -> None:
    """A forecast most of whose readings never came is no example."""
    f = made_forecasts({"ridge 9": 1.0})
    y = f.truth.y.copy()
    y[: len(y) // 2, ..., 2:] = np.nan
    some = Forecasts(f.x, f.origins, Truth(y, f.truth.mase, f.truth.unit), f.peers, f.quantiles)
    assert min(e.origin for e in findings.examples(some)) >= len(y) // 2


def test_chance_covers_what_chance_does() -> None:
    """Of gains between equally good forecasters about 19 of 20 are called chance; short tests say nothing."""
    rng = np.random.default_rng(1)
    outside = 0
    for _ in range(200):
        a, b = rng.gamma(2, size=(2, 400))
        outside += abs(100 * (1 - a.mean() / b.mean())) > (findings.chance(a, b, 10) or 0)
    assert 2 <= outside <= 24
    assert findings.chance(np.ones(40), np.ones(40), 10) is None


def test_coverage_is_the_share_of_readings() -> None:
    """Shares below quantiles and within bands are counted over known readings; ties with a quantile count half."""
    y = np.array([0.0, 1.0, 2.0, np.nan])[:, None, None, None]
    q = np.tile(np.array([0.0, 1.0, 2.0]), (4, 1, 1, 1, 1))
    f = Forecasts(
        y[..., 0], slice(0, 4), Truth(y, np.ones((1, 1)), np.ones((1, 1))), {}, q.astype(np.float32)
    )
    assert findings.below(f, 1) == pytest.approx([0.5 / 3, 1.5 / 3, 2.5 / 3])
    assert findings.inside(f, None) == [1.0]
