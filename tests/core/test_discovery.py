"""What Home Assistant is told holds by its rules, is bounded, and stays the same."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.core.device_classes import _UNITS_OF, device_class
from edgeseq.core.discovery import MOST_COMPONENTS, Wanted, announce_page, layout
from edgeseq.core.estimated import Estimated
from edgeseq.core.told import RenderContext
from edgeseq.core.topics import slug
from edgeseq.core.types import ChannelSource, StreamInfo, StreamRule, Target
from edgeseq.core.units import is_known
from tests.support.homeassistant_rules import TOPIC, UNITS_OF_CLASS, parse

MINUTE = 60 * 10**9
WANTED = Wanted("homeassistant", 12, True, "1.0")
HOUSE = StreamRule("z/+", MINUTE, topics=("z/+",), fields=("t",), unit="°C")
PUMP = StreamRule(
    "pump",
    MINUTE,
    name="pump",
    channels={n: ChannelSource(f"p/{n}") for n in ("flow", "Vib")},
    units={"flow": "L/min"},
)


def context(infos: Iterable[StreamInfo], *rules: StreamRule, **more: Any) -> RenderContext:
    """Make a node of these streams."""
    return RenderContext("edgeseq", "n", list(infos), {rule.key: rule for rule in rules}, {}, **more)


def house(count: int, rule: StreamRule = HOUSE) -> list[StreamInfo]:
    """Make streams of one wildcard rule."""
    return [StreamInfo(f"z-{n}-t", rule.key, f"z/{n}", "t", 0) for n in range(count)]


def messages(made: RenderContext, wanted: Wanted = WANTED) -> dict[str, bytes]:
    """Give all messages: topic → payload."""
    pages = layout(made, wanted, range(len(made.infos)))
    return {topic: msgspec.json.encode(announce_page(made, wanted, page)) for topic, page in pages.items()}


def entities(told: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """Give all entities by their ids, each of which is there once."""
    found: dict[str, dict[str, Any]] = {}
    for topic, payload in told.items():
        place = TOPIC.fullmatch(topic.removeprefix("homeassistant/"))
        assert place, topic
        assert place["component"] == "device"
        for entity in parse(payload)["components"].values():
            assert entity["unique_id"] not in found
            found[entity["unique_id"]] = entity
    return found


def test_entities_of_a_stream_are_these() -> None:
    """A stream has a forecast with band and path, its alerts with buttons, and what tells how it fares."""
    found = entities(messages(context(house(1), HOUSE)))
    stream = {key.removeprefix("edgeseq-n_z-0-t_"): one for key, one in found.items() if "_z-0-t_" in key}
    assert {key: one["platform"] for key, one in stream.items()} == {
        "forecast": "sensor", "lower": "sensor", "upper": "sensor", "skill": "sensor", "data": "sensor",
        "phase": "sensor", "anomaly": "binary_sensor", "alert": "event", "acknowledge": "button",
        "false_alarm": "button", "real": "button",
    }  # fmt: skip
    forecast = stream["forecast"]
    assert (forecast["unit_of_measurement"], forecast["device_class"]) == ("°C", "temperature")
    assert forecast["state_topic"] == forecast["json_attributes_topic"] == "edgeseq/n/z-0-t/forecast"
    assert [one["topic"] for one in forecast["availability"]] == [
        "edgeseq/n/bridge/state", "edgeseq/n/z-0-t/availability",
    ]  # fmt: skip
    silence_is_told = [stream[key]["availability"] for key in ("anomaly", "alert", "acknowledge", "data")]
    assert all([one["topic"] for one in each] == ["edgeseq/n/bridge/state"] for each in silence_is_told)
    assert stream["alert"]["event_types"] == ["opened", "updated", "cleared", "acknowledged"]
    assert json.loads(stream["real"]["payload_press"]) == {
        "stream": "z-0-t",
        "by": "Home Assistant",
        "label": "real",
    }
    assert stream["forecast"]["name"] == "0 t forecast"
    assert {key for key in found if "_bridge_" in key} >= {
        "edgeseq-n_bridge_alerts",
        "edgeseq-n_bridge_streams",
    }


def test_entities_follow_the_configuration() -> None:
    """No buttons without requests, no alerts where there are none, and no path that is not published."""
    quiet = msgspec.structs.replace(HOUSE, alerts=False, publish_path=False)
    assert not [one for one in entities(messages(context(house(1, quiet), quiet))).values() if "alert" in one["name"]
                and one["unique_id"].startswith("edgeseq-n_z")]  # fmt: skip
    silent = entities(messages(context(house(1), HOUSE), WANTED._replace(has_buttons=False)))
    assert "button" not in {one["platform"] for one in silent.values()}
    quick = msgspec.structs.replace(HOUSE, period_ns=10**9)
    forecast = entities(messages(context(house(1, quick), quick)))["edgeseq-n_z-0-t_forecast"]
    assert forecast["state_topic"].endswith("/latest")
    assert "json_attributes_topic" not in forecast


def test_channels_have_entities_of_their_own() -> None:
    """Each channel has its forecast and alerts; the buttons are the stream's."""
    found = entities(messages(context([StreamInfo("pump", "pump", "", None, 0)], PUMP)))
    vib = slug("Vib")
    assert found[f"edgeseq-n_pump_{vib}_anomaly"]["state_topic"] == f"edgeseq/n/pump/{vib}/anomaly"
    assert found["edgeseq-n_pump_anomaly"]["state_topic"] == "edgeseq/n/pump/anomaly"
    assert found["edgeseq-n_pump_flow_upper"]["device_class"] == "volume_flow_rate"
    assert [one["name"] for one in found.values() if one["platform"] == "button"] == [
        "acknowledge alerts", "false alarm", "real alarm",
    ]  # fmt: skip


@pytest.mark.parametrize("target", [Target("occupancy", classes=("yes", "no")), Target("flow", unit="m3/h")])
def test_estimate_is_a_number_or_one_of_its_classes(target: Target) -> None:
    """An estimator's stream has one entity more."""
    made = context(house(1), HOUSE, estimated={HOUSE.key: Estimated(target, "b@1")})
    found = entities(messages(made))["edgeseq-n_z-0-t_estimate"]
    if target.classes:
        assert found["options"] == ["yes", "no"]
    else:
        assert (found["device_class"], found["unit_of_measurement"]) == ("volume_flow_rate", "m³/h")


def test_later_streams_move_no_earlier_ones() -> None:
    """A page that is full stays as it is; a new stream changes the last page or makes one."""
    before = messages(context(house(40), HOUSE))
    after = messages(context(house(41), HOUSE))
    assert len(before) == len(after) == 5, "the node, and four of 12 streams at most"
    assert [topic for topic in after if before[topic] != after[topic]] == [list(after)[-1]]


def test_one_stream_a_device_is_named_by_the_stream() -> None:
    """With one stream a device its id does not hang on the order of arrival."""
    own = WANTED._replace(streams_per_device=1)
    told, turned = (messages(context(infos, HOUSE), own) for infos in (house(3), house(3)[::-1]))
    assert "homeassistant/device/edgeseq-n_s_z-1-t/config" in told
    topic = "homeassistant/device/edgeseq-n_s_z-1-t/config"
    assert told[topic] == turned[topic]
    assert json.loads(told[topic])["dev"]["name"] == "edgeseq n 1 t"


def test_messages_are_bounded() -> None:
    """However many channels there are and however long their names, no message passes 128 KB."""
    names = [f"{n:03}" + "é" * 200 for n in range(300)]
    wide = StreamRule(
        "w" * 200, MINUTE, name="w" * 200, channels={n: ChannelSource(n) for n in names}, unit="u" * 999
    )
    told = messages(context([StreamInfo("w" * 102, wide.key, "", None, 0)], wide))
    assert max(len(parse(payload)["components"]) for payload in told.values()) <= MOST_COMPONENTS
    assert max(map(len, told.values())) < 131_072
    assert len(entities(told)) > 300 * 6


TEXT = st.text(min_size=1, max_size=40)


@given(topics=st.lists(TEXT, min_size=1, max_size=5, unique=True), unit=TEXT, field=st.none() | TEXT)
def test_names_and_units_of_others_break_no_rule(topics: list[str], unit: str, field: str | None) -> None:
    """Whatever topics, fields and units say, the messages hold by the rules."""
    rule = StreamRule("#", MINUTE, topics=("#",))
    infos = [StreamInfo(f"s-{n}", "#", topic, field, 0, unit=unit) for n, topic in enumerate(topics)]
    assert len(entities(messages(context(infos, rule)))) == 4 + 11 * len(topics)


def test_device_classes_are_right_or_none() -> None:
    """Every unit that has a class is one of those that Home Assistant takes for it; shared units have none."""
    for name, units in _UNITS_OF.items():
        assert set(units) <= UNITS_OF_CLASS[name], name
    assert [device_class(unit) for unit in ("%", "ppm", "mm", "L", "m³", "dB", None)] == [None] * 7
    assert is_known("°C")
    rule = StreamRule("#", MINUTE, topics=("#",))
    every = sorted({unit for units in _UNITS_OF.values() for unit in units} | {"%", "mm", "L", "t"})
    infos = [StreamInfo(f"s-{n}", "#", unit, None, 0, unit=unit) for n, unit in enumerate(every)]
    assert len(entities(messages(context(infos, rule)))) == 4 + 11 * len(every)
