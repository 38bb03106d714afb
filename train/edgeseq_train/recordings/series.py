"""What every source gives: what could be read, and the readings of one channel once they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from edgeseq.core.instants import format_instant
from edgeseq.core.types import F64, I64, Kind
from edgeseq.errors import InputError
from edgeseq_train.recordings.request import Request


@dataclass(frozen=True, slots=True)
class Series:
    """Readings of one channel, in the order of their source."""

    stream: str
    """Empty where the source knows only one."""
    channel: str
    time_ns: I64
    """(n,)"""
    values: F64
    """(n,) finite."""
    unit: str | None
    where: str
    kind: Kind = "gauge"
    """Of a counter the increments are meant."""

    @property
    def name(self) -> str:
        """Name it as its owner does."""
        return full_name(self.stream, self.channel)


Loaded = Series | str
"""Readings, or what is there instead of numbers."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A channel that can be read."""

    stream: str
    channel: str
    where: str
    load: Callable[[], Loaded]

    @property
    def name(self) -> str:
        """Name it as its owner does."""
        return full_name(self.stream, self.channel)

    @property
    def names(self) -> tuple[str, ...]:
        """List what it may be called by."""
        return tuple(dict.fromkeys(filter(None, (self.name, self.stream, self.channel))))


def full_name(stream: str, channel: str) -> str:
    """Join what there is.

    >>> full_name("hall", "temperature"), full_name("", "a"), full_name("sensor.a", "")
    ('hall temperature', 'a', 'sensor.a')
    """
    return " ".join(filter(None, (stream, channel)))


def make_series(
    request: Request, stream: str, channel: str, time_ns: I64, values: F64, where: str, units: pl.Series | None = None
) -> Series:  # fmt: skip
    """Keep the valid readings of the time asked for, which must have one unit.

    Args:
        request: since and until, and which are counters.
        stream: its name.
        channel: its name.
        time_ns: (n,)
        values: (n,) NaN where there is none.
        where: the source, for errors.
        units: (n,) of each reading, null where it is not known.

    Raises:
        InputError: the readings have several units.
    """
    kept = np.isfinite(values)
    if request.since_ns is not None:
        kept &= time_ns >= request.since_ns
    if request.until_ns is not None:
        kept &= time_ns < request.until_ns
    unit = None
    if units is not None:
        unit = _one_unit(units.filter(pl.Series(kept)), time_ns[kept], full_name(stream, channel), where)
    names = {stream, channel, full_name(stream, channel)}
    kind = "gauge" if names & {*request.gauges} else request.kind or "gauge"
    return Series(stream, channel, time_ns[kept], values[kept], unit, where, kind)


def _one_unit(units: pl.Series, time_ns: I64, name: str, where: str) -> str | None:
    known = (
        pl.DataFrame({"unit": units, "time": time_ns}).drop_nulls().filter(pl.col("unit") != "").sort("time")
    )
    counts = known.group_by("unit", maintain_order=True).agg(pl.len(), pl.col("time").first())
    if len(counts) <= 1:
        return str(counts["unit"][0]) if len(counts) else None
    changes = int((known["unit"] != known["unit"].shift()).sum())
    first, second = counts.row(0), counts.row(1)
    change = format_instant(second[2])
    raise InputError(
        f"the readings of {name} have several units",
        where=where,
        found=", ".join(
            f"{n} in {unit} (first at {format_instant(at)})" for unit, n, at in counts.iter_rows()
        )[:300],
        wanted="one unit for each channel",
        do=f"--since {change} for those in {second[0]}, --until {change} for those in {first[0]}, or convert them"
        if changes == 1
        else "convert them to one unit",
    )
