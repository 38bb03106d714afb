"""Laws of scanning: what is recognised, measured and proposed, without a broker."""

from __future__ import annotations

import doctest
import json
import math
import random
import re
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeseq.config import StreamConfig, parse_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.core.topics import is_match
from edgeseq.core.types import Message
from edgeseq.scan import filters, measure, observe, recognise, write
from edgeseq.scan.filters import cover
from edgeseq.scan.measure import Cadence, is_counter, resolution, season_s
from edgeseq.scan.observe import Number, Observed
from edgeseq.scan.propose import Proposal, Table, propose
from edgeseq.scan.recognise import families_of
from edgeseq.scan.write import configuration, told
from tests.support.families import EVERY_NS, HOUSEHOLDS, START_NS, messages

S = 10**9
LEVELS = st.sampled_from(
    ["a", "b", "tele", "SENSOR", "5", "state", "sensor", "set", "x y", "Ä\n", "", "events", "rpc"]
)
TOPICS = st.lists(LEVELS, min_size=1, max_size=6).map("/".join).filter(bool)


@pytest.mark.parametrize("module", [filters, measure, observe, recognise, write], ids=lambda m: m.__name__)
def test_examples_in_docstrings(module: ModuleType) -> None:
    """What the docstrings show is so."""
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0


def watched(*found: Message) -> tuple[Observed, Proposal]:
    """Scan messages."""
    seen = Observed()
    for message in found:
        observe.observe(seen, message)
    return seen, propose(seen)


def resolved(seen: Observed, proposal: Proposal) -> Resolved:
    """Resolve the configuration that is written, as `edgeseq config check` does."""
    text = configuration(seen, proposal, {"host": "localhost"})
    return resolve(parse_config(text), Path(), environment={"HOME": "nowhere"})


def table_of(proposal: Proposal, topic: str, field: str | None = None) -> Table:
    """Find the one table of a stream."""
    (found,) = [t for t in proposal.tables if any(n.source == (topic, field) for n in t.numbers)]
    return found


def each(topic: str, every_s: float, payloads: list[str]) -> list[Message]:
    """Make messages of a topic that come regularly."""
    return [
        Message(topic, text.encode(), START_NS + round(k * every_s * S)) for k, text in enumerate(payloads)
    ]


def number(values: list[float], every_s: float = 1.0, name: str = "x", unit: str = "") -> Number:
    """Make a number that brought these values."""
    made = Number("t", name, ("t", name), unit=unit)
    for k, value in enumerate(values):
        made.take(round(k * every_s * S), value, is_retained=False)
    return made


# --- families ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(HOUSEHOLDS))
def test_family_is_recognised_and_its_numbers_are_all_found(name: str) -> None:
    """Every number that is one to forecast is in one table of the family, with its unit, and nothing else is."""
    home = HOUSEHOLDS[name]
    samples = messages(home.start(START_NS), START_NS)
    for step in range(6):
        at_ns = START_NS + (step + 1) * EVERY_NS
        samples += messages(home.at(step, at_ns), at_ns)
    seen, proposal = watched(*samples)
    found = {n.source: n.unit for table in proposal.tables for n in table.numbers}
    assert found.keys() == home.streams
    assert {table.decoder for table in proposal.tables} == {name}
    assert {source: found[source] for source in home.units} == home.units
    assert all(table.every_s == EVERY_NS / S for table in proposal.tables)
    assert len(resolved(seen, proposal).rules) == len(proposal.tables)


def test_families_with_other_base_topics() -> None:
    """What stands beside a topic tells its family where its own name does not."""
    found = families_of(
        [
            *("home/z2m/bridge/devices", "home/z2m/lamp", "house/5/vane/air/wind", "house/5/vane/$state"),
            *("ha/sensor/x/state", "ha/sensor/x/last_changed", "node/sensor/x/state", "node/status"),
            *("a/5/b/c/d", "plant/flow", "site/tele/boiler/SENSOR", "up/stairs/events/rpc"),
        ]
    )
    assert [found[t] for t in ("home/z2m/lamp", "house/5/vane/air/wind")] == ["zigbee2mqtt", "homie"]
    assert [found[t] for t in ("ha/sensor/x/state", "node/sensor/x/state")] == ["homeassistant", "esphome"]
    assert [found[t] for t in ("a/5/b/c/d", "plant/flow")] == ["", ""]
    assert [found[t] for t in ("site/tele/boiler/SENSOR", "up/stairs/events/rpc")] == ["tasmota", "shelly2"]


def test_devices_of_a_family_share_a_wildcard_unless_strangers_would_come_with_it() -> None:
    """A stranger under the family's wildcard has it name its devices."""
    sensors = [
        m for k in (1, 2) for m in each(f"node{k}/sensor/air/state", 10, ["1.5", "2", "2.5", "3", "1"])
    ]
    _, alone = watched(*sensors)
    assert alone.tables[0].topics == ["+/sensor/+/state"]
    beside = [*each("ha/sensor/a/state", 10, ["1", "2"]), *each("ha/sensor/a/last_changed", 10, ["x"])]
    _, both = watched(*sensors, *beside)
    topics = table_of(both, "node1/sensor/air/state").topics
    assert any(is_match(one, "node2/sensor/air/state") for one in topics)
    assert not any(is_match(one, "ha/sensor/a/state") for one in topics)


def test_exceptional_rhythm_has_a_table_of_its_own() -> None:
    """Devices that tell far more often are not held back by the others, and stand in one table only."""
    slow = [
        m
        for k in range(3)
        for m in each(f"tele/slow{k}/SENSOR", 300, ['{"A":{"T":1.5}}', '{"A":{"T":2}}'] * 3)
    ]
    fast = each("tele/fast/SENSOR", 1, ['{"A":{"T":1.5}}', '{"A":{"T":2}}'] * 9)
    seen, proposal = watched(*sorted([*slow, *fast], key=lambda m: m.received_ns))
    assert [(t.topics, t.exclude, t.every_s) for t in proposal.tables] == [
        (["tele/fast/SENSOR"], [], 1),
        (["tele/+/SENSOR"], ["tele/fast/SENSOR"], 300),
    ]
    assert len(resolved(seen, proposal).rules) == 2


def test_what_a_device_tells_twice_is_read_once() -> None:
    """A Shelly's notifications are left aside where its status says the same, and only there."""
    status = each("plug/status/switch:0", 10, ['{"apower":1.5}', '{"apower":2}'] * 3)
    notice = '{"method":"NotifyStatus","params":{"switch:0":{"apower":2}}}'
    both = [*status, *each("plug/events/rpc", 10, [notice] * 6)]
    _, alone = watched(*both)
    assert (alone.tables[0].topics, alone.tables[0].exclude) == (["+/status/+"], [])
    seen, mixed = watched(*both, *each("sleeper/events/rpc", 10, [notice] * 6))
    (table,) = mixed.tables
    assert (sorted(table.topics), table.exclude) == (["+/events/rpc", "+/status/+"], ["plug/events/rpc"])
    assert mixed.streams == 2
    assert len(resolved(seen, mixed).rules) == 1


def test_descriptions_for_home_assistant_are_no_readings() -> None:
    """Discovery messages hold numbers that nobody measures."""
    found = [b'{"qos":1,"expire_after":60}', b'{"components":{"a":{"suggested_display_precision":1}}}']
    kinds = ("device/plug", "sensor/node/power", "sensor/power")
    sent = [Message(f"homeassistant/{k}/config", b, START_NS, retained=True) for k in kinds for b in found]
    assert watched(*sent)[1].tables == []


# --- without a family -------------------------------------------------------------------------------------------


def test_plain_numbers_and_json_stand_together_by_what_they_hold() -> None:
    """Fields that are no measurement are left out, a time of their own is used, and counters are told."""
    texts = [
        json.dumps({"t": 20 + k % 3, "total_kwh": 100 + k, "rssi": -k, "at": (START_NS + k * S) // 10**6})
        for k in range(9)
    ]
    rooms = [m for room in ("hall", "attic") for m in each(f"house/{room}", 1, texts)]
    seen, proposal = watched(
        *rooms, *each("house/cellar/flow", 60, ["1", "2.5"] * 5), *each("house/mode", 1, ["on"])
    )
    gauge, counter = table_of(proposal, "house/hall", "t"), table_of(proposal, "house/hall", "total_kwh")
    assert (gauge.topics, gauge.fields, gauge.time) == (["house/attic", "house/hall"], ["t"], "at")
    assert (counter.fields, counter.is_counter) == (["total_kwh"], True)
    assert table_of(proposal, "house/cellar/flow").every_s == 60
    rules = {rule.key: rule for rule in resolved(seen, proposal).rules}
    assert rules[counter.name].kind == "counter"
    assert {stream for table in proposal.tables for stream in (n.source for n in table.numbers)} == {
        *((f"house/{room}", name) for room in ("hall", "attic") for name in ("t", "total_kwh")),
        ("house/cellar/flow", None),
    }


def test_what_never_changed_is_left_out_and_said() -> None:
    """A field that rests on all topics of a table; one that rests on some of them may move tomorrow."""
    texts = [json.dumps({"t": 20 + k % 3, "wanted": 21}) for k in range(40)]
    still = [json.dumps({"t": 20, "wanted": 21})] * 40
    seen, proposal = watched(*each("house/hall", 1, texts), *each("house/attic", 1, still))
    (table,) = proposal.tables
    assert (table.topics, table.fields, proposal.streams) == (["house/+"], ["t"], 2)
    assert "never changed, so left out of fields: wanted (always 21)" in configuration(seen, proposal, {})
    assert told(seen, proposal)["tables"][0]["never_changed"] == ["wanted"]


def test_table_that_never_changed_is_written_as_a_comment() -> None:
    """With its reason; without the marks it is a table like any other."""
    seen, proposal = watched(*each("house/flow", 1, ["1", "2.5"] * 20), *each("door/count", 1, ["7"] * 40))
    text = configuration(seen, proposal, {"host": "localhost"})
    assert "Not read: it never changed in 40 readings" in text
    assert [rule.topics for rule in resolved(seen, proposal).rules] == [("house/flow",)]
    assert proposal.streams == 1
    start = text.index("# [[streams]]")
    block = text[start:].partition("\n\n")[0]
    whole = text.replace(block, re.sub(r"^# ", "", block, flags=re.MULTILINE))
    rules = resolve(parse_config(whole), Path(), environment={"HOME": "nowhere"}).rules
    assert {rule.topics for rule in rules} == {("house/flow",), ("door/count",)}


def test_few_equal_readings_and_a_house_at_rest_are_read() -> None:
    """A minute of a slow sensor says nothing; where nothing at all has moved, that is what there is."""
    few = watched(*each("house/flow", 1, ["1", "2.5"] * 20), *each("door/count", 1, ["7"] * 29))[1]
    assert [table.is_off for table in few.tables] == [False, False]
    still = watched(*each("a/flow", 1, ["1"] * 40), *each("door/count", 1, ["7"] * 40))[1]
    assert [table.is_off for table in still.tables] == [False, False]


def test_retained_messages_tell_of_topics_but_not_of_their_rhythm() -> None:
    """What was only there before is proposed with a guess that says so."""
    kept = [Message("a/b", str(k).encode(), START_NS + k * S, retained=True) for k in range(9)]
    seen, proposal = watched(*kept)
    (table,) = proposal.tables
    assert (table.every_s, table.is_held, table.cadence.is_known) == (600, True, False)
    text = configuration(seen, proposal, {"host": "h"})
    assert "a guess" in text
    assert "retained only" in text


def test_own_topics_commands_and_silence_are_left_out() -> None:
    """Nothing of edgeseq or of commands becomes a stream; what is left out is told with its reason."""
    seen, proposal = watched(
        *each("edgeseq/n/x/forecast", 1, ['{"value":1}'] * 5),
        *each("lamp/set", 1, ["5"] * 5),
        *each("lamp/mode", 1, ["on"] * 5),
    )
    assert proposal.tables == []
    assert {one.why.split(",")[0]: one.count for one in proposal.left_out} == {
        "messages of edgeseq itself": 5,
        "of the device and not of what it measures": 1,
        "texts": 1,
    }
    assert seen.own == 5


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Topics, names, readings and payloads beyond the limits are counted and not kept."""
    monkeypatch.setattr(observe, "MOST_TOPICS", 10)
    monkeypatch.setattr(observe, "MOST_NUMBERS", 8)
    seen, proposal = watched(
        *(Message(f"t/{k}", b"1", START_NS + k) for k in range(20)),
        *(Message("t/0", str(k).encode(), START_NS + k * S) for k in range(2000)),
        Message("t/1", b"1" * 70_000, START_NS),
    )
    assert (len(seen.topics), seen.numbers, seen.unlisted) == (10, 8, 12)
    assert len(seen.topics["t/0"].numbers[""].values) <= 2 * observe.MOST_KEPT
    assert seen.too_large == {"t/1": 1}
    assert any("more topics" in one.why and one.count == 12 for one in proposal.left_out)


@settings(max_examples=150, deadline=None)
@example([("a/a/tele/SENSOR", b'{"":0}')])
@given(
    st.lists(
        st.tuples(TOPICS, st.binary(max_size=40) | st.sampled_from([b"1.5", b'{"a":1}', b"nan"])), max_size=12
    )
)
def test_any_messages_give_a_configuration_that_runs(found: list[tuple[str, bytes]]) -> None:
    """No topics and no bytes raise, and whatever is proposed passes the check."""
    sent = [Message(topic, payload, START_NS + k * S) for k, (topic, payload) in enumerate(found)]
    seen, proposal = watched(*sent)
    assert json.loads(json.dumps(told(seen, proposal)))["messages"] == len(found)
    if proposal.tables:
        config = parse_config(configuration(seen, proposal, {"host": "h"}))
        assert all(isinstance(table, StreamConfig) for table in config.streams)
        resolve(config, Path(), environment={"HOME": "nowhere"})


# --- filters ----------------------------------------------------------------------------------------------------


@given(st.sets(TOPICS, max_size=8), st.sets(TOPICS, max_size=8))
def test_filters_match_all_topics_and_no_foreign_one(topics: set[str], foreign: set[str]) -> None:
    """Every topic is matched, no foreign one is, and never are there more filters than topics."""
    foreign -= topics
    chosen = cover(topics, foreign)
    assert all(any(is_match(one, topic) for one in chosen) for topic in topics)
    assert not any(is_match(one, topic) for one in chosen for topic in foreign)
    assert len(chosen) <= len(topics)


# --- measures ---------------------------------------------------------------------------------------------------


def test_cadence_is_of_the_fastest_number_and_irregular_where_gaps_differ() -> None:
    """A clock is told from changes."""
    regular = measure.cadence([number([1.0] * 20, 60), number([1.0] * 2, 5)])
    assert (regular.median_s, regular.is_regular) == (60, True)
    jumpy = Number("t", "x", ("t", "x"))
    at_ns = 0
    for k in range(30):
        at_ns += (5 if k % 3 else 200) * S
        jumpy.take(at_ns, k, is_retained=False)
    assert not measure.cadence([jumpy]).is_regular
    assert not measure.cadence([number([1.0])]).is_known


@pytest.mark.parametrize(
    ("found", "changes", "period"),
    [
        (59.0, False, 60),
        (61.0, False, 60),
        (75.0, False, 120),
        (0.26, False, 0.5),
        (75.0, True, 300),
        (9e9, False, 86400),
    ],
)
def test_period_is_round(found: float, changes: bool, period: float) -> None:
    """The period is the next round one, and may be a little shorter than the gap."""
    assert measure.period_s(Cadence(9, found, True), reports_changes=changes) == period


@pytest.mark.parametrize(
    ("name", "values", "counts"),
    [
        ("energy", [1.0, 2.0, 2.0, 3.0], True),
        ("energy", [1.0, 2.0, 1.9], False),
        ("energy", [100.0, 101.0, 0.0, 1.0, *range(2, 30)], True),
        ("ENERGY.Total", [5.0, 5.0], True),
        ("ENERGY.Power", [1.0, 2.0, 3.0], False),
        ("total_act_power", [1.0, 2.0, 3.0], False),
        ("temperature", [1.0, 2.0, 3.0, 4.0], False),
        ("n", list(range(80)), True),
    ],
)
def test_counter_is_told_by_its_name_or_by_rising_long(name: str, values: list[float], counts: bool) -> None:
    """A counter never falls but to begin anew; a short rise makes none without a name for it."""
    assert is_counter(number(values, name=name)) is counts


def test_resolution_is_the_smallest_step() -> None:
    """Noise of floats is no step, a value that stays has none, nor has what was computed."""
    assert resolution(number([20.1, 20.2, 20.4, 20.1 + 1e-13])) == 0.1
    assert resolution(number([21.0625, 21.125, 21.5])) == 0.0625
    assert resolution(number([1000, 1020, 1050])) == 10
    assert resolution(number([math.sin(k) for k in range(20)])) is None
    assert resolution(number([5.0, 5.0])) is None


def test_season_is_found_where_it_repeats_and_nowhere_else() -> None:
    """A sine's period is found on a slope and in noise; noise and lines have none."""
    noise = random.Random(1)
    sine = [math.sin(k / 40 * math.tau) + 0.01 * k + noise.gauss(0, 0.2) for k in range(200)]
    assert season_s(number(sine, 60), 60) == pytest.approx(2400, rel=0.05)
    assert season_s(number([noise.gauss(0, 1) for _ in range(200)], 60), 60) is None
    assert season_s(number([float(k) for k in range(200)], 60), 60) is None
    assert season_s(number(sine[:20], 60), 60) is None
