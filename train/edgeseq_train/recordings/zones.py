"""From the local clock to UTC: the hour that comes twice, and the hour that never comes."""

from __future__ import annotations

import difflib
import re
import zoneinfo

import polars as pl

from edgeseq.errors import ConfigError, InputError
from edgeseq_train.recordings.request import Say
from edgeseq_train.recordings.times import Times

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(0?[0-9]|1[0-4])(?::?([0-5][0-9]))?")
_BEFORE = pl.duration(hours=6)
"""An instant so much before a change of the clock has the offset of before: no zone changes it twice in a day."""


def to_utc(times: Times, zone: str | None, groups: pl.Series, where: str, say: Say) -> pl.Series:
    """Read times of the local clock as UTC.

    Of the hour that comes twice when clocks are set back, rows are of the first until their own order goes back, then
    of the second. Times of the hour that is skipped are read as if the clock had not been set forward yet, unless the
    recorder plainly knows no summer time.

    Args:
        times: (n,) in the order of the source.
        zone: such as Europe/Berlin or +01:00; None means UTC.
        groups: (n,) which series a row is of.
        where: the source, for errors.
        say: is told of both kinds of hours.

    Returns:
        (n,) Int64 ns.

    Raises:
        ConfigError: no such zone.
        InputError: the recorder does not keep the zone's summer time.
    """
    if zone is None:
        if times.local.any():
            say("times without a zone are read as UTC; if they are local, name their --time-zone")
        return times.ns
    offset_ns = _fixed_offset(zone)
    if not times.local.any():
        say("all times name their own zone: --time-zone changes none of them")
        return times.ns
    if offset_ns is not None:
        return times.ns - times.local.cast(pl.Int64) * offset_ns
    frame = pl.DataFrame({"ns": times.ns, "local": times.local, "group": groups})
    frame = frame.with_row_index("row").filter("local").drop("local")
    utc = _localised(frame, zone, where, say)
    return times.ns.scatter(frame["row"], utc) if len(frame) else times.ns


def _signed(offset_ns: int) -> str:
    """Write an offset.

    >>> _signed(-5400 * 10**9)
    '-01:30'
    """
    minutes = abs(offset_ns) // (60 * 10**9)
    return f"{'-' if offset_ns < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"


def _fixed_offset(zone: str) -> int | None:
    """Read an offset such as +01:00 as ns; None where it is a place whose offset changes.

    Raises:
        ConfigError: neither.
    """
    if found := _OFFSET.fullmatch(zone.strip()):
        minutes = 60 * int(found[2]) + int(found[3] or 0)
        return minutes * 60 * 10**9 * (-1 if found[1] == "-" else 1)
    try:
        pl.Series([0]).cast(pl.Datetime("ns")).dt.replace_time_zone(zone)
    except pl.exceptions.PolarsError:
        near = difflib.get_close_matches(zone, zoneinfo.available_timezones(), n=1, cutoff=0.5)
        raise ConfigError(
            "no such time zone",
            where="--time-zone",
            found=zone,
            wanted="a name such as Europe/Berlin, or an offset such as +01:00",
            do=f"did you mean {near[0]}?" if near else None,
        ) from None
    return None


def _localised(frame: pl.DataFrame, zone: str, where: str, say: Say) -> pl.Series:
    wall = pl.from_epoch("ns", time_unit="ns")
    frame = frame.with_columns(
        first=wall.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.epoch("ns"),
        last=wall.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null").dt.epoch("ns"),
        day=wall.dt.date(),
    )
    frame = frame.with_columns(twice=pl.col("first") != pl.col("last"), skipped=pl.col("first").is_null())
    frame = frame.with_columns(utc=pl.when(_second_pass(frame)).then("last").otherwise("first"))
    if frame["skipped"].any():
        frame = _with_skipped(frame, zone, where, say)
    _tell_twice(frame, zone, say)
    return frame["utc"]


def _second_pass(frame: pl.DataFrame) -> pl.Series:
    """Tell rows of the second pass through an hour that comes twice: those after the local clock went back."""
    ahead = pl.col("ns").diff().over("group")
    is_newest_first = frame.select((ahead < 0).sum() > (ahead > 0).sum()).item()
    ordered = frame.reverse() if is_newest_first else frame
    within = pl.col("twice") & pl.col("twice").shift(fill_value=False).over("group")
    back, still = (pl.col("twice") & within & test for test in (ahead < 0, ahead == 0))
    # Hourly rows do not go back: the hour stands there twice.
    has_back = back.any().over("group", "day")
    turn = pl.when(has_back).then(back).otherwise(still).fill_null(value=False)
    second = ordered.select(pl.col("twice") & (turn.cum_sum().over("group", "day") > 0)).to_series()
    return second.reverse() if is_newest_first else second


def _tell_twice(frame: pl.DataFrame, zone: str, say: Say) -> None:
    days = (
        frame.filter("twice")
        .group_by("day", maintain_order=True)
        .agg(
            pl.len(),
            (pl.col("utc") == pl.col("last")).sum().alias("second"),
            pl.from_epoch(pl.col("ns").min(), time_unit="ns").dt.strftime("%H:%M").alias("at"),
        )
    )
    for day, n, second, at in days.sort("day").iter_rows():
        start = f"{zone}: the hour from {at} on {day} comes twice: "
        if second:
            say(start + f"{n - second} rows are of the first, {second} of the second")
        elif n == 1:
            say(start + "its one row is read as of the first")
        else:
            say(start + f"its {n} rows never go back, so they are read as of the first")


def _with_skipped(frame: pl.DataFrame, zone: str, where: str, say: Say) -> pl.DataFrame:
    wall = pl.from_epoch("ns", time_unit="ns")
    earlier = wall - _BEFORE
    offset = earlier.dt.epoch("ns") - earlier.dt.replace_time_zone(
        zone, ambiguous="earliest", non_existent="null"
    ).dt.epoch("ns")
    frame = frame.with_columns(offset=offset)
    frame = frame.with_columns(utc=pl.when("skipped").then(pl.col("ns") - pl.col("offset")).otherwise("utc"))
    skipped = frame.filter("skipped")
    met = skipped.join(frame.filter(~pl.col("skipped")), on=["group", "utc"], how="semi")
    moment = frame.filter("skipped").select(wall.dt.strftime("%Y-%m-%d %H:%M:%S")).to_series()[0]
    some = f"{moment}" + (f" and {len(skipped) - 1} more" if len(skipped) > 1 else "")
    if len(met):
        raise InputError(
            f"the times do not follow the clock of {zone}",
            where=where,
            found=f"{some}: the hour that is skipped when clocks are set forward, with rows in the hour after it too",
            wanted="local times without this hour",
            do=f"--time-zone {_signed(skipped['offset'][0])} if the recorder keeps this offset all year",
        )
    say(f"{zone}: the hour of {some} is skipped: read as if the clock had not been set forward yet")
    return frame
