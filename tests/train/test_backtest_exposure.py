"""A bundle that has learned from what a backtest scores: said where figures are read, and only where it is so."""

from __future__ import annotations

import json
import warnings
from html import escape
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from edgeseq.bundle import Bundle, Manifest
from edgeseq.cli import edgeseq
from edgeseq.errors import ConfigError
from edgeseq_train import api
from edgeseq_train.backtest import exposure, plan
from edgeseq_train.parts import Recording, Split
from edgeseq_train.produce import digest_of, newest_of
from tests.support.tiny_bundle import read_tiny_bundle, tiny_bundle_path
from tests.train.conftest import HOUR_NS, make_series
from tests.train.test_backtest import RECIPE, START, frame_of

pytestmark = pytest.mark.training
ROWS = 600
START_NS = int(START.timestamp()) * 10**9


def recording(first: int, stop: int, *, seed: int = 1, timed: bool = True) -> Recording:
    """Take hours [first, stop) of a series."""
    values = make_series(2000, 1, seed)[first:stop, :, None]
    return Recording(values, ("a",), HOUR_NS, start_ns=START_NS + first * HOUR_NS if timed else None)


def planned(taken: Recording) -> plan.Plan:
    """Cut a recording into 60, 20 and 20 per cent."""
    n = len(taken.values)
    return plan.make_plan(taken, Split(round(0.6 * n), round(0.8 * n), n), 6, (0.1, 0.5, 0.9))


@pytest.fixture
def manifest(request: pytest.FixtureRequest) -> Manifest:
    """Describe a bundle that was trained on hours 0 to 600: 480 of them were learned from."""
    own = recording(0, ROWS)
    learned: dict[str, Any] = {
        "data": digest_of(own),
        "rows": ROWS,
        "split": {"train": 360, "validation": 480},
    }
    tiny = read_tiny_bundle(tiny_bundle_path(request.config)).manifest
    return msgspec.structs.replace(tiny, training=learned, created=newest_of(own), period_ns=HOUR_NS)


def test_own_test_part_is_honest(manifest: Manifest) -> None:
    """The recording of the training, cut as for training: what is scored was not learned from."""
    assert exposure.caution(manifest, planned(recording(0, ROWS))) == ""


def test_what_came_after_training_is_honest(manifest: Manifest) -> None:
    """A later recording, and one whose test part begins where the bundle's validation part ended."""
    assert exposure.caution(manifest, planned(recording(ROWS, 1200))) == ""
    assert exposure.caution(manifest, planned(recording(80, 580))) == ""


@pytest.mark.parametrize(
    ("first", "stop", "share", "low", "high"),
    [
        # Scored are hours 400 to 500, of which 80 lie before hour 480 …
        (0, 500, "80 %", "2026-01-17T16:00:00Z", "2026-01-20T23:00:00Z"),
        # … and hours 480 - 1 to 579: one of them.
        (79, 579, "1 %", "2026-01-20T23:00:00Z", "2026-01-20T23:00:00Z"),
    ],
)
def test_overlap_in_time_is_told(
    manifest: Manifest, first: int, stop: int, share: str, low: str, high: str
) -> None:
    """Share and time of what was learned from, in another cut of the time or of another sensor."""
    for seed in (1, 2):
        said = exposure.caution(manifest, planned(recording(first, stop, seed=seed)))
        assert said.startswith(
            f"Not honest: {share} of what is scored here ({low} to {high}) lies in the time"
        )


def test_recording_without_times_is_known_by_its_digest(manifest: Manifest) -> None:
    """The same values are found again, also where empty steps follow; of other ones nothing can be told."""
    untimed = msgspec.structs.replace(manifest, created="unknown")
    whole = recording(0, ROWS, timed=False)
    assert exposure.caution(untimed, planned(whole)) == ""
    early = plan.make_plan(whole, Split(200, 300, ROWS), 6, (0.1, 0.5, 0.9))
    assert exposure.caution(untimed, early).startswith(
        "Not honest: 60 % of what is scored here (step 300 to step 479)"
    )
    other = exposure.caution(untimed, planned(recording(0, ROWS, seed=2, timed=False)))
    assert other.startswith("Whether the bundle was trained on what is scored here cannot be told")


def test_bundle_that_is_silent_about_its_training_is_told(manifest: Manifest) -> None:
    """No silence where nothing is known."""
    silent = msgspec.structs.replace(manifest, training={})
    assert "it does not say what it was trained on" in exposure.caution(silent, planned(recording(0, ROWS)))


# --- where it is read -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """Train a tiny forecaster on 800 hours: 640 of them are learned from."""
    return api.fit(frame_of(make_series(800, 1)), RECIPE)


def test_command_says_it_in_terminal_json_and_page(bundle: Bundle, tmp_path: Path) -> None:
    """The first 700 hours alone: 80 of the 140 scored ones were learned from."""
    frame_of(make_series(800, 1)[:700]).write_csv(tmp_path / "house.csv")
    api.save(bundle, tmp_path / "house.edgeseq")
    arguments = ["house.csv", "--bundle", "house.edgeseq", "--peers", "persistence", "-o", "found.json"]
    paths = [str(tmp_path / a) if "." in a else a for a in arguments]
    result = CliRunner().invoke(edgeseq, ["backtest", *paths], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (caution,) = json.loads((tmp_path / "found.json").read_text())["cautions"]
    assert caution.startswith("Not honest: 57 % of what is scored here (2026-01-24T08:00:00Z to")
    assert caution in " ".join(result.output.split())
    assert escape(caution) in (tmp_path / "found.html").read_text()


def test_python_warns(bundle: Bundle) -> None:
    """From Python it is a warning; a bundle's own test part gives none."""
    frame = frame_of(make_series(800, 1))
    with pytest.warns(UserWarning, match="Not honest: 57 %"):
        api.backtest(frame[:700], bundle, peers="persistence")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        api.backtest(frame, bundle, peers="persistence")
    with pytest.raises(ConfigError, match="a bundle is tested as it is"):
        api.backtest(frame, bundle, seeds=2)
