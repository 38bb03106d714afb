"""The guide of README.md, typed word for word in a clean Debian: each step gives what it promises.

Run by `make test-guide`, as root: a quarter of an hour, half of which the guide itself asks to wait.
"""

from __future__ import annotations

import json
import re
import shlex
import socket
from typing import Any

import pytest

from tests.guide.clean import HERE, Clean
from tests.support.blocks import BESIDE, ROOT, Block, blocks
from tests.systemd.machine import make_tree

BUILD = ROOT / "build"
GUIDE = "Ten minutes"
BLOCKS = [block for block in blocks(ROOT / "README.md") if block.heading == GUIDE and block.language == "sh"]
MARK = "--- typed: "
AFTER = """
mosquitto_sub --retained-only -W 5 -F '%r %t %p' -t 'homeassistant/device/+/config' > retained.txt || test $? = 27
edgeseq bundle show --json house.edgeseq > bundle.json
timeout 300 mosquitto_sub -t 'edgeseq/edgeseq/+/forecast' | grep --max-count=1 '"source":"model"' > served.json
"""
"""Typed by the test when all of the guide has been: what is to be judged."""


def script(typed: list[Block]) -> str:
    """Join blocks to one session that ends where something fails."""
    lines = ["set -e", f"cd /{HERE}"]
    for number, block in enumerate(typed):
        lines.append(f"echo {shlex.quote(f'{MARK}{number}')}")
        lines.append(f"{{\n{block.text}}} > beside.txt 2>&1 &" if block.how == BESIDE else block.text)
    return "\n".join([*lines, f"echo {shlex.quote(f'{MARK}after')}", AFTER])


@pytest.fixture(scope="module")
def typed() -> tuple[Clean, dict[str, str]]:
    """The tree after the guide was typed in it, and what each block has told."""
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", 1883)) != 0, (
            "the guide starts a broker of its own: free port 1883"
        )
    tree = Clean(make_tree(BUILD / "systemd/tree.tar"), BUILD / "guide/root")
    told = BUILD / "guide/told.txt"
    status = tree.run(script(BLOCKS), told)
    text = told.read_text(encoding="utf-8", errors="replace")
    assert status == 0, text[-6000:]
    parts = [part.partition("\n") for part in text.split(MARK)[1:]]
    return tree, {BLOCKS[int(name)].text if name.isdigit() else name: rest for name, _, rest in parts}


def of(told: dict[str, str], word: str) -> str:
    """Give what the block that holds a word has told."""
    (found,) = (text for block, text in told.items() if word in block)
    return found


def documents(text: str) -> list[dict[str, Any]]:
    """List the lines that are JSON."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_scan_finds_the_sensors(typed: tuple[Clean, dict[str, str]]) -> None:
    """Its configuration is usable, and serves what Zigbee2MQTT says."""
    told = of(typed[1], "edgeseq scan")
    assert "2 streams" in told
    assert "edgeseq.toml is usable" in told


def test_watch_shows_forecasts_of_both(typed: tuple[Clean, dict[str, str]]) -> None:
    """The second terminal shows readings, forecasts and the alert."""
    told = (typed[0].here / "beside.txt").read_text(encoding="utf-8")
    assert set(re.findall(r"zigbee2mqtt-(\w+)-temperature  [\d.]+  next [\d.]+ … ", told)) == {
        "attic",
        "cellar",
    }
    assert re.search(r"zigbee2mqtt-cellar-temperature .*silent", told)
    assert "  model\n" in told


def test_forecasts_are_of_the_cellar(typed: tuple[Clean, dict[str, str]]) -> None:
    """The first ones come one a reading, by the baseline."""
    told = documents(of(typed[1], "-C 5"))
    assert [one["source"] for one in told] == ["baseline"] * 5
    assert {one["stream"] for one in told} == {"zigbee2mqtt-cellar-temperature"}


def test_pulled_battery_is_silent(typed: tuple[Clean, dict[str, str]]) -> None:
    """The alert that was waited for names the stream and the kind."""
    (alert,) = documents(of(typed[1], "kill $cellar"))
    assert (alert["kind"], alert["event_type"]) == ("silent", "opened")
    assert alert["stream"] == "zigbee2mqtt-cellar-temperature"


def test_discovery_is_retained(typed: tuple[Clean, dict[str, str]]) -> None:
    """Home Assistant finds the node and the table whenever it comes."""
    lines = (typed[0].here / "retained.txt").read_text(encoding="utf-8").splitlines()
    found = {topic: json.loads(payload) for _, topic, payload in (line.split(" ", 2) for line in lines)}
    assert {line[0] for line in lines} == {"1"}
    assert len(found) == 2
    components = [part for one in found.values() for part in one["cmps"].values()]
    assert {"sensor", "binary_sensor", "event"} <= {part["p"] for part in components}
    assert set(of(typed[1], "discovery").split()) == set(found)


def test_recording_becomes_a_bundle_that_serves(typed: tuple[Clean, dict[str, str]]) -> None:
    """The model was trained on what was recorded, signed, trusted, and forecasts."""
    bundle = json.loads((typed[0].here / "bundle.json").read_text(encoding="utf-8"))
    assert bundle["manifest"]["name"] == "house"
    told = of(typed[1], "trusted_keys")
    assert "edgeseq.toml is usable" in told
    assert documents(told)[-1]["rules"][0]["bundle"].startswith("house@")
    forecast = json.loads((typed[0].here / "served.json").read_text(encoding="utf-8"))
    assert forecast["bundle"].startswith("house@")
    assert len(forecast["path"]["lead_s"]) > 1
