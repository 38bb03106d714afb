"""Laws of the configuration: what suffices, what is refused, and what the refusal says."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.bundle import Channel, bundle_id, write_bundle
from edgeseq.bundle.keys import load_signing_key, write_public_key
from edgeseq.commands.config import config as config_command
from edgeseq.config import ChannelConfig, Config, StreamConfig, load_config, parse_config
from edgeseq.config.resolve import CREDENTIAL, Resolved, resolve
from edgeseq.config.sample import effective
from edgeseq.config.windows import mutes_of
from edgeseq.core.calendar import Calendar
from edgeseq.core.durations import format_duration, parse_duration
from edgeseq.core.instants import format_instant, parse_instant
from edgeseq.core.known import Covariate, KnownInputs
from edgeseq.core.types import ChannelSource, Limits, Options, StreamRule, Target
from edgeseq.errors import EXIT_CONFIG, ConfigError, OperatorError
from tests.support.bundles import make_files, make_manifest

S = 10**9
STREAM = '[[streams]]\ntopic = "a/+"\nevery = "10m"\n'

DOCUMENTED = """
[mqtt]
host = "localhost"

[[streams]]
topic = "zigbee2mqtt/+"
exclude = ["zigbee2mqtt/bridge/#"]
fields = ["temperature", "humidity"]
every = "10m"
on_gap = "hold"
bundle = "house.edgeseq"

[[streams]]
name = "pump1"
every = "1s"
channels = { flow = "plc/p1/flow", vibration = "plc/p1#vib.x" }
limits = { vibration = { max = 11 } }
unit = { vibration = "mm/s" }
horizon = "1m"
kind = "counter"
"""


CHECKED = f'[node]\nstate_dir = "var/state"\n{DOCUMENTED}'


def resolved(text: str, base: Path = Path("/etc/edgeseq"), environment: Mapping[str, str] = {}) -> Resolved:
    """Load and resolve a text in an environment without anything else."""
    return resolve(parse_config(text), base, environment={"HOME": "/srv/pi", **environment})


def refusal(text: str) -> ConfigError | None:
    """Give the error of a text, if it is refused."""
    try:
        resolved(text)
    except ConfigError as error:
        return error
    return None


# --- what is understood -----------------------------------------------------------------------------------------


def test_resolve_documented_example_becomes_rules() -> None:
    """The documented tables become the core's rules, with all defaults filled in."""
    got = resolved(DOCUMENTED)
    house, pump = got.rules
    assert house == StreamRule(
        key="zigbee2mqtt/+",
        period_ns=600 * S,
        topics=("zigbee2mqtt/+",),
        exclude=("zigbee2mqtt/bridge/#",),
        fields=("temperature", "humidity"),
        on_gap="hold",
        season_steps=144,
        bundle="house.edgeseq",
    )
    assert pump == StreamRule(
        key="pump1",
        name="pump1",
        period_ns=S,
        channels={"flow": ChannelSource("plc/p1/flow"), "vibration": ChannelSource("plc/p1", "vib.x")},
        aggregate="sum",
        kind="counter",
        units={"vibration": "mm/s"},
        limits={"vibration": Limits(max=11)},
        horizon=60,
    )
    assert got.bundles == {"house.edgeseq": Path("/etc/edgeseq/house.edgeseq")}
    assert got.filters == ("zigbee2mqtt/+", "plc/p1/flow", "plc/p1")
    assert got.state_dir == Path("/srv/pi/.local/state/edgeseq")
    assert got.trusted_keys == Path("/etc/edgeseq/trusted_keys")
    assert (got.port, got.client_id, got.session_expiry_s) == (1883, "edgeseq-edgeseq", 7 * 86_400)
    assert got.snapshot_every_s == 7200
    assert got.options == Options()
    assert got.password is None


def test_resolve_two_tables_suffice() -> None:
    """A broker and one [[streams]] table are enough."""
    assert [rule.key for rule in resolved('[mqtt]\nhost = "b"\n' + STREAM).rules] == ["a/+"]


@pytest.mark.parametrize(
    ("every", "season", "steps"),
    [
        ("10m", None, 144), ("1h", None, 24), ("30s", None, 2880), ("12h", None, 2), ("1s", None, 0),
        ("1d", None, 0), ("7m", None, 0), ("1h", '"1w"', 168), ("1h", '"none"', 0),
    ],
)  # fmt: skip
def test_resolve_season_default_one_day_where_it_fits(every: str, season: str | None, steps: int) -> None:
    """The season is one day where that is 2 to 2880 whole periods, unless the table says otherwise."""
    extra = f"season = {season}\n" if season else ""
    assert resolved(f'[[streams]]\ntopic = "a"\nevery = "{every}"\n{extra}').rules[0].season_steps == steps


def test_resolve_covered_subscription_dropped() -> None:
    """A filter that another one covers is not subscribed to: its messages would come twice."""
    text = STREAM + '[[streams]]\ntopic = ["a/b", "c", "a/#"]\nevery = "1s"\nname = "x"\n'
    assert resolved(text).filters == ("c", "a/#")


def test_resolve_limits_without_channel_hold_for_all() -> None:
    """Limits in the short form hold for the stream's channels."""
    assert resolved(STREAM + "limits = { min = -40, max = 85.5 }\n").rules[0].limits == {
        "value": Limits(-40.0, 85.5)
    }


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"STATE_DIRECTORY": "/var/lib/edgeseq:/var/lib/other", "XDG_STATE_HOME": "/x"}, "/var/lib/edgeseq"),
        ({"XDG_STATE_HOME": "/x"}, "/x/edgeseq"),
        ({}, "/srv/pi/.local/state/edgeseq"),
    ],
)
def test_resolve_state_dir_of_environment(environment: dict[str, str], folder: str) -> None:
    """State goes where systemd says, else where the user keeps state."""
    assert resolved(STREAM, environment=environment).state_dir == Path(folder)
    given = resolved('[node]\nstate_dir = "here"\n' + STREAM, environment=environment)
    assert given.state_dir == Path("/etc/edgeseq/here")


def test_resolve_password_of_file_and_credentials(tmp_path: Path) -> None:
    """The password comes from its file, else from the credentials of systemd, and is never shown."""
    (tmp_path / "secret").write_text("from-file\n")
    (tmp_path / CREDENTIAL).write_text("from-systemd")
    user = '[mqtt]\nusername = "u"\n'
    by_file = resolved(f'{user}password_file = "secret"\n{STREAM}', tmp_path)
    by_systemd = resolved(user + STREAM, environment={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert (by_file.password, by_systemd.password) == ("from-file", "from-systemd")
    assert resolved(user + STREAM).password is None
    assert resolved(user + STREAM, environment={"CREDENTIALS_DIRECTORY": "/none"}).password is None
    assert "from-file" not in repr(by_file)


def test_resolve_tls_files_and_port(tmp_path: Path) -> None:
    """With TLS the port is 8883 and files are found beside the configuration."""
    for name in ("ca.pem", "c.pem", "k.pem"):
        (tmp_path / name).write_text("")
    text = f'[mqtt]\ntls = true\nca_file = "ca.pem"\ncert_file = "c.pem"\nkey_file = "k.pem"\n{STREAM}'
    got = resolved(text, tmp_path)
    assert (got.port, got.ca_file, got.key_file) == (8883, tmp_path / "ca.pem", tmp_path / "k.pem")


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ('[[streams]]\nevry = "1s"', "streams[0].evry", ["did you mean every?"]),
        (STREAM + '[[streams]]\nevery="1s"\ntopic="b"\nfeilds=["x"]', "streams[1].feilds", ["fields"]),
        (STREAM + 'active_whan = "b"', "streams[0].active_whan", ["did you mean active_when?"]),
        ("[stream]", "stream", ["did you mean streams?"]),
        ('[mqtt]\nport = "1883"', "mqtt.port", ["'1883'", "whole number", "8883 with TLS"]),
        ("[mqtt]\nport = 0", "mqtt.port", [">= 1"]),
        ("[mqtt]\nqos = 2", "mqtt.qos", ["0 or 1"]),
        ('[log]\nlevel = "loud"', "log.level", ["'loud'", "'debug' or 'info'"]),
        ('[[streams]]\ntopic = "a"', "streams[0]", ["every is missing", "Grid period"]),
        ("streams = 3", "streams", ["list"]),
        (
            STREAM + "limits = { value = { maximum = 3 } }",
            "streams[0].limits[...].maximum",
            ["did you mean max?"],
        ),
        (STREAM + 'limits = { max = "hot" }', "streams[0].limits[...]", ["hot", "number or table"]),
        ("[[streams]\n", "edgeseq.toml", ["not valid TOML", "line 1"]),
        ("a = " + "[" * 5000, "edgeseq.toml", ["nested too deeply"]),
        ("", "edgeseq.toml", ["no streams"]),
        ('[[streams]]\nevery = "1s"', "streams[0]", ["names no messages", "channels"]),
        ('[[streams]]\nevery = "1s"\nchannels = { a = "b" }', "streams[0].channels", ["need a name"]),
        (STREAM + 'name = "x"\nchannels = { a = "b" }', "streams[0].channels", ["exclude each other"]),
        (
            '[[streams]]\nname="x"\nevery="1s"\nfield="v"\nchannels={a="b"}',
            "streams[0].field",
            ["belong to the channels"],
        ),
        (STREAM + 'field = "a"\nfields = ["b"]', "streams[0].field", ["exclude each other"]),
        (STREAM + 'fields = ["b", "b"]', "streams[0].fields", ["twice"]),
        (STREAM + 'field = ""', "streams[0].fields", ["empty"]),
        ('[[streams]]\ntopic = "a"\nevery = "0s"', "streams[0].every", ["0s", "10m"]),
        ('[[streams]]\ntopic = "a"\nevery = "often"', "streams[0].every", ["often"]),
        ('[[streams]]\ntopic = "a"\nevery = "10 min"', "streams[0].every", ['did you mean "10m"?']),
        ('[[streams]]\ntopic = "a"\nevery = 600', "streams[0].every", ['as text, such as "600s"']),
        ('[[streams]]\ntopic = "a"\nevery = "600"', "streams[0].every", ['a unit, such as "600s"']),
        ("[journal]\nsnapshot_every = 0", "journal.snapshot_every", ['as text, such as "600s"']),
        ('[[streams]]\ntopic = "a"\nevery = "500d"', "streams[0].every", ["366d"]),
        (STREAM + 'horizon = "25m"', "streams[0].horizon", ["25m", "multiple of 10m"]),
        (STREAM + 'horizon = "90d"', "streams[0].horizon", ["at most"]),
        (STREAM + 'season = "15m"', "streams[0].season", ["none"]),
        (STREAM + "coverage = 0.4", "streams[0].coverage", ["0.5"]),
        (STREAM + "coverage = 1.0", "streams[0].coverage", ["0.99"]),
        (STREAM + 'max_age = "x"', "streams[0].max_age", ["duration"]),
        (STREAM + STREAM, "streams[1]", ["same key as streams[0]", "a/+", "name"]),
        ('[[streams]]\ntopic = "a/#/b"\nevery = "1s"', "streams[0].topic", ["# must be the last level"]),
        (STREAM + 'exclude = ["b+"]', "streams[0].exclude", ["b+"]),
        ('[[streams]]\nname="x"\nevery="1s"\nchannels={a="b/#/c"}', "streams[0].channels.a", ["last level"]),
        (
            '[[streams]]\ntopic = "#"\nevery = "1s"',
            "streams[0].topic",
            ["itself publishes", "edgeseq/edgeseq/#", 'exclude = ["edgeseq/#"]'],
        ),
        (
            '[node]\nname="n"\n[[streams]]\ntopic="+/n/x/forecast"\nevery="1s"',
            "streams[0].topic",
            ["edgeseq/n/#"],
        ),
        (STREAM + 'time = "ts"', "streams[0].time", ["plain number"]),
        (STREAM + 'field = "v"\nquality = "q"', "streams[0].good", ["belong together"]),
        (STREAM + 'good = ["ok"]', "streams[0].quality", ["belong together"]),
        (STREAM + "limits = { max = 1, min = 2 }", "streams[0].limits", ["min < max"]),
        (STREAM + "limits = { max = nan }", "streams[0].limits", ["min < max"]),
        (STREAM + "limits = { max = 1, value = { min = 0 } }", "streams[0].limits", ["two forms"]),
        (STREAM + "limits = { flow = { max = 1 } }", "streams[0].limits", ["unknown channel", "flow"]),
        (STREAM + 'unit = { flow = "l" }', "streams[0].unit", ["unknown channel"]),
        (
            '[[streams]]\nname="x"\nevery="1s"\nchannels={a="b",A="c"}\nunit={b="l"}',
            "streams[0].unit",
            ["a, A"],
        ),
        ('[node]\nname = "My Node"\n' + STREAM, "node.name", ["My Node", "[a-z0-9-]"]),
        ('[mqtt]\ntopic_prefix = "a/+"\n' + STREAM, "mqtt.topic_prefix", ["a/+"]),
        ('[mqtt]\ntopic_prefix = "a//b"\n' + STREAM, "mqtt.topic_prefix", ["a//b"]),
        ('[mqtt]\npassword_file = "p"\n' + STREAM, "mqtt.password_file", ["username"]),
        ('[mqtt]\nusername="u"\npassword_file = "p"\n' + STREAM, "mqtt.password_file", ["/etc/edgeseq/p"]),
        ('[mqtt]\nca_file = "p"\n' + STREAM, "mqtt.ca_file", ["tls = true"]),
        ('[mqtt]\ntls = true\nca_file = "p"\n' + STREAM, "mqtt.ca_file", ["does not exist"]),
        ('[mqtt]\ntls = true\ncert_file = "p"\n' + STREAM, "mqtt.key_file", ["belong together"]),
        ('[mqtt]\nsession_expiry = "x"\n' + STREAM, "mqtt.session_expiry", ["duration"]),
    ],
)
def test_config_wrong_refused_saying_where_and_what(text: str, where: str, says: list[str]) -> None:
    """A wrong configuration is refused: the place, what was found and what is wanted are named."""
    error = refusal(text)
    assert error is not None
    assert error.exit_code == EXIT_CONFIG
    assert error.where in (where, f"edgeseq.toml: {where}")
    for part in says:
        assert part in str(error)


def test_resolve_own_outputs_excluded_accepted() -> None:
    """A filter for everything is fine where edgeseq's own topics are left out."""
    text = '[[streams]]\ntopic = "#"\nexclude = ["edgeseq/#"]\nevery = "1s"'
    assert resolved(text).filters == ("#",)


def test_load_config_missing_or_unreadable_refused(tmp_path: Path) -> None:
    """A file that is missing, a folder, or no text is refused by name."""
    with pytest.raises(ConfigError, match="cannot be read") as missing:
        load_config(tmp_path / "none.toml")
    assert missing.value.where == str(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'[node]\nname = "k\xfcche"')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "latin.toml")


@given(st.text(alphabet='[]streamqvy=."{}1,\n# ', max_size=60))
def test_resolve_any_text_config_or_config_error(text: str) -> None:
    """Any text is a configuration or a ConfigError, nothing else."""
    error = refusal(text)
    assert error is None or str(error)


# --- durations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [("90s", 90), ("10m", 600), ("1h", 3600), ("7d", 604_800), ("1w", 604_800), ("1h30m", 5400), ("500ms", 0.5),
     ("1.5h", 5400)],
)  # fmt: skip
def test_parse_duration_text_read(text: str, duration_s: float) -> None:
    """Numbers with units, alone or compound, are durations."""
    assert parse_duration(text) == int(duration_s * S)


@pytest.mark.parametrize(
    "text", ["", "10", "m", "0s", "-1s", "1 h", "1y", "1h30", "1e3s", "1H", "9" * 40 + "s"]
)
def test_parse_duration_other_text_none(text: str) -> None:
    """Anything else is none."""
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [("10 min", "10m"), ("1 Hour 30 minutes", "1h30m"), ("90 seconds", "1m30s"), ("1 Day", "1d"), ("10M", "10m"),
     ("500 ms", "500ms"), ("often", None), ("0 min", None), ("3 months", None)],
)  # fmt: skip
def test_wrong_duration_names_the_one_that_was_meant(text: str, meant: str | None) -> None:
    """A duration with its unit written out is refused with the text that was meant; what is no duration has none."""
    error = refusal(f'[[streams]]\ntopic = "a"\nevery = "{text}"')
    assert error is not None
    assert error.do == (None if meant is None else f'did you mean "{meant}"?')


@given(st.integers(1, 10**10))
def test_format_duration_read_back_same(duration_ms: int) -> None:
    """A written duration reads back the same."""
    assert parse_duration(format_duration(duration_ms * 10**6)) == duration_ms * 10**6


# --- commands ---------------------------------------------------------------------------------------------------


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


MAINTAINED = '[[streams]]\ntopic = "t/+"\nevery = "1m"\n[[maintenance]]\n'


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('begin = "Sun 2:00"\nend = "Sun 04:00"', "'Sun 2:00' is no time"),
        ('begin = "Sun 02:00"\nend = "2026-03-01T10:00:00Z"', "two of a kind"),
        ('begin = "2026-03-01T10:00"\nend = "2026-03-01T09:00"', "ends before it begins"),
        ('begin = "Sun 02:00"\nend = "Sun 02:00"', "no length"),
        ('begin = "Sun 02:00"\nend = "Sun 04:00"\ntime_zone = "Mars/North"', "no such time zone"),
        ('begin = "Sun 02:00"\nend = "Sun 04:00"\ntable = "x"', "one of t/+"),
        ('begin = "Sun 02:00"\nend = "Sun 04:00"\nalert_kind = "loud"', "one of spike"),
    ],
)
def test_maintenance_that_is_no_window_is_refused(lines: str, says: str) -> None:
    """What is wrong with it, and what was wanted."""
    with pytest.raises(ConfigError, match=re.escape(says)):
        resolve(parse_config(MAINTAINED + lines), Path("/etc/edgeseq"))


def test_maintenance_weekly_follows_the_clock_on_the_wall() -> None:
    """Sunday at two is Sunday at two on both sides of the change to summer time, and over the end of a week."""
    lines = 'begin = "Sun 23:00"\nend = "Mon 01:00"\ntime_zone = "Europe/Berlin"'
    (window,) = resolve(parse_config(MAINTAINED + lines), Path("/etc/edgeseq")).maintenance
    begins = {}
    for day in ("2026-03-23T12:00:00Z", "2026-03-30T12:00:00Z"):
        moment_ns = parse_instant(day)
        assert moment_ns is not None
        for mute in mutes_of(window, moment_ns):
            begins[format_instant(mute.begin_ns)] = (mute.end_ns - mute.begin_ns) // 10**9
    assert begins == {
        "2026-03-22T22:00:00Z": 7200, "2026-03-29T21:00:00Z": 7200, "2026-04-05T21:00:00Z": 7200,
        "2026-04-12T21:00:00Z": 7200,
    }  # fmt: skip
