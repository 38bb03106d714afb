"""Laws of the configuration: what suffices, what is refused, and what the refusal says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.config import load_config
from edgeseq.config.resolve import CREDENTIAL
from edgeseq.core.types import ChannelSource, Limits, Options, StreamRule
from edgeseq.errors import EXIT_CONFIG, ConfigError
from tests.support.configuring import DOCUMENTED, S, refusal, resolved

STREAM = '[[streams]]\ntopic = "a/+"\nevery = "10m"\n'


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
        ("[journal]\ncommit_every = 2", "journal.commit_every", ['as text, such as "2s"']),
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
