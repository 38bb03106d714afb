"""The bench's own arithmetic: ratios, geometric means, worst cells, validity and verdicts, on errors made up to fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeseq.core.types import F32
from edgeseq_train import scores
from edgeseq_train.peers import Panel, make_panel
from tests.bench import cells

H = max(cells.HORIZONS)
ROWS, TRAIN, VALIDATION, SEASON = 900, 540, 600, 24


@pytest.fixture
def panel() -> Panel:
    """Standardise two noisy seasons."""
    t = np.arange(ROWS)[:, None]
    noise = np.random.default_rng(0).standard_normal((ROWS, 2))
    return make_panel(
        np.sin(2 * np.pi * t / SEASON + np.arange(2)) + noise, np.empty((ROWS, 0)), TRAIN, VALIDATION, SEASON
    )


@pytest.fixture
def y(panel: Panel) -> F32:
    """Cut the targets of the test part."""
    return scores.targets(panel.z, slice(VALIDATION - 1, ROWS - 1), H)


def off(y: F32, share: float) -> F32:
    """Forecast with the error `share` everywhere, to either side in turn."""
    sides = np.where(np.arange(len(y)) % 2, 1, -1)[:, None, None]
    return np.asarray(np.nan_to_num(y) + share * sides, np.float32)


# --- cells ------------------------------------------------------------------------------------------------------------


def test_ratio_is_the_mean_of_the_seeds_over_the_best_peer(panel: Panel, y: F32) -> None:
    """Errors of 0.8 and 1.0 against peers of 1.2, 2 and 3: 0.9 / 1.2 at each horizon, whatever the season's error."""
    peers = {"ridge 96": off(y, 1.2), "persistence": off(y, 2.0), cells.LSTM: off(y, 3.0)}
    made = cells.cells("a", peers, [off(y, 0.8), off(y, 1.0)], y, panel, counts=True)
    assert [c["h"] for c in made] == list(cells.HORIZONS)
    for cell in made:
        assert cell["best_peer"] == "ridge 96"
        assert cell["ratio"] == pytest.approx(0.75, rel=1e-4)
        assert cell["ratio_seeds"] == pytest.approx([0.8 / 1.2, 1.0 / 1.2], rel=1e-4)
        assert cell["lstm_ratio"] == pytest.approx(0.3, rel=1e-4)
        assert cell["low"] <= cell["ratio"] + 1e-6
        assert cell["ratio"] - 1e-6 <= cell["high"]
        assert (cell["winner"], cell["counts"], cell["data"]) == (cells.MODEL, True, "a")


def test_data_set_without_a_model_has_no_cells(panel: Panel, y: F32) -> None:
    """Peers alone are compared with nobody."""
    assert cells.cells("a", {"persistence": off(y, 1.0)}, [], y, panel, counts=True) == []


def test_equally_good_simpler_peer_wins(panel: Panel, y: F32) -> None:
    """With the same losses the peer is named; one that costs more per reading is not."""
    (first, *_) = cells.cells("a", {"persistence": off(y, 1.0)}, [off(y, 1.0)], y, panel, counts=True)
    assert first["winner"] == "persistence"
    (first, *_) = cells.cells("a", {cells.LSTM: off(y, 1.0)}, [off(y, 1.0)], y, panel, counts=True)
    assert first["winner"] == cells.MODEL


def test_row_scores_all_horizons(panel: Panel, y: F32) -> None:
    """MAE and MSE are of z-scores; MASE is by the season's error; costs stand beside them."""
    made = cells.row("a", "ridge 96", None, off(y, 0.5), y, panel, {"parameters": 7})
    for h in map(str, cells.HORIZONS):
        assert made["mae"][h] == pytest.approx(0.5, rel=1e-4)
        assert made["mse"][h] == pytest.approx(0.25, rel=1e-4)
        assert made["mase"][h] == pytest.approx(np.mean(0.5 / panel.season_error), rel=1e-4)
    assert (made["forecaster"], made["seed"], made["parameters"]) == ("ridge 96", None, 7)


# --- headline figures -------------------------------------------------------------------------------------------------


def cell(data: str, h: int, ratios: list[float], *, counts: bool = True, **other: Any) -> cells.Row:
    """Make up a cell of so many seeds."""
    ratio = float(np.mean(ratios))
    return {
        "data": data, "h": h, "counts": counts, "ratio": ratio, "ratio_seeds": ratios, "any_peer_ratio": ratio,
        "lstm_ratio": None, "winner": cells.MODEL, "best_peer": "ridge 96", "any_peer": "ridge 96",
    } | other  # fmt: skip


def test_geomean_and_worst_cell_by_hand() -> None:
    """√(0.5 · 2) is 1, the worst cell 2; a cell that does not count changes neither, but is listed."""
    made = [cell("a", 1, [0.5]), cell("b", 24, [2.0]), cell("c", 96, [9.0], counts=False)]
    found = cells.figures([], made, [])
    assert found["geomean_ratio_best_peer"] == pytest.approx(1.0)
    assert found["worst_cell_ratio"] == 2.0
    assert (found["ratio_a_1"], found["ratio_b_24"], found["ratio_c_96"]) == (0.5, 2.0, 9.0)


def test_geomeans_of_seeds_are_over_the_same_seed() -> None:
    """The first seed has 0.4 · 0.9, the second 0.6 · 1.6: the best and the worst are the root of each."""
    made = [cell("a", 1, [0.4, 0.6]), cell("b", 1, [0.9, 1.6])]
    found = cells.figures([], made, [])
    assert found["geomean_ratio_best_seed"] == pytest.approx(np.sqrt(0.36))
    assert found["geomean_ratio_worst_seed"] == pytest.approx(np.sqrt(0.96))
    assert found["geomean_ratio_best_peer"] == pytest.approx(np.sqrt(0.5 * 1.25))
    assert found["worst_cell_ratio_any_seed"] == 1.6


def test_lstm_is_counted_where_it_ran() -> None:
    """Cells without it leave the figure as it is; without any there is none."""
    made = [cell("a", 1, [0.5], lstm_ratio=0.2), cell("b", 1, [0.5], lstm_ratio=0.8), cell("c", 1, [0.5])]
    assert cells.figures([], made, [])["tutorial_lstm_ratio"] == pytest.approx(0.4)
    assert "tutorial_lstm_ratio" not in cells.figures([], made[2:], [])


def test_nothing_that_counts_gives_no_headline() -> None:
    """A run of data sets that do not count has no geometric mean."""
    assert "geomean_ratio_best_peer" not in cells.figures([], [cell("a", 1, [0.5], counts=False)], [])


# --- validity ---------------------------------------------------------------------------------------------------------


def known_rows(**wrong: float) -> list[cells.Row]:
    """Give rows of ETTh1 with the errors that are known; some of them times a factor, underscores for spaces."""
    rows = []
    for name, (known, _) in cells.KNOWN.items():
        factor = wrong.get(name.replace(" ", "_"), 1.0)
        mase = {str(h): factor * known.get(h, 1.0) for h in cells.HORIZONS}
        rows.append(
            {
                "data": cells.VALIDITY_DATA,
                "forecaster": name,
                "seed": None,
                "mase": mase,
                "mse": {},
                "mae": {},
            }
        )
    return rows


def test_run_is_valid_where_peers_stand_where_they_are_known_to() -> None:
    """Also at the edge of what is allowed, which is wider for a network than for a closed form."""
    assert cells.is_valid(known_rows()) == 1.0
    assert cells.is_valid(known_rows(seasonal_naive=1.009, ridge_96=0.991, DLinear=0.971)) == 1.0


@pytest.mark.parametrize(
    "wrong", [{"seasonal_naive": 1.011}, {"ridge_96": 0.98}, {"ridge_336": 1.02}, {"DLinear": 1.04}]
)
def test_run_is_invalid_where_a_peer_is_off(wrong: dict[str, float]) -> None:
    """Worse or better than known: either way the bench does not measure what it says."""
    assert cells.is_valid(known_rows(**wrong)) == 0.0
    assert cells.figures(known_rows(**wrong), [], [])["valid"] == 0.0


def test_validity_is_unknown_without_the_peers() -> None:
    """A peer that did not run, or another data set, tells nothing."""
    assert cells.is_valid(known_rows()[1:]) is None
    assert cells.is_valid([row | {"data": "tetouan/a"} for row in known_rows()]) is None
    unfit = [{"data": cells.VALIDITY_DATA, "forecaster": "DLinear", "seed": None, "unfit": "too short"}]
    assert cells.is_valid([*known_rows()[:-1], *unfit]) is None


# --- a random walk ----------------------------------------------------------------------------------------------------


def test_random_walk_is_won_by_persistence_and_said_so() -> None:
    """Persistence is beaten by nobody beyond chance, not by a model that errs alike, nor by seasonal naive."""
    values = np.cumsum(np.random.default_rng(3).standard_normal((ROWS, 1)), axis=0)
    walk = make_panel(values, np.empty((ROWS, 0)), TRAIN, VALIDATION, SEASON)
    origins = slice(VALIDATION - 1, ROWS - 1)
    y = scores.targets(walk.z, origins, H)
    last = np.repeat(walk.z[origins][:, :, None], H, axis=-1).astype(np.float32)
    seasonal = np.repeat(walk.z[origins.start - SEASON : origins.stop - SEASON][:, :, None], H, axis=-1)
    wobble = np.random.default_rng(4).standard_normal(last.shape) * 0.02
    peers = {"persistence": last, "seasonal naive": seasonal.astype(np.float32)}
    made = cells.cells(cells.WALK, peers, [(last + wobble).astype(np.float32)], y, walk, counts=False)
    assert {c["winner"] for c in made} == {"persistence"}
    assert cells.figures([], made, [])["persistence_wins_random_walk"] == 1.0
    lost = [made[0] | {"winner": cells.MODEL}, *made[1:]]
    assert cells.figures([], lost, [])["persistence_wins_random_walk"] == 0.0


# --- quantization -----------------------------------------------------------------------------------------------------


def test_quantization_is_the_loss_of_the_seeds_mean() -> None:
    """Means of 1.01 against 1.00 lose one per cent; only long roll-outs make a headline, the worst of them."""
    rows = [
        {"forecaster": name, "mase": dict.fromkeys(map(str, cells.HORIZONS), value)}
        for name, value in ((cells.MODEL, 1.0), (cells.MODEL, 1.02), (cells.EXACT, 0.99), (cells.EXACT, 1.01))
    ]
    one = cells.quantization("a", rows, cells.LONG_ROLLOUT)
    assert one["int8_weights_mase_loss_percent"] == dict.fromkeys(map(str, cells.HORIZONS), 1.0)
    worse = {
        "data": "b",
        "steps": cells.LONG_ROLLOUT,
        "int8_weights_mase_loss_percent": {"1": 2.0, "24": 0.5, "96": 0.5},
    }
    short = {"data": "c", "steps": 100, "int8_weights_mase_loss_percent": {"1": 9.0, "24": 9.0, "96": 9.0}}
    found = cells.figures([], [], [one, worse, short])
    assert [found[f"int8_weights_mase_loss_percent_{h}"] for h in (1, 24, 96)] == [2.0, 1.0, 1.0]
    assert found["int8_weights_mase_loss_percent_1_c"] == 9.0
