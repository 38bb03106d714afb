"""Log lines as they leave the process."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from edgeseq.adapters.log import CATALOGUE, MOST_LINES, OncePerMinute, open_log


def test_log_line_is_one_json_object_with_level_and_time() -> None:
    """A line is one JSON object: event, its level from the catalogue, UTC time and the fields, whatever they hold."""
    stream = io.StringIO()
    log = open_log("info", stream)
    log("broker.refused", host="häuschen", reason='"\n', folder=Path("/x"))
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found == {
        "event": "broker.refused",
        "level": "error",
        "host": "häuschen",
        "reason": '"\n',
        "folder": "/x",
    }


def test_log_line_begins_with_time_level_and_event() -> None:
    """What a reader looks for first stands first in each line; the fields follow as they were given."""
    stream = io.StringIO()
    open_log("info", stream)("broker.refused", where="b:1883", do="check it")
    assert list(json.loads(stream.getvalue())) == ["time", "level", "event", "where", "do"]


def test_log_level_filters() -> None:
    """Below the level of the configuration nothing is written."""
    stream = io.StringIO()
    log = open_log("warning", stream)
    log("broker.connected")
    log("broker.disconnected")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["broker.disconnected"]


def test_log_unknown_event_refused() -> None:
    """The catalogue is closed: another name is our own mistake."""
    with pytest.raises(KeyError):
        open_log("info", io.StringIO())("something.else")


def test_log_exception_has_its_traceback() -> None:
    """A crash is told with its traceback, in one line."""
    stream = io.StringIO()
    try:
        raise RuntimeError("of ours")
    except RuntimeError as fault:
        open_log("info", stream)("daemon.failed", exc_info=fault)
    (line,) = stream.getvalue().splitlines()
    assert "RuntimeError: of ours" in json.loads(line)["exception"]


def test_log_under_journald_has_priorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stderr is the journal, each line begins with its priority; elsewhere none does."""
    with (tmp_path / "stderr").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        log = open_log("debug", stream)
        for event in ("snapshot.taken", "broker.connected", "broker.disconnected", "broker.refused"):
            log(event)
        stream.seek(0)
        lines = stream.read().splitlines()
    assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>"]
    assert all(json.loads(line[3:]) for line in lines)


def test_log_events_are_noun_and_participle() -> None:
    """Every event of the catalogue is `noun.past_participle`, with a meaning in a sentence."""
    for name, entry in CATALOGUE.items():
        noun, dot, verb = name.partition(".")
        assert (noun.isidentifier(), dot) == (True, ".")
        assert verb.endswith("ed") or verb in {
            "chosen",
            "given",
            "lost",
            "reset",
            "taken",
            "ready",
            "summary",
        }, name
        assert entry.meaning.endswith(".")


def test_once_per_minute_lets_the_first_of_each_key_through() -> None:
    """The first of a key in a minute goes through, and tells how many were held back before it."""
    limit = OncePerMinute()
    assert [limit.allow("late", s) for s in (60, 61, 119.9)] == [0, None, None]
    assert limit.allow("duplicate", 61) == 0
    assert [limit.allow("late", s) for s in (120, 130, 400)] == [2, None, 1]


def test_bounded_log_takes_some_lines_of_an_event_in_a_minute_and_tells_the_rest_later() -> None:
    """A storm of one event is short in the log and leaves room for the others; how much was left out is told."""
    limit, lines = OncePerMinute(), list[tuple[str, dict[str, object]]]()
    for now_s, events in ((0.0, ["stream.reset"] * 1000 + ["alert.changed"]), (60.0, ["stream.reset"] * 2)):
        log = limit.bounded(lambda event, **fields: lines.append((event, fields)), now_s)
        for event in events:
            log(event, stream="a")
    told = [fields for event, fields in lines if event == "stream.reset"]
    assert len(told) == MOST_LINES + 2
    assert told[MOST_LINES:] == [{"stream": "a", "untold": 1000 - MOST_LINES}, {"stream": "a"}]
    assert ("alert.changed", {"stream": "a"}) in lines
