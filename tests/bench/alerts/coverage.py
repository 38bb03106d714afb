"""Whether published intervals hold what they promise: on recordings, and after the level or the scatter has changed.

    python -m tests.bench.alerts.coverage DATA [beginning of a name]

The core takes the last readings of the validation part and then the test part, of which every origin is judged: with a
bundle that was trained without it, and with the baseline alone; intervals of 80 % and of 90 %. Beside each channel run
copies of it whose level rises by two standard deviations, or whose readings scatter twice as wide about their last
week's mean, for 720 readings, and back.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgeseq.core.types import F64
from edgeseq_train import scores
from tests.bench.alerts import bundles, roll
from tests.bench.datasets import DataSet

SETS = ("ett/ETTh1", "tetouan/", "beijing_pm25/")
LEADS = (1, 24, 96)
COVERAGES = (0.8, 0.9)
PHASES, EVERY = (168, 528), 720
"""Readings of the test part before the first change, for two sets of copies, and from change to change."""
RECOVERY = slice(200, 400)
"""Readings after a change in which intervals must be right again."""
LEVEL_DEVIATIONS, SCALE = 2.0, 2.0
KINDS = ("level", "scale")

Row = dict[str, Any]


class Played(NamedTuple):
    """The readings of a data set and its copies, and when each changes."""

    values: F64
    """(T, S · (1 + 2 · 2)): the recording, then for each phase its copies of changed level and scale."""
    start: int
    """First reading of the test part."""
    onsets: dict[str, list[tuple[int, slice]]]
    """Kind → readings at which the copies in these columns change."""


def run(data: Path, only: str = "") -> tuple[list[Row], dict[str, float]]:
    """Measure all data sets that are there."""
    rows: list[Row] = []
    for name, d in bundles.find(data, tuple(s for s in SETS if s.startswith(only))).items():
        bundle = roll.stepper_of(bundles.trained(data, name, d))
        played = changed_copies(d)
        for coverage in COVERAGES:
            for serves, stepper in (("bundle", bundle), ("baseline", None)):
                rule = roll.rule_of(
                    d.period_s, d.season, max(LEADS), bundle=stepper is not None, coverage=coverage
                )
                told = roll.tell(rule, stepper, played.values, played.start, LEADS)
                rows += [dict(row, data=name, serves=serves) for row in judge(d, played, told, coverage)]
    return rows, figures(rows)


def changed_copies(d: DataSet) -> Played:
    """Lay the end of the validation part and the test part beside copies that change in the test part."""
    start = min(roll.HISTORY, d.validation - d.train)
    values = d.targets[d.validation - start : d.test]
    deviation = np.nanstd(d.targets[: d.train], axis=0)
    columns, S = [values], values.shape[1]
    onsets: dict[str, list[tuple[int, slice]]] = {kind: [] for kind in KINDS}
    for phase in PHASES:
        times = list(range(start + phase, len(values) - RECOVERY.stop, EVERY))
        level, scale = values.copy(), values.copy()
        for begin, end in zip(times[::2], [*times[1::2], len(values)], strict=False):
            level[begin:end] += LEVEL_DEVIATIONS * deviation
            mean = np.nanmean(values[begin - 7 * d.season : begin], axis=0)
            scale[begin:end] = mean + SCALE * (values[begin:end] - mean)
        for kind, copy, which in (("level", level, times), ("scale", scale, times[::2])):
            place = slice(S * len(columns), S * (len(columns) + 1))
            onsets[kind] += [(time, place) for time in which]
            columns.append(copy)
    return Played(np.concatenate(columns, axis=1), start, onsets)


def judge(d: DataSet, played: Played, told: roll.Told, coverage: float) -> Iterator[Row]:
    """Score the intervals at each lead."""
    S = d.targets.shape[1]
    for k, lead in enumerate(LEADS):
        test = slice(played.start - 1 + lead, None)
        outcome = played.values[test].astype(np.float32)
        lower, upper = (part[test, :, k].astype(np.float32) for part in (told.lower, told.upper))
        inside = scores.inside(lower, upper, outcome)
        known = np.isfinite(inside[:, :S])
        error = np.nanmean(inside[:, :S], axis=0) - coverage
        hits, judged = np.nansum(inside[:, :S], axis=1).astype(float), known.sum(axis=1).astype(float)
        block = scores.block_steps(len(inside), d.season, max(LEADS))
        bounds = scores.ratio_interval(hits, judged, block)
        row: Row = {
            "coverage": coverage, "lead": lead, "origins": int(known.any(axis=1).sum()),
            "error": float(hits.sum() / judged.sum() - coverage),
            "error_interval": [float(bound) - coverage for bound in bounds],
            "worst_channel_error": float(error[np.abs(error).argmax()]),
            "winkler": _winkler(lower[:, :S], upper[:, :S], outcome[:, :S], coverage, d),
        }  # fmt: skip
        if np.isfinite(told.raw_lower).any():
            raw_lower, raw_upper = told.raw_lower[test, :S, k], told.raw_upper[test, :S, k]
            row["raw_winkler"] = _winkler(raw_lower, raw_upper, outcome[:, :S], coverage, d)
        for kind, changes in played.onsets.items():
            after = [inside[_window(time - test.start), place].ravel() for time, place in changes]
            row[f"error_after_{kind}"] = float(np.nanmean(np.concatenate(after)) - coverage)
            row[f"changes_of_{kind}"] = len(changes) * S
        yield row


def _window(time: int) -> slice:
    return slice(time + RECOVERY.start, time + RECOVERY.stop)


def _winkler(lower: Any, upper: Any, outcome: Any, coverage: float, d: DataSet) -> float:
    """Average the interval score over channels, each in standard deviations of its training part."""
    known = np.isfinite(lower) & np.isfinite(outcome)
    score = np.where(known, scores.winkler(lower, upper, outcome, coverage), np.nan)
    return float(np.mean(np.nanmean(score, axis=0) / np.nanstd(d.targets[: d.train], axis=0)))


def figures(rows: list[Row]) -> dict[str, float]:
    """Sum up: the largest error of any data set and coverage at each lead."""
    found: dict[str, float] = {}
    for row in rows:
        of = "" if row["serves"] == "bundle" else "baseline_"
        for name, key in (
            ("coverage_error", "error"), ("coverage_error_worst", "worst_channel_error"),
            ("coverage_error_after_level", "error_after_level"), ("coverage_error_after_scale", "error_after_scale"),
        ):  # fmt: skip
            place = f"{of}{name}_{row['lead']}"
            found[place] = max(found.get(place, 0.0), abs(row[key]))
        if "raw_winkler" in row:
            place = f"winkler_over_raw_{row['lead']}"
            found[place] = max(found.get(place, 0.0), row["winkler"] / row["raw_winkler"])
    return found


if __name__ == "__main__":
    found_rows, found_figures = run(Path(sys.argv[1]), *sys.argv[2:3])
    for one in found_rows:
        print(json.dumps({key: round(v, 4) if isinstance(v, float) else v for key, v in one.items()}))
    print(json.dumps(found_figures, indent=1))
