"""The peers of a comparison: each does what its name says, on the past alone."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseq.core.types import F64
from edgeseq_train import scores
from edgeseq_train.peers import NETWORKS, PEERS, Panel, Peer, Trained, Unfit, make_panel
from edgeseq_train.peers.dlinear import dlinear_peer
from edgeseq_train.peers.holt_winters import holt_winters_peer
from edgeseq_train.peers.linear import ridge_peer
from edgeseq_train.peers.naive import persistence_peer, seasonal_naive_peer
from edgeseq_train.peers.segrnn import segrnn_peer
from edgeseq_train.peers.tutorial_lstm import tutorial_lstm_peer
from edgeseq_train.peers.window_network import Plan

T, TRAIN, VALIDATION, DAY, H = 900, 540, 720, 24, 12
ORIGINS = slice(VALIDATION - 1, T - 1)
TINY = Plan(window=48, steps=4, batch=16, validate_every=2)
SIMPLE = (
    persistence_peer(),
    seasonal_naive_peer(),
    holt_winters_peer(),
    ridge_peer("ridge 48", 48),
    ridge_peer("ridge two seasons", None),
)
TINY_NETWORKS = (dlinear_peer("DLinear", TINY), segrnn_peer(TINY), tutorial_lstm_peer(TINY))
ALL = [
    *(pytest.param(peer, id=peer.name) for peer in SIMPLE),
    *(pytest.param(peer, id=peer.name, marks=pytest.mark.training) for peer in TINY_NETWORKS),
]


def panel_of(values: F64, season: int = DAY) -> Panel:
    """Make a panel of values (T, C) with one covariate: minus the first column."""
    return make_panel(values, -values[:, :1], TRAIN, VALIDATION, season)


def noise(columns: int = 2, seed: int = 0) -> F64:
    """Draw white noise (T, C)."""
    return np.random.default_rng(seed).standard_normal((T, columns))


def daily(amount: float = 3.0) -> F64:
    """Make a day's pattern (T, 1) that is no sine."""
    phase = np.arange(T) % DAY
    return np.asarray(amount * np.where(phase < 8, 0.0, np.sqrt(phase))[:, None])


def fitted(peer: Peer, panel: Panel) -> Trained:
    """Fit a peer that can be fitted."""
    found = peer.fit(panel, H, 0)
    assert isinstance(found, Trained)
    return found


def mase(peer: Peer, panel: Panel, h: int = H) -> float:
    """Fit and score a peer on the test part."""
    made = fitted(peer, panel).forecast(panel, ORIGINS)
    return scores.point(made, scores.targets(panel.z, ORIGINS, H), panel.season_error, h).mase


@pytest.mark.parametrize("peer", ALL)
def test_peers_see_nothing_after_their_origin(peer: Peer) -> None:
    """Values after an origin do not change its forecast, those up to it do; values of the test part change no fit.

    A tenth of the readings is missing: every forecast is a number all the same.
    """
    values = daily() + noise()
    values[np.random.default_rng(3).random(values.shape) < 0.1] = np.nan
    at = VALIDATION + 50
    values[[at - DAY + 9, at]] = 0.0
    later, earlier = values.copy(), values.copy()
    later[at + 1 :] += 100.0
    earlier[[at - DAY + 9, at]] += 100.0
    trained = fitted(peer, panel_of(values))
    origins = slice(at - 3, at + 1)
    made = trained.forecast(panel_of(values), origins)
    assert made.shape == (4, 2, H)
    assert np.isfinite(made).all()
    np.testing.assert_array_equal(trained.forecast(panel_of(later), origins), made)
    assert (trained.forecast(panel_of(earlier), origins)[-1] != made[-1]).any()
    again = fitted(peer, panel_of(later)).forecast(panel_of(values), origins)
    np.testing.assert_array_equal(again, made)


def test_persistence_is_what_a_random_walk_asks_for() -> None:
    """On a random walk no simple peer errs noticeably less than persistence, and the seasonal ones err far more."""
    panel = panel_of(np.cumsum(noise(4, seed=5), axis=0))
    best = mase(SIMPLE[0], panel)
    others = {peer.name: mase(peer, panel) for peer in SIMPLE[1:]}
    assert min(others.values()) > 0.98 * best
    assert others["seasonal naive"] > 1.5 * best


def test_seasonal_naive_repeats_the_latest_season_seen() -> None:
    """Without noise it errs nowhere, also at leads beyond one season."""
    panel = panel_of(daily(), season=DAY)
    trained = seasonal_naive_peer().fit(panel, 2 * DAY + 5, 0)
    assert isinstance(trained, Trained)
    made = trained.forecast(panel, ORIGINS)
    known = scores.targets(panel.z, ORIGINS, 2 * DAY + 5)
    np.testing.assert_allclose(np.nan_to_num(made - known), 0, atol=1e-5)
    assert trained.state_values == DAY


def test_holt_winters_finds_season_and_level() -> None:
    """Without noise it errs nowhere; under noise it averages, so it beats seasonal naive by about √2."""
    assert mase(holt_winters_peer(), panel_of(daily() + 1e-3 * noise(1))) < 1.1
    noisy = panel_of(daily() + noise(1))
    naive = mase(seasonal_naive_peer(), noisy)
    assert 0.65 * naive < mase(holt_winters_peer(), noisy) < 0.8 * naive


def test_ridge_learns_an_autoregression() -> None:
    """On x_t = .8 x_{t-1} + noise, ridge errs at lead 1 as the noise does, and persistence by √(2 / 1.8) of it."""
    x, e = np.zeros((T, 4)), noise(4, seed=2)
    for t in range(1, T):
        x[t] = 0.8 * x[t - 1] + e[t]
    panel = panel_of(x)
    ridge, naive = mase(ridge_peer("ridge 48", 48), panel, 1), mase(persistence_peer(), panel, 1)
    assert 0.9 < ridge / naive < 1.0
    innovation = np.mean(np.abs(e[ORIGINS.start + 1 : T]).mean(axis=0) / panel.deviation / panel.season_error)
    assert ridge == pytest.approx(innovation, rel=0.03)
    far = mase(ridge_peer("ridge 48", 48), panel)
    assert far < 0.8 * mase(persistence_peer(), panel)


def test_ridge_two_seasons_needs_its_seasons() -> None:
    """A day under noise is forecast better from two days than from six hours."""
    panel = panel_of(daily() + noise(2))
    assert mase(ridge_peer("two", None), panel) < 0.7 * mase(ridge_peer("short", 6), panel)


@pytest.mark.training
def test_networks_learn_what_is_there_to_learn() -> None:
    """After some hundred steps each errs far less on a day's pattern than persistence, and less than untrained."""
    panel = panel_of(daily() + 0.3 * noise(1))
    naive = mase(persistence_peer(), panel)
    plan = TINY._replace(steps=150, batch=64, validate_every=50, learning_rate=5e-3)
    for peer in (dlinear_peer("DLinear", plan), segrnn_peer(plan)):
        assert mase(peer, panel) < 0.7 * naive, peer.name


def test_peers_say_why_they_cannot_be_used() -> None:
    """Too short a training part, or no season: the reason names what is needed."""
    short = make_panel(noise()[:200], noise()[:200, :0], 120, 160, DAY)
    for peer in PEERS:
        if peer.name == "ridge 336" or peer.name in NETWORKS:
            found = peer.fit(short, H, 0)
            assert isinstance(found, Unfit), peer.name
            assert "more than 120 steps" in found.reason
    seasonless = make_panel(noise(), noise()[:, :0], TRAIN, VALIDATION, 1)
    for peer in SIMPLE:
        if peer.name in ("seasonal naive", "Holt-Winters", "ridge two seasons"):
            assert isinstance(peer.fit(seasonless, H, 0), Unfit), peer.name


def test_panel_is_standardised_by_the_training_part_alone() -> None:
    """Mean 0 and deviation 1 there, whatever follows; missing values are filled from the past."""
    values = noise()
    values[TRAIN:] += 50.0
    values[3, 0] = values[0, 1] = np.nan
    panel = panel_of(values)
    np.testing.assert_allclose(np.nanmean(panel.z[:TRAIN], axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.nanstd(panel.z[:TRAIN], axis=0), 1, atol=1e-9)
    assert panel.filled[3, 0] == panel.filled[2, 0]
    assert panel.filled[0, 1] == 0.0
    assert np.isnan(panel.z[3, 0])
