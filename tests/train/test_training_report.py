"""The training report says what the figures say, shows what it says it shows, and needs nothing from elsewhere."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Sequence
from html import unescape
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from edgeseq_train import evaluate, trend
from edgeseq_train.cli import train
from edgeseq_train.evaluate import Truth
from edgeseq_train.fit import fit
from edgeseq_train.parts import Recording
from edgeseq_train.produce import Forecasts, Produced, produce
from edgeseq_train.training_report import Report, findings, make, tables, verdict, write
from edgeseq_train.training_report.findings import MODEL, SERVED
from edgeseq_train.training_report.run import Run
from edgeseq_train.training_report.verdict import Outcome
from tests.support.pages import check_page, ys
from tests.support.reported import NUMBER, cells, outcome
from tests.train.conftest import HORIZON, HOUR_NS, make_series, small_recipe

# --- the whole report ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Two hourly streams with gaps, begun at three o'clock; each has one channel to forecast and a covariate."""
    values = make_series(900, 4).reshape(900, 2, 2)
    values[np.random.default_rng(4).random(values.shape) < 0.03] = np.nan
    names = ("cellar", "cellar outside", "attic", "attic outside")
    return Recording(
        values, names, HOUR_NS, units=("°C", "°C", None, None), start_ns=3 * HOUR_NS, targets=1,
        channels=("inside", "outside"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(recording: Recording) -> Run:
    """Train and measure a tiny model once."""
    recipe = small_recipe(steps=20, validate_every=4)
    fitted = fit(recording, HORIZON, recipe, lambda *_: None, lambda _: None)
    made = produce(recording, fitted, recipe, "house", lambda _: None)
    return Run(recording, fitted, recipe, made.manifest, made.forecasts)


@pytest.fixture(scope="module")
def report(run: Run) -> Report:
    """Make its report."""
    return make(run.recording, run.fitted, run.recipe, Produced(run.manifest, {}, run.forecasts))


@pytest.mark.training
def test_report_is_whole_and_needs_nothing_else(report: Report) -> None:
    """The page is valid, fetches nothing and shows every picture of the list, each with its caption."""
    check_page(report.html, report.pictures)
    names = [p.name for p in report.pictures]
    assert names == [
        "by_lead", "fan_best", "fan_typical", "fan_poor", "fan_worst", "coverage", "loss", "gradient", "quantization",
        "gates", "state", "series",
    ]  # fmt: skip
    for word in (
        "lead",
        "persistence",
        "seasonal naive",
        "ridge",
        "quantile",
        "loss",
        "gradient",
        "test part",
    ):
        assert f"<dt>{word}</dt>" in report.html


@pytest.mark.training
def test_every_figure_in_words_stands_in_a_table(report: Report) -> None:
    """Each number of the verdict is one that a table or list of facts of the page shows."""
    known = cells(report.html) | {"90", "80", "50", "96", "32", "16", "8"}  # names of bands, a type's width
    shown = unescape(re.sub(r"<th[^>]*>|</th>", " ", report.html))
    said = " ".join([report.verdict.headline, *report.verdict.said])
    figures = NUMBER.findall(re.sub(r"(ridge|naive|lead|int|float) ?\d+", "", said))
    assert len(figures) >= 6
    assert [n for n in figures if n not in known] == []
    for lead in re.findall(r"lead (\d+)", said):
        assert f"lead {lead}" in shown


@pytest.mark.training
def test_table_equals_the_manifests(run: Run, report: Report) -> None:
    """Errors at lead 1 and over all leads are those the bundle's manifest has for the same forecasters."""
    errors = findings.measure(run.forecasts)
    rows = {row["forecaster"]: row["mase"] for row in run.manifest.training["table"]}
    rows[MODEL] = rows.pop(f"model {run.manifest.default_variant}")
    for name in errors.by_lead:
        assert errors.at(name, 1) == pytest.approx(rows[name]["1"], rel=1e-6)
        assert errors.at(name) == pytest.approx(rows[name][str(HORIZON)], rel=1e-4)
        assert f"{errors.at(name):.3f}" in report.html


@pytest.mark.training
def test_served_stands_beside_the_model_and_wins_nothing(run: Run, report: Report) -> None:
    """What the device blends is in table and picture; at each lead it lies between the model and its baseline."""
    served = run.served()
    errors = findings.measure(run.forecasts, served)
    assert served.shape == run.forecasts.truth.y.shape
    # As if the model had been far off at the origins before: the blend has learned otherwise.
    assert run.forecasts.before is not None
    off = dataclasses.replace(run.forecasts, before=run.forecasts.before + 3)
    assert (served[0] != dataclasses.replace(run, forecasts=off).served()[0]).any()
    x, wanted = run.forecasts.x, run.forecasts.origins
    naive = evaluate.persistence(x, wanted, HORIZON), evaluate.seasonal_naive(x, wanted, HORIZON, 24)
    median = run.forecasts.quantiles[..., 3]
    bounds = np.stack([median, *naive])
    known = np.isfinite(x[wanted]).all(axis=(1, 2))
    assert (served[known] >= bounds[:, known].min(axis=0) - 1e-4).all()
    assert (served[known] <= bounds[:, known].max(axis=0) + 1e-4).all()
    assert SERVED not in errors.by_origin
    assert f"<th>{SERVED}</th>" in report.html
    assert f"{errors.at(SERVED, HORIZON):.3f}" in report.html
    (axes,) = next(p for p in report.pictures if p.name == "by_lead").figure.axes
    np.testing.assert_allclose(ys(axes, SERVED), errors.by_lead[SERVED])
    assert report.verdict.winner != SERVED


@pytest.mark.training
def test_pictures_show_the_run(run: Run, report: Report) -> None:
    """Losses are the notes, ridge's level the first note; fans end in the readings that came; axes carry units."""
    drawn = {p.name: p.figure.axes for p in report.pictures}
    notes = run.fitted.notes
    assert ys(drawn["loss"][0], "validation") == [n.validation_loss for n in notes[1:]]
    assert ys(drawn["loss"][0], "training") == [n.loss for n in notes[1:]]
    assert ys(drawn["loss"][0], "ridge") == [notes[0].validation_loss] * 2
    assert ys(drawn["gradient"][0], "norm of the gradient") == [n.gradient_norm for n in notes[1:]]
    for e in findings.examples(run.forecasts):
        (axes,) = drawn[f"fan_{e.kind}"]
        first = run.forecasts.origins.start + e.origin + 1
        readings = run.recording.values[first : first + HORIZON, e.stream, e.channel]
        np.testing.assert_array_equal(ys(axes, "readings")[-HORIZON:], readings)
        anchor, unit = run.fitted.anchor[e.stream, e.channel], run.fitted.unit[e.stream, e.channel]
        median = run.forecasts.quantiles[e.origin, e.stream, e.channel, :, 3] * unit + anchor
        np.testing.assert_allclose(ys(axes, "forecast"), median, rtol=1e-6)
        assert axes.get_ylabel() == ("cellar, °C" if e.stream == 0 else "attic")
    assert drawn["series"][0].get_ylabel() == "cellar, °C"
    assert len(ys(drawn["gates"][0], "keep (z)")) == 24


@pytest.mark.training
def test_report_is_written_with_its_pictures(report: Report, tmp_path: Path) -> None:
    """The page goes where it is wanted and each picture beside it as a PNG of 1200 pixels."""
    folder = write(report, tmp_path / "house.report.html")
    assert folder == tmp_path / "house.report"
    assert (tmp_path / "house.report.html").read_text(encoding="utf-8") == report.html
    assert {p.name for p in folder.iterdir()} == {f"{p.name}.png" for p in report.pictures}
    head = (folder / "loss.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(head[16:20], "big") == 1200


@pytest.mark.training
def test_training_that_was_stopped_at_once_has_a_report(run: Run) -> None:
    """Where nothing was validated but ridge, the page shows no curve and says that there is none to read."""
    fitted = dataclasses.replace(run.fitted, notes=run.fitted.notes[:1])
    made = make(run.recording, fitted, run.recipe, Produced(run.manifest, {}, run.forecasts))
    assert {"loss", "gradient"}.isdisjoint(p.name for p in made.pictures)
    assert "Too few validations" in made.html
    check_page(made.html, made.pictures)


@pytest.mark.training
def test_horizon_of_one_step_has_a_report(run: Run) -> None:
    """A model that forecasts one step has one lead in every table and picture."""
    f = run.forecasts
    truth = Truth(f.truth.y[..., :1], f.truth.mase, f.truth.unit)
    one = Forecasts(
        f.x, f.origins, truth, {n: p[..., :1] for n, p in f.peers.items()}, f.quantiles[..., :1, :]
    )
    spec = msgspec.structs.replace(run.fitted.spec, horizon=1)
    rows = [{**row, "mase": {"1": row["mase"]["1"]}} for row in run.manifest.training["table"]]
    manifest = msgspec.structs.replace(run.manifest, training={**run.manifest.training, "table": rows})
    fitted = dataclasses.replace(run.fitted, spec=spec)
    made = make(run.recording, fitted, run.recipe, Produced(manifest, {}, one))
    assert "lead 2" not in made.html
    check_page(made.html, made.pictures)


@pytest.mark.training
def test_data_facts_are_the_recordings(run: Run) -> None:
    """Rows, share known, seasons, split and the time of the first and last step are those of the recording."""
    facts = dict(tables.data_facts(run))
    assert facts["grid"] == "900 steps of 1h"
    assert facts["length"] == "37.5 days"
    assert facts["channels forecast"] == "1 of 2, the others are inputs"
    assert facts["values known"] == f"{100 * np.isfinite(run.recording.values).mean():.1f} %"
    assert facts["seasons"] == "24 steps (1d)"
    assert facts["training part"] == "540 steps (60 %)"
    assert (facts["first step (UTC)"], facts["last step (UTC)"]) == (
        "1970-01-01 03:00:00",
        "1970-02-07 14:00:00",
    )


# --- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peers", "recurrent", "winner", "words"),
    [
        ({"persistence": 2.0, "seasonal naive 24": 1.5, "ridge 96": 1.2}, True, MODEL, "earns its keep"),
        ({"persistence": 1.0, "ridge 96": 1.0}, True, "persistence", "Persistence wins"),
        (
            {"persistence": 2.0, "seasonal naive 24": 1.0, "ridge 96": 1.1},
            True,
            "seasonal naive 24",
            "repeating the last",
        ),
        (
            {"persistence": 2.0, "seasonal naive 24": 1.5, "ridge 96": 1.0},
            False,
            "ridge 96",
            "Ridge wins and ships",
        ),
        ({"persistence": 2.0, "ridge 96": 0.8}, True, "ridge 96", "did not last"),
        ({"persistence": 2.0, "ridge 96": 1.0}, True, "ridge 96", "A draw"),
        ({"persistence": 1.0, "ridge 96": 0.7}, True, "ridge 96", "did not last"),
    ],
)
def test_verdict_names_the_simplest_that_is_not_beaten(
    peers: dict[str, float], recurrent: bool, winner: str, words: str
) -> None:
    """Whatever the model does not beat beyond chance wins before it, the simplest first; the headline says so."""
    v = verdict.judge(outcome(peers, recurrent=recurrent))
    assert v.winner == winner
    assert words in v.headline
    assert v.advice[-1] == "do"


def test_random_walk_goes_to_persistence() -> None:
    """On a random walk, where ridge and network rediscover the last value, the verdict is that persistence wins."""
    rng = np.random.default_rng(3)
    walk = rng.standard_normal(2000).cumsum()
    y = np.lib.stride_tricks.sliding_window_view(walk, 12)[1:][:, None, None].astype(np.float32)
    last = np.repeat(walk[: len(y)], 12).reshape(y.shape).astype(np.float32)
    almost = last + 0.05 * rng.standard_normal(y.shape).astype(np.float32)
    q = np.repeat((last + 0.04 * rng.standard_normal(y.shape))[..., None], 7, axis=-1).astype(np.float32)
    f = Forecasts(
        walk[:, None, None], slice(0, len(y)), Truth(y, np.ones((1, 1)), np.ones((1, 1))),
        {"persistence": last, "ridge 96": almost}, q,
    )  # fmt: skip
    errors = findings.measure(f)
    chance = {
        n: findings.chance(errors.by_origin[MODEL], e, 12) for n, e in errors.by_origin.items() if n != MODEL
    }
    o = Outcome(errors, chance, True, {"90 %": (0.9, 0.9, 0.9)}, "int8_weights", 0.0, ("", ""))
    assert verdict.winner(o) == "persistence"


def test_a_test_part_too_short_to_tell_is_called_so() -> None:
    """Where others err plainly less, and only chance lets persistence stand, nobody speaks of a random walk."""
    o = outcome({"persistence": 1.0 / 0.85, "ridge 96": 0.84 / 0.85})
    v = verdict.judge(dataclasses.replace(o, chance=dict.fromkeys(o.chance, 30.0)))
    assert v.winner == "persistence"
    assert v.headline.startswith("The test part is too short to tell the model (-15.")
    assert "ridge 96 (-1" in v.headline
    assert "random walk" not in v.headline


def test_nobody_is_told_to_give_what_is_given() -> None:
    """A model with covariates is not advised to take weather."""
    o = outcome({"persistence": 1.0, "ridge 96": 1.0})
    assert "weather" in " ".join(verdict.judge(o).advice)
    assert "weather" not in " ".join(verdict.judge(dataclasses.replace(o, has_inputs=True)).advice)


@pytest.mark.training
def test_a_recording_without_a_season_is_not_told_of_one(run: Run) -> None:
    """What errors are counted in is said of the recording at hand; its covariates and known inputs are named."""
    assert "repeating the last season" in tables.explain_errors(run)
    spec = msgspec.structs.replace(run.fitted.spec, seasons=())
    still = dataclasses.replace(run, fitted=dataclasses.replace(run.fitted, spec=spec))
    text = " ".join([tables.explain_errors(still), still.error_unit, *map(" ".join, tables.words(still))])
    assert "repeating the last season" not in text
    assert "seasonal" not in text
    named = dataclasses.replace(run.recording, values=np.zeros((5, 1, 2)), names=("load", "sun"), targets=1)
    assert "load with the covariates sun. " in tables.summary(dataclasses.replace(run, recording=named))


def test_bands_that_miss_by_far_stand_in_the_headline() -> None:
    """A 90 % band that holds 70 % is told at the top, with what to do; one within ten points is not."""
    o = outcome({"ridge 9": 1.5})
    far = verdict.judge(dataclasses.replace(o, bands={"90 %": (0.9, 0.88, 0.7)}))
    assert far.headline.endswith("that of 90 % held 70.0 % at lead 6.")
    assert any("Bands that miss" in text for text in far.advice)
    near = verdict.judge(dataclasses.replace(o, bands={"90 %": (0.9, 0.82, 0.95)}))
    assert "bands" not in near.headline
    zero = verdict.judge(dataclasses.replace(o, lost_percent=-0.001))
    assert "-0.00" not in " ".join(zero.said)


def test_bands_that_miss_are_called_so() -> None:
    """A band within 5 points is as promised; one farther off is for the device to correct."""
    good, bad = outcome({"ridge 9": 1.5}), outcome({"ridge 9": 1.5})
    bad = Outcome(bad.errors, bad.chance, True, {"90 %": (0.9, 0.7, 0.9)}, "x", 0.0, ("", ""))
    good = Outcome(good.errors, good.chance, True, {"90 %": (0.9, 0.88, 0.93)}, "x", 0.0, ("", ""))
    assert "as promised" in " ".join(verdict.judge(good).said)
    assert "70.0 % of the readings at lead 1" in " ".join(verdict.judge(bad).said)
    assert "the device corrects this" in " ".join(verdict.judge(bad).said)


@pytest.mark.parametrize(
    ("training", "validation", "seen", "do"),
    [
        ([5, 4, 3, 2.5, 2, 1.5], [5, 4.2, 3.5, 3, 2.5, 2], "still falling", "training.steps"),
        ([5, 4, 3, 3, 3, 3, 3, 3], [5, 4, 3, 3, 3, 3, 3, 3], "flat", "cell.units"),
        ([5, 3, 1, 1, 1, 1, 1, 1], [5, 4, 3, 3, 3, 3, 3, 3], "learns by heart", "dropout"),
        ([5, 3, 2, 1.5, 1, 0.8, 0.6], [5, 3, 2, 2.2, 2.5, 2.8, 3.1], "by heart", "dropout"),
        ([5, 3, 2, 1.8, 1.6, 1.4, 1.4, 1.4], [5, 3, 2.5, 2.7, 2.9, 3.1, 3.3, 3.5], "by heart", "dropout"),
        ([2, 2, 2, 3, 4, 5, 6], [2, 2, 2, 3, 4, 5, 6], "diverges", "learning_rate"),
        ([2, 1], [2, 1], "Too few", "training.steps"),
    ],
)
def test_loss_curve_is_read(
    training: Sequence[float], validation: Sequence[float], seen: str, do: str
) -> None:
    """Each shape of the two curves has its sentence and its advice."""
    said, advice = trend.read(training, validation)
    assert seen in said
    assert do in advice


@pytest.mark.parametrize(("drift", "shape"), [(0.0, "plateau"), (-0.02, "falling"), (0.02, "rising")])
def test_trend_sees_through_noise(drift: float, shape: str) -> None:
    """Noise alone is a plateau; a drift well beyond it is seen."""
    t = np.arange(90)
    noise = 0.05 * np.random.default_rng(2).standard_normal(90)
    assert trend.trend((3 + drift * (t - 60) * (t > 60) + noise).tolist()).shape == shape


# --- the command --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "found"), [("none/x.html", "no such folder"), (".", "a folder")])
def test_report_without_a_place_is_refused_before_training(tmp_path: Path, place: str, found: str) -> None:
    """A report that could not be written in the end is a ConfigError before anything is read."""
    options = ["--every", "1h", "--horizon", "6h", "--unsigned", "-o", str(tmp_path / "x.edgeseq")]
    result = CliRunner().invoke(train, ["absent.csv", *options, "--report", str(tmp_path / place)])
    assert "the report cannot be written" in str(result.exception)
    assert result.exception.found == found  # type: ignore[union-attr]
    assert result.exception.exit_code == 78  # type: ignore[union-attr]


def test_report_that_cannot_be_is_a_usage_error() -> None:
    """Asking for a report and for none is told before anything is read."""
    options = ["--every", "1h", "--horizon", "6h", "--report", "x.html", "--no-report"]
    result = CliRunner().invoke(train, ["absent.csv", *options])
    assert result.exit_code == 2
    assert "exclude each other" in result.output


def test_without_matplotlib_training_says_what_to_install() -> None:
    """Where the pictures' package is missing, the extra that brings it is named."""
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from edgeseq.cli import exit_code\n"
        "def command(): import edgeseq_train.pictures.canvas\n"
        "sys.exit(exit_code(command))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert "pip install 'edgeseq[train]'" in done.stderr
