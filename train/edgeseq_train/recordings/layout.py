"""Tables as channels: wide (one column each) or long (one row each, labels tell them apart)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from edgeseq.core.types import I64
from edgeseq.errors import InputError
from edgeseq_train.recordings import times, zones
from edgeseq_train.recordings.choose import nearest
from edgeseq_train.recordings.numbers import to_numbers
from edgeseq_train.recordings.request import Request
from edgeseq_train.recordings.series import Candidate, Loaded, make_series
from edgeseq_train.recordings.tables import UNNAMED, Table

SERIES_NAMES = (
    "entity_id", "statistic_id", "unique_id", "series", "series_id", "item_id", "topic", "sensor", "sensor_id",
    "device", "device_id", "node", "station", "channel", "variable", "metric", "measurement", "tag", "name",
)  # fmt: skip
"""Columns whose values usually tell series apart."""
UNIT_NAMES = ("unit", "units", "unit_of_measurement", "uom")
INDEX_NAMES = ("", UNNAMED, "no", "nr", "#", "n", "row", "index", "idx", "id", "unnamed: 0")
EACH_FILE, NO_SERIES = "file", "none"
"""In place of a column: each file is a series of its own, or no column tells series apart."""
NO_LABEL = "(none)"
PARTED_SHARE = 0.05
"""A table is long if so many rows share their time with another; fewer are duplicates."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one file has."""

    candidates: list[Candidate]
    span_ns: tuple[int, int] | None
    """First and last time of a table; None of exports and databases, which are read when they are asked."""


def part_of(table: Table, request: Request) -> Part:
    """See which channels a table has, and read its times.

    Raises:
        InputError: no time can be read, or a series column does not exist.
    """
    found = times.read_times(table, request)
    keys = _keys(table, found, request)
    groups = _labels(table.frame, keys)
    time_ns = zones.to_utc(found, request.time_zone, groups, table.where, request.say).to_numpy()
    unit = _unit_column(table.frame, (*found.columns, *keys), is_long=bool(keys))
    used = {*found.columns, *keys, *([unit] if unit else [])}
    columns = [c for c in table.frame.columns if c not in used]
    source = _Source(table, request, time_ns, unit)
    candidates = _long(source, columns, groups) if keys else _wide(source, columns)
    return Part(candidates, (int(time_ns.min()), int(time_ns.max())))


# --- what tells series apart ------------------------------------------------------------------------------------


def _keys(table: Table, found: times.Times, request: Request) -> tuple[str, ...]:
    """Find the columns that tell series apart: those asked for, a usual name, or what parts rows of one time."""
    frame = table.frame
    wished = [name for name in request.series if name not in (EACH_FILE, NO_SERIES) or name in frame.columns]
    for name in wished:
        if name not in frame.columns:
            raise InputError(
                "no such column",
                where=table.where,
                found=", ".join(frame.columns)[:200],
                wanted=f"--series {name}",
                do=nearest(name, frame.columns) or "name a column whose values tell the series apart",
            )
    if request.series:
        return tuple(wished)
    free = [c for c in frame.columns if c not in found.columns and c.strip().lower() not in UNIT_NAMES]
    labels = [c for c in free if _is_label(frame[c])]
    usual = [c for c in free if c.strip().lower() in SERIES_NAMES]
    named = [c for c in labels if c in usual][:1]
    # A usual name over numbers may be a measured quantity: unless it parts rows of one time.
    numbered = [c for c in usual if c not in labels and not frame[c].dtype.is_float()]
    keys = _parting(frame, found.ns, named, [c for c in (*labels, *numbered) if c not in named])
    if keys:
        count = len(_labels(frame, keys).unique())
        request.say(
            f"{' and '.join(keys)} " + (f"tells apart {count} series" if count > 1 else "names the series")
        )
    return keys


def _is_label(column: pl.Series) -> bool:
    if isinstance(column.dtype, pl.Categorical | pl.Enum):
        return True
    return column.dtype == pl.String and _is_text(column)


def _parting(
    frame: pl.DataFrame, ns: pl.Series, keys: Sequence[str], others: Sequence[str]
) -> tuple[str, ...]:
    """Add columns that part rows of one time, until none does."""
    keys = list(keys)
    repeated = _repeated(frame, ns, keys)
    for name in others:
        if repeated < PARTED_SHARE * len(frame):
            break
        rest = _repeated(frame, ns, [*keys, name])
        if rest < 0.9 * repeated:
            keys, repeated = [*keys, name], rest
    return tuple(keys)


def _repeated(frame: pl.DataFrame, ns: pl.Series, keys: Sequence[str]) -> int:
    """Count rows that share time and keys with an earlier one."""
    picked = pl.DataFrame({"\0time": ns, **{key: frame[key] for key in keys}})
    return len(picked) - picked.n_unique()


def _labels(frame: pl.DataFrame, keys: Sequence[str]) -> pl.Series:
    if not keys:
        return pl.repeat("", len(frame), eager=True)
    cells = [pl.col(c).cast(pl.String).fill_null(NO_LABEL) for c in keys]
    return frame.select(pl.concat_str(cells, separator=" ")).to_series()


def _unit_column(frame: pl.DataFrame, used: Sequence[str], *, is_long: bool) -> str | None:
    """Find the column of units: in a wide table only beside a single channel can it be said what it is of."""
    names = [c for c in frame.columns if c.strip().lower() in UNIT_NAMES and frame[c].dtype == pl.String]
    others = [c for c in frame.columns if c not in used and c not in names and frame[c].dtype.is_numeric()]
    return names[0] if names and (is_long or len(others) == 1) else None


# --- channels ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    table: Table
    request: Request
    time_ns: I64
    unit: str | None

    def load(self, stream: str, channel: str, column: str, rows: pl.Series | None) -> Loaded:
        """Read one column, of all rows or of some."""
        frame = self.table.frame
        cells = frame[column] if rows is None else frame[column].gather(rows)
        numbers = to_numbers(cells, self.table, column, rows)
        if isinstance(numbers, str):
            return numbers
        time_ns = self.time_ns if rows is None else self.time_ns[rows.to_numpy()]
        units = None
        if self.unit:
            units = frame[self.unit] if rows is None else frame[self.unit].gather(rows)
        where = f"{self.table.where}: {' '.join(filter(None, (stream, channel or column)))}"
        series = make_series(self.request, stream, channel, time_ns, numbers.values, where, units)
        if numbers.told:
            self.request.say(f"{series.name}: left out {numbers.told}")
        return series

    def candidate(self, stream: str, channel: str, column: str, rows: pl.Series | None = None) -> Candidate:
        """Promise to read one column."""
        load: Callable[[], Loaded] = lambda: self.load(stream, channel, column, rows)  # noqa: E731
        return Candidate(stream, channel, self.table.where, load)


def _wide(source: _Source, columns: Sequence[str]) -> list[Candidate]:
    counts = [c for c in columns if c not in source.request.columns and _counts_rows(source.table.frame[c])]
    if counts:
        source.request.say(f"left out, for they number the rows: {', '.join(counts)}")
    return [source.candidate("", c, c) for c in columns if c not in counts]


def _counts_rows(column: pl.Series) -> bool:
    """Tell a column that is called and counts as an index does."""
    is_index = column.name.strip().lower() in INDEX_NAMES and column.dtype.is_integer()
    return is_index and bool((column.diff().drop_nulls() == 1).all())


def _long(source: _Source, columns: Sequence[str], labels: pl.Series) -> list[Candidate]:
    rows = (
        pl.DataFrame({"label": labels})
        .with_row_index("row")
        .group_by("label", maintain_order=True)
        .agg("row")
    )
    values = [c for c in columns if not _is_text(source.table.frame[c])] or list(columns)
    left = [c for c in columns if c not in values]
    if left:
        source.request.say(f"left out, for they hold no numbers: {', '.join(left)}")
    return [
        source.candidate(label, column if len(values) > 1 else "", column, picked)
        for label, picked in zip(rows["label"], rows["row"], strict=True)
        for column in values
    ]


def _is_text(column: pl.Series) -> bool:
    """Tell a column in which no cell is a number."""
    if column.dtype.is_numeric():
        return False
    if column.dtype != pl.String:
        return True
    return bool(column.str.strip_chars().cast(pl.Float64, strict=False).is_null().all())
