"""The decoder on NumPy: against its formula written out, and what it is fed."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from edgeseq.core import decoder
from edgeseq.core.cells import CELLS
from edgeseq.core.decoder import DecoderSpec
from edgeseq.core.forecast import initial_state
from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import NetworkSpec, NetworkStepper, spec_from_manifest, state_spec, weight_shapes
from edgeseq.core.ops import NUMPY

V, H, W, SAYS, K = 3, 5, 7, 4, 2
SEASONS = (6,)
KINDS: tuple[Any, ...] = ("gru", "lstm", "rnn")


def draw(kind: Any, known: int = 0, seed: int = 0) -> tuple[DecoderSpec, dict[str, Any]]:
    """Draw a decoder's weights."""
    spec, rng = DecoderSpec(kind, 4), np.random.default_rng(seed)
    shapes = decoder.weights(spec, W, known, SEASONS, SAYS)
    return spec, {name: 0.5 * rng.standard_normal(shape) for name, shape in shapes.items()}


def inputs(seed: int = 1) -> tuple[Any, ...]:
    """Draw words (V, W), highway (V, H), lead scale (H,), bias (H·SAYS,)."""
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((V, W)), rng.standard_normal((V, H)), rng.uniform(0.5, 1, H),
        0.1 * rng.standard_normal(H * SAYS),
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("known", [0, K])
def test_decoder_equals_the_formula(kind: str, known: int) -> None:
    """Lead after lead: state from the words, own median fed back, context and place each time, as the module says."""
    spec, w = draw(kind, known)
    words, linear, scale, bias = inputs()
    future = np.random.default_rng(2).standard_normal((V, H, known)) if known else None
    found = decoder.decode(NUMPY, spec, w, words, linear, scale, bias, SEASONS, future)
    start = np.tanh(words @ w["start_kernel"] + w["start_bias"])
    state = tuple(np.split(start, len(CELLS[spec.kind].states), axis=1))
    place = decoder.lead_features(H, SEASONS) @ w["lead_kernel"]
    fed = np.zeros((V, 1))
    for h in range(H):
        now = [fed, linear[:, h : h + 1]] + ([] if future is None else [future[:, h]])
        a = np.concatenate(now, 1) @ w["kernel"] + words @ w["context_kernel"] + w["bias"] + place[h]
        state = CELLS[spec.kind].advance(NUMPY, w, a, state)
        said = state[0] @ w["say_kernel"] + bias.reshape(H, SAYS)[h]
        np.testing.assert_allclose(found[:, h], said, rtol=1e-9)
        fed = (1 + 0.5 * np.tanh(said[:, :1])) * linear[:, h : h + 1] + scale[h] * said[:, 1:2]


def test_truth_is_fed_where_there_is_any() -> None:
    """A true value told of lead 2 changes what is said of lead 3 and on, and nothing before; NaN is no truth."""
    spec, w = draw("gru")
    words, linear, scale, bias = inputs()
    own = decoder.decode(NUMPY, spec, w, words, linear, scale, bias, SEASONS)
    told = np.full((V, H, 1), np.nan)
    untold = decoder.decode(NUMPY, spec, w, words, linear, scale, bias, SEASONS, None, told)
    np.testing.assert_array_equal(untold, own)
    told[:, 2] = 3.0
    taught = decoder.decode(NUMPY, spec, w, words, linear, scale, bias, SEASONS, None, told)
    np.testing.assert_array_equal(taught[:, :3], own[:, :3])
    assert np.abs(taught[:, 3:] - own[:, 3:]).min(axis=(0, 2)).min() > 0


def test_what_is_fed_is_bounded() -> None:
    """A highway that has run away, 1e30 scales off, leaves what is said finite and equal to that of 8 scales."""
    spec, w = draw("gru")
    words, linear, scale, bias = inputs()
    wild = decoder.decode(NUMPY, spec, w, words, np.full_like(linear, 1e30), scale, bias, SEASONS)
    bound = decoder.decode(NUMPY, spec, w, words, np.full_like(linear, 1e3), scale, bias, SEASONS)
    np.testing.assert_array_equal(wild, bound)


def test_lead_features_tell_leads_apart() -> None:
    """Each lead has features of its own; those of a season come again after it, the distance does not."""
    features = decoder.lead_features(12, (6,))
    assert features.shape == (12, 4)
    np.testing.assert_allclose(features[0, 2:], features[6, 2:], atol=1e-6)
    assert (np.diff(features[:, :2], axis=0) > 0).all()


def make_spec(**options: Any) -> NetworkSpec:
    """Make a small encoder-decoder."""
    return NetworkSpec(
        layers=(LayerSpec("gru", 5),), channels=2, horizon=4, levels=(0.1, 0.5, 0.9), ring=12, seasons=SEASONS,
        half_life=50.0, taps=2, decoder=DecoderSpec(units=3), **options,
    )  # fmt: skip


def make_stepper(spec: NetworkSpec) -> NetworkStepper:
    """Draw a network's weights."""
    rng = np.random.default_rng(3)
    weights = {n: (0.3 * rng.standard_normal(s)).astype(np.float32) for n, s in weight_shapes(spec).items()}
    weights["lead_scale"] = np.linspace(0.5, 1, 4).astype(np.float32)
    weights["roughness"] = np.full((spec.ring - 1, 2), 1 / spec.ring, np.float32)
    return NetworkStepper(spec, weights)


@pytest.mark.parametrize("known", [0, 2])
def test_decoder_carries_nothing(known: int) -> None:
    """The state is the encoder's alone, quantiles never cross, and replay, which skips the decoder, equals steps."""
    spec = make_spec(known=known)
    stepper = make_stepper(spec)
    assert [s.name for s in state_spec(spec)][-1] == "h0"
    rng = np.random.default_rng(4)
    x = rng.standard_normal((2, 9, 2)).astype(np.float32)
    ahead = rng.standard_normal((2, 13, known)).astype(np.float32) if known else None
    state = initial_state(stepper.state_spec, 2)
    for t in range(9):
        q, state = stepper.step(x[:, t], state, None if ahead is None else ahead[:, t : t + 5])
    assert (np.diff(q, axis=-1) >= 0).all()
    replayed, end = stepper.replay(x, initial_state(stepper.state_spec, 2), ahead)
    np.testing.assert_array_equal(replayed, q)
    for a, b in zip(end, state, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_known_lead_moves_its_own_lead_and_later_ones() -> None:
    """What is known of lead 2 changes the forecast from lead 2 on, of every channel."""
    stepper = make_stepper(make_spec(known=2))
    known = np.zeros((1, 5, 2), np.float32)
    x, state = np.ones((1, 2), np.float32), initial_state(stepper.state_spec, 1)
    before, _ = stepper.step(x, state, known)
    known[0, 2] = 1.0
    after, _ = stepper.step(x, state, known)
    moved = np.abs(after - before)[0].max(axis=-1)
    assert (moved[:, 0] == 0).all()
    assert (moved[:, 1:] > 0).all()


def test_spec_survives_the_manifest() -> None:
    """An encoder-decoder's specification read back from a manifest is the same."""
    spec = make_spec()
    assert spec_from_manifest(msgspec.json.decode(msgspec.json.encode(spec))) == spec
