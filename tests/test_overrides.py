"""Variables of the environment above the file, and secrets in neither."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeseq.commands.config import config
from edgeseq.config import load_config, parse_config
from edgeseq.errors import ConfigError

FILE = '[mqtt]\nhost = "file"\nversion = "5"\n[[streams]]\ntopic = "t"\nevery = "1m"\n'


def test_variables_stand_above_the_file() -> None:
    """Text is taken as it is, also where it looks like a number; other types are read as TOML."""
    told = parse_config(
        FILE,
        environment={
            "EDGESEQ__MQTT__HOST": "10",
            "EDGESEQ__MQTT__PORT": "8883",
            "EDGESEQ__MQTT__TLS": "true",
            "EDGESEQ__MQTT__QOS": "0",
            "EDGESEQ__MQTT__VERSION": "3.1.1",
            "EDGESEQ__NODE__NAME": "cellar",
            "EDGESEQ_FAILPOINT": "no path at all",
        },
    )
    settings = told.mqtt
    assert (settings.host, settings.port, settings.tls) == ("10", 8883, True)
    assert (settings.qos, settings.version, told.node.name) == (0, "3.1.1", "cellar")
    assert parse_config(FILE).mqtt.host == "file"


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("EDGESEQ__STREAMS__0__EVERY", "1m", "an element of an array cannot be overridden"),
        ("EDGESEQ__STREAMS", "[]", "an element of an array cannot be overridden"),
        ("EDGESEQ__MAINTENANCE__0__BEGIN", "x", "an element of an array cannot be overridden"),
        ("EDGESEQ__MQTT", "x", "names no key"),
        ("EDGESEQ__MQTT__", "x", "names no key"),
        ("EDGESEQ__MQTT__HOTS", "x", "did you mean host?"),
        ("EDGESEQ__MQTTT__HOST", "x", "did you mean mqtt?"),
        ("EDGESEQ__MQTT__PORT", "many", "wanted: whole number"),
        ("EDGESEQ__MQTT__PORT", "0", "port has a wrong value"),
        ("EDGESEQ__NODE__CLOCK", "sun", "'wall' or 'readings'"),
    ],
)
def test_variable_that_cannot_be_is_refused_by_its_name(variable: str, value: str, says: str) -> None:
    """The error says which variable is wrong, since no file is."""
    with pytest.raises(ConfigError, match="where:") as caught:
        parse_config(FILE, environment={variable: value})
    assert says in str(caught.value)
    assert "MQTTT" in variable or f"environment: {variable}" in str(caught.value)


@pytest.mark.parametrize("key", ["password", "passphrase", "token", "secret", "key"])
@pytest.mark.parametrize("is_variable", [False, True])
def test_secret_in_the_configuration_is_refused_and_not_repeated(key: str, *, is_variable: bool) -> None:
    """A password in the file, or in the environment, is refused with advice; the error does not say it again."""
    text = FILE if is_variable else FILE.replace("[mqtt]", f'[mqtt]\n{key} = "hunter2"')
    environment = {f"EDGESEQ__MQTT__{key.upper()}": "hunter2"} if is_variable else {}
    with pytest.raises(ConfigError, match="does not belong") as caught:
        parse_config(text, environment=environment)
    assert "password_file" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("host", ["mqtt://user:hunter2@broker", "user:hunter2@broker", "mqtts://broker"])
def test_url_as_host_is_refused_and_not_repeated(host: str) -> None:
    """A URL may hold a password."""
    with pytest.raises(ConfigError, match="the host is no name") as caught:
        parse_config(FILE.replace("file", host))
    assert "hunter2" not in str(caught.value)


def test_show_names_the_variable_behind_what_it_has_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`config show` says where a value comes from, and still reads back as the same."""
    path = tmp_path / "edgeseq.toml"
    path.write_text(FILE)
    monkeypatch.setenv("EDGESEQ__MQTT__HOST", "broker")
    printed = CliRunner().invoke(config, ["show", "--config", str(path)], catch_exceptions=False).output
    assert 'host = "broker"  # EDGESEQ__MQTT__HOST\n' in printed
    assert printed.count("EDGESEQ__") == 1
    assert tomllib.loads(printed)["mqtt"]["host"] == "broker"
    assert parse_config(printed) == load_config(path)
