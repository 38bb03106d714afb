"""Laws of who listens to what: names that are asked for, tables that share a topic, times and marks of documents."""

from __future__ import annotations

import json

import msgspec
import numpy as np

from edgeseq.core import pipeline
from edgeseq.core.decode import decode
from edgeseq.core.instants import format_instant
from edgeseq.core.registry import Registry
from edgeseq.core.types import Message, Options, Readings, Reason, Rejection, StreamRule

S = 10**9
NOW_NS = 1_772_359_200 * S
OPTIONS = Options(max_streams=50)
HOME = StreamRule("home", 10 * S, topics=("z/#",), decoder="zigbee2mqtt")
PLUG = {"power": 92.5, "energy": 3, "linkquality": 80, "state": "ON", "update": {"installed_version": 7}}


def message(content: object = PLUG, topic: str = "z/plug", at_ns: int = NOW_NS) -> Message:
    """Make a message of a device."""
    return Message(topic, json.dumps(content).encode(), at_ns)


def read(
    *rules: StreamRule, sent: Message | None = None
) -> tuple[dict[str, list[str | None]], list[Rejection], Readings]:
    """Decode one message by rules; give the fields that each rule took."""
    registry = Registry(rules)
    readings, rejections, _ = decode(registry, OPTIONS, [sent or message()])
    taken: dict[str, list[str | None]] = {rule.key: [] for rule in rules}
    for info in registry.infos:
        taken[info.rule].append(info.field)
    return taken, rejections, readings


def asking(*fields: str, key: str = "asked") -> StreamRule:
    """Make a rule that asks for names."""
    return msgspec.structs.replace(HOME, key=key, fields=fields)


def test_bookkeeping_is_a_stream_only_where_it_is_named() -> None:
    """Without fields all numbers but the device's own; with fields those alone, by whole name, end or pattern."""
    assert read(HOME)[0] == {"home": ["power", "energy"]}
    assert read(asking("linkquality"))[0] == {"asked": ["linkquality"]}
    assert read(asking("installed_version"))[0] == {"asked": ["update.installed_version"]}
    assert read(asking("*"))[0] == {"asked": ["power", "energy", "linkquality", "update.installed_version"]}
    assert read(asking("pow*"))[0] == {"asked": ["power"]}


def test_text_under_a_name_that_was_asked_for_is_rejected() -> None:
    """Else it is normal, and ignored."""
    taken, rejections, _ = read(asking("state", "power"))
    assert taken == {"asked": ["power"]}
    assert [r.reason for r in rejections] == [Reason.WRONG_TYPE]
    assert read(HOME)[1] == []


def test_first_table_has_a_number_that_several_want() -> None:
    """With decoders and without, whichever comes first."""
    path = StreamRule("path", 10 * S, topics=("z/#",), fields=("energy",))
    assert read(asking("power"), HOME)[0] == {"asked": ["power"], "home": ["energy"]}
    assert read(HOME, asking("power", "linkquality"))[0] == {
        "home": ["power", "energy"],
        "asked": ["linkquality"],
    }
    assert read(path, HOME)[0] == {"path": ["energy"], "home": ["power"]}
    assert read(HOME, path)[0] == {"home": ["power", "energy"], "path": []}
    assert read(HOME, path)[1] == []


def test_table_beside_a_decoder_goes_on_reading_its_own() -> None:
    """A topic that has streams of both kinds is read by both, message after message."""
    path = StreamRule("path", 10 * S, topics=("z/#",), fields=("linkquality",))
    state = pipeline.new_state((HOME, path), {}, OPTIONS)
    for step in range(3):
        batch = pipeline.accept(state, [message(at_ns=NOW_NS + step * S)])
        assert sorted(batch.readings.value.tolist()) == [3.0, 80.0, 92.5]


def test_time_of_the_document_is_the_reading_s() -> None:
    """As without a decoder; a message without it is one rejection, unless it says no number anyway."""
    timed = msgspec.structs.replace(HOME, time_field="last_seen")
    stamp = format_instant(NOW_NS - 60 * S)
    assert (
        read(timed, sent=message({**PLUG, "last_seen": stamp}))[2].time_ns.tolist() == [NOW_NS - 60 * S] * 2
    )
    assert [r.reason for r in read(timed)[1]] == [Reason.BAD_TIME]
    assert read(timed, sent=message({"state": "ON", "linkquality": 3}))[1] == []
    late = format_instant(NOW_NS + 3600 * S)
    assert [r.reason for r in read(timed, sent=message({**PLUG, "last_seen": late}))[1]] == [
        Reason.TIME_IN_FUTURE
    ]


def test_quality_mark_of_the_document_makes_values_missing() -> None:
    """A stream that exists takes them as known to be missing."""
    marked = msgspec.structs.replace(HOME, quality_field="q", quality_good=("ok",), fields=("power",))
    state = pipeline.new_state((marked,), {}, OPTIONS)
    good, bad = (message({"power": 5, "q": mark}) for mark in ("ok", "bad"))
    assert np.isnan(pipeline.accept(state, [good, bad]).readings.value).tolist() == [False, True]


def test_null_is_missing_of_a_stream_and_nothing_before_its_first_number() -> None:
    """Devices tell null for what they do not know yet."""
    state = pipeline.new_state((HOME,), {}, OPTIONS)
    unknown = message({"power": None})
    assert len(pipeline.accept(state, [unknown]).readings) == 0
    assert (state.counts.ignored, state.counts.received) == (1, 0)
    assert np.isnan(pipeline.accept(state, [message(), unknown]).readings.value).tolist() == [
        False,
        False,
        True,
    ]


def test_names_without_end_are_looked_up_anew_and_kept_in_bounds() -> None:
    """A device that invents names fills no memory, and its streams go on."""
    state = pipeline.new_state((msgspec.structs.replace(HOME, fields=("power",)),), {}, OPTIONS)
    for step in range(40):
        content = {f"x{step}-{i}": i for i in range(3000)} | {"power": step}
        sent = [Message("z/plug", json.dumps(content).encode(), NOW_NS + step * S)]
        assert pipeline.accept(state, sent).readings.value.tolist() == [float(step)]
    audience = state.registry.audiences.get("z/plug")
    assert audience is None or len(audience.listeners[0].places) < 70_000


def test_name_longer_than_any_is_refused() -> None:
    """Names stand in the journal and in topics: they are bounded."""
    taken, rejections, _ = read(HOME, sent=message({"a" * 300: 1, "power": 2}))
    assert taken == {"home": ["power"]}
    assert [r.reason for r in rejections] == [Reason.MALFORMED]
