"""Backtests: what a device would have published, scored as the formulas say, and the winner named plainly."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from edgeseq.adapters.interpreter.steppers import TFLiteStepper
from edgeseq.bundle import Bundle
from edgeseq.cli import edgeseq
from edgeseq.core import features
from edgeseq.core.types import F32, F64
from edgeseq_train import api, evaluate, prepare, scores
from edgeseq_train.backtest import asked, bands, models, plan, table, words
from edgeseq_train.backtest import backtest as run
from edgeseq_train.backtest.device import serve
from edgeseq_train.backtest.entrant import Forecasts, score
from edgeseq_train.parts import Recording, Split
from edgeseq_train.recipe import Recipe
from edgeseq_train.recipe_files import write_recipe
from edgeseq_train.scores import Verdict
from tests.train.conftest import HORIZON, HOUR_NS, make_series, small_recipe

pytestmark = pytest.mark.training
ROWS = 800
START = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = "persistence,seasonal,ridge 96"


def frame_of(values: F64) -> pl.DataFrame:
    """Put values (T, S) into a data frame of hourly rows, missing ones as nulls."""
    columns = {f"room{k}": column for k, column in enumerate(values.T)}
    times = [START + timedelta(hours=k) for k in range(len(values))]
    return pl.DataFrame({"time": times, **columns}).with_columns(pl.exclude("time").fill_nan(None))


def house() -> F64:
    """Make readings of two rooms, a fiftieth of them missing."""
    values = make_series(ROWS, seed=4)
    values[np.random.default_rng(4).random(values.shape) < 0.02] = np.nan
    return values


RECIPE = msgspec.structs.replace(small_recipe(steps=20, validate_every=10), name="house")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """Train a tiny forecaster from Python, once."""
    return api.fit(frame_of(house()), RECIPE)


def plan_of(values: F64, levels: tuple[float, ...] = Recipe().levels) -> plan.Plan:
    """Cut hourly values (T, S) into 60, 20 and 20 per cent."""
    n = len(values)
    names = tuple(f"room{k}" for k in range(values.shape[1]))
    split = Split(round(0.6 * n), round(0.8 * n), n)
    return plan.make_plan(Recording(values[:, :, None], names, HOUR_NS), split, HORIZON, levels)


# --- scores: known answers ------------------------------------------------------------------------------------------


def column(*values: float) -> F32:
    """Make an array (N, 1, 1)."""
    return np.array(values, np.float32)[:, None, None]


def test_errors_are_means_over_what_was_observed() -> None:
    """Errors 1 and 3 of one channel and 2 of another, with a missing target, in units of their seasonal errors."""
    y = np.array([[[0.0], [0.0]], [[0.0], [np.nan]]], np.float32)
    forecast = np.array([[[1.0], [2.0]], [[-3.0], [9.0]]], np.float32)
    found = scores.point(forecast, y, np.array([4.0, 1.0]), 1)
    assert found == pytest.approx((np.mean([2 / 4, 2 / 1]), np.mean([2, 2]), np.mean([5, 4])))


def test_horizons_count_the_origins_that_have_them_whole() -> None:
    """Of three origins two have both leads within the part: the third's first lead counts at h = 1 only."""
    values = np.array([[[0.0]], [[0.0]], [[0.0]], [[0.0]]])
    y = scores.targets(values[:, :, 0], slice(0, 3), 2)
    assert np.isfinite(y[:, 0]).tolist() == [[True, True], [True, True], [True, False]]
    forecast = np.array([[[0, 0]], [[0, 0]], [[5, 0]]], np.float32)
    assert scores.point(forecast, y, np.ones(1), 2).mae == 0
    assert scores.point(forecast, y, np.ones(1), 1).mae == pytest.approx(5 / 3)


def test_pinball_winkler_and_coverage_by_hand() -> None:
    """One target in, one above and one below the 80 % interval [0, 10]; the unknown one counts for nobody."""
    y, lower, upper = column(5, 12, -1, np.nan), column(0, 0, 0, 0), column(10, 10, 10, 10)
    assert scores.winkler(lower, upper, y, 0.8)[:3, 0, 0] == pytest.approx([10, 10 + 20, 10 + 10])
    assert scores.up_to(scores.inside(lower, upper, y), 1) == pytest.approx(1 / 3)
    quantiles = np.stack([lower, upper], axis=-1)
    by_hand = np.array([0.1 * 5 + 0.1 * 5, 0.1 * 12 + 0.9 * 2, 0.9 * 1 + 0.1 * 11])
    assert scores.pinball(quantiles, y, (0.1, 0.9))[:3, 0, 0] == pytest.approx(by_hand)


def test_bootstrap_is_paired_and_honest_about_blocks() -> None:
    """Halved losses give the ratio 1/2 without any doubt; unrelated ones an interval that holds 1."""
    rng = np.random.default_rng(0)
    loss = rng.gamma(2.0, size=1000)
    assert scores.ratio_interval(loss / 2, loss, 50) == pytest.approx((0.5, 0.5))
    low, high = scores.ratio_interval(rng.gamma(2.0, size=1000), loss, 50)
    assert low < 1 < high
    # A level that stays for a block makes neighbours alike: small blocks would be too sure.
    slow = np.repeat(rng.gamma(2.0, size=20), 50)
    wide = np.ptp(scores.ratio_interval(slow, np.ones(1000), 50))
    assert wide > 3 * np.ptp(scores.ratio_interval(slow, np.ones(1000), 1))


def test_residual_bands_hold_what_they_promise() -> None:
    """Quantiles of errors on one half cover the other half as the levels say."""
    rng = np.random.default_rng(1)
    y, forecast = rng.exponential(size=(4000, 1, 2)).astype(np.float32), np.zeros((4000, 1, 2), np.float32)
    levels = (0.05, 0.5, 0.95)
    q = forecast[..., None] + bands.error_quantiles(forecast[:2000], y[:2000], levels)
    inside = scores.inside(q[2000:, ..., 0], q[2000:, ..., -1], y[2000:])
    assert scores.by_lead(inside)[0] == pytest.approx([0.9, 0.9], abs=0.02)


# --- the device's core ------------------------------------------------------------------------------------------------


def stepper_of(bundle: Bundle) -> TFLiteStepper:
    """Open the shipped variant."""
    manifest = bundle.manifest
    return TFLiteStepper(manifest, "litert", bundle.files[manifest.variant(manifest.default_variant).file])


def test_core_publishes_what_network_and_baseline_say(bundle: Bundle) -> None:
    """Published points lie between the medians of a plain roll-out and the baseline's, near the better ones."""
    values = house()[:, :, None]
    recording = Recording(values, ("a", "b"), HOUR_NS)
    origins = slice(740, 790)
    served = serve(bundle.manifest, stepper_of(bundle), recording, origins, 24, lambda _: None)
    anchor, unit = prepare.settle(values[:500], recording.names)
    x = features.normalise(values[:790], anchor, unit)
    rolled = evaluate.roll(stepper_of(bundle), x, origins)
    medians = rolled.quantiles[..., 3] * unit[..., None] + anchor[..., None]
    naive = evaluate.persistence(x, origins, HORIZON), evaluate.seasonal_naive(x, origins, HORIZON, 24)
    all_three = np.stack([medians, *(f * unit[..., None] + anchor[..., None] for f in naive)])
    assert served.model_share == 1.0
    assert (served.value > all_three.min(axis=0) - 1e-4).all()
    assert (served.value < all_three.max(axis=0) + 1e-4).all()
    assert np.median(np.abs(served.value - medians)) < 0.02
    assert (served.lower < served.value).all()
    assert (served.value < served.upper).all()


def test_core_sees_nothing_after_an_origin(bundle: Bundle) -> None:
    """Other values after an origin leave all that was published before as it is."""
    values = house()[:400, :, None]
    later = values.copy()
    later[380:] += 100.0
    first, second = (
        serve(
            bundle.manifest,
            stepper_of(bundle),
            Recording(v, ("a", "b"), HOUR_NS),
            slice(360, 390),
            24,
            lambda _: None,
        )
        for v in (values, later)
    )
    for name in ("value", "lower", "upper"):
        a, b = getattr(first, name), getattr(second, name)
        np.testing.assert_array_equal(a[:20], b[:20])
        assert (a[20:] != b[20:]).any(), name


# --- who wins ---------------------------------------------------------------------------------------------------------


def ready(bundle: Bundle) -> list[Callable[[models.Progress], models.Model]]:
    """Enter one bundle."""
    return [asked.ready(bundle)]


def test_random_walk_is_won_by_persistence(bundle: Bundle) -> None:
    """Nothing beats it by more than chance: it wins at each horizon, and the sentences say so."""
    walk = np.cumsum(np.random.default_rng(8).standard_normal((ROWS, 2)), axis=0)
    results = run(
        plan_of(walk), ready(bundle), asked.chosen_peers("persistence,seasonal,holt,ridge", quick=True)
    )
    assert {v.winner for v in results.verdicts.values()} == {"persistence"}
    for said in results.said():
        assert "persistence wins" in said
    frame = results.frame()
    assert frame.filter(pl.col("wins"))["forecaster"].unique().to_list() == ["persistence"]


def test_an_autoregression_is_won_by_ridge(bundle: Bundle) -> None:
    """A network that was trained on other data loses to ridge on this one: so it is told."""
    x, e = np.zeros((ROWS, 2)), np.random.default_rng(2).standard_normal((ROWS, 2))
    for t in range(2, ROWS):
        x[t] = 1.6 * x[t - 1] - 0.8 * x[t - 2] + e[t]
    results = run(plan_of(x), ready(bundle), asked.chosen_peers("persistence,ridge 96", quick=True))
    assert results.verdicts[HORIZON].winner == "ridge 96"
    comparison = results.against[HORIZON]
    assert comparison.peer == "ridge 96"
    assert 1 < comparison.low < comparison.ratio < comparison.high
    assert results.said()[-1].startswith(f"1-{HORIZON} steps ahead ridge 96 wins. edgeseq's error is ")


def test_scores_of_an_entrant_come_from_its_own_interval() -> None:
    """A calibrated 90 % interval stands in for the quantiles'; the 80 % one is theirs."""
    p = plan_of(make_series(400, seed=1), levels=(0.05, 0.1, 0.5, 0.9, 0.95))
    value = np.zeros_like(p.y)
    quantiles = np.stack([value - 9, value - 9, value, value + 9, value + 9], axis=-1)
    plain = score("a", Forecasts(value, quantiles), p, {})
    own = score("b", Forecasts(value, quantiles, (value, value)), p, {})
    assert (
        plain.scores[1]["coverage_90"]
        == plain.scores[1]["coverage_80"]
        == own.scores[1]["coverage_80"]
        == 1.0
    )
    assert own.scores[1]["coverage_90"] == 0.0
    assert plain.scores[1]["winkler_90"] == pytest.approx(np.mean(18 / p.panel.season_error), rel=1e-5)


def test_the_least_error_stands_in_the_headline_where_nobody_surely_wins(bundle: Bundle) -> None:
    """The simplest that is not surely worse wins nothing while another errs less: it is marked, the least is bold."""
    results = run(plan_of(house()), ready(bundle), asked.chosen_peers("ridge 96", quick=True))
    unsure = Verdict("ridge 96", words.NAME, 0.8, 1.1)
    results.__dict__["verdicts"] = dict.fromkeys(results.plan.marks, unsure)
    found = table.error_table(results, HORIZON)
    assert str(found.title) == f"1-{HORIZON} steps ahead: no sure winner; least error: {words.NAME}"
    names = list(found.columns[0].cells)
    assert names == ["ridge 96 *", words.NAME]
    assert [row.style for row in found.rows] == [None, "bold"]
    assert all("the simplest that is not surely worse" in said for said in results.said())
    assert not results.frame()["wins"].any()


def test_progress_of_a_backtest_counts_its_peers() -> None:
    """Each peer is told with its place and the share that is done, not with a share that never moves."""
    told: list[tuple[str, float]] = []
    peers = asked.chosen_peers("persistence,seasonal", quick=True)
    run(plan_of(house()), [], peers, lambda what, share: told.append((what, share)))
    assert told == [("peer 1 of 2: persistence", 0.0), ("peer 2 of 2: seasonal naive", 0.5)]


# --- from Python and from the command line ----------------------------------------------------------------------------


def test_python_gives_a_frame(bundle: Bundle) -> None:
    """A row for each forecaster and horizon, with one winner a horizon at most."""
    found = api.backtest(frame_of(house()), bundle, peers=QUICK)
    assert found["forecaster"].unique(maintain_order=True).to_list() == [
        "persistence",
        "seasonal naive",
        "ridge 96",
        "edgeseq",
    ]
    assert found["h"].unique().sort().to_list() == [1, 6, HORIZON]
    wins = found.group_by("h", maintain_order=True).agg(pl.col("wins").sum())["wins"]
    assert len(wins) == 3
    assert all(count <= 1 for count in wins)
    errors = {(r["forecaster"], r["h"]): r["mase"] for r in found.iter_rows(named=True)}
    assert errors["seasonal naive", 1] == pytest.approx(1.0, abs=0.15)
    assert errors["ridge 96", HORIZON] < errors["seasonal naive", HORIZON] < errors["persistence", HORIZON]
    ours = found.filter(forecaster="edgeseq", h=1)
    assert ours["coverage_90"].item() == pytest.approx(0.9, abs=0.04)
    assert ours["state_bytes"].item() > 0
    assert found["pinball"].is_finite().all()


def test_bundle_of_python_is_that_of_the_command(bundle: Bundle, tmp_path: Path) -> None:
    """It can be saved, and holds the recipe that a backtest reads the recording by."""
    api.save(bundle, tmp_path / "house.edgeseq")
    again = asked.open_bundle(tmp_path / "house.edgeseq", None)
    assert again.manifest == bundle.manifest
    recipe = asked.recipe_of(again.manifest)
    assert (recipe.every, recipe.horizon, recipe.seed) == ("1h", f"{HORIZON}h", 0)


def call(*arguments: str) -> Result:
    """Run `edgeseq backtest`."""
    return CliRunner().invoke(edgeseq, ["backtest", *arguments])


@pytest.fixture
def files(bundle: Bundle, tmp_path: Path) -> Path:
    """Write recording and bundle into a folder."""
    frame_of(house()).write_csv(tmp_path / "house.csv")
    api.save(bundle, tmp_path / "house.edgeseq")
    return tmp_path


def test_command_tells_tables_json_and_page(files: Path) -> None:
    """The terminal and both files name the same winners; the page needs nothing but itself."""
    out = files / "found.json"
    result = call(
        str(files / "house.csv"), "--bundle", str(files / "house.edgeseq"), "--peers", QUICK, "-o", str(out)
    )
    assert result.exit_code == 0, result.output
    document = json.loads(out.read_text())
    assert [h["h"] for h in document["horizons"]] == [1, 6, HORIZON]
    html = (files / "found.html").read_text()
    for horizon in document["horizons"]:
        assert horizon["said"] in " ".join(result.output.split())
        verdict = Verdict(horizon["winner"], horizon["lowest"], horizon["low"], horizon["high"])
        assert f"{words.span(horizon['h'])}: {words.standing(verdict)}" in html
    assert {f["name"] for f in document["forecasters"]} == {
        "persistence",
        "seasonal naive",
        "ridge 96",
        "edgeseq",
    }
    assert "NaN" not in out.read_text()
    assert not re.search(r'(src|href)="(?!#)', html)
    assert html.count("<svg") == 3


def test_recording_is_read_as_for_training(bundle: Bundle, files: Path) -> None:
    """What a bundle's recipe says of reading holds for its backtest: here which column, unless others are named."""
    training = dict(bundle.manifest.training)
    training["recipe"] = training["recipe"] | {"recording": {"columns": ["room1"]}}
    one = dataclasses.replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, training=training))
    api.save(one, files / "one.edgeseq")
    given = [str(files / "house.csv"), "--bundle", str(files / "one.edgeseq"), "--peers", "persistence"]
    for more, series in ((), ["room1"]), (("--columns", "room0"), ["room0"]):
        result = call(*given, *more, "-o", str(files / "found.json"))
        assert result.exit_code == 0, result.output
        assert json.loads((files / "found.json").read_text())["series"] == series


def test_command_trains_by_a_recipe(files: Path) -> None:
    """Without a bundle one is trained, from the recipe's seed on."""
    (files / "small.toml").write_text(write_recipe(msgspec.structs.replace(RECIPE, every=None, horizon=None)))
    result = call(
        str(files / "house.csv"), "--recipe", str(files / "small.toml"), "--every", "1h", "--horizon", "6h",
        "--peers", "persistence", "-o", str(files / "found.json"),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    ours = json.loads((files / "found.json").read_text())["forecasters"][-1]
    assert (ours["name"], ours["seeds"]) == ("edgeseq", [0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--bundle", "house.edgeseq", "--recipe", "a.toml"), "--bundle and --recipe exclude each other"),
        (("--bundle", "house.edgeseq", "--seeds", "3"), "--bundle and --seeds exclude each other"),
        (("--bundle", "house.edgeseq", "--seeds", "1"), "--bundle and --seeds exclude each other"),
        ((), "option missing: --every, such as --every 10m"),
        (("--bundle", "house.edgeseq", "--peers", "prophet"), "no peer is called so"),
        (("--bundle", "house.edgeseq", "-o", "missing/found.json"), "the result cannot be written"),
        (("--bundle", "house.edgeseq", "--every", "2h"), "the bundle does not fit the recording"),
        (("--bundle", "house.edgeseq", "--split", "600,5,195"), "the validation part is too short for a backtest"),
    ],
)  # fmt: skip
def test_command_says_what_is_wrong(
    files: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    """Each wrong call has its message, before any work."""
    monkeypatch.chdir(files)
    result = call("house.csv", *arguments)
    assert result.exit_code != 0
    assert words in result.output + str(result.exception)
