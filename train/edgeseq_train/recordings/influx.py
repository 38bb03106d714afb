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
from edgeseq_train.recordings.choose import listed
from edgeseq_train.recordings.kinds import is_timeless, opened, unreadable
from edgeseq_train.recordings.request import Request
from edgeseq_train.recordings.series import Candidate, Series, make_series
from edgeseq_train.recordings.times import from_epoch

CHUNK_BYTES = 32_000_000
HOME_ASSISTANT_TAGS = {"domain", "entity_id"}
VALUE = "value"
"""The field that need not be named."""

_ESCAPED = {"\\\\": "\\", "\\ ": " ", "\\,": ",", "\\=": "=", '\\"': '"'}
_STAND_INS = {escaped: chr(k) for k, escaped in enumerate(_ESCAPED, start=1)}
"""Control characters in place of what stands behind a backslash: what is left then separates."""
_REST = r"^ *(?<fields>[^ =].*[^ ]) +(?<time>-?[0-9]+)\s*$"
_FIELD = r'[^=," ]+=(?:"[^"]*"|[^," ]*)'
_NUMBER = r"^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[iu]?$"
_AROUND = r"^\s*(?:#|CREATE |$)"


@dataclass(frozen=True, slots=True)
class _Points:
    """Points of one series and field."""

    time_ns: list[np.ndarray[tuple[int], np.dtype[np.int64]]]
    values: list[np.ndarray[tuple[int], np.dtype[np.float64]]]
    units: list[str | None]


@dataclass(frozen=True, slots=True)
class _Found:
    """What an export has."""

    points: dict[tuple[str, str], _Points]
    fields: set[str]
    """Names of all fields, numeric or not."""


def candidates_of(path: Path, request: Request) -> list[Candidate]:
    """Read all numeric fields of an export.

    Raises:
        InputError: the file cannot be read, or a line is no point.
    """
    found = _Found({}, set())
    line = 1
    try:
        for chunk, share in _chunks(path):
            request.progress(f"{path.name}: {line:,} lines, {len(found.points)} series", share)
            line = _take(found, chunk, line, path)
    except (OSError, EOFError, pl.exceptions.PolarsError) as error:
        raise unreadable(path, error) from error
    left = sorted(found.fields - {channel or VALUE for _, channel in found.points})
    if not found.points:
        raise InputError(
            "no field holds numbers",
            where=str(path),
            found=f"{line - 1} lines, fields {listed(left)}",
            wanted="points such as: weather,room=hall temperature=21.5 1772359200000000000",
            do="check how it was exported",
        )
    if left:
        request.say(f"left out, for they hold no numbers: {listed(left)}")
    return [_candidate(stream, channel, p, path, request) for (stream, channel), p in found.points.items()]


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


def _take(found: _Found, chunk: bytes, line: int, path: Path) -> int:
    """Add the points of a chunk that begins at a line; give the line after it."""
    lines = pl.read_csv(
        io.BytesIO(chunk), has_header=False, separator="\x1f", quote_char=None, schema={"line": pl.String},
        encoding="utf8-lossy", raise_if_empty=False,
    )["line"]  # fmt: skip
    fields = _fields(lines, line, path)
    numeric = fields.with_columns(
        pl.col("value").str.extract(_NUMBER).cast(pl.Float64), from_epoch(fields["time"]).alias("time")
    ).drop_nulls(["value", "time"])
    for (key, name), part in numeric.partition_by("key", "name", as_dict=True, maintain_order=True).items():
        stream, channel, unit = _named(str(key), str(name))
        points = found.points.setdefault((stream, channel), _Points([], [], []))
        points.time_ns.append(part["time"].to_numpy())
        points.values.append(part["value"].to_numpy())
        points.units.append(unit)
    found.fields.update(map(_plain, fields["name"].unique()))
    return line + len(lines)


def _fields(lines: pl.Series, line: int, path: Path) -> pl.DataFrame:
    """Split points into key, name, value and time of each field."""
    text = lines.str.strip_chars_start()
    if text.str.contains("\\", literal=True).any():
        text = text.str.replace_many(_STAND_INS)
    halves = text.str.splitn(" ", 2).struct.rename_fields(["key", "rest"]).struct.unnest()
    rest = halves["rest"].str.extract_groups(_REST).struct.unnest()
    wrong = (
        (rest["time"].is_null() | halves["key"].str.contains("^,|,$")) & ~lines.str.contains(_AROUND)
    ).arg_true()
    if len(wrong):
        raise _no_point(lines, line, wrong, path)
    frame = pl.DataFrame({"key": halves["key"], "time": rest["time"].cast(pl.Int64, strict=False)})
    split = frame.with_columns(rest["fields"].str.extract_all(_FIELD)).filter(rest["time"].is_not_null())
    pairs = split.explode("fields").drop_nulls("fields")
    named = pairs["fields"].str.splitn("=", 2).struct.rename_fields(["name", "value"]).struct.unnest()
    return pl.concat([pairs.select("key", "time"), named], how="horizontal")


def _no_point(lines: pl.Series, line: int, wrong: pl.Series, path: Path) -> InputError:
    row = int(wrong[0])
    if is_timeless(lines[row].strip()):
        return InputError(
            "lines without a time",
            where=f"{path}: line {line + row}",
            found=repr(lines[row])[:120],
            wanted="measurement,tag=… field=… time, such as 1772359200000000000",
            do="export the points with their times, in ns since 1970",
        )
    return InputError(
        "a line is no point of the line protocol",
        where=f"{path}: line {line + row}",
        found=repr(lines[row])[:120] + (f" and {len(wrong) - 1} more such lines" if len(wrong) > 1 else ""),
        wanted="measurement,tag=… field=… time",
        do="correct or remove the line; text over several lines is not read",
    )


def _named(key: str, field: str) -> tuple[str, str, str | None]:
    """Name stream and channel of a series key (with stand-ins), and its unit where Home Assistant wrote it.

    >>> _named("°C,domain=sensor,entity_id=cellar", "value")
    ('sensor.cellar', '', '°C')
    >>> _named("cpu,host=pi,core=1", "idle")
    ('cpu host=pi core=1', 'idle', None)
    """
    measurement, *pairs = key.split(",")
    tags = {_plain(k): _plain(v) for k, _, v in (pair.partition("=") for pair in pairs)}
    measurement, field = _plain(measurement), _plain(field)
    channel = "" if field == VALUE else field
    if tags.keys() >= HOME_ASSISTANT_TAGS:
        entity = f"{tags['domain']}.{tags['entity_id']}"
        return entity, channel, measurement if field == VALUE and measurement != entity else None
    return " ".join([measurement, *(f"{k}={v}" for k, v in tags.items())]), channel, None


def _plain(text: str) -> str:
    """Put letters back for their stand-ins."""
    for stand_in, letter in zip(_STAND_INS.values(), _ESCAPED.values(), strict=True):
        text = text.replace(stand_in, letter)
    return text
