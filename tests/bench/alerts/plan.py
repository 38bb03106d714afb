"""Where faults come to lie: the committed plan, resolved on recordings. No draw of luck but the plan's own seed."""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeseq.core.types import F64, I64
from tests.bench import datasets
from tests.bench.alerts.clean import Recording
from tests.bench.alerts.faults import MAKERS, Fault, Scales, inject, nine, scales

PLAN = Path(__file__).with_name("plan.toml")

GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, spread onsets evenly over the clean part however many there are."""

SEASONAL = 0.5
"""Least correlation with the day before of a channel that has a daily profile to break …"""
TURNED = 1.0
"""… and least difference (RMS, in sigma of the channel) of a day to itself reversed or shifted."""
RELATED = 0.5
"""Least share of a channel's variance that the other channels explain, where there is a relation to break."""
MOVING = 0.5
"""Least share of readings that differ from those before, where a stuck value is to be seen."""
PRESENT = 0.9
"""Least share of a window's readings that come."""
TRIED = 64
"""Rows that are tried for a past that differs."""
PAST_ROWS = 900
"""How far back the past lies that a broken relation shows, where the recording has no whole days before it."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A fault in its recording."""

    fault: Fault
    headline: bool
    first: int
    """The copy begins with this row …"""
    stop: int
    """… and ends before this one."""


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A fault that a recording cannot show."""

    recording: str
    channel: str
    kind: str
    amplitude: float
    why: str


def read_plan(path: Path = PLAN) -> dict[str, Any]:
    """Read the plan."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def place(recording: Recording, plan: dict[str, Any]) -> Iterator[Placed | Unplaced]:
    """Place all faults of a recording, in the order of the plan."""
    family, known = plan["family"][recording.family], scales(recording.values[: recording.test])
    number = 0
    for kind in family.get("only", MAKERS):
        for channel in range(len(recording.channels)):
            for amplitude in plan[kind]["amplitudes"]:
                for _ in range(family["repeats"]):
                    number += 1
                    yield _place(recording, plan, known, kind, channel, float(amplitude), number)


def _place(
    recording: Recording, plan: dict[str, Any], known: Scales, kind: str, channel: int, amplitude: float, number: int
) -> Placed | Unplaced:  # fmt: skip
    told, usual = plan[kind], int(plan["family"][recording.family]["warm"])
    warm = int(told.get("warm", usual))
    fault = Fault(
        recording=recording.name,
        channel=channel,
        kind=kind,
        amplitude=amplitude,
        onset=0,
        duration=recording.season if told["duration"] == "season" else told["duration"],
        after=told["after"],
        season=recording.season,
        lag=_lag(recording.season, usual),
        seed=plan["seed"] + zlib.crc32(f"{recording.name} {number}".encode()),
    )
    why = _cannot(recording, fault, known)
    onset = (
        None
        if why
        else _onset(recording, fault, known, warm, int(plan["tail"]), number, float(plan.get("onset", 0)))
    )
    if onset is None:
        why = why or "no row can show it"
        return Unplaced(recording.name, recording.channels[channel], kind, amplitude, why)
    placed = replace(fault, onset=onset)
    stop = placed.window[1] + int(plan["tail"])
    return Placed(placed, amplitude in told["headline"], max(0, onset - warm), stop)


def _lag(season: int, warm: int) -> int:
    """Take the past from a week before, else as many whole days as the copy holds."""
    if season > warm:
        return PAST_ROWS
    return season * min(7, warm // season)


def _cannot(recording: Recording, fault: Fault, known: Scales) -> str | None:
    """Say why a channel cannot show a fault anywhere."""
    c = fault.channel
    if not known.channel[c] > 0:
        return "the channel never moves"
    past = recording.values[: recording.test, c]
    if nine(fault.kind) == "season" and _correlation(past, fault.season) < SEASONAL:
        return "the channel has no daily profile"
    if nine(fault.kind) == "relation" and known.explained[c] < RELATED:
        return "the channel hangs on no other"
    return None


def _correlation(x: F64, lag: int) -> float:
    """Correlate a channel with itself a lag before; 0 where it is shorter than two lags."""
    if len(x) < 2 * lag:
        return 0.0
    both = np.isfinite(x[lag:]) & np.isfinite(x[:-lag])
    return float(np.corrcoef(x[lag:][both], x[:-lag][both])[0, 1])


def _onset(
    recording: Recording, fault: Fault, known: Scales, warm: int, tail: int, number: int, onset: float
) -> int | None:  # fmt: skip
    """Find the first row that can show the fault, from a drawn one on, round the clean part."""
    rows = _clean_rows(recording, fault, warm, tail)
    if not len(rows):
        return None
    begin = int((number * GOLDEN + onset) % 1 * len(rows))
    # Of a past that is to differ a row of many is as good as its neighbour, and takes longer to try.
    stride = max(1, len(rows) // TRIED) if fault.kind == "relation_past" else 1
    tried = np.roll(rows, -begin)[::stride]
    return next((r for r in tried.tolist() if _shows(recording, replace(fault, onset=r), known)), None)


def _clean_rows(recording: Recording, fault: Fault, warm: int, tail: int) -> I64:
    """List the rows that have no label near, that come, as the one before does, and most of the window."""
    length = fault.duration + fault.after
    bad = ~np.isfinite(recording.values[:, fault.channel])
    labels, gaps = (np.concatenate([[0], np.cumsum(mask)]) for mask in (recording.labelled, bad))
    rows = np.arange(max(recording.test, 1), len(bad) - length - tail)
    labelled = labels[rows + length] - labels[np.maximum(rows - warm, 0)]
    missing = gaps[rows + length] - gaps[rows]
    comes = ~bad[rows] & ~bad[rows - 1] & (missing <= (1 - PRESENT) * length)
    clean: I64 = rows[(labelled == 0) & comes]
    return clean


def _shows(recording: Recording, fault: Fault, known: Scales) -> bool:
    """Tell whether the fault can be seen at its onset at all."""
    row, stop, c = fault.onset, fault.onset + fault.duration, fault.channel
    if fault.kind == "stuck":
        moves = np.diff(recording.values[row - 1 : stop, c]) != 0
        return bool(moves.mean() >= MOVING)
    if nine(fault.kind) == "season":
        after_midnight_ns = (recording.start_ns + row * recording.period_ns) % (datasets.DAY_S * 10**9)
        is_midnight = after_midnight_ns < recording.period_ns
        return is_midnight and _difference(recording, fault, known) >= TURNED * known.channel[c]
    if fault.kind == "relation_past":
        return (
            row >= fault.lag and _difference(recording, fault, known) >= fault.amplitude * known.relation[c]
        )
    return True


def _difference(recording: Recording, fault: Fault, known: Scales) -> float:
    """Measure what the fault changes within its duration (RMS, in sensor units)."""
    before = fault.lag if fault.kind == "relation_past" else 1
    near = recording.values[fault.onset - before : fault.onset + fault.duration]
    changed = inject(near, replace(fault, onset=before), known)
    return float(np.sqrt(np.nanmean((changed - near)[before:, fault.channel] ** 2)))
