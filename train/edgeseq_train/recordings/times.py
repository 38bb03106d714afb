"""Which columns are the time, and what instants their cells are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from edgeseq.core.instants import LIMIT_NS, parse_instant
from edgeseq.errors import InputError
from edgeseq_train.recordings.choose import nearest
from edgeseq_train.recordings.request import Request
from edgeseq_train.recordings.tables import Table

TIME_NAMES = (
    "time", "timestamp", "datetime", "date", "ts", "date_time", "_time", "last_updated", "last_changed", "utc", "epoch",
    "unixtime", "unix_time",
)  # fmt: skip
COMPOSED = (("date", "time"), ("year", "month", "day", "hour", "minute", "second"))
"""Columns that are a time together; of the second row only the first three must be there."""
WANTED = "ISO 8601 such as 2026-03-01T10:00:00Z, dates such as 1.3.2026 10:00, or epoch numbers"

_ISO = (
    r"^(?<day>\d{4}-\d{2}-\d{2})(?:[T ](?<clock>\d{2}:\d{2}(?::\d{2})?)(?:[.,](?<fraction>\d+))?)?"
    r" ?(?<zone>Z|z|UTC|[+-]\d{2}(?::?\d{2})?)?$"
)
_PARTS = (
    r"^(?<a>\d{1,4})(?<mark>[./-])(?<b>\d{1,2})[./-](?<c>\d{1,4})"
    r"(?:[ T,]+(?<hour>\d{1,2}):(?<minute>\d{2})(?::(?<second>\d{2})(?:[.,]\d+)?)?)? ?(?<half>[AaPp][Mm])?$"
)
_CLOCK = r"^\d{1,2}:\d{2}"


@dataclass(frozen=True, slots=True)
class Times:
    """The time of each row."""

    ns: pl.Series
    """Int64; since 1970, in UTC or on the local clock."""
    local: pl.Series
    """Boolean: on the local clock."""
    columns: tuple[str, ...]


def read_times(table: Table, request: Request) -> Times:
    """Find the time column and read it.

    Raises:
        InputError: there is none, or a cell is no time.
    """
    columns = _named(table, request.time_column) if request.time_column else _found(table, request)
    cells = _cells(table.frame, columns)
    ns, local = _read(cells, request, table.where)
    wrong = ns.is_null().arg_true()
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            "a time cannot be read",
            where=table.place(row, ", ".join(columns)),
            found=_shown(cells[row]) + (f" and {len(wrong) - 1} more such cells" if len(wrong) > 1 else ""),
            wanted=WANTED,
            do="correct the row, name another column with --time-column, or say how it is written with --time-format",
        )
    return Times(ns, local, columns)


def _shown(cell: object) -> str:
    return "nothing" if cell is None else repr(cell)[:80]


def _named(table: Table, wished: str) -> tuple[str, ...]:
    columns = table.frame.columns
    names = (wished,) if wished in columns else tuple(part.strip() for part in wished.split(","))
    absent = [name for name in names if name not in columns]
    if absent:
        raise InputError(
            "the time column does not exist",
            where=table.where,
            found=", ".join(columns)[:200],
            wanted=", ".join(absent),
            do=nearest(absent[0], columns) or "name one of those found",
        )
    return names


def _found(table: Table, request: Request) -> tuple[str, ...]:
    frame = table.frame
    for columns in _candidates(frame):
        cells = _cells(frame.head(1000), columns).drop_nulls().head(1)
        if len(cells) and not _read(cells, request, table.where, is_trial=True)[0].is_null().any():
            return columns
    raise InputError(
        "no column reads as time",
        where=table.where,
        found=", ".join(frame.columns)[:200],
        wanted=WANTED,
        do="name it with --time-column",
    )


def _candidates(frame: pl.DataFrame) -> list[tuple[str, ...]]:
    names = {c.strip().lower(): c for c in frame.columns}
    composed = [
        tuple(names[c] for c in group if c in names)
        for group in COMPOSED
        if all(c in names for c in group[:3]) and _is_clock(frame, names, group)
    ]
    by_name = [(names[c],) for c in TIME_NAMES if c in names]
    others = [(c,) for c in frame.columns if frame[c].dtype == pl.String or frame[c].dtype.is_temporal()]
    return list(dict.fromkeys([*composed, *by_name, *others]))


def _is_clock(frame: pl.DataFrame, names: dict[str, str], group: Sequence[str]) -> bool:
    """Tell a column of the time of day from one that tells all."""
    if group != COMPOSED[0]:
        return True
    column = frame[names["time"]]
    if column.dtype == pl.String:
        return bool(column.str.strip_chars().str.contains(_CLOCK).drop_nulls().head(1).any())
    return column.dtype == pl.Time


def _cells(frame: pl.DataFrame, columns: tuple[str, ...]) -> pl.Series:
    if len(columns) == 1:
        return frame[columns[0]]
    if columns[0].strip().lower() != "year":
        return frame.select(
            pl.concat_str(pl.col(columns).cast(pl.String).str.strip_chars(), separator=" ")
        ).to_series()
    parts = [pl.col(c).cast(pl.Int64, strict=False).cast(pl.String) for c in columns]
    padded = [part.str.zfill(2) for part in parts]
    clock = [*padded[3:], pl.lit("00"), pl.lit("00"), pl.lit("00")][:3]
    day = pl.concat_str(padded[:3], separator="-")
    return frame.select(pl.concat_str([day, pl.concat_str(clock, separator=":")], separator=" ")).to_series()


# --- cells → instants -------------------------------------------------------------------------------------------


def _read(
    cells: pl.Series, request: Request, where: str, *, is_trial: bool = False
) -> tuple[pl.Series, pl.Series]:
    """Give ns (null where a cell is no time) and whether they are on the local clock."""
    dtype = cells.dtype
    if request.time_format and dtype == pl.String:
        cells = cells.str.strip_chars().str.to_datetime(request.time_format, strict=False)
    if cells.dtype == pl.Date or isinstance(cells.dtype, pl.Datetime):
        is_local = not (isinstance(cells.dtype, pl.Datetime) and cells.dtype.time_zone)
        return _bounded(_since_epoch(cells)), pl.repeat(is_local, len(cells), eager=True)
    if dtype.is_numeric():
        return _bounded(from_epoch(cells)), pl.repeat(value=False, n=len(cells), eager=True)
    if dtype != pl.String:
        nothing = pl.repeat(None, len(cells), dtype=pl.Int64, eager=True)
        return nothing, nothing.is_not_null()
    return _read_text(cells.str.strip_chars(), where, is_trial=is_trial)


def _read_text(text: pl.Series, where: str, *, is_trial: bool) -> tuple[pl.Series, pl.Series]:
    parts = text.str.extract_groups(_ISO).struct.unnest()
    has_zone = parts["zone"].is_not_null()
    ns = _from_iso(parts)
    if ns.null_count() > text.null_count():
        dates, numbers = _from_dates(text, where, is_trial=is_trial), text.cast(pl.Float64, strict=False)
        has_zone |= numbers.is_not_null()
        ns = pl.select(pl.coalesce(ns, dates)).to_series()
    left = text.filter(ns.is_null()).drop_nulls().unique()
    if len(left):
        # Rare spellings, such as ISO weeks, and epoch numbers among text: as the device reads them.
        known = pl.DataFrame(
            {"text": left, "rest": [parse_instant(t) for t in left]}, schema_overrides={"rest": pl.Int64}
        )
        rest = pl.DataFrame({"text": text}).join(known, on="text", how="left", maintain_order="left")["rest"]
        ns = pl.select(pl.coalesce(ns, rest)).to_series()
    return _bounded(ns), ~has_zone


def _from_iso(parts: pl.DataFrame) -> pl.Series:
    """Turn the parts of ISO 8601 into ns; the fraction apart, since datetimes in ns do not reach far."""
    clock = pl.col("clock").fill_null("00:00")
    clock = pl.when(clock.str.len_bytes() == 5).then(clock + ":00").otherwise(clock)
    moment = (pl.col("day") + " " + clock).str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
    fraction = pl.col("fraction").fill_null("").str.slice(0, 9).str.pad_end(9, "0").cast(pl.Int64)
    digits = pl.col("zone").str.replace_all(r"\D", "").str.pad_end(4, "0")
    minutes = digits.str.slice(0, 2).cast(pl.Int64, strict=False) * 60 + digits.str.slice(2, 2).cast(
        pl.Int64, strict=False
    )
    offset = pl.when(pl.col("zone").str.starts_with("-")).then(-minutes).otherwise(minutes).fill_null(0)
    return parts.select(_us_to_ns(moment.dt.epoch("us")) + fraction - offset * 60 * 10**9).to_series()


def _from_dates(text: pl.Series, where: str, *, is_trial: bool) -> pl.Series:
    """Turn dates such as 1.3.2026, 2026/03/01 or 3/1/26 1:30 PM into ns; day or month first as all of them allow."""
    parts = text.str.extract_groups(_PARTS).struct.unnest()
    if parts["a"].null_count() == len(parts):
        return parts["a"].cast(pl.Int64)
    number = {c: pl.col(c).cast(pl.Int64) for c in ("a", "b", "c", "hour", "minute", "second")}
    parts = parts.with_columns(pl.col("half").str.to_lowercase(), **number)
    by_year = pl.col("a") > 31
    day_first = _is_day_first(parts.filter(~by_year), text, where, is_trial=is_trial)
    year = (
        pl.when(by_year)
        .then("a")
        .otherwise(pl.when(pl.col("c") < 100).then(pl.col("c") + 2000).otherwise("c"))
    )
    month = pl.when(by_year).then("b").otherwise("b" if day_first else "a")
    day = pl.when(by_year).then("c").otherwise("a" if day_first else "b")
    hour = pl.col("hour").fill_null(0)
    half = pl.col("half")
    hour = pl.when(half.is_null()).then(hour).otherwise(hour % 12 + 12 * (half == "pm").cast(pl.Int64))
    date = pl.concat_str([n.cast(pl.String).str.zfill(2) for n in (year, month, day)], separator="-")
    moment = date.str.to_datetime("%Y-%m-%d", time_unit="us", strict=False)
    second = hour * 3600 + pl.col("minute").fill_null(0) * 60 + pl.col("second").fill_null(0)
    return parts.select(_us_to_ns(moment.dt.epoch("us") + second * 10**6)).to_series()


def _is_day_first(parts: pl.DataFrame, text: pl.Series, where: str, *, is_trial: bool) -> bool:
    """Tell whether the day stands before the month: with dots always, else where a number above 12 shows it."""
    if not len(parts) or is_trial or (parts["mark"] == ".").all():
        return True
    first, second = (bool((parts[c] > 12).any()) for c in "ab")
    if first != second:
        return first
    raise InputError(
        "day and month cannot be told apart" if not first else "dates are written in several ways",
        where=where,
        found=f"{text[0]!r} to {text[-1]!r}",
        wanted="dates that can be read in one way only",
        do="say how they are written, such as --time-format '%d/%m/%Y %H:%M' or '%m/%d/%Y %H:%M'",
    )


def _since_epoch(cells: pl.Series) -> pl.Series:
    if isinstance(cells.dtype, pl.Datetime) and cells.dtype.time_unit == "ns":
        return cells.dt.epoch("ns")
    return pl.select(_us_to_ns(cells.dt.epoch("us"))).to_series()


def _us_to_ns(us: pl.Expr | pl.Series) -> pl.Expr:
    """Convert, as far as edgeseq computes with instants."""
    expression = pl.lit(us) if isinstance(us, pl.Series) else us
    return pl.when(expression.abs() < LIMIT_NS // 1000).then(expression * 1000)


def from_epoch(cells: pl.Series) -> pl.Series:
    """Turn epoch numbers in s, ms, µs or ns, told by their size, into ns: as `core.instants` does one by one."""
    number = pl.col("n").cast(pl.Int64 if cells.dtype.is_integer() else pl.Float64, strict=False)
    below = [number.is_between(-bound, bound, closed="none") for bound in (10**11, 10**14, 10**17)]
    ns = pl.when(below[0]).then(_scaled(number, 10**9)).when(below[1]).then(_scaled(number, 10**6))
    ns = ns.when(below[2]).then(_scaled(number, 10**3))
    return cells.to_frame("n").select(ns.otherwise(_scaled(number, 1))).to_series()


def _scaled(number: pl.Expr, unit_ns: int) -> pl.Expr:
    """Count ns, of fractions to the µs; beyond what edgeseq computes with there is none, nor an overflow."""
    limit = LIMIT_NS // unit_ns
    near = pl.when(number.is_between(-limit, limit)).then(number)
    per_us = unit_ns // 1000
    return (near * per_us).round().cast(pl.Int64) * 1000 if per_us else near.round().cast(pl.Int64)


def _bounded(ns: pl.Series) -> pl.Series:
    """Drop instants that edgeseq does not compute with."""
    return ns.set(~ns.is_between(-LIMIT_NS, LIMIT_NS - 1), None)
