"""Laws of units: what devices say in one becomes another, exactly enough, or nothing at all."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.config import StreamConfig
from edgeseq.config.place import Place
from edgeseq.config.rules import resolve_stream
from edgeseq.core import pipeline
from edgeseq.core.render import RenderContext, RenderState, render
from edgeseq.core.types import Message, Options, Reason, StreamRule
from edgeseq.core.units import _TABLE, canonical, conversion, is_known
from edgeseq.errors import ConfigError
from tests.support.families import HOMIE, START_NS, TASMOTA, Household, messages

S = 10**9
UNITS = [(kind, unit) for kind, units in _TABLE.items() for unit in units]


@pytest.mark.parametrize(
    ("value", "unit", "target", "expected"),
    [
        (32.0, "°F", "°C", 0.0),
        (-40.0, "°F", "°C", -40.0),
        (0.0, "K", "°C", -273.15),
        (1.5, "kW", "W", 1500.0),
        (1.0, "kWh", "MJ", 3.6),
        (60.0, "Wmin", "Wh", 1.0),
        (1013.25, "hPa", "bar", 1.01325),
        (29.92, "inHg", "hPa", 1013.21),
        (36.0, "km/h", "m/s", 10.0),
        (1.0, "m3", "l", 1000.0),
        (1.0, "d", "h", 24.0),
    ],
)
def test_conversion_gives_the_known_number(value: float, unit: str, target: str, expected: float) -> None:
    """What is written in every table of units."""
    change = conversion(unit, target)
    assert change is not None
    assert change.factor * value + change.offset == pytest.approx(expected, rel=1e-5, abs=1e-9)


@given(st.sampled_from(UNITS), st.sampled_from(UNITS), st.floats(-1e6, 1e6))
def test_conversion_there_and_back_is_the_same(
    one: tuple[str, str], other: tuple[str, str], value: float
) -> None:
    """Within a dimension there is a way back; between two there is none."""
    there, back = conversion(one[1], other[1]), conversion(other[1], one[1])
    assert (there is None) is (back is None) is (one[0] != other[0])
    if there and back:
        changed = there.factor * value + there.offset
        assert back.factor * changed + back.offset == pytest.approx(value, rel=1e-9, abs=1e-6)


@given(st.text(max_size=8), st.text(max_size=8))
def test_unknown_units_become_no_others(one: str, other: str) -> None:
    """What stands not in the table is passed on as it is."""
    assert conversion(one, other) is None or (is_known(one) and is_known(other))
    assert canonical(canonical(one)) == canonical(one)


# --- in the pipeline --------------------------------------------------------------------------------------------


def rule_of(household: Household, convert: str | list[str]) -> StreamRule:
    """Resolve a table that converts what a household says."""
    table = StreamConfig(
        every="10s", topic=list(household.topics), decoder=household.decoder, convert=convert
    )
    return resolve_stream(table, Place("test.toml", "streams[0]"))


def newest(state: pipeline.State, batch: pipeline.Batch) -> dict[str, float]:
    """Give the newest value of each stream, by the end of its name."""
    infos = state.registry.infos
    rows = zip(batch.readings.stream_index.tolist(), batch.readings.value.tolist(), strict=True)
    return {(infos[i].field or infos[i].topic.rpartition("/")[2]): value for i, value in rows}


def test_decoder_s_units_become_those_that_are_asked_for() -> None:
    """°F becomes °C where the device says that it tells °F; kWh becomes Wh; what is of no such dimension stays."""
    state = pipeline.new_state((rule_of(TASMOTA, ["°C", "Wh"]),), {}, Options())
    values = newest(state, pipeline.accept(state, messages(TASMOTA.at(0, START_NS), START_NS)))
    assert values["AM2301.Temperature"] == pytest.approx((70.3 - 32) / 1.8)
    assert values["AM2301.Humidity"] == 48.0
    assert values["ENERGY.Total"] == pytest.approx(431_700.0)
    told = {info.field: info.unit for info in state.registry.infos}
    assert (told["AM2301.Temperature"], told["ENERGY.Total"], told["AM2301.Humidity"]) == ("°C", "Wh", "%")


def test_device_that_changes_its_unit_is_followed() -> None:
    """The unit is that of the message: a device set from °F to °C makes no jump."""
    state = pipeline.new_state((rule_of(TASMOTA, "°C"),), {}, Options())
    topic = "tele/kitchen/SENSOR"
    texts = ('{"A":{"Temperature":68.0},"TempUnit":"F"}', '{"A":{"Temperature":20.0},"TempUnit":"C"}') * 2
    made = [Message(topic, text.encode(), START_NS + i * 10 * S) for i, text in enumerate(texts)]
    assert pipeline.accept(state, made).readings.value.tolist() == pytest.approx([20.0] * 4)


def test_unit_that_nothing_has_told_yet_makes_no_reading_where_it_may_have_to_be_converted() -> None:
    """Before the description a number could be of any unit; afterwards it is converted."""
    state = pipeline.new_state((rule_of(HOMIE, "hPa"),), {}, Options())
    pressure = Message("homie/5/weather-station/air/pressure", b"100912", START_NS)
    assert [r.reason for r in pipeline.accept(state, [pressure]).rejections] == [Reason.UNKNOWN_UNIT]
    batch = pipeline.accept(state, [*messages(HOMIE.start(START_NS), START_NS), pressure])
    assert batch.readings.value.tolist() == pytest.approx([1009.12])
    given_unit = msgspec.structs.replace(rule_of(HOMIE, "hPa"), unit="Pa")
    state = pipeline.new_state((given_unit,), {}, Options())
    assert pipeline.accept(state, [pressure]).readings.value.tolist() == pytest.approx([1009.12])


def test_rule_without_a_decoder_converts_from_its_own_unit() -> None:
    """`unit` is what comes, `convert` what goes on; the quick way and the careful one give the same."""
    table = StreamConfig(every="10s", topic="t/+", field="v", unit="degF", convert="°C", limits={"max": 30.0})
    rule = resolve_stream(table, Place("test.toml", "streams[0]"))
    assert rule.unit_of("value") == "°C"
    state = pipeline.new_state((rule,), {}, Options())
    made = [Message("t/a", b'{"v":212}', START_NS + i * 10 * S) for i in range(3)]
    assert pipeline.accept(state, made).readings.value.tolist() == pytest.approx([100.0] * 3)
    single = pipeline.new_state((rule,), {}, Options())
    assert [pipeline.accept(single, [one]).readings.id_hash[0] for one in made] == (
        pipeline.accept(pipeline.new_state((rule,), {}, Options()), made).readings.id_hash.tolist()
    )


def test_forecasts_tell_the_unit_of_their_own_stream() -> None:
    """Streams of one table, made together, have the units that their decoder knew or converted to."""
    rule = rule_of(TASMOTA, "°C")
    state = pipeline.new_state((rule,), {}, Options())
    context = RenderContext("edgeseq", "n", state.registry.infos, state.registry.rules, {}, {})
    told = {}
    for step in range(4):
        at_ns = START_NS + step * 10 * S
        events = pipeline.advance(
            state, pipeline.accept(state, messages(TASMOTA.at(step, at_ns), at_ns)).readings
        )
        for out in render(context, RenderState(), events):
            if out.topic.endswith("/forecast"):
                told[out.topic.split("/")[2]] = json.loads(out.payload)
    units = {info.id: info.unit for info in state.registry.infos}
    assert {stream: payload.get("unit") for stream, payload in told.items()} == units
    assert {"°C", "W", "kWh", "%", None} <= set(units.values())


# --- in the configuration ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"decoder": "zigbee2mqt"}, "did you mean zigbee2mqtt"),
        ({"decoder": "json"}, "one of zigbee2mqtt, tasmota"),
        ({"decoder": "tasmota", "convert": "furlong"}, "furlong"),
        ({"unit": "kW", "convert": "°C"}, "none of these readings"),
        ({"convert": "°C"}, "no unit"),
        ({"decoder": "esphome", "time": "ts"}, "looked up in JSON"),
        ({"decoder": "influx", "time": "ts"}, "their own times are taken"),
        ({"decoder": "tasmota", "rebirth": True}, "Sparkplug"),
        ({"decoder": "homie", "topic": None, "name": "n", "channels": {"a": "t/a", "b": "t/b"}}, "channels"),
        ({"decoder": "esphome", "lateness_steps": 1}, "a time of their own"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_and_said(changes: dict[str, object], said: str) -> None:
    """Each error names what is wrong and what is wanted."""
    fields: dict[str, object] = {"every": "10s", "topic": "t/#", **changes}
    with pytest.raises(ConfigError, match=re.escape(said)):
        resolve_stream(msgspec.convert(fields, StreamConfig), Place("test.toml", "streams[0]"))


def test_decoder_whose_extra_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sparkplug needs protobuf, which the device does not have by itself."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=re.escape("edgeseq[sparkplug]")):
        resolve_stream(StreamConfig(every="1s", decoder="sparkplug"), Place("test.toml", "streams[0]"))
