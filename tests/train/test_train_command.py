"""The command from a CSV to a bundle that a device opens, and the same tensors on both sides."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edgeseq import cli
from edgeseq.adapters.interpreter import open_stepper, verify_golden
from edgeseq.bundle import Bundle, TrustedKeys, read_bundle
from edgeseq.bundle.keys import load_signing_key
from edgeseq.core import features, keeping, pipeline
from edgeseq.core.forecast import RecurrentState, StateSpec, initial_state
from edgeseq.core.types import F32, F64, Message, Options, StreamRule
from edgeseq.errors import EXIT_USAGE, ConfigError
from edgeseq_train import prepare, recording
from edgeseq_train.cli import train
from edgeseq_train.recipe_files import read_recipe
from edgeseq_train.report import Watch
from tests.support.streams import committed
from tests.train.conftest import HOUR_NS, make_series

STEPS = 900
TINY = """
[front]
seasons = [24]
ring = 48
[cell]
units = 8
[training]
steps = 10
lanes = 8
validate_every = 5
"""


def write_csv(path: Path, values: F64) -> None:
    """Write hourly values (T, S) with gaps as empty cells, and every 40th hour without a row."""
    lines = ["time,a,b"]
    for t, row in enumerate(values):
        if t % 40 != 39:
            cells = ("" if np.isnan(v) else repr(float(v)) for v in row)
            lines.append(
                f"{np.datetime64('2026-01-01T00:00:00') + np.timedelta64(t, 'h')}Z,{','.join(cells)}"
            )
    path.write_text("\n".join(lines))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run `edgeseq train` once on a small recording, with a recipe; give the folder of its files."""
    folder = tmp_path_factory.mktemp("train")
    values = make_series(STEPS, 2)
    values[np.random.default_rng(4).random(values.shape) < 0.05] = np.nan
    write_csv(folder / "data.csv", values)
    (folder / "tiny.toml").write_text(TINY)
    arguments = [
        str(folder / "data.csv"), str(folder / "tiny.toml"), "--every", "1h", "--horizon", "6h", "--seed", "3",
        "--name", "house", "--key", str(folder / "signing.key"), "-o", str(folder / "house.edgeseq"),
    ]  # fmt: skip
    command = [sys.executable, "-m", "edgeseq", "train", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (folder / "output.txt").write_text(done.stdout)
    (folder / "errors.txt").write_text(done.stderr)
    return folder


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    """Read the bundle as a device that trusts the key."""
    key = load_signing_key(folder / "signing.key")
    return read_bundle(folder / "house.edgeseq", TrustedKeys.of(key.public_key()))


pytestmark = pytest.mark.training


def test_bundle_opens_and_every_variant_proves_itself(bundle: Bundle) -> None:
    """Each quantization opens in the runtime and replays the golden roll-out within its tolerance; so does NumPy."""
    variants = {v.name: v for v in bundle.manifest.variants}
    assert sorted(variants) == ["dynamic", "float16", "float32", "int8_weights"]
    assert bundle.manifest.default_variant == "int8_weights"
    for name in variants:
        assert verify_golden(open_stepper(bundle, "litert", name), bundle, name) <= 1
    assert verify_golden(open_stepper(bundle, "numpy"), bundle, "float32") <= 1


def test_table_names_every_rival_and_every_variant(bundle: Bundle, folder: Path) -> None:
    """The table in the manifest and on the terminal has the naive forecasts, ridge and all quantizations."""
    rows = {row["forecaster"]: row for row in bundle.manifest.training["table"]}
    names = [
        "persistence",
        "seasonal naive 24",
        "ridge 48",
        *(f"model {v.name}" for v in bundle.manifest.variants),
    ]
    assert list(rows) == names
    output = (folder / "output.txt").read_text()
    for name, row in rows.items():
        assert name in output
        assert all(np.isfinite(row["mase"][lead]) and row["mae"][lead] > 0 for lead in ("1", "6"))


def test_manifest_errors_are_those_of_a_rollout_through_the_opened_bundle(
    bundle: Bundle, folder: Path
) -> None:
    """The MASE written down is what the opened bundle gives when stepped through the recording."""
    variant = bundle.manifest.variant("int8_weights")
    values = recording.read(folder / "data.csv", HOUR_NS, "last").values
    split = bundle.manifest.training["split"]
    anchor, unit = prepare.settle(values[: split["train"]], ("a", "b"))
    x = features.normalise(values, anchor, unit)
    stepper = open_stepper(bundle, "litert", "int8_weights")
    state, medians = initial_state(stepper.state_spec, 2), []
    for row in x:
        q, state = stepper.step(row, state)
        medians.append(q[:, :, 0, 3])
    origin = np.arange(split["validation"] - 1, split["test"] - 6)
    error = np.nanmean(np.abs(np.array(medians)[origin] - x[origin + 1]), axis=0)
    naive = np.nanmean(np.abs(x[24 : split["train"]] - x[: split["train"] - 24]), axis=0)
    assert np.mean(error / naive) == pytest.approx(variant.mase["1"], rel=1e-4)


def test_resolved_recipe_stands_beside_the_bundle_and_in_it(bundle: Bundle, folder: Path) -> None:
    """What was trained with is saved, the command line's words included."""
    recipe = read_recipe(folder / "house.recipe.toml")
    assert (recipe.every, recipe.horizon, recipe.seed, recipe.name) == ("1h", "6h", 3, "house")
    assert bundle.manifest.training["recipe"] == json.loads(json.dumps(bundle.manifest.training["recipe"]))
    assert bundle.manifest.training["recipe"]["cell"]["units"] == recipe.cell.units == 8


def test_first_training_announces_its_key_and_bundle_once(folder: Path) -> None:
    """A key that training makes is told as `edgeseq keygen` tells it, with its public half beside it."""
    (public,) = folder.glob("*.pub")
    output = (folder / "output.txt").read_text()
    assert f"signing key made: {folder / 'signing.key'}" in output
    assert f"public key {public.stem}: {public}" in output
    assert public.read_text() in output
    assert f"copy {public.name} into the folder trusted_keys" in output
    assert f"signed by key {public.stem}" in output


def test_report_stands_beside_the_bundle(folder: Path) -> None:
    """Unless told otherwise, training writes its page and pictures beside the bundle, and ends with its verdict."""
    page = (folder / "house.report.html").read_text(encoding="utf-8")
    output = (folder / "output.txt").read_text()
    (headline,) = re.findall(r'<div class="verdict"><p>(.*?)</p>', page)
    assert unescape(headline) in output
    assert f"report: {folder / 'house.report.html'}, its pictures in {folder / 'house.report'}" in output
    pictures = {path.name for path in (folder / "house.report").iterdir()}
    assert {"loss.png", "by_lead.png", "fan_worst.png"} <= pictures


def test_nothing_but_edgeseq_speaks(folder: Path) -> None:
    """Where training succeeds, converter, quantizer and runtimes leave stderr empty."""
    assert (folder / "errors.txt").read_text() == ""


def test_nothing_but_edgeseq_speaks_beside_the_bar(folder: Path, tmp_path: Path) -> None:
    """On a terminal, where a bar shows the progress, the same silence holds."""
    words = [str(folder / "data.csv"), str(folder / "tiny.toml"), "--every", "1h", "--horizon", "6h"]
    words += ["--unsigned", "--no-report"]
    done = subprocess.run(
        [sys.executable, "-m", "edgeseq", "train", *words, "-o", str(tmp_path / "x.edgeseq")],
        check=True, capture_output=True, text=True, env={**os.environ, "FORCE_COLOR": "1"},
    )  # fmt: skip
    assert not (tmp_path / "x.report.html").exists()
    assert "best on validation" in done.stdout
    assert not [noise for noise in ("Applying", "WARNING", "INFO", "oneDNN") if noise in done.stdout]
    assert done.stderr == ""


def test_sizes_are_thousands_of_bytes(bundle: Bundle, folder: Path) -> None:
    """What the terminal calls kB is 1000 bytes, for the bundle as for each quantization."""
    size_bytes = (folder / "house.edgeseq").stat().st_size
    assert f"{size_bytes / 1000:.0f} kB" in (folder / "output.txt").read_text()
    kb = {row["forecaster"]: row["kb"] for row in bundle.manifest.training["table"] if "kb" in row}
    assert kb == {f"model {v.name}": round(v.bytes / 1000) for v in bundle.manifest.variants}


@pytest.mark.parametrize("place", ["none/x.edgeseq", "data.csv/x.edgeseq", "."])
def test_unwritable_output_is_refused_before_training(
    folder: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that could not be written in the end is an error before the recording is read."""
    monkeypatch.setattr(recording, "read", lambda *_, **__: pytest.fail("the recording was read"))
    options = ["--every", "1h", "--horizon", "6h", "--unsigned", "-o", str(folder / place)]
    result = CliRunner().invoke(train, [str(folder / "data.csv"), *options])
    assert "the bundle cannot be written" in str(result.exception)
    assert result.exception.exit_code == 78  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "missing"),
    [([], "--every"), (["--every", "1h"], "--horizon"), (["--horizon", "1h"], "--every")],
)
def test_missing_option_is_a_usage_error(
    folder: Path, options: list[str], missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without period or horizon, in the recipe or as options, the exit code is 64 and the option is named."""
    words = ["train", str(folder / "data.csv"), "--unsigned", *options]
    code = cli.exit_code(lambda: cli.edgeseq(words, standalone_mode=False))
    assert code == EXIT_USAGE
    assert f"option missing: {missing}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--every", "1x", "--horizon", "6h"], "every is no duration"),
        (["--every", "1h", "--horizon", "6"], "horizon is no duration"),
        (["--every", "7m", "--horizon", "1h"], "not a multiple"),
        (["--every", "1h", "--horizon", "6h", "--split", "1,2"], "the split cannot be read"),
        (["--every", "1h", "--horizon", "6h", "--until", "tomorrow"], "until is no time"),
        (["--every", "1h", "--horizon", "6h", "--until", "2026-01-03"], "the training part is too short"),
    ],
)
def test_wrong_options_say_what_to_do(folder: Path, options: list[str], words: str) -> None:
    """A wrong option is an OperatorError before anything is trained."""
    result = CliRunner().invoke(train, [str(folder / "data.csv"), *options, "--unsigned", "-o", "x"])
    assert words in str(result.exception)
    assert result.exception.exit_code == 78  # type: ignore[union-attr]


class LoggingStepper:
    """A stepper whose recurrent state is the list of all x it was given: what was committed can be read off."""

    name = "log@00000000"
    channels = 1
    horizon = 6
    levels: tuple[float, ...] = (0.05, 0.5, 0.95)
    ring = 64
    known = 0
    state_spec: tuple[StateSpec, ...] = (StateSpec("log", (STEPS,)), StateSpec("count", (1,)))

    def step(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Write x (B, 1) down; forecast 0."""
        log, count = state[0].copy(), state[1]
        log[np.arange(len(x)), count[:, 0].astype(int)] = x[:, 0]
        return np.zeros((len(x), 1, self.horizon, 3), np.float32), (log, count + np.float32(1))

    def replay(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Write all of x (B, T, 1) down."""
        for t in range(x.shape[1]):
            q, state = self.step(x[:, t], state)
        return q, state


def test_training_tensors_equal_the_devices_bit_for_bit(folder: Path) -> None:
    """The x that training learns from is, bit for bit and with its gaps, the x the device steps with."""
    taken = recording.read(folder / "data.csv", HOUR_NS, "last")
    trained = features.normalise(taken.values, *prepare.settle(taken.values[:540], taken.names))
    stepped = _device_tensors(folder / "data.csv")
    assert np.isnan(trained).sum() > 50
    for stream, x in enumerate(stepped):
        assert len(x) > STEPS - 60
        np.testing.assert_array_equal(x.view(np.int32), trained[: len(x), stream, 0].view(np.int32))


def _device_tensors(path: Path) -> list[Any]:
    """Send the rows of the CSV as messages through the core; give what each stream's model was stepped with."""
    rule = StreamRule(
        key="r", period_ns=HOUR_NS, topics=("house",), fields=("a", "b"), time_field="time", bundle="log",
        season_steps=24, horizon=6,
    )  # fmt: skip
    state = pipeline.new_state(
        [rule], {"log": LoggingStepper()}, Options(clock="readings", synchronised=False)
    )
    for n, line in enumerate(path.read_text().splitlines()[1:]):
        time, a, b = line.split(",")
        fields = ",".join(f'"{k}":{v}' for k, v in (("a", a), ("b", b)) if v)
        payload = f'{{"time":"{time}"{"," if fields else ""}{fields}}}'.encode()
        batch = pipeline.accept(state, [Message("house", payload, received_ns=n)])
        pipeline.advance(state, batch.readings)
    _, arrays = keeping.dump(state)
    logs, counts = (committed(arrays, name) for name in ("log", "count"))
    return [log[: int(count[0])] for log, count in zip(logs, counts, strict=True)]


def test_same_seed_same_bytes_though_stopped_and_resumed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C writes a bundle of the best so far; --resume then ends with the bytes of the run that nobody stopped."""
    arguments = [
        str(folder / "data.csv"), str(folder / "tiny.toml"), "--every", "1h", "--horizon", "6h", "--seed", "3",
        "--name", "house", "--key", str(folder / "signing.key"), "-o", str(folder / "stopped.edgeseq"), "--no-report",
    ]  # fmt: skip
    show = Watch.__call__

    def press_ctrl_c(watch: Watch, step: int, *rest: Any) -> None:
        show(watch, step, *rest)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        # A signal would come at a step of its own choosing.
        patched.setattr(Watch, "__call__", press_ctrl_c)
        stopped = CliRunner().invoke(train, arguments, catch_exceptions=False)
    assert stopped.exit_code == 0
    assert "stopped at step 5 of 10: the best so far" in stopped.output
    key = TrustedKeys.of(load_signing_key(folder / "signing.key").public_key())
    read_bundle(folder / "stopped.edgeseq", key)
    assert (folder / "stopped.checkpoint.npz").exists()
    resumed = CliRunner().invoke(train, [*arguments, "--resume"], catch_exceptions=False)
    assert resumed.exit_code == 0
    assert (folder / "stopped.edgeseq").read_bytes() == (folder / "house.edgeseq").read_bytes()
    assert not (folder / "stopped.checkpoint.npz").exists()


def test_nothing_to_resume_is_told_before_the_recording_is_read(folder: Path) -> None:
    """--resume without a checkpoint is an error before anything else is done."""
    arguments = [str(folder / "no.csv"), "--every", "1h", "--horizon", "6h", "--unsigned", "--resume"]
    result = CliRunner().invoke(train, arguments)
    assert isinstance(result.exception, ConfigError)
    assert "nothing to resume" in str(result.exception)
