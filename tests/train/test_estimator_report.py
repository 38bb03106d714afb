"""The report of an estimator says what its figures say, of a class and of a number, and needs nothing else."""

from __future__ import annotations

import dataclasses
from html import unescape
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from edgeseq.core.types import Target
from edgeseq_train.cli import train
from edgeseq_train.estimators import drawn, report
from edgeseq_train.estimators.fit import FittedEstimator, fit
from edgeseq_train.estimators.judged import Judged, calibration
from edgeseq_train.estimators.produce import Produced, produce
from edgeseq_train.recipe import CellRecipe, FrontRecipe, Recipe
from edgeseq_train.training_report import Report
from tests.support.pages import check_page, ys
from tests.train.test_estimators import TINY, labelled, room

TWO = Target("who", classes=("empty", "occupied"))
RECIPE = Recipe(cell=CellRecipe(units=8), front=FrontRecipe(ring=16), training=TINY)


def classes(truth: list[int], sure: list[float], **peers: list[float]) -> Judged:
    """Judge probabilities of the second class."""

    def both(p: list[float]) -> np.ndarray:
        return np.stack([1 - np.array(p), np.array(p)], axis=1)

    return Judged(TWO, np.array(truth, float), both(sure), {name: both(p) for name, p in peers.items()})


# --- figures by hand ----------------------------------------------------------------------------------------------


def test_confusion_counts_true_by_told() -> None:
    """Rows are the truth: of three empty steps one was called occupied, of two occupied ones none was missed."""
    found = classes([0, 0, 0, 1, 1], [0.1, 0.2, 0.9, 0.8, 0.7]).confusion()
    assert found.tolist() == [[2, 1], [0, 2]]


def test_calibration_is_by_bins_of_what_was_told() -> None:
    """Told with 0.9 and right in two of four, told with 0.6 and right in one of one: (0.4 · 4 + 0.4 · 1) / 5."""
    found = calibration(classes([1, 1, 0, 0, 1], [0.91, 0.91, 0.91, 0.91, 0.61]))
    np.testing.assert_allclose(found.told, [0.61, 0.91])
    np.testing.assert_allclose(found.right, [1.0, 0.5])
    assert found.steps.tolist() == [1, 4]
    assert found.error == pytest.approx((0.39 + 4 * 0.41) / 5)


def test_certain_probability_has_a_bin() -> None:
    """One is in the last bin, not beyond it."""
    assert calibration(classes([1, 0], [1.0, 0.0])).error == 0.0


def test_gain_and_best_peer_by_hand() -> None:
    """Half the absolute error of the better peer is a gain of 50 per cent."""
    truth = np.arange(40.0)
    said = (truth + 1)[:, None] + np.array([-1, 0, 1])
    judged = Judged(
        Target("heat"), truth, said, {"mean": (truth + 4)[:, None], "regression": (truth - 2)[:, None]}
    )
    assert judged.best_peer() == "regression"
    assert judged.gain_percent("regression") == pytest.approx(50)
    assert judged.unbeaten() is None


def test_peer_that_is_as_good_is_unbeaten() -> None:
    """The simplest one that the model does not surely beat is named, though another has a smaller error."""
    truth = np.random.default_rng(0).standard_normal(400)
    said = np.repeat(truth[:, None] + 1.0, 3, axis=1)
    sides = np.where(np.arange(400) % 2, 1.0, -1.0)[:, None]
    peers = {
        "mean": truth[:, None] + 3.0,
        "regression": truth[:, None] + sides,
        "… lagged": truth[:, None] + 0.9,
    }
    assert Judged(Target("heat"), truth, said, peers).unbeaten() == "regression"


@pytest.mark.parametrize(
    ("off", "begins"),
    [
        (0.5, "The estimator earns its keep: its mean absolute error is 50.0 % below that of the best peer"),
        (1.0, "A draw with regression, present and lagged values, which the estimator does not surely beat"),
        (5.0, "The estimator loses: its mean absolute error is 5 times that of the best peer"),
    ],
)
def test_headline_says_who_is_better(off: float, begins: str) -> None:
    """Half the error, the same, and five times the error of the only peer."""
    truth = np.random.default_rng(0).standard_normal(400)
    wobble = 1 + 0.2 * np.random.default_rng(1).standard_normal((400, 1))
    peers = {"… and lagged values": truth[:, None] + wobble}
    judged = Judged(Target("heat"), truth, np.repeat(truth[:, None] + off * wobble, 3, axis=1), peers)
    assert report._headline(judged, judged.unbeaten()).startswith(begins)


# --- whole reports ------------------------------------------------------------------------------------------------


Made = tuple[FittedEstimator, Produced, Report]


@pytest.fixture(scope="module", params=["classify", "estimate"])
def made(request: pytest.FixtureRequest) -> Made:
    """Train a tiny estimator of the room, of each kind once, and write its report."""
    learned = labelled(request.param)
    fitted = fit(learned, RECIPE, lambda *_: None, lambda _: None)
    produced = produce(learned, fitted, RECIPE, "room", lambda _: None)
    return fitted, produced, report.make(fitted, RECIPE, produced.manifest, produced.judged)


@pytest.mark.training
def test_page_is_whole(made: Made) -> None:
    """It is valid, fetches nothing, and shows its pictures; headline and figures are those of the manifest's table."""
    _, produced, found = made
    check_page(found.html, found.pictures)
    names = ["confusion", "calibration"] if produced.judged.target.classes else ["estimated", "coverage"]
    assert [picture.name for picture in found.pictures] == [*names, "loss", "gradient", "quantization"]
    shown = unescape(found.html)
    assert found.verdict.headline in shown
    for row in produced.manifest.training["table"]:
        assert f"<th>{row['estimator']}</th>" in shown
        assert f">{row['loss']:.4g}<" in shown


@pytest.mark.training
def test_what_was_judged_is_what_the_table_scores(made: Made) -> None:
    """Loss of the default variant and of each peer, from the same steps, equal the manifest's."""
    _, produced, _ = made
    judged, manifest = produced.judged, produced.manifest
    rows = {row["estimator"]: row for row in manifest.training["table"]}
    measure = "log_loss" if judged.target.classes else "mae"
    ours = rows[f"model {manifest.default_variant}"]
    assert judged.losses(judged.said).mean() == pytest.approx(ours[measure])
    for name, said in judged.peers.items():
        assert judged.losses(said).mean() == pytest.approx(rows[name][measure])
    if judged.target.classes:
        counts = judged.confusion()
        assert np.trace(counts) / counts.sum() == pytest.approx(ours["accuracy"])


@pytest.mark.training
def test_pictures_show_the_training(made: Made) -> None:
    """Losses are the notes, the level is the regression's."""
    fitted, _, found = made
    (axes,) = next(p for p in found.pictures if p.name == "loss").figure.axes
    assert ys(axes, "validation") == [n.validation_loss for n in fitted.notes[1:]]
    assert ys(axes, "regression") == [fitted.notes[0].validation_loss] * 2


@pytest.mark.training
def test_training_that_was_stopped_at_once_has_a_report(made: Made) -> None:
    """Without any validation there is no curve."""
    fitted, produced, _ = made
    stopped = dataclasses.replace(fitted, notes=fitted.notes[:1])
    found = report.make(stopped, RECIPE, produced.manifest, produced.judged)
    assert {"loss", "gradient"}.isdisjoint(p.name for p in found.pictures)
    check_page(found.html, found.pictures)


def test_many_classes_are_not_drawn_as_a_table() -> None:
    """A confusion of forty classes could be read by nobody; a picture of three has a cell for each pair."""
    few = Judged(Target("a", classes=("x", "y", "z")), np.array([0.0, 1, 2]), np.eye(3), {})
    (axes,) = drawn.confusion(few).figure.axes
    assert len(axes.patches) == 9
    assert sorted(text.get_text() for text in axes.texts) == ["0"] * 6 + ["1"] * 3


@pytest.mark.training
def test_command_writes_page_and_pictures(tmp_path: Path) -> None:
    """Beside the bundle, unless it is unwanted."""
    frame: pl.DataFrame = room()
    frame.write_csv(tmp_path / "room.csv")
    (tmp_path / "tiny.toml").write_text(
        "[front]\nring = 16\n[cell]\nunits = 8\n[training]\nsteps = 8\nlanes = 8\nvalidate_every = 4\nsegment = 16\n"
    )
    words = [
        str(tmp_path / "room.csv"), str(tmp_path / "tiny.toml"), "--every", "1m", "--classify", "who", "--columns",
        "co2,light", "--unsigned", "-o", str(tmp_path / "room.edgeseq"),
    ]  # fmt: skip
    result = CliRunner().invoke(train, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "room.report.html, its pictures in" in " ".join(result.output.split())
    assert "<svg" in (tmp_path / "room.report.html").read_text()
    pictures = {path.stem for path in (tmp_path / "room.report").iterdir()}
    assert pictures == {"confusion", "calibration", "loss", "gradient", "quantization"}
