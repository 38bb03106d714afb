"""Laws of reading recordings: each line is the message that would have brought it, or an error that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeseq.capture import read_capture
from edgeseq.core.types import ChannelSource, Message, StreamRule
from edgeseq.errors import InputError

HOUR_NS = 3_600 * 10**9
PUMP = StreamRule(
    key="pump",
    period_ns=HOUR_NS,
    name="pump",
    channels={"flow": ChannelSource("plc/flow"), "vibration": ChannelSource("plc/pump", "vib.x")},
)
METER = StreamRule(
    key="meter", period_ns=HOUR_NS, topics=("meter",), fields=("power", "current"), time_field="meta.at"
)
ROOMS = StreamRule(key="rooms/+", period_ns=HOUR_NS, topics=("rooms/+",))


def _read(folder: Path, name: str, text: str, *rules: StreamRule, **columns: ChannelSource) -> list[Message]:
    path = folder / name
    path.write_text(text)
    return list(read_capture(path, rules, columns))


def test_json_line_payload_keeps_its_bytes(tmp_path: Path) -> None:
    """A payload given as JSON is passed on byte by byte: number formats and order of keys stay."""
    text = '{"topic":"a","payload":{"b":1.50,"a":1e2},"received":"1970-01-01T00:00:01Z"}\n'
    assert _read(tmp_path, "c.jsonl", text) == [Message("a", b'{"b":1.50,"a":1e2}', 10**9)]


def test_json_line_payload_string_is_its_text(tmp_path: Path) -> None:
    """A payload given as a string is that text; hexadecimal gives any bytes; none at all is empty."""
    text = (
        '{"topic":"a","payload":"12.5","received":"1970-01-01T00:00:01Z","retained":true}\n\n'
        '{"topic":"b","payload_hex":"ff00","received":"1970-01-01T00:00:02Z","dup":true,"mid":7}\n'
        '{"topic":"c","received":"1970-01-01T00:00:03Z"}\n'
    )
    assert _read(tmp_path, "c.jsonl", text) == [
        Message("a", b"12.5", 10**9, retained=True),
        Message("b", b"\xff\x00", 2 * 10**9, dup=True, mid=7),
        Message("c", b"", 3 * 10**9),
    ]


def test_json_line_of_mosquitto_sub_is_read(tmp_path: Path) -> None:
    """What `mosquitto_sub -F %j` prints is a capture."""
    text = '{"tst":"1970-01-01T01:00:00.000000+0100","topic":"a","qos":0,"retain":1,"payloadlen":2,"payload":"21"}'
    assert _read(tmp_path, "c.jsonl", text) == [Message("a", b"21", 0, retained=True)]


def test_json_line_of_mosquitto_sub_2_0_11_is_read(tmp_path: Path) -> None:
    """What `mosquitto_sub -F %J` of mosquitto 2.0.11 prints is a capture, though its time has both Z and an offset."""
    text = (
        '{"tst":"1970-01-01T00:00:01.500000Z+0000","topic":"a","qos":0,"retain":0,"payloadlen":2,"payload":21}\n'
        '{"tst":"1970-01-01T01:00:02Z+0100","topic":"a","payload":22}\n'
    )
    assert _read(tmp_path, "c.jsonl", text) == [
        Message("a", b"21", 1_500_000_000),
        Message("a", b"22", 2_000_000_000),
    ]


def test_json_line_time_that_cannot_be_read_is_shown(tmp_path: Path) -> None:
    """A time that cannot be read is told as such, with what was found: not that there is none."""
    with pytest.raises(InputError, match="time of arrival cannot be read") as caught:
        _read(tmp_path, "c.jsonl", '{"topic":"a","payload":1,"tst":"2026-99-01T00:00:00Z"}')
    assert "2026-99-01" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{", "line is no message"),
        ('{"payload":1,"received":1}', "line is no message"),
        ('{"topic":"a","payload_hex":"zz","received":1}', "line is no message"),
        ('{"topic":"a","payload":1}', "no time of arrival"),
        ('{"topic":"a","payload":1,"received":"soon"}', "arrival cannot be read"),
    ],
)
def test_json_line_that_is_no_message_is_refused_by_number(tmp_path: Path, line: str, found: str) -> None:
    """A line that cannot be read stops the command and is named: nothing is skipped silently."""
    good = '{"topic":"a","payload":1,"received":"1970-01-01T00:00:01Z"}\n'
    with pytest.raises(InputError, match=found) as caught:
        _read(tmp_path, "c.jsonl", good + line)
    assert "line 2" in str(caught.value)


def test_csv_columns_find_their_channels(tmp_path: Path) -> None:
    """A column named like a channel is sent to that channel's topic in the channel's format; empty cells are not."""
    messages = _read(tmp_path, "c.csv", "time,flow,vibration\n0,1.50,2\n10,,3\n", PUMP)
    assert messages == [
        Message("plc/flow", b"1.50", 0),
        Message("plc/pump", b'{"vib":{"x":2}}', 0),
        Message("plc/pump", b'{"vib":{"x":3}}', 10 * 10**9),
    ]


def test_csv_fields_of_one_topic_share_a_message_with_their_time(tmp_path: Path) -> None:
    """Fields of one topic make one message a row, with the row's time where the rule looks for it."""
    messages = _read(tmp_path, "c.csv", "time,power,current\n1970-01-01T01:00Z,5,0.25\n", METER)
    assert messages == [
        Message("meter", b'{"power":5,"current":0.25,"meta":{"at":"1970-01-01T01:00:00Z"}}', HOUR_NS)
    ]


def test_csv_column_of_a_wildcard_rule_needs_to_be_told(tmp_path: Path) -> None:
    """Where the rules leave a column's topic open, the error says how to name it, and naming it works."""
    text = "time,kitchen\n0,20.5\n"
    with pytest.raises(InputError, match="no single stream") as caught:
        _read(tmp_path, "c.csv", text, ROOMS)
    assert "--column kitchen=" in str(caught.value)
    told = _read(tmp_path, "c.csv", text, ROOMS, kitchen=ChannelSource("rooms/kitchen"))
    assert told == [Message("rooms/kitchen", b"20.5", 0)]


def test_csv_columns_not_chosen_are_left_out_and_told_once(tmp_path: Path) -> None:
    """Where --column chooses some columns, others that no stream expects are left out, and that is told once."""
    path = tmp_path / "c.csv"
    path.write_text("time,note,kitchen,flow\n0,hello,20.5,3\n10,,21,\n")
    told: list[str] = []
    messages = read_capture(path, [ROOMS, PUMP], {"kitchen": ChannelSource("rooms/kitchen")}, told.append)
    assert list(messages) == [
        Message("rooms/kitchen", b"20.5", 0),
        Message("plc/flow", b"3", 0),
        Message("rooms/kitchen", b"21", 10 * 10**9),
    ]
    (line,) = told
    assert line.endswith(": note")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no value column"),
        ("time\n0\n", "no value column"),
        ("time,flow,vibration\nsoon,1,2\n", "no time"),
        ("time,flow,vibration\n0,many,2\n", "no number"),
        ("time,flow,vibration\n0,1e999,2\n", "no number"),
        ("time,flow,vibration\n0,1,2,3\n", "too many cells"),
        ("time,flow,other\n0,1,2\n", "no single stream"),
    ],
)
def test_csv_that_cannot_be_read_is_refused(tmp_path: Path, text: str, found: str) -> None:
    """A cell, row or column that cannot be used is an error that says what was found."""
    with pytest.raises(InputError, match=found):
        _read(tmp_path, "c.csv", text, PUMP)


def test_missing_recording_is_an_input_error(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(InputError, match="cannot be read"):
        list(read_capture(tmp_path / "none.jsonl", []))
