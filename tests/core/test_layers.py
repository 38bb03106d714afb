"""The layers on NumPy: each against its formula written out, and the laws that all kinds keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeseq.core.layers import LAYERS, LayerSpec, Shape, View, kind_of, stack
from edgeseq.core.layers.attention import key_units, shares
from edgeseq.core.ops import NUMPY
from edgeseq.errors import ConfigError

B, C, F, L, U, T = 3, 2, 5, 9, 6, 20
SHAPE = Shape(F, C, L)


def make_spec(kind: str, **options: int) -> LayerSpec:
    """Make a small layer of a kind."""
    return LayerSpec(kind, **{"units": U, "heads": 2, "dilation": 2, **options})


def make_weights(spec: LayerSpec, shape: Shape = SHAPE, seed: int = 0) -> dict[str, Any]:
    """Draw weights in float64."""
    rng = np.random.default_rng(seed)
    return {
        name: 0.5 * rng.standard_normal(size) for name, size in kind_of(spec).weights(spec, shape).items()
    }


def make_view(rows: int = B, seed: int = 1) -> View:
    """Draw a view with lagged differences of a few running scales."""
    rng = np.random.default_rng(seed)
    return View(
        base=rng.standard_normal((rows, C)), difference=2 * rng.standard_normal((rows * C, L)),
        scale=rng.uniform(0.5, 2, (rows, C)), features=rng.standard_normal((rows, F)),
    )  # fmt: skip


def start(spec: LayerSpec, rows: int = B) -> tuple[Any, ...]:
    """Make the states of rows that start."""
    return tuple(np.zeros((rows, *size)) for size in kind_of(spec).states(spec, SHAPE).values())


def run(spec: LayerSpec, w: dict[str, Any], x: Any) -> Any:
    """Step through x (T, B, F) under one view → outputs (T, B, U)."""
    state, outputs = start(spec, x.shape[1]), []
    for row in x:
        y, state = kind_of(spec).step(NUMPY, spec, w, row, make_view(x.shape[1]), state)
        outputs.append(y)
    return np.array(outputs)


def draw(rows: int = B, seed: int = 2) -> Any:
    """Draw inputs (T, B, F)."""
    return np.random.default_rng(seed).standard_normal((T, rows, F))


@pytest.mark.parametrize("kind", LAYERS)
def test_step_gives_the_declared_shapes(kind: str) -> None:
    """Output and states have the shapes that the kind declares, and every declared weight is used."""
    spec, layer = make_spec(kind), LAYERS[kind]
    w = make_weights(spec)
    y, following = layer.step(NUMPY, spec, w, draw()[0], make_view(), start(spec))
    assert y.shape == (B, U)
    assert [a.shape[1:] for a in following] == list(layer.states(spec, SHAPE).values())
    others = make_weights(spec, seed=5)
    for name in w:
        if name != "recurrent":  # the first state is 0: nothing recurs yet
            changed, _ = layer.step(
                NUMPY, spec, w | {name: others[name]}, draw()[0], make_view(), start(spec)
            )
            assert not np.allclose(changed, y), name


@pytest.mark.parametrize("kind", LAYERS)
def test_only_layers_that_say_so_see_the_ring(kind: str) -> None:
    """A layer that does not say `sees_ring` gives the same whatever the ring holds; one that says so does not."""
    spec, layer = make_spec(kind), LAYERS[kind]
    w, x = make_weights(spec), draw()[0]
    one, _ = layer.step(NUMPY, spec, w, x, make_view(), start(spec))
    other, _ = layer.step(NUMPY, spec, w, x, make_view(seed=9), start(spec))
    assert np.array_equal(one, other) is not layer.sees_ring


@pytest.mark.parametrize("kind", LAYERS)
def test_row_equals_itself_in_any_batch(kind: str) -> None:
    """A row's outputs are bit for bit the same alone and beside others."""
    spec = make_spec(kind)
    w, x, state = make_weights(spec), draw(), start(spec)
    alone = tuple(a[:1] for a in state)
    view = make_view()
    first = View(view.base[:1], view.difference[:C], view.scale[:1], view.features[:1])
    for row in x:
        together, state = LAYERS[kind].step(NUMPY, spec, w, row, view, state)
        single, alone = LAYERS[kind].step(NUMPY, spec, w, row[:1], first, alone)
        np.testing.assert_array_equal(together[:1], single)


@pytest.mark.parametrize(
    "kind", [kind for kind, layer in LAYERS.items() if layer.states(make_spec(kind), SHAPE)]
)
def test_layers_with_states_are_causal_and_remember(kind: str) -> None:
    """What comes at step t changes no output before it, and changes later ones."""
    spec = make_spec(kind)
    w, x = make_weights(spec), draw()
    moved = x.copy()
    moved[7] += 1
    before, after = run(spec, w, x), run(spec, w, moved)
    np.testing.assert_array_equal(before[:7], after[:7])
    assert not np.allclose(before[9], after[9])


@pytest.mark.parametrize(("width", "dilation"), [(1, 1), (2, 1), (3, 1), (3, 4)])
def test_convolution_equals_the_formula(width: int, dilation: int) -> None:
    """y_t = tanh(Σ_j K_j x_{t - j·dilation} + b) with zeros before the first step."""
    spec = make_spec("convolution", width=width, dilation=dilation)
    w, x = make_weights(spec), draw()
    kernel = w["kernel"].reshape(width, F, U)
    padded = np.concatenate([np.zeros(((width - 1) * dilation, B, F)), x])
    total = sum(padded[k * dilation : k * dilation + T] @ kernel[k] for k in range(width))
    np.testing.assert_allclose(run(spec, w, x), np.tanh(total + w["bias"]), atol=1e-12)


def test_ring_equals_the_formula() -> None:
    """Output = tanh(W x + R (lagged differences in running scales, bounded to ± 8) + b)."""
    spec = make_spec("ring")
    w, x, view = make_weights(spec), draw()[0], make_view()
    view.difference[0, 0] = 100.0
    d = view.difference.reshape(B, C, L) / view.scale[:, :, None]
    d[0, 0, 0] = 8.0
    wanted = np.tanh(x @ w["kernel"] + d.reshape(B, C * L) @ w["ring_kernel"] + w["bias"])
    found, _ = LAYERS["ring"].step(NUMPY, spec, w, x, view, ())
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_attention_equals_the_formula() -> None:
    """Softmax over the lags of (query · position)/√d + content, then a tanh over x and the values at and after them."""
    spec = make_spec("attention", width=2)
    w, x, view = make_weights(spec), draw()[0], make_view()
    size = key_units(spec)
    d = view.difference.reshape(B, C, L) / view.scale[:, :, None]
    context = []
    for k in range(spec.heads):
        query = (x @ w["query_kernel"])[:, k * size : (k + 1) * size]
        level, slope = (x @ w["content_kernel"])[:, 2 * k : 2 * k + 2].T
        for after in range(2):
            value = np.zeros((B, C))
            for b in range(B):
                for c in range(C):
                    rise = np.diff(d[b, c], prepend=d[b, c, 0])
                    score = (
                        query[b] @ w[f"position{k}"] / np.sqrt(size) + level[b] * d[b, c] + slope[b] * rise
                    )
                    share = np.exp(score - score.max()) / np.exp(score - score.max()).sum()
                    value[b, c] = share[: L - after] @ d[b, c, after:]
            context.append(value)
    wanted = np.tanh(np.concatenate([x, *context], 1) @ w["kernel"] + w["bias"])
    found, _ = LAYERS["attention"].step(NUMPY, spec, w, x, view, ())
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_attention_finds_the_place_asked_for() -> None:
    """A query that matches one position's key puts its whole attention there."""
    spec = make_spec("attention", heads=1)
    w = {name: np.zeros_like(a) for name, a in make_weights(spec).items()}
    w["query_kernel"][0, 0], w["position0"][0, 4] = 1.0, 1000.0
    x, d = np.zeros((B, F)), np.ones((B, C, L))
    x[0, 0] = 1.0
    share = shares(NUMPY, spec, w, x, d)[0]
    assert share[0, 0].argmax() == 4
    assert share[0, 0, 4] > 0.999
    np.testing.assert_allclose(share[1], 1 / L)


@pytest.mark.parametrize("kind", [kind for kind, layer in LAYERS.items() if layer.sees_ring])
def test_layers_of_the_ring_survive_any_ring(kind: str) -> None:
    """However far the ring lies from the present value, and with a scale near 0, outputs are finite."""
    spec = make_spec(kind)
    view = make_view()
    wild = view._replace(difference=view.difference * 1e30, scale=view.scale * 1e-2)
    w = {name: (100 * a).astype(np.float32) for name, a in make_weights(spec).items()}
    y, _ = LAYERS[kind].step(NUMPY, spec, w, draw()[0].astype(np.float32), wild, ())
    assert np.isfinite(y).all()


def test_layers_stand_on_one_another() -> None:
    """A stack of a convolution, a GRU and attention equals its layers stepped by hand, each on the one below."""
    specs = (make_spec("convolution", units=4), make_spec("gru", units=3), make_spec("attention"))
    sizes = (SHAPE, SHAPE._replace(inputs=4), SHAPE._replace(inputs=3))
    own = [make_weights(spec, size, seed) for seed, (spec, size) in enumerate(zip(specs, sizes, strict=True))]
    weights = {f"layer{k}.{name}": a for k, w in enumerate(own) for name, a in w.items()}
    view, past, h = make_view(), np.zeros((B, 4, F)), np.zeros((B, 3))
    found, states = stack(NUMPY, specs, weights, view, (past, h), SHAPE)
    x, (past,) = LAYERS["convolution"].step(NUMPY, specs[0], own[0], view.features, view, (past,))
    x, (h,) = LAYERS["gru"].step(NUMPY, specs[1], own[1], x, view, (h,))
    x, _ = LAYERS["attention"].step(NUMPY, specs[2], own[2], x, view, ())
    np.testing.assert_array_equal(found, x)
    for a, b in zip(states, (past, h), strict=True):
        np.testing.assert_array_equal(a, b)


def test_unknown_kind_is_a_set_up_error() -> None:
    """A kind that nobody defined is named, with those that exist and what to do."""
    with pytest.raises(ConfigError, match="no such kind of layer") as caught:
        kind_of(LayerSpec("gruu", 4))
    assert caught.value.found == "gruu"
    assert "convolution" in str(caught.value.wanted)
    assert "LAYERS" in str(caught.value.do)
