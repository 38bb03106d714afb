"""Alerts on injected faults with exact onset: found in time, called by their name, and how often there is no fault.

Each fault is in a copy of its own; a clean copy of each stream, over the whole test part, says how often an alert
comes without one. Limits are configured only where a reading is to leave them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeseq.core.types import F64
from tests.bench.alerts import injected_peers, placed
from tests.bench.alerts.clean import Recording, find
from tests.bench.alerts.faults import inject, nine, scales
from tests.bench.alerts.injected_rows import Trial, figures_of, rows_of
from tests.bench.alerts.parts import Album, Found, Mark, Row, Span
from tests.bench.alerts.plan import Placed, Unplaced, place, read_plan
from tests.bench.alerts.play import Alert, Played, Series, play

NAMES = {
    "variance": "variance_change",
    "season": "broken_profile",
    "relation": "broken_relation",
}
"""One of the nine kinds → the name of its alert, where they differ."""
CONTEXT_ROWS = 150
"""Readings that a picture shows before a fault."""


@dataclass(frozen=True, slots=True)
class Clean:
    """A stream without faults."""

    recording: Recording
    series: Series
    first: int
    """Row of the recording that the copy begins with; what is scored begins with the recording's test part."""


def run(data: Path, album: Album) -> Found:
    """Inject what is planned, play and score."""
    return by_plan(data, album, read_plan(), placed.read_faults())


def by_plan(
    data: Path, album: Album, plan: dict[str, Any], known: Sequence[tuple[str, ...]]
) -> Found:  # fmt: skip
    """Inject, play and score, recording by recording.

    known: rows of faults.csv, where the faults must lie.
    """
    trials, rows = list[Trial](), list[Row]()
    clean: list[Row] = []
    peers = injected_peers.Peers()
    for recording in find(data):
        found = list(place(recording, plan))
        rows += [_unplaced(f) for f in found if isinstance(f, Unplaced)]
        here = [f for f in found if isinstance(f, Placed)]
        rows += [{"part": "injected", "moved": text} for text in placed.moved(here, known)]
        if not here:
            continue
        faulted = [_series(recording, f, k) for k, f in enumerate(here)]
        plain = _clean(recording, here, plan)
        played = play([*faulted, *(c.series for c in plain)])
        trials += [judge(f, s, played) for f, s in zip(here, faulted, strict=True)]
        clean += [_alarms(c, played) for c in plain]
        peers.take(recording, here, faulted, [(c.series, recording.test - c.first) for c in plain])
        _pictures(album, trials[-len(here) :], faulted, plain, played)
    absent = sorted(set(plan["family"]) - {t.fault.recording.partition("/")[0] for t in trials})
    rows += [
        {"part": "injected", "recording": name, "not_available": f"nothing in {data}"} for name in absent
    ]
    if not trials:
        return Found(rows, {})
    return Found([*rows_of(trials), *clean, *peers.rows(), *_summed(rows)], figures_of(trials, clean, rows))


def _unplaced(fault: Unplaced) -> Row:
    return {"part": "injected", "recording": fault.recording, "channel": fault.channel, "kind": fault.kind,
            "amplitude": fault.amplitude, "not_injected": fault.why}  # fmt: skip


def _summed(rows: Sequence[Row]) -> list[Row]:
    """Say once what was said of each repetition."""
    return list({tuple(r.items()): r for r in rows}.values())


def _series(recording: Recording, at: Placed, number: int) -> Series:
    """Cut the copy with its fault out, as a stream."""
    fault, known = at.fault, scales(recording.values[: recording.test])
    values = inject(recording.values[: at.stop], fault, known)[at.first :]
    is_plant = nine(fault.kind) == "relation"
    limits = known.limits(fault.channel) if fault.kind == "out_of_range" else None
    return cut(recording, f"fault {number}", values, at.first, None if is_plant else fault.channel, limits)


def cut(
    recording: Recording,
    name: str,
    values: F64,
    first: int,
    channel: int | None,
    limits: tuple[float, float] | None = None,
) -> Series:
    """Make a stream of rows from `first` on: of one channel, or of all together."""
    time_ns = recording.start_ns + (first + np.arange(len(values))) * recording.period_ns
    if channel is None:
        return Series(name, time_ns, values, recording.period_ns, recording.channels)
    return Series(name, time_ns, values[:, channel : channel + 1], recording.period_ns, limits=limits)


def _clean(recording: Recording, here: Sequence[Placed], plan: dict[str, Any]) -> list[Clean]:
    """Make the streams without faults: each channel that has one elsewhere, and all together where relations break."""
    warm = int(plan["family"][recording.family]["warm"])
    first = max(0, recording.test - warm)
    channels: list[int | None] = [
        *sorted({f.fault.channel for f in here if nine(f.fault.kind) != "relation"})
    ]
    if any(nine(f.fault.kind) == "relation" for f in here):
        channels.append(None)
    return [
        Clean(recording, cut(recording, f"clean {c}", recording.values[first:], first, c), first)
        for c in channels
    ]


def judge(at: Placed, series: Series, played: Played) -> Trial:
    """Tell what became of a fault."""
    begin, stop = (row - at.first for row in at.fault.window)
    alerts = played.alerts[series.name]
    own = sorted((a for a in alerts if begin <= a.row < stop), key=lambda a: a.row)
    wanted = NAMES.get(nine(at.fault.kind), nine(at.fault.kind))
    first = own[0] if own else None
    names = [] if first is None else [a.kind for a in own if _is_beside(a, first)]
    return Trial(
        fault=at.fault,
        headline=at.headline,
        delay=None if first is None else first.row - begin,
        names=tuple(dict.fromkeys(names)),
        is_named=wanted in names,
        is_masked=first is None and any(a.row < begin and (a.cleared_row or stop) > begin for a in alerts),
        after=sum(a.row >= stop for a in alerts),
        message="" if first is None else first.message,
        rows=(begin, stop),
    )


def _is_beside(alert: Alert, first: Alert) -> bool:
    """Tell whether an alert opened while the first one was open, so that both are read together."""
    return alert is first or first.cleared_row is None or alert.row <= first.cleared_row


def _alarms(clean: Clean, played: Played) -> Row:
    """Count what opened in the test part of a clean stream, away from labelled windows."""
    recording, since = clean.recording, clean.recording.test - clean.first
    labelled = recording.labelled[clean.first :]
    alerts = [a for a in played.alerts[clean.series.name] if a.row >= since and not labelled[a.row]]
    scored = int((~labelled[since:]).sum())
    kinds = [a.kind for a in alerts]
    return {
        "part": "injected", "recording": recording.name,
        "clean": "all channels" if clean.series.channels else recording.channels[int(clean.series.name.split()[1])],
        "readings": scored, "weeks": round(scored * recording.period_s / 604_800, 4),
        "false_alarms": len(alerts), "kinds": ", ".join(f"{kinds.count(k)} {k}" for k in sorted(set(kinds))),
    }  # fmt: skip


def _pictures(
    album: Album, trials: Sequence[Trial], faulted: Sequence[Series], plain: Sequence[Clean], played: Played
) -> None:
    """Draw each fault with what is around it, and each clean stream."""
    for trial, series in zip(trials, faulted, strict=True):
        begin, stop = trial.rows
        around = slice(begin - CONTEXT_ROWS, stop + CONTEXT_ROWS // 2)
        marks = [Mark(a.row, a.kind, _verdict(a, trial), a.message) for a in played.alerts[series.name]]
        span = Span(begin, stop, nine(trial.fault.kind), trial.delay is not None)
        title = f"{trial.fault.recording}, {trial.fault.kind} {trial.fault.amplitude:g}"
        album.add("injected", nine(trial.fault.kind), title, series.values, [span], marks, around)
    for clean in plain:
        since = clean.recording.test - clean.first
        marks = [
            Mark(a.row, a.kind, "unscored" if a.row < since else "false", a.message)
            for a in played.alerts[clean.series.name]
        ]
        album.add(
            "injected",
            "clean",
            f"{clean.recording.name}, {clean.series.name}",
            clean.series.values,
            [],
            marks,
        )


def _verdict(alert: Alert, trial: Trial) -> str:
    begin, stop = trial.rows
    if begin <= alert.row < stop:
        return "hit" if trial.is_named else "misnamed"
    return "false" if alert.row < begin else "unscored"
