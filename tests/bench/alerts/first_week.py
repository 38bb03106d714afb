"""The first week of new streams without a bundle: every alert that is raised, listed."""

from __future__ import annotations

from pathlib import Path

from tests.bench import datasets
from tests.bench.alerts.clean import Recording, find
from tests.bench.alerts.injected import cut
from tests.bench.alerts.parts import Album, Found, Mark, Row
from tests.bench.alerts.play import play

WEEK_S = 7 * datasets.DAY_S


def run(data: Path, album: Album) -> Found:
    """Play the first week of each recording, each channel as a stream and (more than one) all as one."""
    rows: list[Row] = []
    streams = 0
    for recording in find(data):
        streams += _week(recording, rows, album)
    told = [r for r in rows if "alert" in r]
    if not streams:
        return Found([{"part": "first_week", "not_available": f"no recording in {data}"}], {})
    return Found(rows, {"first_week_streams": streams, "first_week_alerts": len(told)})


def _week(recording: Recording, rows: list[Row], album: Album) -> int:
    """Play one recording's first week; return how many streams it has."""
    steps = min(WEEK_S // recording.period_s, recording.test)
    channels = list(range(len(recording.channels)))
    sets: list[int | None] = [*channels, None] if len(channels) > 1 else [*channels]
    series = [cut(recording, str(c), recording.values[:steps], 0, c) for c in sets]
    played = play(series)
    for channel, s in zip(sets, series, strict=True):
        name = "all channels" if channel is None else recording.channels[channel]
        alerts = played.alerts[s.name]
        rows.append(
            {
                "part": "first_week",
                "recording": recording.name,
                "stream": name,
                "readings": steps,
                "alerts": len(alerts),
            }
        )
        rows += [
            {"part": "first_week", "recording": recording.name, "stream": name, "alert": a.kind,
             "day": round(a.row * recording.period_s / datasets.DAY_S, 2), "message": a.message}
            for a in alerts
        ]  # fmt: skip
        marks = [Mark(a.row, a.kind, "false", a.message) for a in alerts]
        album.add("first_week", recording.name, f"{recording.name}, {name}", s.values, [], marks)
    return len(series)
