"""Laws of recordings: every byte comes back, files are whole up to their last flush, training and replay take them."""

from __future__ import annotations

import doctest
import gzip
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.capture import read_capture
from edgeseq.commands.record import record
from edgeseq.core.instants import format_instant
from edgeseq.core.types import Message
from edgeseq.errors import InputError
from edgeseq.recorder import files, messages, past, readings
from edgeseq.recorder.files import Lines, repair
from edgeseq.recorder.messages import to_line
from edgeseq.recorder.past import newest_of, rows_of
from edgeseq_train import recording
from edgeseq_train.recordings import messages as parquet

S = 10**9
START_NS = 1_772_359_200 * S
CONFIG = """
[[streams]]
topic = "t/+"
fields = ["a"]
unit = "°C"
every = "10s"

[[streams]]
name = "pump"
every = "10s"
channels = { flow = "p/flow", power = "p/power" }
"""
PAYLOADS = st.binary(max_size=30) | st.text(max_size=20).map(str.encode) | st.sampled_from(
    [b"", b"1.50", b'"x"', b'{"a": 1e2}', b'{"a":\n1}', b" 1", b"NaN", b"\xff", b'{"a":NaN}', b"[" * 2000]
)  # fmt: skip


@pytest.mark.parametrize("module", [messages, readings], ids=lambda m: m.__name__)
def test_examples_in_docstrings(module: ModuleType) -> None:
    """What the docstrings show is so."""
    assert doctest.testmod(module).failed == 0


def some(count: int, topic: str = "t/x") -> list[Message]:
    """Make readings each ten seconds."""
    return [
        Message(topic, json.dumps({"a": 20.5 + k % 7}).encode(), START_NS + k * 10 * S) for k in range(count)
    ]


def written(path: Path, found: list[Message], *, each: int = 1) -> Path:
    """Write messages, synced after so many each."""
    lines = Lines(path)
    for k, message in enumerate(found):
        lines.add(to_line(message))
        if k % each == 0:
            lines.flush()
    lines.close()
    return path


def run(*arguments: object) -> Result:
    """Run the command."""
    return CliRunner().invoke(record, [str(one) for one in arguments], catch_exceptions=False)


@given(payload=PAYLOADS, retained=st.booleans(), at=st.integers(0, 2**61))
def test_every_message_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, payload: bytes, retained: bool, at: int
) -> None:
    """Topic, bytes, time and mark are the same; a line is one line."""
    message = Message('a/"ü\n', payload, at, retained=retained)
    line = to_line(message)
    assert line.count(b"\n") == 1
    path = tmp_path_factory.mktemp("m") / "m.jsonl"
    path.write_bytes(line)
    assert list(read_capture(path, ())) == [message]


def test_file_cut_at_any_byte_gives_what_was_flushed_and_more_can_follow(tmp_path: Path) -> None:
    """A kill costs what was not flushed, and that is told; --append goes on behind what is whole."""
    found = some(6)
    whole = written(tmp_path / "whole.jsonl.gz", found).read_bytes()
    counts = set()
    for end in range(0, len(whole), 7):
        cut, told = tmp_path / f"{end}.jsonl.gz", list[str]()
        cut.write_bytes(whole[:end])
        kept = list(read_capture(cut, (), tell=told.append)) if end else []
        assert kept == found[: len(kept)]
        counts.add(len(kept))
        cut_off = repair(cut)
        assert bool(told) == bool(cut_off) or end < 3
        after = Lines(cut, append=True)
        after.add(to_line(found[-1]))
        after.close()
        again = list(read_capture(cut, ()))
        assert again[-1] == found[-1]
        assert again[:-1] == found[: len(again) - 1]
    assert counts >= {1, 2, 3, 4, 5}


def test_plain_file_is_cut_to_whole_lines(tmp_path: Path) -> None:
    """Without compression, too."""
    path = written(tmp_path / "m.jsonl", some(3))
    path.write_bytes(path.read_bytes()[:-5])
    assert repair(path) > 0
    assert list(read_capture(path, ())) == some(3)[:2]


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    """Only --append goes on with it."""
    path = written(tmp_path / "m.jsonl.gz", some(1))
    with pytest.raises(InputError, match="the file is there"):
        Lines(path)
    assert list(read_capture(path, ())) == some(1)


def test_flush_is_due_by_size_and_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is bounded both ways."""
    monkeypatch.setattr(files, "FLUSH_BYTES", 100)
    lines = Lines(tmp_path / "m.jsonl")
    lines.add(b"x" * 60 + b"\n")
    assert lines.size == 0
    lines.add(b"x" * 60 + b"\n")
    assert lines.size == 122
    lines.add(b"y\n")
    lines.tick()
    assert lines.size == 122
    monkeypatch.setattr(files, "FLUSH_S", 0.0)
    lines.tick()
    assert lines.size == 124
    lines.close()


# --- readings ---------------------------------------------------------------------------------------------------


def test_recorded_messages_become_readings_that_training_takes(tmp_path: Path) -> None:
    """As CSV and as Parquet: the same series, times, values and units; what is no reading is left out."""
    (tmp_path / "edgeseq.toml").write_text(CONFIG)
    found = [m for topic in ("t/x", "t/y") for m in some(30, topic)]
    found += [Message("p/flow", f"{k}.5".encode(), START_NS + k * 10 * S) for k in range(30)]
    found += [
        Message("t/x", b'{"a":', START_NS),
        Message("t/x", b'{"a":null}', START_NS + 1),
        Message("z", b"1", 1),
    ]
    source = written(tmp_path / "m.jsonl.gz", found, each=20)
    for name in ("r.csv.gz", "r.parquet"):
        done = run("--input", source, "--config", tmp_path / "edgeseq.toml", "-o", tmp_path / name)
        assert done.exit_code == 0, done.output
        assert "90 readings" in done.output
        read = recording.read(tmp_path / name, 10 * S)
        assert sorted(read.names) == ["pump/flow", "t-x-a", "t-y-a"]
        assert dict(zip(read.names, read.units, strict=True))["t-x-a"] == "°C"
        column = read.values[:, read.names.index("t-x-a"), 0]
        np.testing.assert_array_equal(column, [20.5 + k % 7 for k in range(30)])
        assert read.start_ns == START_NS
    assert not list(tmp_path.glob("*.part*"))


def test_messages_as_parquet_are_replayed_as_they_are(tmp_path: Path) -> None:
    """Parquet holds the same messages as the lines do, in their order; other tables are refused."""
    odd = [*some(3), Message("b", b"\xff\x00", START_NS, retained=True)]
    source = written(tmp_path / "m.jsonl.gz", odd)
    done = run("--input", source, "-o", tmp_path / "m.parquet")
    assert done.exit_code == 0, done.output
    assert list(read_capture(tmp_path / "m.parquet", ())) == odd
    assert parquet.write([], tmp_path / "empty.parquet") == 0
    assert list(read_capture(tmp_path / "empty.parquet", ())) == []
    (tmp_path / "no.parquet").write_bytes(b"x")
    with pytest.raises(InputError, match="cannot be read"):
        list(read_capture(tmp_path / "no.parquet", ()))


def test_gzipped_csv_is_replayed(tmp_path: Path) -> None:
    """As recordings of other makers are."""
    (tmp_path / "edgeseq.toml").write_text(CONFIG)
    (tmp_path / "house.csv.gz").write_bytes(gzip.compress(b"time,flow\n2026-03-01T10:00:00Z,1.5\n"))
    from edgeseq.config import load_config
    from edgeseq.config.resolve import resolve

    rules = resolve(load_config(tmp_path / "edgeseq.toml"), tmp_path).rules
    assert list(read_capture(tmp_path / "house.csv.gz", rules)) == [Message("p/flow", b"1.5", START_NS)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-o", "x.csv"], "messages are written as"),
        (["-o", "x.jsonl.gz", "--config", "edgeseq.toml"], "readings are written as"),
        (["-o", "x.txt"], "written as .jsonl"),
        (["-o", "x.jsonl", "--topic", "a/#/b"], "# must be the last level"),
    ],
)
def test_what_cannot_be_recorded_is_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    """Nothing is written, and it is said what is wanted."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "edgeseq.toml").write_text(CONFIG)
    done = CliRunner().invoke(record, arguments)
    assert done.exit_code == 2
    assert told in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["edgeseq.toml"]


def test_without_polars_lines_are_written_instead_of_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a device, where the workstation's packages lack."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    source = written(tmp_path / "m.jsonl.gz", some(3))
    done = run("--input", source, "-o", tmp_path / "out.parquet")
    assert "needs the extra train" in done.output
    assert list(read_capture(tmp_path / "out.jsonl.gz", ())) == some(3)


# --- what a node remembers --------------------------------------------------------------------------------------


@given(
    st.dictionaries(
        st.sampled_from(["id", "channel", "first", "period_s", "values", "unit"]),
        st.none() | st.integers() | st.text(max_size=5) | st.lists(st.none() | st.floats(allow_nan=False)),
        max_size=6,
    )
)
def test_any_answer_gives_readings_or_none(entry: dict[str, object]) -> None:
    """Whatever is answered, nothing raises."""
    assert all(isinstance(row.value, float) for row in rows_of({"period_s": 1, **entry}))


def test_rows_of_an_entry_are_on_its_grid_and_newest_is_found_in_the_file(tmp_path: Path) -> None:
    """Values that are missing are no rows."""
    entry = {
        "id": "a",
        "channel": "x",
        "unit": "W",
        "first": format_instant(START_NS),
        "period_s": 10,
        "values": [1.5, None, 2],
    }
    rows = rows_of(entry)
    assert [(row.time_ns - START_NS, row.series, row.value, row.unit) for row in rows] == [
        (0, "a/x", 1.5, "W"),
        (20 * S, "a/x", 2.0, "W"),
    ]
    path = tmp_path / "r.csv.gz"
    lines = Lines(path, head=readings.HEAD)
    lines.flush()
    assert newest_of(path) == {}
    lines.add(readings.to_csv(rows))
    lines.close()
    assert past.newest_of(path) == {"a/x": START_NS + 20 * S}
