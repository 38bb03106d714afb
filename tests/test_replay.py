"""Laws of replay: it is the daemon's core, whatever the batches, and what it leaves is what a daemon goes on from."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeseq import replay as r
from edgeseq.commands.replay import replay as command
from edgeseq.core.instants import format_instant
from edgeseq.core.types import Message, Outgoing
from edgeseq.errors import InputError

HOUR_NS = 3_600 * 10**9
START_NS = 1_640_995_200 * 10**9  # 2022-01-01

STREAMS = """
[[streams]]
topic = "room/+"
field = "temperature"
time = "time"
every = "1h"

[[streams]]
name = "pump"
every = "1h"
time = "at"
channels = { flow = "pump#flow", load = "pump#load" }
limits = { flow = { max = 90 } }
"""
CONFIG = f"""
[node]
name = "test"
clock = "readings"
state_dir = "state"
{STREAMS}"""


def messages(hours: int = 420) -> list[Message]:
    """Make two rooms and a pump, with a spike, a stuck value, a silence, duplicates, late and bad payloads."""
    made = []
    for hour in range(hours):
        time_ns = START_NS + hour * HOUR_NS
        for room in range(2):
            if room and 380 <= hour < 400:
                continue
            value = 20 + 3 * math.sin(hour * 2 * math.pi / 24) + 0.1 * math.sin(hour * 7.3 + room)
            value = 21.5 if not room and 360 <= hour < 376 else value
            value += 30 if hour == 350 and room else 0
            body = {
                "time": format_instant(time_ns),
                "temperature": round(value, 2),
                "humidity": 50 + hour % 7,
            }
            made.append(Message(f"room/{room}", json.dumps(body).encode(), time_ns + 10**9))
        if not hour % 5:
            body = {"at": format_instant(time_ns + 60 * 10**9), "flow": 40 + hour % 11, "load": hour % 3}
            made.append(Message("pump", json.dumps(body).encode(), time_ns + 61 * 10**9))
        if hour % 50 == 7:
            made += [made[-1], made[-4], Message("room/0", b"{", time_ns), Message("else", b"1", time_ns)]
    return made


def write_capture(path: Path, sent: Sequence[Message]) -> None:
    """Write messages as a capture."""
    lines = (
        json.dumps({"topic": m.topic, "payload": m.payload.decode(), "received": m.received_ns}) for m in sent
    )
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write the configuration."""
    path = tmp_path / "edgeseq.toml"
    path.write_text(CONFIG)
    return path


def _run(config: Path, sent: Sequence[Message], batch: int) -> list[Outgoing]:
    node = r.open_for_replay(config, None, save_state=False)
    return list(r.replay(node, sent, r.Tally(), batch))


def test_replay_shows_what_the_scenario_holds(config: Path) -> None:
    """The recording used here is worth its name: forecasts of all streams, alerts of all kinds, bad payloads."""
    node = r.open_for_replay(config, None, save_state=False)
    tally = r.Tally()
    out = list(r.replay(node, messages(), tally))
    kinds = {json.loads(o.payload)["kind"] for o in out if r.kind_of(o.topic) == "alert"}
    assert kinds >= {"spike", "stuck", "silent"}
    assert tally.published["forecast"] > 900
    assert {str(reason) for reason in node.state.counts.rejected} == {"malformed_json", "unknown_topic"}
    assert node.state.counts.duplicate > 0
    assert "forecasts" in r.summary(node, tally)


@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_replay_never_depends_on_the_batches(config: Path, batch: int) -> None:
    """However the recording is cut, every published forecast, alert and status is the same, in the same order."""
    wanted = ("forecast", "alert", "status")
    sent = messages()
    whole, cut = (list(r.wanted_only(_run(config, sent, size), wanted)) for size in (r.MAX_BATCH, batch))
    assert cut == whole


def test_replay_without_alerts_forecasts_all_the_same(config: Path) -> None:
    """Streams whose alerts are switched off go silent and on again without any, and their forecasts stay the same."""
    sent = messages()
    watched = list(r.wanted_only(_run(config, sent, r.MAX_BATCH), ("forecast",)))
    config.write_text(CONFIG.replace("time =", "alerts = false\ntime ="))
    out = _run(config, sent, r.MAX_BATCH)
    assert not list(r.wanted_only(out, ("alert",)))
    # Whether an alert was open tells what the calibration learns from: bands may differ, values not.
    values = [
        [json.loads(o.payload)["path"]["value"] for o in made]
        for made in (watched, list(r.wanted_only(out, ("forecast",))))
    ]
    assert values[0] == values[1]


def test_replay_command_writes_payloads_byte_by_byte(config: Path, tmp_path: Path) -> None:
    """Each line holds topic and payload; a JSON payload stands in it as it is published."""
    sent = messages(300)
    write_capture(tmp_path / "c.jsonl", sent)
    texts = []
    for name in ("one", "two"):
        arguments = [
            "--config",
            str(config),
            "--input",
            str(tmp_path / "c.jsonl"),
            "-o",
            str(tmp_path / name),
        ]
        result = CliRunner().invoke(command, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1]
    published = list(r.wanted_only(_run(config, sent, r.MAX_BATCH), ("forecast", "alert", "status")))
    assert texts[0] == b"".join(
        b'{"topic":"%s","payload":%s}\n' % (out.topic.encode(), out.payload) for out in published
    )


def test_replay_saved_in_the_middle_goes_on_as_if_whole(config: Path, tmp_path: Path) -> None:
    """Replaying two halves through a saved state publishes what the whole publishes."""
    sent = messages()
    cut = len(sent) // 2 + 3
    halves = []
    for part in (sent[:cut], sent[cut:]):
        node = r.open_for_replay(config, tmp_path / "kept", save_state=True)
        halves += list(r.wanted_only(r.replay(node, part, r.Tally()), ("forecast", "alert")))
        r.save(node)
        r.close(node)
    assert halves == list(r.wanted_only(_run(config, sent, r.MAX_BATCH), ("forecast", "alert")))


def test_replay_without_saving_leaves_no_trace(config: Path, tmp_path: Path) -> None:
    """A plain replay neither reads nor writes a state folder."""
    _run(config, messages(30), 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edgeseq.toml"]


def test_replay_refuses_to_save_a_state_of_nothing(config: Path, tmp_path: Path) -> None:
    """A recording that no stream wants is an error, not an empty history."""
    node = r.open_for_replay(config, tmp_path / "kept", save_state=True)
    try:
        list(r.replay(node, [Message("else", b"1", START_NS)], r.Tally()))
        with pytest.raises(InputError, match="no reading was applied") as caught:
            r.save(node)
        assert "unknown_topic" in str(caught.value)
    finally:
        r.close(node)


def test_replay_of_what_is_known_says_so(config: Path, tmp_path: Path) -> None:
    """A recording that was replayed before brings nothing new, and that is what is said: not that topics differ."""
    sent = messages(30)
    first = r.open_for_replay(config, tmp_path / "kept", save_state=True)
    list(r.replay(first, sent, r.Tally()))
    r.save(first)
    r.close(first)
    second = r.open_for_replay(config, tmp_path / "kept", save_state=True)
    try:
        list(r.replay(second, [m for m in sent if m.topic == "room/0"][-1:], r.Tally()))
        with pytest.raises(InputError, match="1 duplicate, nothing new") as caught:
            r.save(second)
        assert "topics" not in str(caught.value)
    finally:
        r.close(second)


def test_replay_summary_counts_in_grammar(config: Path) -> None:
    """One is a reading, several are readings."""
    node, tally = r.open_for_replay(config, None, save_state=False), r.Tally()
    list(r.replay(node, messages(1)[:1], tally))
    assert r.summary(node, tally) == "1 message, 1 reading applied, 1 forecast, 0 alert events"


def test_replay_command_tells_columns_left_out(config: Path, tmp_path: Path) -> None:
    """A column that nobody maps is told on stderr, not in the output."""
    (tmp_path / "c.csv").write_text("time,note,cellar\n2022-01-01T00:00Z,hello,20.5\n")
    given = ["--config", str(config), "--input", str(tmp_path / "c.csv")]
    result = CliRunner().invoke(command, [*given, "--column", "cellar=room/9#temperature"])
    assert result.exit_code == 0, result.output
    assert result.stderr.count(": note\n") == 1
    assert "note" not in result.stdout


def test_replay_command_explains_wrong_options(config: Path) -> None:
    """A state folder that would not be used and a column without target are refused."""
    given = ["--config", str(config), "--input", "none.csv"]
    for more in (["--state-dir", "x"], ["--column", "a"]):
        result = CliRunner().invoke(command, [*given, *more])
        assert result.exit_code == 2
        assert more[0] in result.output
