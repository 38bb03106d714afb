"""What is asked of a recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from edgeseq.core.types import Aggregate, Kind, OnGap

Say = Callable[[str], None]
"""Is told in a line what was done to a recording that its owner may not expect."""
Progress = Callable[[str, float], None]
"""Is told what is being read and which share of it is."""


class Options(TypedDict, total=False):
    """The fields of a Request that have a default, as keywords."""

    time_column: str | None
    time_format: str | None
    time_zone: str | None
    series: Sequence[str]
    columns: Sequence[str]
    without: Sequence[str]
    multichannel: bool
    since_ns: int | None
    until_ns: int | None
    on_gap: OnGap | None
    kind: Kind | None
    gauges: Sequence[str]
    own_times: bool
    asked_by: Mapping[str, str]
    statistics: bool | None
    say: Say
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """How a recording is to be read."""

    period_ns: int
    aggregate: Aggregate = "last"
    """How several readings of one step become one."""
    time_column: str | None = None
    """Default: found by name or content. Several, with commas between, are read as one text with spaces between."""
    time_format: str | None = None
    """Such as %d/%m/%Y %H:%M, as strftime writes it; default: found."""
    time_zone: str | None = None
    """Of times that name none: such as Europe/Berlin or +01:00; default UTC."""
    series: Sequence[str] = ()
    """Columns whose values tell series apart, or `file` where each file of a folder is one; default: found."""
    columns: Sequence[str] = ()
    """Columns, series or entities to read, also as patterns such as sensor.*_temperature; default: all numeric ones."""
    without: Sequence[str] = ()
    """What to leave out of those."""
    multichannel: bool = False
    """They are channels of one stream instead of streams."""
    since_ns: int | None = None
    """Readings before this instant are left out."""
    until_ns: int | None = None
    """Readings at or after this instant are left out."""
    on_gap: OnGap | None = None
    """As the stream's `on_gap` on the device. None: missing, and a period without most of its readings is refused."""
    kind: Kind | None = None
    """As the stream's `kind` on the device. None: gauge."""
    gauges: Sequence[str] = ()
    """Columns that are no counters whatever `kind` says: what no stream's topic brings to the device."""
    own_times: bool = False
    """Streams of different times are laid beside one another, each from its first step on. False: by their times."""
    asked_by: Mapping[str, str] = field(default_factory=dict)
    """Options that named columns, where it was not --columns: for errors."""
    statistics: bool | None = None
    """Of Home Assistant: hourly statistics, not states. None: where the device would compute the same from readings."""
    say: Say = lambda _: None
    progress: Progress = lambda *_: None
