"""Recorded readings as the messages that would have brought them.

JSON lines, one message each:

    {"topic": "plc/flow", "payload": {"value": 12.5}, "received": "2026-03-01T10:00:00Z", "retained": false}

`payload` is the payload's own JSON, or a string that holds its text; `payload_hex` any bytes. `received` is ISO 8601
or nanoseconds. The lines of `mosquitto_sub -F %j` and `-F %J` are read as they are (`tst`, `retain`).

All may be gzipped: one that was cut off is read as far as it goes, and that is told. Parquet is read, too, as `edgeseq
record` writes it; that needs the extra train.

CSV, a time column and value columns: each row becomes one message per topic, in the format that the configuration
expects there; an empty cell is no reading.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from edgeseq.core.instants import format_instant, parse_instant
from edgeseq.core.topics import is_match
from edgeseq.core.types import ChannelSource, Message, StreamRule
from edgeseq.errors import InputError

RECEIVED = '"received" (or "tst") as ISO 8601, or "received" as nanoseconds since 1970'
_Z_AND_OFFSET = re.compile(r"Z(?=[+-][0-9]{2}:?[0-9]{2}$)")

GZIP = b"\x1f\x8b"
ABSENT_CELLS = frozenset({"", "na", "nan", "null", "none"})


def read_capture(
    path: Path,
    rules: Sequence[StreamRule],
    columns: Mapping[str, ChannelSource] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Message]:
    """Read a recording's messages in the order of the file: CSV by the name's ending, else JSON lines.

    Args:
        path: the recording.
        rules: the configuration's rules: they say how a CSV column is to be sent.
        columns: CSV column → where it is sent to. Columns not named are found in the rules; where some are named,
            those that the rules do not find are left out.
        tell: called once with what is left out.

    Raises:
        InputError: a line cannot be read; nothing is skipped silently.
    """
    names = [suffix.lower() for suffix in path.suffixes]
    if names[-1:] == [".csv"] or names[-2:] == [".csv", ".gz"]:
        return _read_csv(path, rules, dict(columns or {}), tell)
    if names[-1:] == [".parquet"]:
        return _read_parquet(path)
    return _read_lines(path, tell)


# --- JSON lines -------------------------------------------------------------------------------------------------


class _Line(msgspec.Struct, frozen=True):
    topic: str
    payload: msgspec.Raw = msgspec.Raw()
    payload_hex: str | None = None
    received: str | int | None = None
    tst: str | None = None
    retained: bool = False
    retain: int = 0
    dup: bool = False
    mid: int = 0


def _read_lines(path: Path, tell: Callable[[str], None]) -> Iterator[Message]:
    with _opened(path, "rb") as file:
        for number, text in enumerate(_whole(file, path, tell), start=1):
            if text.strip():
                yield read_line(text, f"{path}, line {number}")


def _whole(file: IO[bytes], path: Path, tell: Callable[[str], None]) -> Iterator[bytes]:
    """Give the lines of a file; of a gzipped one that was cut off those before the cut."""
    try:
        yield from file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        tell(f"{path}: the recording was cut off; what was written before counts ({error})")


def _read_parquet(path: Path) -> Iterator[Message]:
    """Read what `edgeseq record` wrote; polars belongs to the workstation."""
    rows = importlib.import_module("edgeseq_train.recordings.messages").read(path)
    for topic, payload, received_ns, is_retained in rows:
        yield Message(topic, payload, received_ns, retained=is_retained)


def read_line(text: bytes, where: str) -> Message:
    """Read one line of JSON.

    Raises:
        InputError: it is no message, or has no time of arrival.
    """
    try:
        line = msgspec.json.decode(text, type=_Line)
        payload = _payload(line)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InputError(
            "a line is no message",
            where=where,
            found=str(error),
            wanted='{"topic": …, "payload": …, "received": …}',
        ) from error
    received = line.received if line.received is not None else line.tst
    if received is None:
        raise InputError("a message has no time of arrival", where=where, wanted=RECEIVED)
    received_ns = parse_instant(_plain_offset(received))
    if received_ns is None:
        raise InputError(
            "a message's time of arrival cannot be read", where=where, found=str(received), wanted=RECEIVED
        )
    return Message(line.topic, payload, received_ns, line.retained or bool(line.retain), line.dup, line.mid)


def _plain_offset(received: str | int) -> str | int:
    """Drop the Z that stands before an offset: mosquitto_sub 2.0.11 writes ...32Z+0000.

    >>> _plain_offset("2026-03-01T10:00:00.5Z+0100")
    '2026-03-01T10:00:00.5+0100'
    """
    return _Z_AND_OFFSET.sub("", received) if isinstance(received, str) else received


def _payload(line: _Line) -> bytes:
    if line.payload_hex is not None:
        return bytes.fromhex(line.payload_hex)
    raw = bytes(line.payload)
    return msgspec.json.decode(raw, type=str).encode() if raw.startswith(b'"') else raw


# --- CSV --------------------------------------------------------------------------------------------------------


def _read_csv(
    path: Path, rules: Sequence[StreamRule], columns: dict[str, ChannelSource], tell: Callable[[str], None]
) -> Iterator[Message]:
    with _opened(path, "r") as file:
        rows = csv.reader(file)
        head = next(rows, [])
        if len(head) < 2:
            raise InputError(
                "the CSV has no value column", where=str(path), found=", ".join(head), wanted="time, value, …"
            )
        unknown = [name for name in columns if name not in head[1:]]
        if unknown:
            raise InputError("no such column", where=str(path), found=unknown[0], wanted=", ".join(head[1:]))
        targets = [columns.get(name) or _find_target(name, rules, path, columns) for name in head[1:]]
        unused = [name for name, target in zip(head[1:], targets, strict=True) if target is None]
        if unused:
            tell(f"{path}: left out, as no --column maps them: {', '.join(unused)}")
        times = {target.topic: _time_path(target.topic, rules) for target in targets if target}
        for row in rows:
            if row:
                yield from _row_messages(row, targets, times, f"{path}, line {rows.line_num}")


def _find_target(
    name: str, rules: Sequence[StreamRule], path: Path, columns: Mapping[str, ChannelSource]
) -> ChannelSource | None:
    """Find the one place where the rules expect a column of this name; None if others were chosen by name."""
    found = [rule.channels[name] for rule in rules if name in rule.channels]
    for rule in rules:
        plain = [topic for topic in rule.topics if not {"+", "#"} & set(topic)]
        if name in rule.fields:
            found += [ChannelSource(topic, name) for topic in plain]
        elif not rule.fields:
            found += [ChannelSource(topic) for topic in plain if name in (topic, topic.rpartition("/")[2])]
    if len(found) == 1:
        return found[0]
    if columns:
        return None
    raise InputError(
        "no single stream is expected to bring this column" if not found else "several streams could bring this column",
        where=str(path),
        found=f"column {name}",
        do=f"say where it goes, such as --column {name}=topic or --column {name}=topic#field",
    )  # fmt: skip


def _time_path(topic: str, rules: Sequence[StreamRule]) -> tuple[str, ...]:
    """Find where the topic's rule looks for the payload's own time; empty where it does not."""
    for rule in rules:
        filters = [*rule.topics, *(source.topic for source in rule.channels.values())]
        if any(is_match(wanted, topic) for wanted in filters):
            return tuple(rule.time_field.split(".")) if rule.time_field else ()
    return ()


def _row_messages(
    row: list[str], targets: Sequence[ChannelSource | None], times: Mapping[str, tuple[str, ...]], where: str
) -> Iterator[Message]:
    time_ns = parse_instant(row[0])
    if time_ns is None:
        raise InputError("a row has no time", where=where, found=row[0], wanted="ISO 8601 or an epoch number")
    if len(row) > len(targets) + 1:
        raise InputError(
            "a row has too many cells", where=where, found=str(len(row)), wanted=f"at most {len(targets) + 1}"
        )
    documents: dict[str, dict[str, Any]] = {}
    for target, cell in zip(targets, row[1:], strict=False):
        text = cell.strip()
        if target is None or text.lower() in ABSENT_CELLS:
            continue
        value = _number(text, where)
        if target.field is None:
            yield Message(target.topic, text.encode(), time_ns)
        else:
            _place(documents.setdefault(target.topic, {}), target.field.split("."), value)
    for topic, document in documents.items():
        if times[topic]:
            _place(document, times[topic], format_instant(time_ns))
        yield Message(topic, msgspec.json.encode(document), time_ns)


def _number(text: str, where: str) -> int | float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError("a cell is no number", where=where, found=text, wanted="a number, or an empty cell")
    return int(text) if text.lstrip("+-").isdecimal() else value


def _place(document: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    """Set a value at a JSON path."""
    for key in keys[:-1]:
        document = document.setdefault(key, {})
    document[keys[-1]] = value


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(GZIP)) == GZIP


def _opened(path: Path, mode: str) -> IO[Any]:
    text = {} if "b" in mode else {"encoding": "utf-8-sig", "errors": "replace", "newline": ""}
    try:
        if _is_packed(path):
            return gzip.open(path, mode if "b" in mode else "rt", **text)  # type: ignore[call-overload, no-any-return]
        return path.open(mode, **text)  # type: ignore[call-overload, no-any-return]
    except OSError as error:
        raise InputError("the recording cannot be read", where=str(path), found=str(error)) from error
