"""NAB once more, every stream served by a bundle of its period that was trained on other data sets than NAB."""

from __future__ import annotations

from pathlib import Path

from edgeseq.core.durations import format_duration
from tests.bench.alerts import global_bundles
from tests.bench.alerts.nab import bursts, row_of
from tests.bench.alerts.nab_files import as_stream, read_profiles, read_series
from tests.bench.alerts.nab_score import count, worth
from tests.bench.alerts.parts import Album, Figures, Found, Row
from tests.bench.alerts.play import Settings, play


def run(data: Path, album: Album) -> Found:
    """Score the shipped thresholds with the bundles."""
    folder = data / "nab"
    if not folder.is_dir():
        return Found([{"part": "nab_bundle", "not_available": f"{data} has no folder nab"}], {})
    series, _ = read_series(folder)
    streams, costs = [as_stream(s) for s in series], read_profiles(folder)
    made, told = global_bundles.trained(data, [s.period_ns for s in streams])
    rows: list[Row] = [
        {"part": "nab_bundle", "period": format_duration(p), "trained_on": told[p], "serves": p in made}
        for p in told
    ]
    alerts = play(streams, Settings(bundles=made)).alerts
    counted = [count(s, worth(s), [a.row for a in alerts[s.name]]) for s in series]
    for category in sorted({s.category for s in series}):
        mine = [c for s, c in zip(series, counted, strict=True) if s.category == category]
        rows.append(row_of("edgeseq, shipped, global bundle", category, mine, costs))
    whole = row_of("edgeseq, shipped, global bundle", "all", counted, costs)
    figures: Figures = {f"nab_bundle_{name}": whole[name] for name in costs}
    figures["nab_bundle_bursts_per_series_day"] = round(bursts(counted), 4)
    return Found([r | {"part": "nab_bundle"} for r in [*rows, whole]], figures)
