"""Meters that only grow: training learns from the increments that the device makes of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from edgeseq.bundle import check_fits
from edgeseq.core import features, keeping, pipeline
from edgeseq.core.types import F64, Message, Options, StreamRule
from edgeseq.errors import BundleError, ConfigError
from edgeseq_train import exogenous, prepare, recording
from edgeseq_train.cli import resolve, train
from edgeseq_train.recipe import Recipe, RecordingRecipe
from edgeseq_train.recipe_files import read_recipe
from tests.support.bundles import make_manifest
from tests.support.streams import committed
from tests.train.conftest import HOUR_NS
from tests.train.test_train_command import LoggingStepper

START = datetime(2026, 3, 1, tzinfo=UTC)
AGGREGATES = ["sum", "last", "mean", "max"]


def _readings(seed: int, count: int = 700) -> list[tuple[datetime, float]]:
    """Read a meter some three times an hour, with pauses, restarts from 0, repeated rows and readings of one time."""
    rng = np.random.default_rng(seed)
    at, total, readings = START, 1000.0, []
    for k in range(count):
        at += timedelta(seconds=int(rng.integers(300, 2400)) + 15_000 * (rng.random() < 0.03))
        total = 0.3 if k % 250 == 249 else total + round(float(rng.gamma(2.0)), 3)
        readings.append((at, total))
        if k % 60 == 59:
            total += 0.5
            readings.append((at, total))
            readings.append(readings[-1])
    return readings


def _device(readings: list[tuple[datetime, float]], **changes: Any) -> F64:
    """Send readings through the core; give what the model was stepped with (T,)."""
    rule = StreamRule(
        key="r", period_ns=HOUR_NS, topics=("m",), fields=("v",), time_field="t", bundle="log", season_steps=24,
        horizon=6, kind="counter", **changes,
    )  # fmt: skip
    state = pipeline.new_state(
        [rule], {"log": LoggingStepper()}, Options(clock="readings", synchronised=False)
    )
    for n, (at, value) in enumerate(readings):
        payload = f'{{"t":"{at.isoformat()}","v":{value!r}}}'.encode()
        pipeline.advance(state, pipeline.accept(state, [Message("m", payload, received_ns=n)]).readings)
    _, arrays = keeping.dump(state)
    log, count = (committed(arrays, name) for name in ("log", "count"))
    return np.asarray(log[0, : int(count[0, 0])])


@pytest.mark.parametrize("on_gap", ["missing", "hold"])
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_increments_equal_the_devices_bit_for_bit(aggregate: Any, on_gap: Any) -> None:
    """What training learns of a meter is, bit for bit, what the model is stepped with on the device."""
    readings = _readings(AGGREGATES.index(aggregate))
    frame = pl.DataFrame({"time": [at.isoformat() for at, _ in readings], "v": [v for _, v in readings]})
    taken = recording.from_frame(frame, HOUR_NS, aggregate, kind="counter", on_gap=on_gap)
    trained = features.normalise(taken.values, *prepare.settle(taken.values, taken.names))[:, 0, 0]
    stepped = _device(readings, aggregate=aggregate, on_gap=on_gap)
    assert len(trained) - 2 <= len(stepped) <= len(trained)
    assert np.isnan(stepped).any() == (on_gap == "missing") or np.isnan(stepped[:3]).any()
    assert np.nanmax(taken.values) < 100
    np.testing.assert_array_equal(stepped.view(np.int32), trained[: len(stepped)].view(np.int32))


def test_columns_that_come_to_the_device_otherwise_are_no_counters() -> None:
    """A weather forecast beside a meter is read as it is: increments are made of the streams' own readings only."""
    hours = range(400)
    frame = pl.DataFrame(
        {
            "time": [(START + timedelta(hours=h)).isoformat() for h in hours],
            "meter": [float(h * h % 977 + 1000 * h) for h in hours],
            "sun": [float(h % 24) for h in hours],
        }
    )
    recipe = Recipe(known=("sun",), recording=RecordingRecipe(kind="counter"))
    taken = exogenous.arrange(
        recording.from_frame(frame, HOUR_NS, "sum", **exogenous.reading(recipe)), recipe
    )
    assert taken.known is not None
    assert len(np.unique(taken.known)) == 24
    assert np.nanmax(taken.values) < 3000 < frame["meter"].max()  # type: ignore[operator]  # of floats


def test_counters_are_told_and_suspected() -> None:
    """What the device must be told is said; a column that never falls is pointed out, one that falls is not."""
    hours = range(100)
    frame = pl.DataFrame(
        {
            "time": [(START + timedelta(hours=h)).isoformat() for h in hours],
            "meter": [float(h * h) for h in hours],
            "room": [float(h * h % 97) for h in hours],
        }
    )
    said: list[str] = []
    recording.from_frame(frame, HOUR_NS, say=said.append)
    assert [text for text in said if "--kind counter" in text] == [
        "never fall: meter: --kind counter if their increments are meant"
    ]
    said.clear()
    recording.from_frame(frame, HOUR_NS, "sum", kind="counter", say=said.append)
    assert 'counters are read by their increments: set kind = "counter" for the streams on the device' in said
    assert not any("never fall" in text for text in said)


def _aggregate(recipe: Recipe, *words: str) -> str:
    options = train.make_context("train", ["x.csv", *words]).params
    return resolve(recipe, Path("x.csv"), options).aggregate


def test_counters_are_summed_unless_told_otherwise(tmp_path: Path) -> None:
    """The default aggregate of a counter is the device's, on the command line as in a recipe; what is asked stays."""
    path, counter = tmp_path / "r.toml", ("--kind", "counter")
    assert _aggregate(Recipe()) == "last"
    assert _aggregate(Recipe(), *counter) == "sum"
    assert _aggregate(Recipe(), *counter, "--aggregate", "last") == "last"
    path.write_text('[recording]\nkind = "counter"\n')
    assert _aggregate(read_recipe(path)) == "sum"
    path.write_text('aggregate = "last"\n[recording]\nkind = "counter"\n')
    assert _aggregate(read_recipe(path), *counter) == "last"


def test_bundle_of_increments_serves_only_counters() -> None:
    """A model of increments is refused by a stream that gives raw values; other bundles say nothing of the kind."""
    manifest = make_manifest(kind="counter")
    rule = StreamRule(key="meter", period_ns=manifest.period_ns, kind="counter")
    check_fits(manifest, rule)
    check_fits(make_manifest(), rule)
    with pytest.raises(BundleError, match="another kind of readings") as caught:
        check_fits(manifest, StreamRule(key="meter", period_ns=manifest.period_ns))
    assert (caught.value.found, caught.value.wanted) == ("gauge", "counter")


def test_unknown_kind_is_refused(tmp_path: Path) -> None:
    """A kind that there is not is named, in the recipe as on the command line."""
    done = CliRunner().invoke(train, ["x.csv", "--kind", "meter"])
    assert done.exit_code == 2
    assert "'meter' is not one of 'gauge', 'counter'" in done.output
    (tmp_path / "r.toml").write_text('[recording]\nkind = "meter"\n')
    with pytest.raises(ConfigError, match=r"recording\.kind has a wrong value"):
        read_recipe(tmp_path / "r.toml")
