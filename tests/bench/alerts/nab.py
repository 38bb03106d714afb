"""Alerts on the series of the Numenta Anomaly Benchmark, scored by its published formula.

An alarm is the opening of an alert of any kind, at the reading with which it is told. Thresholds are not to be seen
from outside, so the replay is run at some `sensitivity` settings, a factor on all of them; one is chosen for each
category by the score of the others (leave one category out), and the shipped one, 1, is scored as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.bench.alerts import peers
from tests.bench.alerts.nab_files import as_stream, read_profiles, read_series
from tests.bench.alerts.nab_score import (
    Costs,
    Counted,
    Labelled,
    Worth,
    count,
    leave_one_out,
    normalised,
    worth,
)
from tests.bench.alerts.parts import Album, Figures, Found, Mark, Row, Span
from tests.bench.alerts.play import Alert, Settings, play

SHIPPED = "1"
SENSITIVITIES = (SHIPPED, "0.7", "1.4")
"""The shipped one first: of settings that score alike it is taken."""
REFRACTORY_ROWS = 100
"""Peers rest as long after an alarm, or each of their exceedances would count."""
PEER_QUANTILES = 1 - np.geomspace(1e-4, 0.03, 24)
"""Thresholds to choose among for peers: quantiles of their scores over all series."""


def run(data: Path, album: Album) -> Found:
    """Score ourselves and the peers."""
    folder = data / "nab"
    if not folder.is_dir():
        return Found([{"part": "nab", "not_available": f"{data} has no folder nab"}], {})
    series, absent = read_series(folder)
    costs, values = read_profiles(folder), {s.name: worth(s) for s in series}
    rows: list[Row] = [{"part": "nab", "series": len(series), "windows": sum(len(s.windows) for s in series)}]
    rows += [{"part": "nab", "series": name, "not_available": "no such file"} for name in absent]
    streams = [as_stream(s) for s in series]
    alerts = {s: play(streams, Settings(float(s))).alerts for s in SENSITIVITIES}
    counted = {
        key: {s.name: count(s, values[s.name], [a.row for a in found[s.name]]) for s in series}
        for key, found in alerts.items()
    }
    figures = _figures(series, counted, costs)
    rows += _rows(series, counted[SHIPPED], costs)
    of_values = [_of_values(s, values[s.name], alerts[SHIPPED][s.name]) for s in series]
    rows.append(row_of("edgeseq, shipped, without silent (NAB labels values)", "all", of_values, costs))
    rows += _kinds(series, alerts[SHIPPED], values)
    rows += _peers(series, values, costs)
    for s in series:
        _picture(album, s, alerts[SHIPPED][s.name], values[s.name])
    return Found(rows, figures)


def _figures(
    series: Sequence[Labelled], counted: Mapping[str, Mapping[str, Counted]], costs: Mapping[str, Costs]
) -> Figures:  # fmt: skip
    """Score all series together."""
    shipped = list(counted[SHIPPED].values())
    category = {s.name: s.category for s in series}
    figures: Figures = {}
    for name, weights in costs.items():
        figures[f"nab_shipped_{name}"] = _rounded(normalised(shipped, weights))
        chosen = leave_one_out(counted, category, weights)
        figures[f"nab_loco_{name}"] = _rounded(chosen[0])
        figures[f"nab_loco_{name}_chosen"] = ", ".join(f"{c} {s}" for c, s in sorted(chosen[1].items()))
    by_category = {
        c: bursts([counted[SHIPPED][s.name] for s in series if s.category == c]) for c in category.values()
    }
    worst = max(by_category, key=by_category.__getitem__)
    delays = [d for c in shipped for d in c.delays]
    return figures | {
        "bursts_per_series_day": round(bursts(shipped), 4),
        "bursts_worst_category": round(by_category[worst], 4),
        "bursts_worst_category_name": worst,
        "nab_windows": sum(c.windows for c in shipped),
        "nab_windows_hit": sum(c.found for c in shipped),
        "nab_median_delay_share": _rounded(float(np.median(delays)) if delays else None, 3),
        "nab_sensitivities": ", ".join(counted),
    }


def bursts(counted: Sequence[Counted]) -> float:
    """Count false-alarm bursts per series and day."""
    return sum(c.bursts for c in counted) / sum(c.days for c in counted)


def _rows(
    series: Sequence[Labelled], counted: Mapping[str, Counted], costs: Mapping[str, Costs]
) -> list[Row]:
    """Score each category alone, at the shipped threshold."""
    rows: list[Row] = []
    for category in sorted({s.category for s in series}):
        mine = [counted[s.name] for s in series if s.category == category]
        rows.append(row_of("edgeseq, shipped", category, mine, costs))
    return [*rows, row_of("edgeseq, shipped", "all", list(counted.values()), costs)]


def _of_values(series: Labelled, value: Worth, alerts: Sequence[Alert]) -> Counted:
    """Count what is said of values only: NAB's labels say nothing of when readings come. No figure is made of it."""
    return count(series, value, [a.row for a in alerts if a.kind != "silent"])


def row_of(detector: str, category: str, counted: Sequence[Counted], costs: Mapping[str, Costs]) -> Row:
    """Score some series together."""
    delays = [d for c in counted for d in c.delays]
    return {
        "part": "nab", "detector": detector, "category": category,
        **{name: _rounded(normalised(counted, weights)) for name, weights in costs.items()},
        "windows": sum(c.windows for c in counted), "hit": sum(c.found for c in counted),
        "bursts_per_series_day": round(bursts(counted), 4),
        "delay_share": _rounded(float(np.median(delays)) if delays else None, 3),
    }  # fmt: skip


def _kinds(
    series: Sequence[Labelled], alerts: Mapping[str, list[Alert]], values: Mapping[str, Worth]
) -> list[Row]:
    """Count by kind what hit a window, and what did not."""
    told = [
        (a.kind, bool(values[s.name].window[a.row] >= 0))
        for s in series
        for a in alerts[s.name]
        if a.row >= s.probation
    ]
    return [
        {"part": "nab", "detector": "edgeseq, shipped", "kind": kind,
         "in_windows": told.count((kind, True)), "outside": told.count((kind, False))}
        for kind in sorted({k for k, _ in told})
    ]  # fmt: skip


def _peers(series: Sequence[Labelled], values: Mapping[str, Worth], costs: Mapping[str, Costs]) -> list[Row]:
    """Score the peers, their thresholds chosen leaving one category out."""
    made = {name: [peers.score(p, s.value[:, None]) for s in series] for name, p in peers.PEERS.items()}
    trees = peers.score_by_trees([s.value[:, None] for s in series], Path("build/bench/alerts/river"))
    rows: list[Row] = []
    if trees is None:
        rows.append(
            {
                "part": "nab",
                "detector": peers.TREES,
                "not_available": f"no {peers.RIVER}: make build/peers/.locked",
            }
        )
    else:
        made[peers.TREES] = trees
    category = {s.name: s.category for s in series}
    for name, scores in made.items():
        counted = {}
        for threshold in np.unique(np.quantile(np.concatenate(scores), PEER_QUANTILES)):
            counted[f"{threshold:.6g}"] = {
                s.name: count(s, values[s.name], openings(score >= threshold, REFRACTORY_ROWS))
                for s, score in zip(series, scores, strict=True)
            }
        found, chosen = leave_one_out(counted, category, costs["standard"])
        kept = [counted[chosen[s.category]][s.name] for s in series]
        row = row_of(f"{name}, leave one category out", "all", kept, costs)
        rows.append(row | {"standard": _rounded(found)})
    return rows


def openings(above: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], rest: int) -> list[int]:
    """List the rows of alarms, none of which comes within `rest` rows of the one before.

    >>> openings(np.array([0, 1, 1, 0, 0, 1], bool), rest=3)
    [1, 5]
    """
    rows: list[int] = []
    for row in np.flatnonzero(above).tolist():
        if not rows or row - rows[-1] > rest:
            rows.append(row)
    return rows


def _picture(album: Album, s: Labelled, alerts: Sequence[Alert], value: Worth) -> None:
    hit = {int(value.window[a.row]) for a in alerts if a.row >= s.probation}
    spans = [Span(a, b + 1, "labelled", k in hit) for k, (a, b) in enumerate(s.windows)]
    marks = [Mark(a.row, a.kind, _verdict(s, a, value), a.message) for a in alerts]
    album.add("nab", s.category, Path(s.name).stem, s.value[:, None], spans, marks)


def _verdict(s: Labelled, alert: Alert, value: Worth) -> str:
    if alert.row < s.probation:
        return "unscored"
    return "hit" if value.window[alert.row] >= 0 else "false"


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)
