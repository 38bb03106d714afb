"""The sine demo says what its table says, and runs every network as a device would."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgeseq.commands.demo import demo
from edgeseq.core.types import F64
from edgeseq.demo import files
from edgeseq_train.sine import simple, words
from edgeseq_train.sine.outcome import Curve, Outcome, free_errors, is_better, score
from edgeseq_train.sine.page import Results, draw, page
from edgeseq_train.sine.run import run_sine
from edgeseq_train.sine.series import Sine, make_sine
from tests.support.pages import check_page, ys

SINE = make_sine(0)
CURVE = Curve([1, 2, 3, 4, 5], "epoch", [5, 4, 3, 2, 1], [5, 4, 3, 2, 1.5], "mean squared error")
FIGURE = re.compile(r"\d\.\d{3}")


def erring(name: str, one: float, free: float = 0.2, direct: float | None = None, seed: int = 0) -> Outcome:
    """Make a forecaster that errs by so much beside the noise."""
    rng = np.random.default_rng(seed)
    true = simple.noise_itself(SINE)

    def off(values: F64, by: float) -> F64:
        return np.asarray(values + by * rng.standard_normal(values.shape))

    said = None if direct is None else off(true.free, direct)
    return Outcome(name, off(true.one_ahead, one), off(true.free, free), said, curve=CURVE, kb=1.0)


def results(
    window: float = 0.1, carried: Sequence[float] = (0.05, 0.05, 0.05), regression: float = 0.01
) -> Results:
    """Make results in which everybody errs as asked."""
    cells = [
        erring(f"{k}(16) carried", e, 0.1, 0.05, n)
        for n, (k, e) in enumerate(zip(("RNN", "GRU", "LSTM"), carried, strict=True))
    ]
    naive = [simple.persistence(SINE), simple.seasonal_naive(SINE)]
    ridge = erring("ridge on 100", regression, 0.01, 0.01)
    return Results(
        SINE,
        0,
        erring("SimpleRNN(50) on 10", window, 0.5),
        cells,
        naive,
        ridge,
        simple.noise_itself(SINE),
        1.0,
    )


# --- the whole demo -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    """Run the demo with one cell, trained for a moment."""
    folder = tmp_path_factory.mktemp("sine")
    return folder, run_sine(folder, seed=1, epochs=3, steps=8, kinds=("lstm",))


@pytest.mark.training
def test_demo_writes_a_page_and_its_pictures(ran: tuple[Path, Results]) -> None:
    """sine.html is whole and fetches nothing; each picture lies beside it as a PNG."""
    folder, r = ran
    pictures = draw(r)
    check_page((folder / "sine.html").read_text(encoding="utf-8"), pictures)
    names = [
        "series",
        "loss_simplernn",
        "loss_lstm",
        "predicted_window",
        "predicted_carried",
        "free_run",
        "free_errors",
    ]
    assert [p.name for p in pictures] == names
    assert {p.stem for p in (folder / "sine").iterdir()} == set(names)


@pytest.mark.training
def test_networks_run_as_files_of_the_device(ran: tuple[Path, Results]) -> None:
    """Both networks know the wave after a moment of training, count their parameters, and have a file and a curve."""
    _, r = ran
    (cell,) = r.carried
    assert [(layer.name, layer.parameters) for layer in r.window.layers] == [
        ("SimpleRNN(50)", 2600),
        ("Dense(1)", 51),
    ]
    assert cell.layers[2].parameters == 4 * 16 * (17 + 16 + 1)
    assert cell.parameters == sum(layer.parameters for layer in cell.layers)
    for o in (r.window, cell):
        assert score(o, r.sine).one < 0.25
        assert o.one_ahead.shape == (200,)
        assert o.free.shape == (len(r.sine.free_origins), r.sine.season)
        assert o.curve is not None
        assert o.kb is not None
        assert o.kb > 1
    assert cell.direct is not None
    # The first reading of a free run is the forecast one step ahead, made from the same state.
    np.testing.assert_allclose(cell.free[:, 0], cell.one_ahead[: len(cell.free)], atol=1e-5)
    np.testing.assert_allclose(cell.direct[:, 0], cell.free[:, 0], atol=1e-5)
    np.testing.assert_allclose(r.window.free[:, 0], r.window.one_ahead[: len(r.window.free)], atol=1e-5)


# --- figures ------------------------------------------------------------------------------------------------------


def test_naive_forecasts_are_what_they_say() -> None:
    """Persistence repeats the last value, seasonal naive the last season; the noise itself errs by the noise."""
    still, season, noise = simple.persistence(SINE), simple.seasonal_naive(SINE), simple.noise_itself(SINE)
    np.testing.assert_array_equal(still.one_ahead, SINE.values[799:999])
    np.testing.assert_array_equal(still.free[0], np.full(50, SINE.values[799]))
    np.testing.assert_array_equal(season.one_ahead, SINE.values[750:950])
    np.testing.assert_array_equal(season.free[0], SINE.values[750:800])
    assert score(noise, SINE).one == pytest.approx(np.abs(SINE.values - SINE.clean)[800:].mean())


def test_ridge_on_two_seasons_comes_close_to_the_noise() -> None:
    """Without a network two seasons suffice; one step ahead and from a free run the first reading is the same."""
    regression = simple.two_seasons_of_ridge(SINE)
    assert score(regression, SINE).one < 1.1 * score(simple.noise_itself(SINE), SINE).one
    np.testing.assert_allclose(regression.free[:, 0], regression.one_ahead[: len(regression.free)])
    assert regression.parameters == 100 * 50


def test_score_is_the_mean_absolute_error() -> None:
    """Errors are means over the test part; a free run's error by lead averages to its score."""
    o = erring("x", 0.3, 0.4, 0.5)
    s = score(o, SINE)
    assert s.one == pytest.approx(np.abs(o.one_ahead - SINE.targets).mean())
    assert s.free == pytest.approx(free_errors(o, SINE).mean())
    assert s.direct is not None
    assert s.direct > s.free


def test_better_means_beyond_chance() -> None:
    """A clear difference is seen; forecasters of one kind are a draw either way."""
    good, bad, alike = erring("a", 0.02), erring("b", 0.2, seed=1), erring("c", 0.02, seed=2)
    assert is_better(good, bad, SINE)
    assert not is_better(bad, good, SINE)
    assert not is_better(good, alike, SINE)
    assert not is_better(alike, good, SINE)


# --- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "carried", "said"),
    [
        (0.2, (0.05, 0.05, 0.05), "A state that is carried beats the window"),
        (0.01, (0.2, 0.2, 0.2), "The window beats the carried state"),
        (0.05, (0.05, 0.05, 0.05), "draw"),
    ],
)
def test_headline_says_who_wins(window: float, carried: tuple[float, float, float], said: str) -> None:
    """The headline names the winner, or a draw."""
    r = results(window, carried)
    assert said in words.headline(r.window, r.carried, r.noise, r.sine)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "whoever looks back two seasons needs no network"),
        ({"regression": 0.5}, "beats a linear regression"),
        ({"window": 1.0}, "does not clearly beat all of"),
        ({"window": 0.01}, "beats what needs no training"),
        ({"carried": (0.01, 0.1, 0.4)}, "better than the last by more than chance"),
        ({}, "chance decides between them"),
    ],
)
def test_findings_follow_the_figures(change: dict[str, float], said: str) -> None:
    """Each sentence turns with the figures it tells."""
    r = results(**change)  # type: ignore[arg-type]
    assert said in " ".join(words.findings(r.window, r.carried, r.simple, r.regression, r.sine))


@pytest.mark.parametrize("window", [0.01, 0.2])
def test_every_figure_in_words_stands_in_the_table(window: float) -> None:
    """Errors that the headline and the findings tell are those of the table."""
    r = results(window)
    html = unescape(page(r, draw(r)))
    table = set(FIGURE.findall(" ".join(re.findall(r"<td[^>]*>(.*?)</td>", html))))
    said = [words.headline(r.window, r.carried, r.noise, r.sine)]
    said += words.findings(r.window, r.carried, r.simple, r.regression, r.sine)
    figures = FIGURE.findall(" ".join(said))
    assert len(figures) >= 10
    assert set(figures) <= table
    assert all(text in html for text in said)


def test_losses_are_read_in_the_words_of_their_maker() -> None:
    """Keras is told to change epochs, edgeseq's own loop its recipe."""
    keras = words.read_curve(CURVE)
    own = words.read_curve(
        Curve([1, 2, 3, 4, 5], "training step", CURVE.training, CURVE.validation, "pinball")
    )
    assert "epochs" in keras[1]
    assert "training.steps" in own[1]
    assert keras[0] == own[0]


def test_pictures_show_what_was_forecast() -> None:
    """Predicted lines are the forecasts of the first test readings; the free run starts after its origin."""
    r = results()
    drawn = {p.name: p.figure.axes[0] for p in draw(r)}
    assert ys(drawn["predicted_window"], "SimpleRNN") == r.window.one_ahead[:100].tolist()
    assert ys(drawn["predicted_carried"], "GRU") == r.carried[1].one_ahead[:100].tolist()
    assert ys(drawn["predicted_window"], "readings") == SINE.values[800:900].tolist()
    assert ys(drawn["predicted_window"], "without noise") == SINE.clean[800:900].tolist()
    assert ys(drawn["free_run"], "LSTM") == r.carried[2].free[0].tolist()
    (line,) = [line for line in drawn["free_run"].get_lines() if line.get_label() == "LSTM"]
    assert np.asarray(line.get_xdata()).tolist() == list(range(800, 850))
    assert ys(drawn["free_errors"], "RNN") == pytest.approx(free_errors(r.carried[0], SINE).tolist())


# --- the command --------------------------------------------------------------------------------------------------


def test_whole_demos_options_are_refused_before_sine(tmp_path: Path) -> None:
    """An option that stands before the sub-command is not left out silently."""
    result = CliRunner().invoke(demo, ["--folder", str(tmp_path), "sine"])
    assert result.exit_code == 2
    assert "--folder is the whole demo's; options of sine stand after it" in result.output


def test_demo_without_packages_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where training's packages are missing, the extra that brings them is named and nothing is written."""
    monkeypatch.setattr("edgeseq.commands.demo.find_spec", lambda _: None)
    result = CliRunner().invoke(demo, ["sine", "--folder", str(tmp_path / "x")])
    assert "the demo needs more than a device does" in str(result.exception)
    assert "pip install 'edgeseq[train,edge]'" in str(result.exception)
    assert not (tmp_path / "x").exists()


def test_whole_demo_may_follow_in_the_same_folder(tmp_path: Path) -> None:
    """A folder that the sine demo made is the demo's; one with other things in it stays its owner's."""
    files.claim(tmp_path / "new")
    (tmp_path / "new" / "sine.html").touch()
    files.clear(files.Folder(tmp_path / "new"))
    assert not (tmp_path / "new" / "sine.html").exists()
    (tmp_path / "mine.txt").touch()
    files.claim(tmp_path)
    assert not (tmp_path / files.MARKER).exists()


def test_same_seed_same_series() -> None:
    """The series repeats itself with its seed and differs with another."""
    assert np.array_equal(make_sine(3).values, make_sine(3).values)
    assert not np.array_equal(make_sine(3).values, make_sine(4).values)
    assert isinstance(make_sine(3), Sine)
