"""Alerts on SKAB's experiments, one stream of eight channels each, prequential: what a row is called never changes.

A row counts as alarmed while an alert of its stream is open. F1, FAR and MAR are of rows, pooled over all
experiments, without any adjustment (no point of a window makes the others right). As on the leaderboard the first 400
rows of an experiment, which are normal, are not scored; nobody is told that they are normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from edgeseq.core.types import F64, I64, Bool
from tests.bench.alerts import peers
from tests.bench.alerts.nab_score import Costs, Labelled, count, normalised, worth
from tests.bench.alerts.parts import Album, Figures, Found, Mark, Row, Span
from tests.bench.alerts.play import Alert, Series, play

UNSCORED_ROWS = 400
CHANGE_ROWS = 60
"""Rows after a change point in which an alarm counts as its own, as on the leaderboard."""
STANDARD = Costs(1.0, 0.11, 1.0)
MOST_FAR = 0.2
PEER_QUANTILES = 1 - np.geomspace(1e-3, 0.6, 40)


@dataclass(frozen=True, slots=True)
class Experiment:
    """One recording."""

    name: str
    time_ns: I64
    values: F64
    """(n, 8)"""
    channels: tuple[str, ...]
    anomaly: Bool
    """(n,)"""
    changes: tuple[int, ...]
    """Rows at which something begins or ends."""

    @property
    def category(self) -> str:
        """Name the folder."""
        return self.name.partition("/")[0]


def read_experiments(folder: Path) -> list[Experiment]:
    """Read all recordings that have labels."""
    return [e for path in sorted(folder.rglob("*.csv")) if (e := _read(folder, path)) is not None]


def _read(folder: Path, path: Path) -> Experiment | None:
    table = pl.read_csv(path, separator=";")
    if "anomaly" not in table.columns:
        return None
    names = tuple(c for c in table.columns if c not in ("datetime", "anomaly", "changepoint"))
    time_ns = table["datetime"].str.to_datetime("%Y-%m-%d %H:%M:%S").dt.epoch("ns").to_numpy()
    changes = tuple(np.flatnonzero(table["changepoint"].to_numpy() > 0).tolist())
    values = table.select(pl.col(names).cast(pl.Float64)).to_numpy()
    name = path.relative_to(folder).with_suffix("").as_posix()
    return Experiment(name, time_ns, values, names, table["anomaly"].to_numpy() > 0, changes)


def run(data: Path, album: Album) -> Found:
    """Score ourselves and the peers."""
    folder = data / "skab"
    experiments = read_experiments(folder) if folder.is_dir() else []
    if not experiments:
        return Found([{"part": "skab", "not_available": f"{folder} holds no labelled experiment"}], {})
    series = [Series(e.name, e.time_ns, e.values, 10**9, e.channels) for e in experiments]
    alerts = play(series).alerts
    alarmed = [is_alarmed(alerts[e.name], len(e.anomaly)) for e in experiments]
    rows = [row("edgeseq, shipped", "all", experiments, alarmed)]
    for category in sorted({e.category for e in experiments}):
        mine = [k for k, e in enumerate(experiments) if e.category == category]
        rows.append(
            row("edgeseq, shipped", category, [experiments[k] for k in mine], [alarmed[k] for k in mine])
        )
    rows.append(row("edgeseq, shipped, all rows", "all", experiments, alarmed, since=0))
    rows += _kinds(experiments, alerts) + _peers(experiments)
    for e, marked in zip(experiments, alarmed, strict=True):
        _picture(album, e, alerts[e.name], marked)
    figures: Figures = {f"skab_{key}": rows[0][key] for key in ("f1", "far", "mar")}
    figures["skab_changepoint_nab"] = _changes(experiments, alerts)
    figures["skab_experiments"] = len(experiments)
    return Found(rows, figures)


def is_alarmed(alerts: Sequence[Alert], rows: int) -> Bool:
    """Mark the rows at which an alert is open, that of its opening at least (rows,)."""
    marked = np.zeros(rows, dtype=np.bool_)
    for a in alerts:
        marked[a.row : rows if a.cleared_row is None else max(a.cleared_row, a.row + 1)] = True
    return marked


def rates(truth: Bool, marked: Bool) -> dict[str, float | None]:
    """Score rows: F1, false-alarm rate FP / (FP + TN), missing-alarm rate FN / (FN + TP).

    >>> rates(np.array([0, 0, 1, 1], bool), np.array([0, 1, 1, 0], bool))
    {'f1': 0.5, 'far': 0.5, 'mar': 0.5}
    """
    tp, fp = int((truth & marked).sum()), int((~truth & marked).sum())
    fn, tn = int((truth & ~marked).sum()), int((~truth & ~marked).sum())
    shares = {"f1": (2 * tp, 2 * tp + fp + fn), "far": (fp, fp + tn), "mar": (fn, fn + tp)}
    return {name: round(part / whole, 4) if whole else None for name, (part, whole) in shares.items()}


def row(
    detector: str, category: str, experiments: Sequence[Experiment], marked: Sequence[Bool], since: int = UNSCORED_ROWS
) -> Row:  # fmt: skip
    """Score experiments together."""
    truth = np.concatenate([e.anomaly[since:] for e in experiments])
    said = np.concatenate([m[since:] for m in marked])
    return {
        "part": "skab",
        "detector": detector,
        "category": category,
        "rows": len(truth),
        **rates(truth, said),
    }


def _changes(experiments: Sequence[Experiment], alerts: dict[str, list[Alert]]) -> float | None:
    """Score the openings of alerts against the change points, by NAB's formula."""
    counted = []
    for e in experiments:
        windows = tuple((c, min(c + CHANGE_ROWS, len(e.anomaly) - 1)) for c in e.changes)
        labelled = Labelled(e.name, e.time_ns, e.values[:, 0], windows)
        counted.append(count(labelled, worth(labelled), [a.row for a in alerts[e.name]]))
    score = normalised(counted, STANDARD)
    return None if score is None else round(score, 2)


def _kinds(experiments: Sequence[Experiment], alerts: dict[str, list[Alert]]) -> list[Row]:
    """Count alerts by kind, and whether they opened in an anomaly."""
    told = [(a.kind, bool(e.anomaly[a.row])) for e in experiments for a in alerts[e.name]]
    return [
        {"part": "skab", "detector": "edgeseq, shipped", "kind": kind,
         "in_anomalies": told.count((kind, True)), "outside": told.count((kind, False))}
        for kind in sorted({k for k, _ in told})
    ]  # fmt: skip


def _peers(experiments: Sequence[Experiment]) -> list[Row]:
    """Score the peers; the threshold of each folder is the best on the others (F1 where FAR is at most 20 %).

    Without that bound the best is to be alarmed all the time: a row says what that gives.
    """
    made = {name: [peers.score(p, e.values) for e in experiments] for name, p in peers.PEERS.items()}
    trees = peers.score_by_trees([e.values for e in experiments], Path("build/bench/alerts/river"))
    rows = [row("always alarmed", "all", experiments, [np.ones_like(e.anomaly) for e in experiments])]
    if trees is None:
        rows.append({"part": "skab", "detector": peers.TREES, "not_available": f"no {peers.RIVER}"})
    else:
        made[peers.TREES] = trees
    categories = sorted({e.category for e in experiments})
    for name, scores in made.items():
        thresholds = np.unique(np.quantile(np.concatenate(scores), PEER_QUANTILES))
        chosen = {c: _best(experiments, scores, thresholds, c) for c in categories}
        marked = [s >= chosen[e.category] for e, s in zip(experiments, scores, strict=True)]
        how = (
            "threshold from the other folders" if len(categories) > 1 else "threshold from these experiments"
        )
        rows.append(row(f"{name}, {how}", "all", experiments, marked))
    return rows


def _best(experiments: Sequence[Experiment], scores: Sequence[F64], thresholds: F64, held: str) -> float:
    others = [k for k, e in enumerate(experiments) if e.category != held] or list(range(len(experiments)))
    truth = np.concatenate([experiments[k].anomaly[UNSCORED_ROWS:] for k in others])
    score = np.concatenate([scores[k][UNSCORED_ROWS:] for k in others])
    told = [rates(truth, score >= threshold) for threshold in thresholds]
    quality = [(t["f1"] or 0.0) if (t["far"] or 0.0) <= MOST_FAR else 0.0 for t in told]
    return float(thresholds[np.argmax(quality)])


def _picture(album: Album, e: Experiment, alerts: Sequence[Alert], marked: Bool) -> None:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], e.anomaly.astype(np.int8), [0]])))
    spans = [Span(a, b, "anomaly", bool(marked[a:b].any())) for a, b in edges.reshape(-1, 2).tolist()]
    marks = [Mark(a.row, a.kind, _verdict(e, a), a.message) for a in alerts]
    album.add("skab", e.category, e.name, e.values, spans, marks)


def _verdict(e: Experiment, alert: Alert) -> str:
    if e.anomaly[alert.row]:
        return "hit"
    return "unscored" if alert.row < UNSCORED_ROWS else "false"
