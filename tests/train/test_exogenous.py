"""Covariates and calendar in training: parted as asked for, and the same numbers that a device makes of messages."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from edgeseq.adapters.interpreter import open_stepper, verify_golden
from edgeseq.bundle import Bundle, TrustedKeys, read_bundle
from edgeseq.bundle.keys import load_signing_key
from edgeseq.commands.bundle import bundle as bundle_command
from edgeseq.core import pipeline
from edgeseq.core.calendar import FEATURES
from edgeseq.core.forecast import RecurrentState
from edgeseq.core.group import recent_history
from edgeseq.core.types import F32, F64, ChannelSource, KnownSource, Message, Options, StreamRule
from edgeseq.errors import ConfigError, InputError
from edgeseq.testing.fake_stepper import FakeStepper
from edgeseq_train import recording
from edgeseq_train.calendars import YEARS_AHEAD
from edgeseq_train.cli import train
from edgeseq_train.exogenous import arrange, needs_channels, wanted
from edgeseq_train.fit import fit
from edgeseq_train.parts import Recording
from edgeseq_train.recipe import CalendarRecipe, Recipe, SplitRecipe
from edgeseq_train.recipe_files import read_recipe, write_recipe
from tests.train.conftest import HOUR_NS, make_series

HORIZON = 6
CALENDAR = CalendarRecipe(time_zone="Europe/Berlin", holidays="DE-BY")
SWITCHES = {
    "23 hours": dt.datetime(2026, 3, 27, 20, tzinfo=dt.UTC),
    "25 hours": dt.datetime(2026, 10, 23, 20, tzinfo=dt.UTC),
}
"""Two days before clocks in Germany are set, on a Friday evening."""


def make_recording(columns: int = 3, streams: int = 1) -> Recording:
    """Make 400 hours of channels a, b, c."""
    values = make_series(400, columns * streams).reshape(400, streams, columns)
    channels = ("a", "b", "c")[:columns]
    names = tuple(f"s{s} {c}" if streams > 1 else c for s in range(streams) for c in channels)
    units = tuple("°C" for _ in names)
    return Recording(values, names, HOUR_NS, units=units, start_ns=1_767_225_600 * 10**9, channels=channels)


# --- parting ------------------------------------------------------------------------------------------------------


def test_each_target_becomes_a_stream_with_the_covariates_beside_it() -> None:
    """Two targets and a covariate are two streams of two channels, of which the first is forecast."""
    taken = make_recording()
    parted = arrange(taken, Recipe(covariates=("b",)))
    assert parted.values.shape == (400, 2, 2)
    np.testing.assert_array_equal(parted.values[:, 1], taken.values[:, 0, [2, 1]])
    assert parted.names == ("a", "b", "c", "b")
    assert (parted.channels, parted.targets, parted.units) == (("value", "b"), 1, ("°C",) * 4)
    one = arrange(make_recording(2), Recipe(covariates=("b",)))
    assert one.channels == ("a", "b")


def test_multichannel_targets_stay_together() -> None:
    """With multichannel the targets are channels of one stream, the covariates behind them."""
    parted = arrange(make_recording(), Recipe(covariates=("a",), multichannel=True))
    assert (parted.channels, parted.targets, parted.values.shape) == (("b", "c", "a"), 2, (400, 1, 3))


def test_stations_of_the_same_channels_are_parted_alike() -> None:
    """Each station's target has that station's own covariate."""
    taken = make_recording(2, streams=3)
    parted = arrange(taken, Recipe(covariates=("b",)))
    np.testing.assert_array_equal(parted.values, taken.values)
    assert parted.names == taken.names
    assert (parted.channels, parted.targets) == (("a", "b"), 1)


def test_known_columns_leave_the_channels_and_are_normalised_by_the_training_part() -> None:
    """A known column is no channel; its mean and scale are those of the training part and go into the bundle."""
    taken = make_recording()
    taken.values[50:60, 0, 2] = np.nan
    parted = arrange(taken, Recipe(known=("c",), split=SplitRecipe(train=200, validation=100, test=100)))
    assert parted.values.shape == (400, 2, 1)
    (covariate,) = parted.inputs.covariates
    train = taken.values[:200, 0, 2]
    assert covariate.name == "c"
    assert covariate.mean == np.nanmean(train)
    assert parted.known is not None
    assert np.isfinite(parted.known).all()
    known = np.isfinite(taken.values[:, 0, 2])
    scaled = ((taken.values[:, 0, 2] - covariate.mean) / covariate.scale).astype(np.float32)
    np.testing.assert_array_equal(parted.known[known, 0], scaled[known])


@pytest.mark.training
def test_every_stream_learns_from_its_own_known_inputs() -> None:
    """In the training rows each stream's first step has the first known input, each last one that of its time."""
    steps = 420
    known = np.arange(steps, dtype=np.float32)[:, None]
    taken = Recording(make_series(steps, 2)[:, :, None], ("a", "b"), HOUR_NS, known=known)
    rows: list[Any] = []
    seen = ConfigError("seen enough")

    def shown(trainer: Any) -> None:
        rows.append(trainer.rows)
        raise seen

    with pytest.raises(ConfigError, match="seen enough"):
        fit(taken, 4, Recipe(), lambda *_: None, lambda _: None, shown=shown)
    whole = [run for run in rows[0].runs if not run.cold]
    assert len(rows[0].known) == len(rows[0].clean)
    assert len(whole) == 2
    for run in whole:
        np.testing.assert_array_equal(rows[0].known[run.start : run.stop], known[: run.stop - run.start])
    for run in rows[0].runs[2:]:
        assert np.all(np.diff(rows[0].known[run.start : run.stop, 0]) == 1)


def test_nothing_asked_for_changes_nothing() -> None:
    """Without covariates, known columns and calendar the recording stays as it is."""
    taken = make_recording()
    assert arrange(taken, Recipe()) is taken
    assert not needs_channels(Recipe())
    assert wanted((), Recipe(known=("a",))) == ()
    assert wanted(("x",), Recipe(known=("a",), covariates=("b",))) == ("x", "b", "a")


@pytest.mark.parametrize(
    ("recipe", "streams", "what", "hint"),
    [
        (Recipe(covariates=("humidity",)), 1, "no such column among the covariates", "name columns that were read"),
        (Recipe(known=("aa",)), 1, "no such column among the known", "did you mean a?"),
        (Recipe(known=("a", "b"), covariates=("c",)), 1, "no column is left to forecast", "name fewer columns"),
        (Recipe(known=("a",)), 2, "known columns differ by stream", "name the columns as --covariates"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_parted_are_refused(
    recipe: Recipe, streams: int, what: str, hint: str
) -> None:
    """Each refusal says what was found and what to do."""
    with pytest.raises(InputError, match=what) as caught:
        arrange(make_recording(streams=streams), recipe)
    assert hint in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, 4.0])
def test_a_known_column_that_says_nothing_is_refused(value: float) -> None:
    """Without values, or with one value, there is no scale to give it."""
    taken = make_recording()
    taken.values[:240, 0, 1] = value
    with pytest.raises(InputError, match="says nothing in the training part"):
        arrange(taken, Recipe(known=("b",)))


def test_a_calendar_needs_the_recordings_times() -> None:
    """Values without times have no weekday."""
    untimed = Recording(make_series(400, 2)[:, :, None], ("a", "b"), HOUR_NS)
    with pytest.raises(InputError, match="a calendar needs the times"):
        arrange(untimed, Recipe(calendar=CALENDAR))
    with pytest.raises(ConfigError, match="no such time zone"):
        arrange(make_recording(), Recipe(calendar=CalendarRecipe(time_zone="Mars/Olympus")))


def test_the_recipe_keeps_what_was_asked_for(tmp_path: Path) -> None:
    """Covariates, known columns and calendar are written and read back."""
    asked = Recipe(covariates=("a b",), known=("c",), calendar=CALENDAR)
    (tmp_path / "r.toml").write_text(write_recipe(asked))
    assert read_recipe(tmp_path / "r.toml") == asked


@pytest.mark.parametrize(
    "given", [["--covariates", "b"], ["--known", "b"], ["--holidays", "none", "--time-zone", "UTC"]]
)
def test_an_estimator_takes_none_of_them(given: list[str]) -> None:
    """All columns but the target are an estimator's inputs already; what it would ignore is refused."""
    with pytest.raises(ConfigError, match="an estimator takes no covariates and no calendar") as caught:
        CliRunner().invoke(
            train, ["x.csv", "--every", "1h", "--estimate", "a", *given], catch_exceptions=False
        )
    assert "name inputs with --columns" in str(caught.value)


def test_a_calendar_on_the_command_line_needs_a_zone() -> None:
    """Holidays are days of somebody's clock."""
    arguments = ["x.csv", "--every", "1h", "--horizon", "6h", "--holidays", "US"]
    with pytest.raises(ConfigError, match="a calendar needs a time zone"):
        CliRunner().invoke(train, arguments, catch_exceptions=False)


# --- the same numbers on the device -------------------------------------------------------------------------------


class Noting(FakeStepper):
    """A forecaster that keeps what it was told of the future: for each step, inputs (1 + H, K)."""

    def __init__(self, known: int) -> None:
        super().__init__(channels=2, horizon=HORIZON, known=known)
        self.told: list[F32] = []

    def step(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Note, then step."""
        assert known is not None
        self.told.append(known[0])
        return super().step(x, state, known)


def write_house(path: Path, start: dt.datetime, hours: int) -> tuple[list[str], F64]:
    """Write hourly rows of room, humidity and weather, with empty cells and lost rows; give times and cells."""
    cells = make_series(hours, 3)
    rng = np.random.default_rng(3)
    cells[rng.random(cells.shape) < 0.1] = np.nan
    cells[0, 0] = 20.0
    times = [(start + dt.timedelta(hours=h)).isoformat() for h in range(hours)]
    kept = rng.random(hours) > 0.05
    kept[[0, -1]] = True
    rows = ["time,room,humidity,outdoor"]
    for time, row, keep in zip(times, cells, kept, strict=True):
        if keep:
            rows.append(",".join([time, *("" if np.isnan(v) else repr(float(v)) for v in row)]))
    path.write_text("\n".join(rows))
    cells[~kept] = np.nan
    return times, cells


def play(times: list[str], cells: F64, parted: Recording) -> tuple[pipeline.State, Noting]:
    """Send the cells as sensors and a weather service would; forecasts come every eight hours for the next two days."""
    model = Noting(len(parted.inputs.names))
    rule = StreamRule(
        key="room", name="room", period_ns=HOUR_NS, time_field="t", bundle="m", covariates=1,
        channels={"room": ChannelSource("room", "v"), "humidity": ChannelSource("humidity", "v")},
        known={"outdoor": KnownSource("weather")},
    )  # fmt: skip
    options = Options(clock="readings", synchronised=False)
    state = pipeline.new_state((rule,), {"m": model}, options, inputs={"m": parted.inputs})
    for hour, (time, (room, humidity, _)) in enumerate(zip(times, cells, strict=True)):
        sent: list[tuple[str, Any]] = []
        if hour % 8 == 0:
            ahead = range(hour, min(hour + 48, len(times)))
            items = [{"time": times[h], "value": cells[h, 2]} for h in ahead if np.isfinite(cells[h, 2])]
            sent.append(("weather", items))
        sent += [("room", {"t": time, "v": room})] if np.isfinite(room) else []
        sent += [("humidity", {"t": time, "v": humidity})] if np.isfinite(humidity) else []
        messages = [Message(topic, json.dumps(body).encode(), hour) for topic, body in sent]
        pipeline.advance(state, pipeline.accept(state, messages).readings)
    return state, model


@pytest.mark.parametrize("switch", list(SWITCHES))
def test_training_tensors_are_device_tensors_over_a_switch_of_the_clock(switch: str, tmp_path: Path) -> None:
    """Over a day of 23 or 25 hours, with gaps, both sides have the same values and inputs, bit for bit."""
    times, cells = write_house(tmp_path / "house.csv", SWITCHES[switch], 120)
    recipe = Recipe(covariates=("humidity",), known=("outdoor",), calendar=CALENDAR)
    taken = recording.read(tmp_path / "house.csv", HOUR_NS, multichannel=needs_channels(recipe))
    parted = arrange(taken, recipe)
    assert parted.known is not None
    state, model = play(times, cells, parted)
    group = state.groups[0]
    last = int(group.table["next_step"][0])
    history = recent_history(group, 0, last - 1)
    stop = last - int(group.table["first_step"][0])
    np.testing.assert_array_equal(history, parted.values[:, 0][stop - len(history) : stop])
    # The last calls are of consecutive steps; the very last of the open one.
    reach = len(parted.known) - HORIZON - 1
    compared = 0
    for back, told in enumerate(reversed(model.told)):
        t = stop - back
        if t < 0 or t > reach:
            continue
        np.testing.assert_array_equal(told, parted.known[t : t + 1 + HORIZON])
        compared += 1
    assert compared >= 100
    hours = [FEATURES.index(name) for name in ("day.sin1", "day.cos1")]
    clock = parted.known[:, hours].tolist()
    repeats = sum(a == b for a, b in pairwise(clock))
    assert repeats == (1 if switch == "25 hours" else 0)


# --- one small bundle ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Run `edgeseq train` once with all three kinds of inputs."""
    folder = tmp_path_factory.mktemp("exogenous")
    write_house(folder / "house.csv", SWITCHES["23 hours"] - dt.timedelta(days=20), 900)
    (folder / "tiny.toml").write_text(
        "[front]\nseasons = [24]\nring = 48\n[cell]\nunits = 8\n[training]\nsteps = 10\nlanes = 8\nvalidate_every = 5\n"
    )
    arguments = [
        "house.csv", "tiny.toml", "--every", "1h", "--horizon", f"{HORIZON}h", "--columns", "room", "--covariates",
        "humidity", "--known", "outdoor", "--time-zone", "Europe/Berlin", "--holidays", "DE-BY", "--key", "signing.key",
        "-o", "house.edgeseq", "--no-report",
    ]  # fmt: skip
    command = [sys.executable, "-m", "edgeseq", "train", *arguments]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    key = load_signing_key(folder / "signing.key")
    return read_bundle(folder / "house.edgeseq", TrustedKeys.of(key.public_key()))


@pytest.mark.training
def test_the_bundle_says_all_that_a_device_needs(bundle: Bundle) -> None:
    """Targets, covariates, known inputs with mean and scale, and the table of the calendar."""
    m = bundle.manifest
    assert [c.name for c in m.channels] == ["room", "humidity"]
    assert m.covariates == 1
    assert m.known == (*FEATURES, "outdoor")
    assert m.inputs.calendar is not None
    assert m.inputs.calendar.time_zone == "Europe/Berlin"
    assert len(m.inputs.calendar.transitions) > 40
    assert len(msgspec.json.encode(m.inputs)) < 5000
    assert m.network["known"] == len(m.known)
    assert m.training["recipe"]["known"] == ("outdoor",) or m.training["recipe"]["known"] == ["outdoor"]


@pytest.mark.training
@pytest.mark.parametrize(
    ("runtime", "variant"), [("litert", "int8_weights"), ("litert", "float32"), ("numpy", None)]
)
def test_the_bundle_proves_itself_with_known_inputs(
    bundle: Bundle, runtime: str, variant: str | None
) -> None:
    """Its golden roll-out, calendar and weather included, is reproduced."""
    assert verify_golden(open_stepper(bundle, runtime, variant), bundle, variant or "float32") <= 1


@pytest.mark.training
def test_the_table_counts_the_target_only(bundle: Bundle) -> None:
    """Errors beside the peers are those of the room, not of what is only an input."""
    rows = {row["forecaster"]: row for row in bundle.manifest.training["table"]}
    assert {"persistence", "seasonal naive 24", "ridge 48", "model int8_weights"} <= rows.keys()
    assert all(np.isfinite(row["mae"]["1"]) for row in rows.values())


@pytest.mark.training
def test_show_says_what_the_model_takes(bundle: Bundle) -> None:
    """A bundle shown to its owner names its inputs, and until when its calendar knows."""
    shown = CliRunner().invoke(bundle_command, ["show", str(bundle.path)], catch_exceptions=False).output
    (line,) = [line for line in shown.splitlines() if "inputs:" in line]
    year = dt.datetime.now(dt.UTC).year + YEARS_AHEAD + 1
    assert line.split(maxsplit=1)[1] == (
        f"humidity (past); outdoor (future known); calendar of Europe/Berlin with holidays of DE-BY until {year}"
    )
