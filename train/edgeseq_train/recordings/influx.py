r"""InfluxDB line protocol, as `influx_inspect export` and `influxd inspect export-lp` write it.

    measurement,tag=a,other=b field=1.5,count=3i,text="…" 1772359200000000000

(docs.influxdata.com, line protocol reference.) Commas, spaces and equals signs in names stand behind a backslash.
Home Assistant writes units as measurements: `°C,domain=sensor,entity_id=cellar value=12.5 …` is sensor.cellar in °C.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from edgeseq.errors import InputError
from edgeseq_train.recordings.kinds import opened, unreadable
from edgeseq_train.recordings.request import Request
from edgeseq_train.recordings.series import Candidate, Series, make_series
from edgeseq_train.recordings.times import from_epoch

CHUNK_BYTES = 32_000_000
HOME_ASSISTANT_TAGS = {"domain", "entity_id"}
VALUE = "value"
"""The field that need not be named."""

_POINT = r"^(?<key>(?:[^\s\\,]|\\.)(?:[^ \\]|\\.)*) +(?<fields>.*\S) +(?<time>-?\d+)\s*$"
_FIELD = r'(?:[^=,\\ ]|\\.)+=(?:"(?:[^"\\]|\\.)*"|[^," ]*)'
_SPLIT = r"^(?<name>(?:[^=\\]|\\.)+)=(?<value>[^\"]*)$"
_NUMBER = r"^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[iu]?$"
_AROUND = r"^\s*(?:#|CREATE |$)"


@dataclass(slots=True)
class _Points:
    """Points of one series and field."""

    time_ns: list[np.ndarray[tuple[int], np.dtype[np.int64]]]
    values: list[np.ndarray[tuple[int], np.dtype[np.float64]]]
    units: list[str | None]


def candidates_of(path: Path, request: Request) -> list[Candidate]:
    """Read all numeric fields of an export.

    Raises:
        InputError: the file cannot be read, or a line is no point.
    """
    points: dict[tuple[str, str], _Points] = {}
    line = 1
    try:
        for chunk, share in _chunks(path):
            request.progress(f"{path.name}: {len(points)} series", share)
            line = _take(points, chunk, line, path)
    except (OSError, EOFError, pl.exceptions.PolarsError) as error:
        raise unreadable(path, error) from error
    if not points:
        raise InputError(
            "no field holds numbers",
            where=str(path),
            found=f"{line - 1} lines",
            wanted="points such as: weather,room=hall temperature=21.5 1772359200000000000",
            do="check how it was exported",
        )
    return [_candidate(stream, channel, p, path, request) for (stream, channel), p in points.items()]


def _candidate(stream: str, channel: str, points: _Points, path: Path, request: Request) -> Candidate:
    def load() -> Series:
        sizes = [len(t) for t in points.time_ns]
        units = pl.concat(
            pl.repeat(unit, n, dtype=pl.String, eager=True)
            for unit, n in zip(points.units, sizes, strict=True)
        )
        time_ns, values = np.concatenate(points.time_ns), np.concatenate(points.values)
        return make_series(request, stream, channel, time_ns, values, f"{path}: {stream}", units)

    return Candidate(stream, channel, str(path), load)


def _chunks(path: Path) -> Iterator[tuple[bytes, float]]:
    """Read whole lines, many at a time, with the share of the file that was read."""
    size = max(path.stat().st_size, 1)
    with opened(path) as file:
        raw: Callable[[], int] = file.fileobj.tell if hasattr(file, "fileobj") else file.tell
        while chunk := file.read(CHUNK_BYTES):
            yield chunk + file.readline(), min(raw() / size, 1.0)


def _take(points: dict[tuple[str, str], _Points], chunk: bytes, line: int, path: Path) -> int:
    """Add the points of a chunk that begins at a line; give the line after it."""
    lines = pl.read_csv(
        io.BytesIO(chunk), has_header=False, separator="\x1f", quote_char=None, schema={"line": pl.String},
        encoding="utf8-lossy",  raise_if_empty=False,
    )["line"]  # fmt: skip
    parts = lines.str.extract_groups(_POINT).struct.unnest()
    _check(lines, parts, line, path)
    fields = (
        parts.lazy()
        .drop_nulls("key")
        .with_columns(pl.col("fields").str.extract_all(_FIELD))
        .explode("fields")
        .with_columns(pl.col("fields").str.extract_groups(_SPLIT))
        .unnest("fields")
        .with_columns(pl.col("value").str.extract(_NUMBER).cast(pl.Float64, strict=False))
        .drop_nulls(["name", "value"])
        .with_columns(pl.col("time").cast(pl.Int64, strict=False))
        .collect()
    )
    times = from_epoch(fields["time"])
    fields = fields.with_columns(times.alias("time")).drop_nulls("time")
    for (key, name), part in fields.partition_by("key", "name", as_dict=True, maintain_order=True).items():
        stream, channel, unit = _named(str(key), _plain(str(name)))
        found = points.setdefault((stream, channel), _Points([], [], []))
        found.time_ns.append(part["time"].to_numpy())
        found.values.append(part["value"].to_numpy())
        found.units.append(unit)
    return line + len(lines)


def _check(lines: pl.Series, parts: pl.DataFrame, line: int, path: Path) -> None:
    wrong = (parts["key"].is_null() & ~lines.str.contains(_AROUND)).arg_true()
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            "a line is no point of the line protocol",
            where=f"{path}: line {line + row}",
            found=repr(lines[row])[:120]
            + (f" and {len(wrong) - 1} more such lines" if len(wrong) > 1 else ""),
            wanted="measurement,tag=… field=… time",
            do="correct or remove the line; text over several lines is not read",
        )


def _named(key: str, field: str) -> tuple[str, str, str | None]:
    r"""Name stream and channel of a series key, and its unit where Home Assistant wrote it.

    >>> _named("°C,domain=sensor,entity_id=cellar", "value")
    ('sensor.cellar', '', '°C')
    >>> _named("cpu,host=my\\ pi,core=1", "idle")
    ('cpu host=my pi core=1', 'idle', None)
    """
    measurement, *pairs = _split(key)
    tags = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    channel = "" if field == VALUE else field
    if tags.keys() >= HOME_ASSISTANT_TAGS:
        entity = f"{tags['domain']}.{tags['entity_id']}"
        return entity, channel, measurement if field == VALUE and measurement != entity else None
    return " ".join([measurement, *(f"{k}={v}" for k, v in tags.items())]), channel, None


def _split(key: str) -> list[str]:
    """Split at commas that no backslash stands before, and take the backslashes away."""
    parts = [""]
    escaped = False
    for letter in key:
        if letter == "," and not escaped:
            parts.append("")
        else:
            parts[-1] += letter
        escaped = letter == "\\" and not escaped
    return [_plain(part) for part in parts]


def _plain(text: str) -> str:
    for letter in (",", " ", "="):
        text = text.replace("\\" + letter, letter)
    return text
