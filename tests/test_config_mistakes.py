"""`edgeseq config check` tells all that is wrong, and nothing that is wrong only because of something else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeseq.commands.config import config
from edgeseq.config import load_config
from edgeseq.config.mistakes import MOST, mistakes
from edgeseq.config.resolve import resolve
from edgeseq.errors import ConfigError

GOOD = '[[streams]]\ntopic = "good/+"\nevery = "10s"\n'


def found(folder: Path, text: str, **environment: str) -> list[tuple[str, str]]:
    """List where and what is wrong."""
    path = folder / "edgeseq.toml"
    path.write_text(text, encoding="utf-8")
    told = mistakes(path, {"HOME": str(folder), **environment})
    return [((fault.where or "").removeprefix("edgeseq.toml: "), fault.what) for fault in told]


def test_nothing_is_wrong_with_a_good_file(tmp_path: Path) -> None:
    """No mistake is made up."""
    assert found(tmp_path, GOOD) == []


def test_wrong_keys_of_one_table_are_all_told(tmp_path: Path) -> None:
    """Two unknown ones and a wrong value of one table, and one of another; not the key that we took away."""
    text = '[mqtt]\nhots = "x"\nport = "a"\n[[streams]]\ntopc = "a/+"\nevery = 10\nfeilds = ["v"]\n'
    assert {where for where, _ in found(tmp_path, text)} == {
        "mqtt.hots",
        "mqtt.port",
        "streams[0].topc",
        "streams[0].every",
        "streams[0].feilds",
    }


def test_each_table_tells_its_contradiction(tmp_path: Path) -> None:
    """Tables keep their numbers, and a table without mistakes is not named."""
    text = (
        '[mqtt]\ncert_file = "c"\n[[streams]]\ntopic = "a/#/b"\nevery = "10s"\n'
        + GOOD
        + '[[streams]]\ntopic = "c/+"\nevery = "often"\n'
        + '[[streams]]\ntopic = "good/+"\nevery = "1s"\n'
    )
    assert [where for where, _ in found(tmp_path, text)] == [
        "mqtt.cert_file",
        "streams[0].topic",
        "streams[2].every",
        "streams[3]",
    ]


def test_a_maintenance_of_a_wrong_table_is_not_told(tmp_path: Path) -> None:
    """It names a table that there is."""
    window = '[[maintenance]]\nbegin = "Sun 02:00"\nend = "Sun 04:00"\ntable = "pump"\n'
    text = window + '[[streams]]\nname = "pump"\ntopic = "a/+"\nevery = "often"\n'
    assert [where for where, _ in found(tmp_path, text)] == ["streams[0].every"]
    wrong = found(tmp_path, window.replace("pump", "pumps") + GOOD)
    assert [where for where, _ in wrong] == ["maintenance[0].table"]


def test_a_wrong_variable_is_told_beside_the_file(tmp_path: Path) -> None:
    """By its own name."""
    told = found(tmp_path, '[node]\nnmae = "x"\n' + GOOD, EDGESEQ__MQTT__PORT="many")
    assert {where for where, _ in told} == {"node.nmae", "environment: EDGESEQ__MQTT__PORT"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "streams = 3\n",
        'streams = ["a"]\n',
        "[streams]\na = 1\n",
        "mqtt = 1\n" + GOOD,
        "[[streams]]\n",
    ],
)
def test_what_is_no_configuration_at_all_ends(tmp_path: Path, text: str) -> None:
    """At least one mistake is told, the one that the daemon would tell first among them."""
    path = tmp_path / "edgeseq.toml"
    path.write_text(text, encoding="utf-8")
    told = mistakes(path, {})
    with pytest.raises(ConfigError, match=re.escape(told[0].what)):
        resolve(load_config(path, {}), tmp_path, name=path.name, environment={})
    assert len(told) <= 2


def test_a_thousand_mistakes_are_told_in_part(tmp_path: Path) -> None:
    """Nobody mends more at once."""
    assert len(found(tmp_path, "[node]\n" + "".join(f"x{k} = 1\n" for k in range(50)) + GOOD)) == MOST


def test_config_check_prints_all(tmp_path: Path) -> None:
    """The command tells all of them, and ends as with one."""
    path = tmp_path / "edgeseq.toml"
    path.write_text('[node]\nnmae = "x"\n[log]\nlevl = "info"\n' + GOOD, encoding="utf-8")
    done = CliRunner().invoke(config, ["check", "--config", str(path)])
    assert isinstance(done.exception, ConfigError)
    told = done.stderr + str(done.exception)
    assert "unknown key nmae" in told
    assert "unknown key levl" in told
