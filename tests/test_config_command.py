"""`edgeseq config`: what it checks, shows and describes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.bundle import Channel, bundle_id, write_bundle
from edgeseq.bundle.keys import load_signing_key, write_public_key
from edgeseq.commands.config import config as config_command
from edgeseq.config import ChannelConfig, Config, StreamConfig, parse_config
from edgeseq.config.sample import effective
from edgeseq.core.calendar import Calendar
from edgeseq.core.known import Covariate, KnownInputs
from edgeseq.core.types import Limits, Target
from edgeseq.errors import OperatorError
from tests.support.bundles import make_files, make_manifest
from tests.support.configuring import DOCUMENTED, S

CHECKED = f'[node]\nstate_dir = "var/state"\n{DOCUMENTED}'


def run(*arguments: str) -> str:
    """Run `edgeseq config …` and give what it prints."""
    return CliRunner().invoke(config_command, arguments, catch_exceptions=False).output


def test_config_check_usable_file_summarised(tmp_path: Path) -> None:
    """A usable file is summed up, with what was not checked; no folder of the state is left behind."""
    path = tmp_path / "edgeseq.toml"
    path.write_text(CHECKED)
    _write_bundle(tmp_path)
    printed = run("check", "--config", str(path))
    assert "is usable" in printed
    assert "subscribe: plc/p1/flow" in printed
    assert "pump1 by the baseline" in printed
    assert "edgeseq bundle verify" in printed
    assert not (tmp_path / "var").exists()


ROOM = """
[node]
name = "attic"
state_dir = "var/state"

[[streams]]
name = "Room 7"
every = "10m"
channels = { CO2 = "room/7#co2", light = "room/7#light" }
bundle = "house.edgeseq"
estimate = "occupancy.edgeseq"
known = { outdoor = { topic = "weather", field = "hourly", value = "temperature_2m" } }

[[streams]]
topic = ["zigbee2mqtt/Living Room", "zigbee2mqtt/cellar/#"]
fields = ["temperature"]
every = "10m"
"""


def test_config_check_tells_all_inputs_and_where_results_go(tmp_path: Path) -> None:
    """Covariates, known inputs, the estimator and every topic that can be named are told, each with its stream."""
    path = tmp_path / "edgeseq.toml"
    path.write_text(ROOM)
    channels = (Channel("CO2", "ppm", 400.0, 90.0), Channel("light", "lx", 100.0, 50.0))
    calendar = Calendar("Europe/Berlin", "DE-BY", 0, 10**9, ((0, 3600),))
    inputs = KnownInputs(calendar, (Covariate("outdoor", 10.0, 5.0),))
    network = {"kind": "dummy", "known": len(inputs.names)}
    step = make_manifest().signatures["step"]
    step = msgspec.structs.replace(step, inputs={"x": "x:0", "known": "k:0", **step.inputs})
    _write_bundle(
        tmp_path, channels=channels, covariates=1, inputs=inputs, known=inputs.names, network=network,
        bundle_id=bundle_id(b"weights", network), signatures={"step": step},
    )  # fmt: skip
    target = Target("occupancy", classes=("empty", "occupied"))
    _write_bundle(
        tmp_path,
        "occupancy.edgeseq",
        channels=channels,
        horizon=1,
        target=target,
        levels=(),
        name="occupancy",
    )
    told = [line.strip() for line in run("check", "--config", str(path)).splitlines()]
    room = told.index("streams:   Room 7 by house.edgeseq")
    other = told.index("streams:   zigbee2mqtt/Living Room by the baseline")
    assert told[room + 1 : other] == [
        "inputs:    light: covariates, not forecast",
        "known:     outdoor from weather (time and temperature_2m of hourly)",
        "known:     local time of Europe/Berlin, holidays of DE-BY",
        "estimate:  occupancy (a class, empty or occupied) by occupancy.edgeseq",
        "publish:   edgeseq/attic/room-7-m4eck/#",
        "edgeseq/attic/room-7-m4eck/co2-4jeh2/# for CO2",
    ]
    slug = "zigbee2mqtt-living-room-temperature-pf7hx"
    assert told[other + 1 : other + 3] == [
        f"publish:   edgeseq/attic/{slug}/# for zigbee2mqtt/Living Room, temperature",
        "publish:   edgeseq/attic/+/# for each topic and field that comes",
    ]


def _write_bundle(folder: Path, file: str = "house.edgeseq", /, **changes: object) -> None:
    key = load_signing_key(folder / "keys" / "signing.key")
    manifest = make_manifest(**changes)
    write_bundle(folder / file, manifest, make_files(manifest), key)
    write_public_key(key.public_key(), folder / "trusted_keys")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("missing", "house.edgeseq"),
        ("empty", "not a bundle"),
        ("changed", "signature does not hold"),
        ("no key", "key"),
        ("other period", "another period"),
        ("other channels", "another set of channels"),
        ("folder is a file", "state folder"),
    ],
)
def test_config_check_refuses_what_the_daemon_refuses(tmp_path: Path, fault: str, said: str) -> None:
    """A bundle that cannot be trusted, read or used, or a state folder that cannot be written, is no usable set-up."""
    path, bundle = tmp_path / "edgeseq.toml", tmp_path / "house.edgeseq"
    path.write_text(CHECKED)
    changes: dict[str, dict[str, object]] = {
        "other period": {"period_ns": 60 * S},
        "other channels": {"channels": (Channel("flow"), Channel("level"))},
    }
    _write_bundle(tmp_path, **changes.get(fault, {}))
    if fault == "missing":
        bundle.unlink()
    elif fault == "empty":
        bundle.write_bytes(b"")
    elif fault == "changed":
        bundle.write_bytes(bundle.read_bytes()[:-1] + b"x")
    elif fault == "no key":
        shutil.rmtree(tmp_path / "trusted_keys")
    elif fault == "folder is a file":
        (tmp_path / "var").touch()
    with pytest.raises(OperatorError, match=said):
        run("check", "--config", str(path))


def test_config_show_reads_back_the_same(tmp_path: Path) -> None:
    """What show prints means the same as the file."""
    path = tmp_path / "edgeseq.toml"
    path.write_text(DOCUMENTED)
    assert parse_config(run("show", "--config", str(path))) == parse_config(DOCUMENTED)


STREAMS = st.builds(
    StreamConfig,
    every=st.text(max_size=5),
    topic=st.none() | st.text(max_size=5) | st.lists(st.text(max_size=5), max_size=2),
    channels=st.dictionaries(
        st.text(max_size=5), st.text(max_size=5) | st.builds(ChannelConfig, topic=st.text()), max_size=2
    ),
    good=st.lists(st.text(max_size=5) | st.integers(-9, 9) | st.booleans(), max_size=3),
    limits=st.dictionaries(
        st.text(max_size=5), st.floats(allow_nan=False) | st.builds(Limits, min=st.none() | st.floats(-1, 1)),
        max_size=2,
    ),
)  # fmt: skip


@given(st.lists(STREAMS, max_size=2))
def test_effective_any_values_read_back_the_same(streams: list[StreamConfig]) -> None:
    """Any values survive being written as TOML and read again."""
    written = Config(streams=streams)
    assert parse_config(effective(written)) == written


def test_config_schema_of_messages_printed() -> None:
    """The schema of the file, of one message and of all messages is printed as JSON; another name is a usage error."""
    assert json.loads(run("schema"))["title"] == "edgeseq configuration"
    forecast = json.loads(run("schema", "forecast"))
    assert json.loads(run("schema", "--messages"))["forecast"] == forecast
    assert CliRunner().invoke(config_command, ["schema", "forcast"]).exit_code == 2
