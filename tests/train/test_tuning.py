"""A search over a recipe's choices: one measure, bounds, budget, going on, refusals, and the command."""

from __future__ import annotations

import dataclasses
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from optuna.study import Study
from optuna.trial import TrialState

from edgeseq import cli
from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import NetworkSpec
from edgeseq.errors import EXIT_CONFIG, ConfigError
from edgeseq_train.fit import Fitted, fit
from edgeseq_train.parts import Recording
from edgeseq_train.recipe import CellRecipe, FrontRecipe, Recipe, TrainingRecipe
from edgeseq_train.recipe_files import read_recipe
from edgeseq_train.tuning import space as spaces
from edgeseq_train.tuning import study as studies
from edgeseq_train.tuning import tables
from edgeseq_train.tuning.command import tune
from edgeseq_train.tuning.ruler import cost_of, make_ruler, measure_of, parameters_of, score
from edgeseq_train.tuning.trial import PARAMETERS, REASON, Limits, Task
from tests.train.conftest import HOUR_NS, make_series

pytestmark = pytest.mark.training

STEPS, HORIZON = 420, 4
VALIDATION_STOP = 336
PLENTY = Limits(1e9)


def make_recipe(seed: int = 0, **training: Any) -> Recipe:
    """Make a recipe that trains in a moment."""
    plain = {"steps": 6, "lanes": 4, "validate_every": 2, "segment": 16, "cold_share": 0.0}
    return Recipe(
        seed=seed, every="1h", horizon=f"{HORIZON}h", levels=(0.1, 0.5, 0.9), cell=CellRecipe(units=4),
        front=FrontRecipe(seasons=(24,), ring=48), training=TrainingRecipe(**(plain | training)),
    )  # fmt: skip


def make_recording(steps: int = STEPS) -> Recording:
    """Make an hourly recording of two series."""
    return Recording(make_series(steps, 2)[:, :, None], ("a", "b"), HOUR_NS)


def make_task(recipe: Recipe | None = None, recording: Recording | None = None) -> Task:
    """Lay out a search with few choices: compiled steps take their time."""
    task = studies.task_of(recording or make_recording(), HORIZON, recipe or make_recipe())
    few = ("cell.units", "training.median_weight", "training.learning_rate")
    narrow: spaces.Space = {field: task.space[field] for field in few}
    narrow["cell.units"] = spaces.Options((4, 6))
    return dataclasses.replace(task, space=narrow)


def quiet(*_: Any) -> None:
    """Show nothing."""


def outcomes(study: Study) -> list[tuple[Any, ...]]:
    """List what matters of the finished trials."""
    return [(t.state, t.value, t.params, t.intermediate_values) for t in studies.finished(study)]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Task, Study]]:
    """Search two trials at a stretch."""
    task = make_task()
    with studies.opened(tmp_path_factory.mktemp("study") / "s.sqlite", task) as study:
        studies.search(task, study, dataclasses.replace(PLENTY, trials=2), quiet, quiet)
        yield task, study


def test_first_trial_is_the_recipe_and_its_value_its_own_validation_loss(
    searched: tuple[Task, Study],
) -> None:
    """The start's value is, to rounding, the loss that training by the recipe reports; the best is no worse."""
    task, study = searched
    first = studies.finished(study)[0]
    assert first.params == spaces.start_of(task.space, task.start)
    assert spaces.recipe_of(task.start, first.params) == task.start
    fitted: Fitted = fit(make_recording(), HORIZON, task.start, quiet, quiet)
    assert first.value == pytest.approx(fitted.summary["validation_loss"], rel=1e-6)
    assert first.user_attrs[PARAMETERS] == fitted.summary["parameters"]
    best = studies.ranked(study)[0]
    assert best.value is not None
    assert first.value is not None
    assert best.value <= first.value
    assert studies.best_recipe(task, study) == spaces.recipe_of(task.start, best.params)


def test_ruler_counts_all_trials_alike() -> None:
    """The same weights in trainings of other median weight and season have other losses, and one score."""
    taken: list[Any] = []
    stop = ConfigError("seen enough")

    def shown(trainer: Any) -> None:
        taken.append(trainer)
        raise stop

    others = [make_recipe(), make_recipe(median_weight=1.0)]
    others.append(msgspec.structs.replace(others[0], front=FrontRecipe(seasons=(12,), ring=48)))
    for recipe in others:
        with pytest.raises(ConfigError, match="seen enough"):
            fit(make_recording(), HORIZON, recipe, quiet, quiet, shown=shown)
    start, median, season = taken
    measure = measure_of(start)
    assert make_ruler(start, measure).validate() == start.validate()
    own = start.validate()
    assert abs(median.validate() / own - 1) > 0.01
    assert score(make_ruler(median, measure), start.weights()) == pytest.approx(own, rel=1e-6)
    # Another season is another front: what is left of the difference is its features, not the unit.
    season_ruler = make_ruler(season, measure)
    run = next(r for r in season.rows.runs if not r.cold)
    np.testing.assert_array_equal(
        season_ruler.data.weight[run.start : run.stop], start.data.weight[run.start : run.stop]
    )
    np.testing.assert_array_equal(season_ruler.lead_weights, start.lead_weights)
    assert not np.array_equal(
        season.data.weight[run.start : run.stop], start.data.weight[run.start : run.stop]
    )


def test_stopped_study_goes_on_as_if_it_had_not_been(searched: tuple[Task, Study], tmp_path: Path) -> None:
    """Cut by Ctrl-C within the second trial and opened again, the trials are those of the study at a stretch."""
    task, whole = searched
    said: list[str] = []

    def press_ctrl_c(what: str, _: float) -> None:
        if what.startswith("trial 2, step 4"):
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with studies.opened(tmp_path / "s.sqlite", task) as study:
        studies.search(task, study, PLENTY, said.append, press_ctrl_c)
        assert outcomes(study) == outcomes(whole)[:1]
        assert [t.state for t in study.trials] == [TrialState.COMPLETE, TrialState.FAIL]
        assert studies.best_recipe(task, study) == task.start
        study.ask()  # as a process that is killed leaves it
    assert "stopped by Ctrl-C" in said[-1]
    assert signal.getsignal(signal.SIGINT) == before
    with studies.opened(tmp_path / "s.sqlite", task) as study:
        studies.search(task, study, dataclasses.replace(PLENTY, trials=2), quiet, quiet)
        assert outcomes(study) == outcomes(whole)


def test_test_part_changes_nothing(searched: tuple[Task, Study], tmp_path: Path) -> None:
    """With other values in the test part the task is the same, to the bit, and so is the digest of the study."""
    task, _ = searched
    recording = make_recording()
    known = np.ones((STEPS, 1), np.float32)
    other, foreseen = recording.values.copy(), known.copy()
    other[VALIDATION_STOP:] += 1000.0
    foreseen[VALIDATION_STOP:] += 1.0
    tasks = [
        studies.task_of(dataclasses.replace(recording, values=v, known=k), HORIZON, task.start)
        for v, k in ((recording.values, known), (other, foreseen))
    ]
    assert studies.digest_of(tasks[0]) == studies.digest_of(tasks[1])
    for name in ("values", "known"):
        first, second = (getattr(t.recording, name) for t in tasks)
        np.testing.assert_array_equal(first, second)
    other[VALIDATION_STOP - 1] += 1.0
    moved = studies.task_of(dataclasses.replace(recording, values=other), HORIZON, task.start)
    assert studies.digest_of(moved)["data"] != studies.digest_of(tasks[0])["data"]


@pytest.mark.parametrize(
    ("recording", "recipe", "what"),
    [
        (make_recording(STEPS + 1), None, "other data"),
        (None, make_recipe(seed=1), "other choices"),
        (None, make_recipe(dropout=0.4), "other choices"),
    ],
)
def test_study_of_something_else_is_refused(
    tmp_path: Path, recording: Recording | None, recipe: Recipe | None, what: str
) -> None:
    """A study begun with other data, seed or recipe is a ConfigError that names what differs."""
    path = tmp_path / "s.sqlite"
    with studies.opened(path, make_task()):
        pass
    other = make_task(recipe, recording)
    with pytest.raises(ConfigError, match=f"the study is of {what}") as raised, studies.opened(path, other):
        pass
    assert raised.value.where == str(path)


def test_file_that_is_no_study_is_refused(tmp_path: Path) -> None:
    """A file of something else is a ConfigError, and is left as it is."""
    path = tmp_path / "s.sqlite"
    path.write_text("no database, but long enough to be one" * 50)
    with pytest.raises(ConfigError, match="the study cannot be opened"), studies.opened(path, make_task()):
        pass
    assert path.read_text().startswith("no database")


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        ({"parameters": 10}, "parameters are more than 10"),
        ({"us_per_reading": 1e-3}, "µs per reading are more than 0.001"),
        ({"cost_ratio": 0.5}, "1.00 of the start's cost are more than 0.5"),
    ],
)
def test_bounds_prune_before_training(bounds: dict[str, Any], reason: str) -> None:
    """A network out of bounds is pruned without a step, with the reason; without any other that is an error."""
    task = make_task()
    stepped: list[str] = []
    with studies.opened(None, task) as study:
        limits = dataclasses.replace(PLENTY, trials=1, **bounds)
        studies.search(task, study, limits, quiet, lambda what, _: stepped.append(what))
        (trial,) = studies.finished(study)
        assert trial.state == TrialState.PRUNED
        assert reason in trial.user_attrs[REASON]
        assert reason in tables.pruned(study)[0]
        assert not stepped
        with pytest.raises(ConfigError, match="no trial was trained") as raised:
            studies.best_recipe(task, study)
        assert "loosen the bounds" in str(raised.value.do)


def test_impossible_choice_is_pruned_with_the_reason() -> None:
    """What cannot be trained on this recording is no error of the search, but one of the recipe it starts from."""
    task = dataclasses.replace(make_task(), space={"training.segment": spaces.Options((16, 100_000))})
    with studies.opened(None, task) as study:
        study.enqueue_trial({"training.segment": "100000"})
        studies.search(task, study, dataclasses.replace(PLENTY, trials=1), quiet, quiet)
        (trial,) = studies.finished(study)
    assert trial.state == TrialState.PRUNED
    assert "no run of the training part is as long as a segment" in trial.user_attrs[REASON]
    too_long = make_task(make_recipe(segment=100_000))
    with studies.opened(None, too_long) as study, pytest.raises(ConfigError, match="as long as a segment"):
        studies.search(too_long, study, PLENTY, quiet, quiet)


def test_time_used_up_drops_the_trial_that_runs() -> None:
    """The clock is asked at each validation: the trial during which the time ends leaves nothing behind."""
    task = make_task()
    said: list[str] = []
    ticks = iter(range(100))
    limits = Limits(3, clock=lambda: float(next(ticks)))
    with studies.opened(None, task) as study:
        studies.search(task, study, limits, said.append, quiet)
        assert not studies.finished(study)
        with pytest.raises(ConfigError, match="no trial was trained") as raised:
            studies.best_recipe(task, study)
    assert "trial 1 is dropped at step" in said[-1]
    assert "--time-budget" in str(raised.value.do)


def test_trials_behind_the_median_are_pruned() -> None:
    """After enough finished trials, one whose losses are above the others' is given up at its first reports."""
    task = make_task()
    with studies.opened(None, task) as study:
        for _ in range(studies.STARTUP_TRIALS):
            asked = study.ask()
            for step in (2, 4, 6):
                asked.report(-1.0, step)  # lower than any loss
            study.tell(asked, -1.0)
        studies.search(task, study, dataclasses.replace(PLENTY, trials=5), quiet, quiet)
        last = studies.finished(study)[-1]
    assert last.state == TrialState.PRUNED
    assert last.user_attrs[REASON] == "behind the median at step 2"


def test_space_holds_what_the_recipe_says() -> None:
    """Whatever the recipe chooses is an option; [[layers]] leave [cell] without a meaning, and out."""
    recipe = make_recipe(lanes=7, learning_rate=0.5)
    full = studies.task_of(make_recording(), HORIZON, recipe).space
    assert full["training.lanes"] == spaces.Options((7, 16, 32, 48, 96))
    assert full["training.learning_rate"] == spaces.Range(5e-4, 0.5, is_log=True)
    assert {(24,), None, ()} <= set(full["front.seasons"].values)  # type: ignore[union-attr]
    assert {48, 24, None} <= set(full["front.ring"].values)  # type: ignore[union-attr]
    assert spaces.recipe_of(recipe, spaces.start_of(full, recipe)) == recipe
    layered = msgspec.structs.replace(recipe, layers=(LayerSpec("gru", 4),))
    assert not [f for f in studies.task_of(make_recording(), HORIZON, layered).space if f.startswith("cell")]


def test_parameters_and_cost_follow_the_network(searched: tuple[Task, Study]) -> None:
    """A network costs as much as itself; more units are more weights."""
    measure = searched[1].user_attrs["measure"]
    spec = msgspec.convert(measure["start"], NetworkSpec)
    wide = msgspec.structs.replace(spec, layers=(LayerSpec("gru", 300),))
    assert cost_of(spec, spec)[1] == 1.0
    assert parameters_of(wide) > parameters_of(spec)


def write_csv(path: Path) -> None:
    """Write the recording as a CSV."""
    start = np.datetime64("2026-01-01T00:00:00")
    rows = [f"{start + np.timedelta64(t, 'h')}Z,{a},{b}" for t, (a, b) in enumerate(make_series(STEPS, 2))]
    path.write_text("\n".join(["time,a,b", *rows]))


def test_command_writes_a_recipe_to_train_with(tmp_path: Path) -> None:
    """The best recipe is written and can be read, the table has the start, and the next command is told."""
    write_csv(tmp_path / "data.csv")
    (tmp_path / "r.toml").write_text(
        "[cell]\nunits = 4\n[front]\nseasons = [24]\nring = 48\n[training]\nsteps = 4\nlanes = 4\nvalidate_every = 2\n"
    )
    words = (
        f"model {tmp_path}/data.csv {tmp_path}/r.toml --every 1h --horizon 4h --trials 1 --time-zone UTC"
        f" -o {tmp_path}/best.toml --study {tmp_path}/s.sqlite"
    )
    done = CliRunner().invoke(tune, words.split(), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    best = read_recipe(tmp_path / "best.toml")
    assert (best.every, best.horizon, best.cell.units, best.front.seasons) == ("1h", "4h", 4, (24,))
    assert "start" in done.output
    assert f"next: edgeseq train {tmp_path}/data.csv {tmp_path}/best.toml\n" in done.output
    assert "going on" not in done.output
    again = CliRunner().invoke(tune, words.split(), catch_exceptions=False)
    assert "going on after 1 finished trials" in again.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--every 1h --horizon 4h --time-budget soon", "the budget is no duration"),
        ("--every 1h --horizon 4h -o {0}/none/x.toml", "the file cannot be written"),
        ("--every 1h --horizon 4h --study {0}", "the file cannot be written"),
        ("--horizon 4h", "option missing: --every"),
        ("--every 1h", "option missing: --horizon"),
        ("{0}/estimator.toml --every 1h --horizon 4h", "only forecasters can be tuned"),
    ],
)
def test_wrong_options_are_told_before_anything_is_read(tmp_path: Path, words: str, said: str) -> None:
    """A wrong option is an error though DATA does not even exist."""
    (tmp_path / "estimator.toml").write_text('estimate = "a"')
    done = CliRunner().invoke(tune, ["model", str(tmp_path / "no.csv"), *words.format(tmp_path).split()])
    assert said in f"{done.exception} {done.output}"
    assert done.exit_code != 0


def test_missing_optuna_is_told_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without Optuna the advice names the extra that brings it."""
    for name in [n for n in sys.modules if n.startswith("edgeseq_train.tuning.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    words = ["tune", "model", str(tmp_path / "no.csv"), "--every", "1h", "--horizon", "4h"]
    assert cli.exit_code(lambda: cli.edgeseq(words, standalone_mode=False)) == EXIT_CONFIG
    said = capsys.readouterr().err
    assert "needs optuna" in said
    assert "pip install 'edgeseq[train]'" in said
